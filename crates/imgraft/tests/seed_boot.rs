//! Guests that boot, and are told where their seeds are in the ways that need no disk: by the machine's serial
//! number, GRUB's command line and the metadata service.
//!
//! The base is `IMGRAFT_TEST_BASE`. A minute each on a quiet machine.
#![cfg(feature = "full-tests")]

use crate::support::guests;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::World;
use crate::support::serving::Serving;
use testkit::judge::find;

/// How long nothing at all may happen, in seconds.
const SILENCE_SECONDS: usize = 240;

/// A running guest; it ends with this.
struct Guest {
    qemu: Child,
}

impl Guest {
    /// Boots `my.img`, with more of QEMU's options as a shell reads them.
    fn boot(world: &World, more: &str) -> Self {
        assert!(find("qemu-system-x86_64").is_some(), "the judge `qemu-system-x86_64` is not installed: run ./test");
        let command = format!(
            "exec qemu-system-x86_64 -m 1024 -smp 1 -accel tcg,thread=multi -cpu max -display none \
             -drive file=my.img,format=qcow2,if=virtio,cache=unsafe -device virtio-rng-pci -serial file:console {more}"
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &command]).current_dir(world.folder()).stdin(Stdio::null());
        Self { qemu: shell.spawn().unwrap() }
    }

    /// Waits until `is_done`, as long as anything happens on the console.
    fn wait(&mut self, world: &World, mut is_done: impl FnMut() -> bool) {
        let console = world.path("console");
        let (mut size, mut since) = (0, 0);
        while !is_done() {
            std::thread::sleep(Duration::from_secs(1));
            let now = fs::metadata(&console).map_or(0, |metadata| metadata.len());
            since = if now == size { since + 1 } else { 0 };
            size = now;
            let is_over = self.qemu.try_wait().unwrap().is_some() || since > SILENCE_SECONDS;
            assert!(!is_over, "the guest stopped:\n{}", tail(&console));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(3000)..]).into_owned()
}

/// A folder with `my.img` over the base, changed by one more flag.
fn world(change: &[&str]) -> World {
    let base = std::env::var_os("IMGRAFT_TEST_BASE").expect("IMGRAFT_TEST_BASE names the base image");
    let world = World::empty();
    let base = base.to_str().unwrap();
    let arguments = [&["--base", base, "--overlay", "-o", "my.img", "--write", guests::ONE_HOST_KEY], change].concat();
    world.run_words("build --mkdir /var/made", &arguments).succeeds();
    world
}

const RUN: &str = "grep -q '^ada:' /etc/passwd && sudo -u ada sudo -n true && echo ada may";

#[test]
#[ignore = "a guest that boots: ./test long"]
fn a_serial_number_and_grub_say_where_the_seed_is() {
    let empty = World::empty();
    let word = empty.run("seed line --hostname from-grub --for grub").succeeds().stdout;
    let change = format!("/boot/grub/grub.cfg:ttyS0$:ttyS0 {}", word.trim_end());
    let world = world(&["--replace", &change]);
    let arguments = "-q seed serve seeds --user ada --log requests --phone-home-dir done";
    world.file("seeds/web-1/vendor-data", "");
    let serving = Serving::start(&world, arguments, &["--run", RUN]);
    let port = serving.url.trim_end_matches('/').rsplit_once(':').unwrap().1;
    let home =
        format!("#cloud-config\nphone_home: {{url: 'http://10.0.2.2:{port}/phone-home/', post: all, tries: 3}}\n");
    world.file("seeds/web-1/vendor-data", home);
    // Without `/` at its end, which this version of cloud-init does not add.
    let line = world.run(&format!("seed line --url http://10.0.2.2:{port}/web-1 --for qemu")).succeeds().stdout;
    let mut guest = Guest::boot(&world, &format!("-nic user,model=virtio-net-pci {}", line.trim_end()));
    guest.wait(&world, || fs::read_dir(world.path("done")).is_ok_and(|records| records.count() > 0));
    let console = fs::read(world.path("console")).unwrap();
    let console = String::from_utf8_lossy(&console);
    assert!(console.contains("ada may"), "{}", tail(&world.path("console")));
    let requests = fs::read_to_string(world.path("requests")).unwrap();
    assert!(requests.contains("\"target\":\"/web-1/user-data\"") && !requests.contains("\"status\":4"), "{requests}");
    assert!(requests.contains("\"hostname\":\"from-grub\""), "what GRUB passes on is read: {requests}");
}

#[test]
#[ignore = "a guest that boots: ./test long"]
fn the_metadata_service_is_found_where_amazons_is() {
    let world = world(&[]);
    let home = "#cloud-config\nphone_home: {url: 'http://169.254.169.254/phone-home/', post: all, tries: 3}\n";
    world.file("home.yaml", home).file("run.sh", format!("#!/bin/sh\n{RUN}\n"));
    // A process for each connection, which QEMU starts.
    let serve = format!(
        "{} -q seed serve --inetd --imds v2 --hostname imds --user ada --user-data home.yaml --user-data run.sh \
         --log requests --phone-home-dir done",
        env!("CARGO_BIN_EXE_imgraft")
    );
    // What cloud-init takes for Amazon.
    let uuid = "ec2aaaaa-0000-4000-8000-000000000001";
    let more = format!(
        "-uuid {uuid} -smbios type=1,serial={uuid} -device virtio-net-pci,netdev=n \
         -netdev 'user,id=n,net=169.254.0.0/16,guestfwd=tcp:169.254.169.254:80-cmd:{serve}'"
    );
    let mut guest = Guest::boot(&world, &more);
    guest.wait(&world, || fs::read_dir(world.path("done")).is_ok_and(|records| records.count() > 0));
    let console = fs::read(world.path("console")).unwrap();
    let console = String::from_utf8_lossy(&console);
    assert!(console.contains("ada may"), "{}", tail(&world.path("console")));
    let requests = fs::read_to_string(world.path("requests")).unwrap();
    assert!(requests.contains("\"method\":\"PUT\",\"target\":\"/latest/api/token\""), "{requests}");
    assert!(
        requests.contains("\"target\":\"/2021-03-23/user-data\"") && !requests.contains("\"status\":4"),
        "{requests}"
    );
    assert!(requests.contains("\"instance_id\":\"i-") && requests.contains("\"hostname\":\"imds\""), "{requests}");
}
