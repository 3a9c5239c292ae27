//! A first boot that is followed and judged: its stages, what was expected of it, and the verdict.
