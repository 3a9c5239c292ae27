//! What processes use, counted by `/proc`.

use std::collections::BTreeMap;
use std::fs;

/// What a process and all its descendants use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory of their own: pages that are no file's.
    pub(crate) memory_bytes: u64,
    pub(crate) threads: u64,
}

impl Usage {
    /// Counts.
    pub(crate) fn of(process: i32) -> Self {
        let mut usage = Self::default();
        for each in descendants(process).into_iter().chain([process]) {
            let Ok(status) = fs::read_to_string(format!("/proc/{each}/status")) else { continue };
            usage.memory_bytes += (number(&status, "RssAnon:") + number(&status, "RssShmem:")) << 10;
            usage.threads += number(&status, "Threads:");
        }
        usage
    }
}

fn number(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// All descendants of a process. Those that have ended and were not waited for are among them.
pub(crate) fn descendants(process: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read(format!("/proc/{number}/stat")) else { continue };
        if let Some(parent) = parent(&stat) {
            children.entry(parent).or_default().push(number);
        }
    }
    // Each process has one parent, so each is met once.
    let mut all = children.remove(&process).unwrap_or_default();
    let mut next = 0;
    while let Some(&each) = all.get(next) {
        all.extend(children.remove(&each).unwrap_or_default());
        next += 1;
    }
    all
}

/// The parent by `/proc/PID/stat`: the second field after the name, which may itself have brackets and blanks.
fn parent(stat: &[u8]) -> Option<i32> {
    let after = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_confuse_the_parent() {
        assert_eq!(parent(b"12 (a) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (a) b (S 9) R 7 12"), Some(7));
        assert_eq!(parent(b"12 a"), None);
    }

    #[test]
    fn a_child_is_found_and_counted() {
        #[expect(clippy::disallowed_methods, reason = "a process to count")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(descendants(own).contains(&i32::try_from(child.id()).unwrap()));
        let usage = Usage::of(own);
        assert!(usage.threads >= 3 && usage.memory_bytes > 100_000, "{usage:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
