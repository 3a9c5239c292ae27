//! Bases of guests that are started, each no more than its test needs: without hardware to lend it, a first boot is
//! what the tests take longest for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::World;

/// A folder with the real base, that `IMGRAFT_TEST_BASE` names, as `stock.img`.
fn world() -> World {
    world_of("IMGRAFT_TEST_BASE")
}

/// A folder with the base that a variable names as `stock.img`.
fn world_of(variable: &str) -> World {
    let base = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no base: see ./test"));
    let world = World::empty();
    symlink(fs::canonicalize(base).expect("the base image is there"), world.path("stock.img")).unwrap();
    world
}

/// One kind of host key and not three, the search for whose primes is a quarter of a first boot.
pub(crate) const ONE_HOST_KEY: &str = "/etc/cloud/cloud.cfg.d/99-test.cfg:ssh_genkeytypes: [ed25519]\n";

/// Two guests run at a time where the machine has two processors: each with two of its own takes a third longer.
pub(crate) const ONE_PROCESSOR: [&str; 2] = ["--cpus", "1"];

/// A folder with the base as `base.img`, which does all that it does at a first boot.
pub(crate) fn with_base() -> World {
    let world = world();
    world.run_words("build --base stock.img -o base.img --write", &[ONE_HOST_KEY]).succeeds();
    world
}

/// The real base with a tenth of its files, that `scripts/small-base` makes: what judges take time for is their number.
pub(crate) fn small_base() -> PathBuf {
    let base = std::env::var_os("IMGRAFT_TEST_SMALL_BASE").expect("IMGRAFT_TEST_SMALL_BASE: see scripts/small-base");
    fs::canonicalize(base).expect("the small base is there")
}

/// A folder with what commands need of the base as `base.img`, for commands that run in it.
pub(crate) fn with_less() -> World {
    let world = World::empty();
    fs::copy(small_base(), world.path("base.img")).unwrap();
    world
}

/// A folder with a base as `base.img` that has no cloud-init: as soon as systemd is up it runs `script`, whose output
/// is the console's, and switches itself off.
pub(crate) fn that_runs(script: &str) -> World {
    running(world(), script)
}

/// The same from the base whose root is an XFS on a logical volume.
pub(crate) fn on_lvm_that_runs(script: &str) -> World {
    running(world_of("IMGRAFT_TEST_LVM_BASE"), script)
}

fn running(world: World, script: &str) -> World {
    world.file("script", format!("#!/bin/sh\n{script}\n")).mode("script", 0o755);
    let unit = "/etc/systemd/system/test.service:[Unit]\nDefaultDependencies=no\nAfter=sysinit.target\n\
                SuccessAction=poweroff\nFailureAction=poweroff\n\
                [Service]\nType=oneshot\nExecStart=/usr/local/bin/script\nStandardOutput=tty\nTTYPath=/dev/ttyS0\n";
    let changes = [
        "--write",
        unit,
        "--link",
        "/etc/systemd/system/test.service:/etc/systemd/system/multi-user.target.wants/test.service",
    ];
    let build =
        "build --base stock.img -o base.img --put script:/usr/local/bin/ --write /etc/cloud/cloud-init.disabled:";
    world.run_words(build, &changes).succeeds();
    world
}
