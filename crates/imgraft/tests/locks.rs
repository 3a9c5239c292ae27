//! An image that is in use: QEMU's locks are respected, and QEMU and other runs of ours respect ours.

use crate::support;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::support::{World, assert_sound, noise};
use rustix::process::{Pid, Signal, kill_process};
use testkit::fixture::{Format, Options};
use testkit::judge::{find, judge};

/// `qemu-io` with an image open; it ends with this.
struct QemuIo {
    child: Child,
}

impl QemuIo {
    fn open(world: &World, options: &[&str]) -> Self {
        let mut command = Command::new(find("qemu-io").expect("qemu-io is installed"));
        command.args(options).arg("my.img").current_dir(world.folder());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"read 0 512\n").unwrap();
        // What was read was read under its locks.
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("read 512/512 bytes")), "qemu-io has no image");
        Self { child }
    }
}

impl Drop for QemuIo {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// `imgraft`, stopped while it has the locks that it has from its start to its end.
struct Stopped {
    child: Child,
}

impl Stopped {
    /// `last_lock` is the range of bytes that is locked last.
    fn start(world: &World, arguments: &str, last_lock: &str) -> Self {
        let mut child = world.start(arguments);
        let locks = format!("/proc/{}/fdinfo", child.id());
        let is_locked = || {
            let descriptors = fs::read_dir(&locks).unwrap().filter_map(Result::ok);
            let mut texts = descriptors.map(|descriptor| fs::read_to_string(descriptor.path()).unwrap_or_default());
            texts.any(|text| text.lines().any(|line| line.contains("OFDLCK") && line.ends_with(last_lock)))
        };
        while !is_locked() {
            assert!(child.try_wait().unwrap().is_none(), "`imgraft {arguments}` ended without a lock");
            std::thread::yield_now();
        }
        let stopped = Self { child };
        stopped.signal(Signal::STOP);
        stopped
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn succeeds(mut self) {
        self.signal(Signal::CONT);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CUSTOMIZE: &str = "customize my.img --put app:/srv/app";
const BUILD: &str = "build --base my.img --put app:/srv/app -o out.img";
const WRITES: &str = "another process, QEMU perhaps, writes to it";
const USES: &str = "another process, QEMU perhaps, has it open and lets nobody change it";
const HINT: &str = "hint: wait for it or stop it (`fuser -v my.img` names it), or work on a copy\n\
                    for more, run `imgraft explain in-use`\n";

fn world(format: Format) -> World {
    let world = World::with_copy(&Options { format, ..Options::default() });
    world.file("app", noise(5, 40_000_000));
    world
}

#[test]
fn an_image_that_qemu_writes_to_is_refused_and_looked_at_with_a_warning() {
    for format in [support::qcow2(), Format::Raw] {
        let name = if format == Format::Raw { "raw" } else { "qcow2" };
        let world = world(format);
        let qemu = QemuIo::open(&world, &["-f", name]);
        for arguments in [CUSTOMIZE, "resize my.img +1G"] {
            world.refuses(
                arguments,
                &format!("error: `my.img` was not changed\n  cause: `my.img` is in use\n  cause: {WRITES}\n{HINT}"),
            );
        }
        for arguments in [BUILD, "resize my.img +1G -o out.img", "boot my.img", "boot my.img --persist"] {
            world.refuses(arguments, &format!("error: `my.img` is in use\n  cause: {WRITES}\n{HINT}"));
        }
        let warning = format!("warning: `my.img` is in use, and what is read of it may not fit together: {WRITES}\n");
        for arguments in ["ls my.img /etc", "cat my.img /etc/hostname", "inspect my.img", "check my.img"] {
            let run = world.run(arguments).succeeds();
            assert!(run.stderr.starts_with(&warning), "{arguments}: {}", run.stderr);
        }
        drop(qemu);
        world.run(CUSTOMIZE).succeeds();
        assert_sound(&world.path("my.img"));
    }
}

#[test]
fn an_image_that_qemu_reads_can_be_read_and_is_not_changed() {
    let world = world(support::qcow2());
    let qemu = QemuIo::open(&world, &["-r", "-f", "qcow2"]);
    world.refuses(
        CUSTOMIZE,
        &format!("error: `my.img` was not changed\n  cause: `my.img` is in use\n  cause: {USES}\n{HINT}"),
    );
    world.refuses("boot my.img --persist", &format!("error: `my.img` is in use\n  cause: {USES}\n{HINT}"));
    world.run("cat my.img /etc/hostname").succeeds().says("");
    world.run("boot my.img --print-command").succeeds();
    world.run(BUILD).succeeds();
    drop(qemu);
}

#[test]
fn while_an_image_changes_nobody_else_uses_it() {
    for format in [support::qcow2(), Format::Raw] {
        let is_raw = format == Format::Raw;
        let world = world(format);
        let ours = Stopped::start(&world, CUSTOMIZE, "201 203");
        let said = judge("qemu-img").arg("check").arg("-f").arg("qcow2").arg(world.path("my.img")).run();
        assert!(is_raw || said.stderr.contains("Failed to get shared \"write\" lock"), "{said}");
        let name = if is_raw { "raw" } else { "qcow2" };
        let said = judge("qemu-io").args(["-f", name, "-c", "write 0 512"]).arg(world.path("my.img")).run();
        assert!(said.stderr.contains("Failed to get \"write\" lock"), "{said}");
        let run = world.run("customize my.img --put app:/srv/other");
        assert_eq!((run.code, run.stderr.contains(WRITES)), (Some(2), true), "{}", run.stderr);
        let run = world.run("ls my.img /etc").succeeds();
        assert!(run.stderr.contains(WRITES), "{}", run.stderr);
        ours.succeeds();
        assert_sound(&world.path("my.img"));
        world.run("customize my.img --put app:/srv/other").succeeds();
    }
}

#[test]
fn a_base_can_be_read_by_many_and_written_by_nobody() {
    let world = world(support::qcow2());
    let ours = Stopped::start(&world, &BUILD.replace("out", "other"), "203 203");
    world.run(BUILD).succeeds();
    judge("qemu-img").arg("check").arg(world.path("my.img")).succeed();
    let said = judge("qemu-io").args(["-f", "qcow2", "-c", "write 0 512"]).arg(world.path("my.img")).run();
    assert!(said.stderr.contains("Failed to get \"write\" lock"), "{said}");
    world.refuses(
        CUSTOMIZE,
        &format!("error: `my.img` was not changed\n  cause: `my.img` is in use\n  cause: {USES}\n{HINT}"),
    );
    ours.succeeds();
    assert_eq!(fs::read(world.path("out.img")).unwrap(), fs::read(world.path("other.img")).unwrap());
}
