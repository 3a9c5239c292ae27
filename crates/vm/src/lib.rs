//! Virtual machines: the only place that builds command lines of QEMU, starts it and talks to it.
