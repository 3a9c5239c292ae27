//! What this machine can do.

use std::fs;

/// Whether AppArmor takes the rights from user namespaces of programs without a profile.
pub(crate) fn is_restricted_by_apparmor() -> bool {
    let switch = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    switch.is_ok_and(|value| value.trim() == "1")
}
