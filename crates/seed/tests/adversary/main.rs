//! Built input: sharing, depth, cycles, floods and claims of size, for everything of a seed that others write. Each case
//! is a process of its own with [`CPU_SECONDS`] of a processor and [`MEMORY_BYTES`] of addresses; what is not bounded by
//! its input's size ends it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "a process is told by its environment what it is to do")]

#[path = "../exercise/check.rs"]
mod exercise;
mod http;
mod mime;
mod mutated_http;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod yaml;

use seed::check::{Document, Report, Role, check};
use testkit::judge::judge;

/// What a case may have of a processor, whoever else has it meanwhile; each takes a few seconds of it without
/// optimization.
const CPU_SECONDS: u32 = 120;
/// What a case may have of addresses; 128 MiB of it are those of idle heaps and stacks.
const MEMORY_BYTES: u32 = 1 << 30;
/// Says to a test that it is the process that is confined.
const CONFINED: &str = "IMGRAFT_ADVERSARY";

/// Does `work`, which is what the test `name` does, in a process that has the limits.
fn confined(name: &str, work: impl FnOnce()) {
    if std::env::var_os(CONFINED).is_some() {
        return work();
    }
    let limits = [format!("--cpu={CPU_SECONDS}"), format!("--as={MEMORY_BYTES}"), "--core=0".to_owned()];
    let this = std::env::current_exe().unwrap();
    let verdict =
        judge("prlimit").args(limits).arg(this).args(["--exact", name, "--test-threads=1"]).env(CONFINED, "1");
    let verdict = verdict.succeed();
    assert!(verdict.stdout.contains("1 passed"), "there is no test {name}: {verdict}");
}

/// What is said of user-data.
fn looked_at(bytes: &[u8]) -> Report {
    check(&[Document { name: "x", role: Role::UserData, bytes }])
}

/// Whether a bound is said to have been met.
fn has_limit(report: &Report) -> bool {
    report.findings.iter().any(|finding| finding.rule == "limit")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
