//! `imgraft boot` with QEMU, on a real base that `IMGRAFT_TEST_BASE` names.
#![cfg(feature = "full-tests")]

use crate::support::guests;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::{BOOT, ESP, ROOT, World};
use testkit::judge::judge;

/// One machine at a time: each takes all processors.
static MACHINE: Mutex<()> = Mutex::new(());

/// Something that the guest says as soon as its own system runs.
const EARLY: &str = "running 'init-local'";
/// Something that it says when cloud-init is done.
const DONE: &str = "finished at";

/// The folder gets an empty one for temporary files; the machine is this test's.
fn alone(world: World) -> (World, MutexGuard<'static, ()>) {
    judge("qemu-system-x86_64").arg("--version").succeed();
    fs::create_dir(world.path("tmp")).unwrap();
    (world, MACHINE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A program with a console, ended with the test.
struct Machine {
    child: Child,
    said: String,
    temporary: PathBuf,
}

impl Machine {
    /// Starts `imgraft boot` with these arguments.
    fn boot(world: &World, arguments: &str, more: &[&str]) -> Self {
        let mut command = world.command(&format!("boot {} {arguments}", guests::ONE_PROCESSOR.join(" ")));
        command.args(more);
        Self::start(world, command)
    }

    fn start(world: &World, mut command: Command) -> Self {
        let temporary = world.path("tmp");
        // Its own group, so that all of it can be ended, and what is typed here does not reach it.
        command.env("TMPDIR", &temporary).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        Self { child: command.spawn().unwrap(), said: String::new(), temporary }
    }

    /// Reads the console until `text` is there.
    #[track_caller]
    fn until(&mut self, text: &str) -> &mut Self {
        let mut buffer = [0; 4096];
        while !self.said.contains(text) {
            let length = self.child.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
            assert!(length > 0, "it ended without `{text}`:\n{}", self.said);
            self.said.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        self
    }

    /// Reads the console to its end, which is the end of the machine.
    fn end(&mut self) -> ExitStatus {
        let mut rest = Vec::new();
        self.child.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        self.said.push_str(&String::from_utf8_lossy(&rest));
        self.child.wait().unwrap()
    }

    fn signal(&self, name: &str) {
        judge("kill").args(["-s", name, &self.child.id().to_string()]).succeed();
    }

    /// The QEMUs of this folder.
    fn processes(&self) -> Vec<String> {
        let folder = self.temporary.parent().unwrap().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.starts_with("qemu-system") && line.contains(&folder) {
                found.push(line);
            }
        }
        found
    }

    /// Neither a process nor a file is left.
    #[track_caller]
    fn is_gone(&self) {
        assert_eq!(self.processes(), [""; 0]);
        let left: Vec<_> = fs::read_dir(&self.temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All of it is gone as a rule, and nobody wants to hear that.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A number for a file's bytes.
fn digest(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finish(),
            length => hasher.write(&buffer[..length]),
        }
    }
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_boot_is_whole_reached_by_ssh_and_leaves_the_image_alone() {
    let (world, _machine) = alone(guests::with_base());
    let before = digest(&world.path("base.img"));
    judge("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(world.path("key")).succeed();
    // The console is the test's, so QEMU has to find standard input and output as they are.
    let arguments = "base.img --user ada --ssh-key key.pub --forward 22022:22 --run";
    let mut machine = Machine::boot(&world, arguments, &["echo it ran > /dev/ttyS0"]);
    machine.until("it ran").until(DONE);
    let ssh = |command: &str| {
        let options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"];
        let ssh = judge("ssh").args(options).args(["-p", "22022", "-i"]).arg(world.path("key"));
        ssh.args(["ada@127.0.0.1", command]).succeed().stdout
    };
    assert!(ssh("cloud-init status").contains("done"));
    assert!(!ssh("ls /sys/firmware").contains("efi"), "BIOS was chosen");
    ssh("sudo sh -c 'echo written > /etc/mark && sync && systemd-run --on-active=1 poweroff'");
    assert!(machine.end().success(), "{}", machine.said);
    machine.is_gone();
    assert!(digest(&world.path("base.img")) == before, "the image was written to");
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn the_guest_finds_uefi_and_a_seed_on_a_fat() {
    let (world, _machine) = alone(guests::with_base());
    let run = "ls /sys/firmware/efi/efivars > /dev/null && echo it is UEFI > /dev/ttyS0; poweroff";
    world.run_words("seed vfat -o seed.img --run", &[run]).succeeds();
    let mut machine = Machine::boot(&world, "base.img --firmware uefi --seed seed.img", &[]);
    assert!(machine.until("it is UEFI").end().success());
    machine.is_gone();
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_direct_kernel_is_told_what_was_asked_for() {
    let (world, _machine) = alone(guests::that_runs(
        "cat /sys/devices/system/cpu/vulnerabilities/spectre_v2; echo \"[$(cat /proc/cmdline)]\"",
    ));
    let arguments = "base.img --direct-kernel --append imgraft.test=1 --accel tcg";
    let mut machine = Machine::boot(&world, arguments, &[]);
    assert!(machine.until("console=ttyS0 imgraft.test=1]").end().success());
    // The kernel takes a processor that is translated for what it is.
    assert!(machine.said.contains("Not affected"), "{}", machine.said);
    assert!(!machine.said.contains("GRUB"), "{}", machine.said);
    machine.is_gone();
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn what_persists_is_in_the_image_afterwards() {
    let (world, _machine) = alone(guests::that_runs("echo kept > /etc/mark"));
    let mut machine = Machine::boot(&world, "base.img --persist --network none", &[]);
    assert!(machine.end().success(), "{}", machine.said);
    machine.is_gone();
    assert_eq!(world.content("base.img", ROOT, "/etc/mark"), b"kept\n");
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_printed_line_starts_where_it_is_pasted() {
    let (world, _machine) = alone(guests::that_runs("echo pasted"));
    let run = world.run_words("boot --print-command base.img --user ada --keep", &["it's here"]);
    let line = run.succeeds().stdout;
    assert!(line.contains("it'\\''s here"), "{line}");
    let mut command = Command::new("bash");
    command.arg("-c").arg(line).current_dir("/");
    let mut machine = Machine::start(&world, command);
    assert!(machine.until("pasted").end().success());
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn every_container_starts() {
    let (world, _machine) = alone(guests::with_base());
    let image = |name: &str| world.path(name);
    world.run("convert base.img a.raw").succeeds();
    world.run("convert base.img a.vmdk").succeeds();
    world.run("convert base.img a.vhd").succeeds();
    world.run("convert base.img zstd.qcow2 --compression-type zstd").succeeds();
    let overlay = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "zstd.qcow2"];
    judge("qemu-img").args(overlay).arg(image("thin.qcow2")).succeed();
    for name in ["a.raw", "a.vmdk", "a.vhd", "thin.qcow2"] {
        let before = digest(&image(name));
        let mut machine =
            Machine::boot(&world, &format!("{name} --user ada --network restricted --allow-backing"), &[]);
        machine.until(EARLY).signal("TERM");
        assert_eq!(machine.end().signal(), Some(15), "{name}");
        machine.is_gone();
        assert!(digest(&image(name)) == before, "{name} was written to");
    }
}

/// The guest's kernel reads what we wrote to an XFS that has grown, and its LVM the metadata of the volume that it is on.
#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_root_on_xfs_in_lvm_that_was_edited_and_grown_starts() {
    let script = "cat /etc/greeting /home/greeting; findmnt -no SOURCE,FSTYPE /; ls /opt/many | wc -l; \
                  vgs --noheadings -o vg_free,vg_missing_pv_count; df -BG --output=size / | tail -1";
    let (world, _machine) = alone(guests::on_lvm_that_runs(script));
    fs::create_dir(world.path("many")).unwrap();
    for number in 0..2000 {
        fs::write(world.path("many").join(format!("a file of many {number}")), "text").unwrap();
    }
    world.file("greeting", "out of an XFS\n").file("home", "out of an ext4\n");
    let edits = "--put greeting:/etc/greeting --put home:/home/greeting --put many:/opt/";
    world.run(&format!("customize base.img --size +4G {edits}")).succeeds();
    let mut machine = Machine::boot(&world, "base.img --network none --direct-kernel", &[]);
    assert!(machine.end().success());
    let words = machine.said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "out of an XFS out of an ext4 /dev/mapper/debian--vg-root xfs 2000 0 0 7G";
    assert!(words.contains(said), "no `{said}`: {}", machine.said);
}

/// The base's partitions in an MBR, the root in a logical one that was grown: the guest's kernel finds them through
/// the table that we wrote.
#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_root_in_an_mbr_that_was_grown_starts() {
    const MIB: u64 = 1 << 20;
    let script = "cat /etc/greeting; lsblk -nbo PARTUUID,SIZE,MOUNTPOINT /dev/vda5";
    let (world, _machine) = alone(guests::that_runs(script));
    let base = world.path("base.img");
    let image = world.path("mbr.img");
    let mut table = "label: dos\nlabel-id: 0x1badc0de\n".to_owned();
    let (mut start, mut partitions) = (MIB, Vec::new());
    for (number, os_type) in [(ESP, "ef"), (BOOT, "83"), (ROOT, "83")] {
        let range = testkit::partition::partition_range(&base, number);
        let size = range.end - range.start;
        if number == ROOT {
            table.push_str(&format!("start={},type=f\n", start / 512));
            start += MIB;
        }
        table.push_str(&format!("start={},size={},type={os_type}\n", start / 512, size / 512));
        partitions.push((number, start, size));
        start = (start + size).next_multiple_of(MIB);
    }
    let (_, root_start, root_bytes) = partitions[2];
    let disk_bytes = root_start + root_bytes + 4 * MIB;
    File::create(&image).unwrap().set_len(disk_bytes).unwrap();
    fs::write(world.path("table"), table).unwrap();
    let table = File::open(world.path("table")).unwrap();
    judge("sfdisk").args(["-q", "--no-reread"]).arg(&image).stdin(table).succeed();
    for (number, start, _) in partitions {
        let part = world.path("part");
        testkit::partition::extract_partition(&base, number, &part);
        let words =
            [format!("if={}", part.display()), format!("of={}", image.display()), format!("seek={}", start / MIB)];
        judge("dd").args(words).args(["bs=1M", "conv=notrunc,sparse", "status=none"]).succeed();
        fs::remove_file(part).unwrap();
    }
    world.file("greeting", "out of an MBR\n");
    world.run("customize mbr.img --size +300M --put greeting:/etc/greeting").succeeds();
    let mut machine = Machine::boot(&world, "mbr.img --network none --direct-kernel", &[]);
    assert!(machine.end().success());
    assert!(machine.said.contains("out of an MBR"), "{}", machine.said);
    // Up to the last whole mebibyte.
    let size = (disk_bytes + 300 * MIB) / MIB * MIB - root_start;
    let (_, line) = machine.said.split_once("1badc0de-05").expect("the table is the one that was made");
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    assert_eq!(words, [size.to_string().as_str(), "/"]);
    machine.is_gone();
}

#[test]
fn whoever_stops_it_finds_nothing_left() {
    let (world, _machine) = alone(guests::with_base());
    for (signal, number) in [("INT", 2), ("HUP", 1), ("TERM", 15)] {
        let mut machine = Machine::boot(&world, "base.img --user ada --direct-kernel", &[]);
        machine.until("Linux version");
        assert_eq!(machine.processes().len(), 1);
        machine.signal(signal);
        assert_eq!(machine.end().signal(), Some(number), "{signal}: {}", machine.said);
        machine.is_gone();
    }
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn on_a_terminal_the_keys_are_qemus_and_the_terminal_is_itself_again() {
    let (world, _machine) = alone(guests::with_base());
    let program = env!("CARGO_BIN_EXE_imgraft");
    let script = format!(
        "stty -a; {program} boot base.img --direct-kernel --network none; echo \"it ended with $?\"; stty -a; echo that was \"all\""
    );
    let mut command = Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).current_dir(world.folder());
    let mut machine = Machine::start(&world, command);
    machine.until("Linux version");
    // Ctrl-C is the guest's.
    type_keys(&mut machine, b"\x03").unwrap();
    // Without a seed, cloud-init stays away.
    machine.until("login:");
    type_keys(&mut machine, b"\x01x").unwrap();
    machine.until("that was all");
    assert!(machine.said.contains("it ended with 0"), "{}", machine.said);
    // Firmware switches the wrap of lines off, and a guest that is stopped leaves it so.
    let (guest, _) = machine.said.split_once("it ended with").unwrap();
    let (off, on) = (guest.rfind("\x1b[?7l"), guest.rfind("\x1b[?7h"));
    assert!(on.is_some() && on > off, "{off:?} {on:?}");
    let settings: Vec<&str> =
        machine.said.split("speed ").skip(1).map(|text| text.split("-echoprt").next().unwrap()).collect();
    assert!(settings.len() == 2 && settings[0] == settings[1], "{settings:?}");
    machine.is_gone();
}

fn type_keys(machine: &mut Machine, keys: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let stdin = machine.child.stdin.as_mut().unwrap();
    stdin.write_all(keys)?;
    stdin.flush()
}
