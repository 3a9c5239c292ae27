//! What several versions of the real cloud-init make of what `imgraft seed` makes, and what those who pass a line
//! on make of that.
#![cfg(feature = "full-tests")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::World;
use crate::support::cloud_init::versions;
use crate::support::serving::Serving;
use testkit::judge::judge;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";
const ADA: &str = "{\"groups\": \"adm, cdrom, dip, lxd, sudo\", \"lock_passwd\": true, \"name\": \"ada\", \
                   \"shell\": \"/bin/bash\", \"sudo\": \"ALL=(ALL) NOPASSWD:ALL\"}";

fn world() -> World {
    let world = World::empty();
    world
        .file(
            "a.yaml",
            "#cloud-config\nusers: [default, {name: a}]\nssh_pwauth: true\ntimezone: A\npackages: [one]\n\
             apt: {conf: x, primary: [1]}\nntp: {servers: [s]}\n",
        )
        .file("b.yaml", "#cloud-config\nusers: [{name: b}]\nssh_pwauth: false\npackages: [two]\napt: {conf: y, primary: [2]}\n")
        .file("own.yaml", "#cloud-config\nmerge_how: dict(replace)+list()+str()\npackages: [own]\n")
        .file("web.yaml", "## template: jinja\n#cloud-config\nfqdn: \"{{ v1.local_hostname }}.x\"\npackages: [three]\n")
        .file("z.sh", "#!/bin/sh\necho \"ö\"\n--\nFrom me\n")
        .file("a.sh", "#!/bin/sh\nexit 0")
        .file("hook", "#cloud-boothook\n#!/bin/sh\necho hook\n")
        .file("nested", "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\nContent-Type: text/x-shellscript\n\n#!/bin/sh\nnested\n--B--\n");
    fs::write(world.path("packed.gz"), judge("gzip").args(["-nc"]).arg(world.path("a.sh")).succeed().stdout_bytes)
        .unwrap();
    world
}

/// What cloud-init makes of the seed with these arguments: the same in each version.
fn made(world: &World, arguments: &str, more: &[&str]) -> String {
    world.run_words(&format!("seed tar --no-check {arguments} -o seed.tar"), more).succeeds();
    let user_data = judge("tar").arg("-xOf").arg(world.path("seed.tar")).arg("user-data").succeed().stdout_bytes;
    fs::write(world.path("user-data"), user_data).unwrap();
    let path = world.path("user-data");
    let mut made: Vec<(String, String)> = versions()
        .iter()
        .map(|version| (version.release.clone(), version.run("user_data.py", &[path.to_str().unwrap()])))
        .collect();
    let (_, first) = made.remove(0);
    for (release, other) in made {
        assert_eq!(other, first, "{release}: {arguments}");
    }
    first
}

#[test]
fn flags_and_files_lose_nothing_of_each_other() {
    let world = world();
    let arguments = "--user-data a.yaml --user-data z.sh --user-data b.yaml --user-data hook --user-data web.yaml \
                     --user-data a.sh --user ada --timezone Europe/Berlin --package git,curl";
    let run = "echo \"x\" 'y' \\ # z";
    assert_eq!(
        made(&world, arguments, &["--run", run]),
        format!(
            "{{\"config\": {{\"apt\": {{\"conf\": \"y\", \"primary\": [1, 2]}}, \"fqdn\": \"web.x\", \
             \"ntp\": {{\"servers\": [\"s\"]}}, \
             \"packages\": [\"one\", \"two\", \"three\", \"git\", \"curl\"], \
             \"runcmd\": [\"echo \\\"x\\\" 'y' \\\\ # z\"], \"ssh_pwauth\": false, \
             \"timezone\": \"Europe/Berlin\", \
             \"users\": [\"default\", {{\"name\": \"a\"}}, {{\"name\": \"b\"}}, \"default\", {ADA}]}}, \
             \"hooks\": [\"#cloud-boothook\\n#!/bin/sh\\necho hook\\n\"], \"others\": [], \
             \"scripts\": [\"#!/bin/sh\\necho \\\"\\u00f6\\\"\\n--\\nFrom me\\n\", \"#!/bin/sh\\nexit 0\"], \
             \"users\": [\"a\", \"ada\", \"b\", \"stock\"]}}"
        )
    );
}

#[test]
fn who_says_how_to_merge_is_heard() {
    let world = world();
    let packages = |arguments: &str| {
        let made = made(&world, arguments, &["--package", "git"]);
        made.split_once("\"packages\": ").unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    assert_eq!(packages("--user-data a.yaml --user-data own.yaml"), "[\"own\", \"git\"");
    assert_eq!(packages("--user-data own.yaml --user-data a.yaml"), "[\"own\", \"one\", \"git\"");
}

#[test]
fn messages_and_compressed_files_are_parts_too() {
    let made = made(&world(), "--user-data nested --user-data packed.gz --user-data b.yaml --user ada", &[]);
    assert!(made.contains("\"scripts\": [\"#!/bin/sh\\nexit 0\", \"#!/bin/sh\\nnested\"]"), "{made}");
    assert!(made.contains(&format!("\"users\": [{{\"name\": \"b\"}}, \"default\", {ADA}]")), "{made}");
    assert!(made.contains("\"others\": []"), "{made}");
}

#[test]
fn every_medium_says_the_same() {
    let world = world();
    for kind in ["iso", "vfat"] {
        let arguments = "--user-data a.yaml --user-data z.sh --user ada --hostname web";
        world.run_words(&format!("seed {kind} {arguments} --no-check -o seed"), &["--ssh-key", KEY]).succeeds();
        for version in versions() {
            let read = version.run("nocloud.py", &[world.path("seed").to_str().unwrap()]);
            assert!(read.contains("\"found\": true") && read.contains("\"hostname\": \"web\""), "{version:?} {read}");
            assert!(read.contains("Merge-Type: list(prepend)") && read.contains(KEY), "{version:?} {read}");
        }
    }
}

/// cloud-init's own schema finds nothing to say.
#[test]
fn what_we_write_is_valid() {
    let world = world();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/user-data.yaml");
    world
        .run_words("seed tar --user ada --package git --timezone UTC --run true -o seed.tar", &["--ssh-key", KEY])
        .succeeds();
    let flags = judge("tar").arg("-xOf").arg(world.path("seed.tar")).arg("user-data").succeed().stdout_bytes;
    fs::write(world.path("flags.yaml"), flags).unwrap();
    let program = "import sys\nfrom cloudinit.config import schema\nimport yaml\n\
                   config = yaml.safe_load(open(sys.argv[1]))\n\
                   schema.validate_cloudconfig_schema(config, schema=schema.get_schema(), strict=True)\nprint('valid')";
    for version in versions().iter().filter(|version| version.release != "bullseye") {
        for path in [Path::new(example), &world.path("flags.yaml")] {
            let verdict = version.evaluate(program, &[path.to_str().unwrap()]);
            assert!(verdict.stdout == "valid\n" && !verdict.stderr.contains("eprecat"), "{version:?}: {verdict}");
        }
    }
}

/// An address with what QEMU, XML, GRUB and shells take for their own.
const URL: &str = "http://a,b:80/$x/*/(c)/[d]/&e|f/~{g}<h>/!#i?j=`k`&l=%20^/";

/// What arrives in the guest is what every version of cloud-init understands.
#[test]
fn a_line_arrives_whatever_it_goes_through() {
    let world = World::empty();
    let print = |reader: &str| {
        let arguments = ["--url", URL, "--hostname", "web", "--instance-id", "i-1", "--for", reader];
        let run = world.run_words("seed line", &arguments).succeeds();
        run.stdout.trim_end_matches('\n').to_owned()
    };
    let line = print("guest");
    let program = "import sys\nfrom cloudinit.sources.DataSourceNoCloud import load_cmdline_data\n\
                   fill = {}\nprint(load_cmdline_data(fill, sys.argv[1]), sorted(fill.items()))";
    for version in versions() {
        let expected = format!(
            "True [('dsmode', 'net'), ('instance-id', 'i-1'), ('local-hostname', 'web'), ('seedfrom', '{URL}')]\n"
        );
        for line in [line.clone(), format!("root=LABEL=x ro {line} quiet")] {
            assert_eq!(version.evaluate(program, &[&line]).stdout, expected, "{version:?}");
        }
    }

    for shell in ["bash", "dash"] {
        let echo = format!("printf '[%s]' {}", print("shell"));
        assert_eq!(judge(shell).args(["-c", &echo]).succeed().stdout, format!("[{line}]"));
    }
    let domain = format!("<domain>{}</domain>", print("libvirt"));
    let program = "import sys, xml.etree.ElementTree as tree\nroot = tree.fromstring(sys.argv[1])\n\
                   print(root.find('os/smbios').get('mode'), root.find('sysinfo').get('type'), \
                   root.find('sysinfo/system/entry[@name=\"serial\"]').text)";
    let read = judge("/usr/bin/python3").args(["-c", program, &domain]).succeed();
    assert_eq!(read.stdout, format!("sysinfo smbios {line}\n"));

    assert_grub_reads(&world, &print("grub"), &line);
    // As update-grub does: the file is read by a shell, and what it says is put into grub.cfg.
    let default = format!("GRUB_CMDLINE_LINUX=quiet\n{}\n", print("grub-default"));
    world.file("default", default);
    let generate = format!(". {}; cat << EOF\n${{GRUB_CMDLINE_LINUX}}\nEOF", world.path("default").display());
    let words = judge("sh").args(["-c", &generate]).succeed().stdout;
    assert_grub_reads(&world, words.trim_end().strip_prefix("quiet ").unwrap(), &line);
}

/// GRUB's own parser takes the word, and it is `line`: its quoting is that of a shell.
fn assert_grub_reads(world: &World, word: &str, line: &str) {
    world.file("grub.cfg", format!("menuentry x {{\n  linux /vmlinuz root=LABEL=x {word} quiet\n}}\n"));
    judge("grub-script-check").arg(world.path("grub.cfg")).succeed();
    let echo = format!("printf '[%s]' {word} quiet");
    assert_eq!(judge("bash").args(["-f", "-c", &echo]).succeed().stdout, format!("[{line}][quiet]"));
}

/// QEMU has the line among the tables that it gives to the firmware.
#[test]
fn qemu_takes_the_line_for_the_serial_number() {
    let world = World::empty();
    let run = world.run_words("seed line --for qemu", &["--url", URL]).succeeds();
    let line = world.run_words("seed line", &["--url", URL]).succeeds().stdout;
    // The firmware puts the tables into memory, which is looked through until they are there.
    let memory = world.path("memory");
    let script = format!(
        "exec qemu-system-x86_64 -machine accel=tcg -display none -nodefaults -m 64 -monitor stdio {}",
        run.stdout.trim_end()
    );
    let mut qemu =
        Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut monitor = qemu.stdin.take().unwrap();
    let expected = [b"\0", line.trim_end().as_bytes(), b"\0"].concat();
    let found = (0..120).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        writeln!(monitor, "pmemsave 0 {} \"{}\"", 64 << 20, memory.display()).unwrap();
        let memory = fs::read(&memory).unwrap_or_default();
        memory.windows(expected.len()).any(|window| window == expected)
    });
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    assert!(found, "the serial number is not in the tables");
}

/// The seed comes over the network, whoever says where from.
#[test]
fn a_served_seed_is_read() {
    let world = world();
    world.file("net.yaml", "version: 2\nethernets: {}\n").file("seeds/one/vendor-data", "#cloud-config\n{}\n");
    let arguments = "-q seed serve seeds --no-check --user-data a.yaml --network-config net.yaml --user ada";
    let serving = Serving::start(&world, arguments, &["--ssh-key", KEY]);
    // Without `/` at its end, as older versions would not add it.
    let url = format!("{}one", serving.url);
    let line = world.run_words("seed line", &["--url", &url]).succeeds().stdout;
    for version in versions() {
        for way in ["cmdline", "dmi"] {
            let read = version.run("nocloud_net.py", &[way, line.trim_end()]);
            for expected in [
                "\"found\": true",
                "\"found before there is a network\": false",
                "\"is of the network\": true",
                "\"hostname\": \"one\"",
                "\"instance-id\": \"iid-",
                "\"vendor-data\": \"b'#cloud-config\\\\n{}\\\\n'\"",
                KEY,
            ] {
                assert!(read.contains(expected), "{version:?} {way}: {expected}: {read}");
            }
            // Over the network, versions before 24.3 do not ask for one.
            let network = if version.release == "trixie" { "{'version': 2, 'ethernets': {}}" } else { "None" };
            assert!(read.contains(&format!("\"network\": \"{network}\"")), "{version:?} {way}: {read}");
        }
    }
}

/// What the line says besides the address is what older versions need: they read the seed then leave it to a stage
/// before there is a network, which has read nothing.
#[test]
fn without_dsmode_older_versions_leave_a_seed_of_the_network_alone() {
    let world = World::empty();
    let serving = Serving::start(&world, "-q seed serve", &[]);
    for version in versions() {
        let is_of_the_network =
            |line: String| version.run("nocloud_net.py", &["dmi", &line]).contains("\"is of the network\": true");
        let knows_by_address = version.release == "trixie";
        assert_eq!(is_of_the_network(format!("ds=nocloud;s={}", serving.url)), knows_by_address, "{version:?}");
        assert!(is_of_the_network(format!("ds=nocloud-net;s={}", serving.url)), "{version:?}");
        assert!(is_of_the_network(format!("ds=nocloud;dsmode=net;s={}", serving.url)), "{version:?}");
    }
}

/// Newer versions put what the machine's firmware says into the address; here, in capitals.
#[test]
fn a_machine_finds_its_seed_by_its_own_number() {
    let world = World::empty();
    world.file("seeds/4c4c4544-0042-3510/user-data", "mine");
    let serving = Serving::start(&world, "-q seed serve seeds", &[]);
    let url = format!("{}__dmi.system-uuid__/", serving.url);
    let line = world.run_words("seed line", &["--url", &url]).succeeds().stdout;
    let version = versions().into_iter().find(|version| version.release == "trixie").unwrap();
    let read = version.run("nocloud_net.py", &["cmdline", line.trim_end()]);
    assert!(
        read.contains("\"user-data\": \"mine\"") && read.contains("\"hostname\": \"4c4c4544-0042-3510\""),
        "{read}"
    );
}

#[test]
fn the_metadata_service_is_crawled_with_a_token() {
    let world = world();
    let serving = Serving::start(&world, "-q seed serve --imds v2 --hostname web --user ada", &["--ssh-key", KEY]);
    for (version, newest) in versions().iter().zip(["2021-03-23", "2018-09-24", "2021-03-23"]) {
        let crawled = version.run("ec2.py", &[serving.url.trim_end_matches('/')]);
        for expected in [
            "\"has a token\": true".to_owned(),
            format!("\"version\": \"{newest}\""),
            "\"local-hostname\": \"web\"".to_owned(),
            "\"zone\": \"us-east-1a\"".to_owned(),
            "\"region\": \"us-east-1\"".to_owned(),
            format!("\"keys\": [\n  \"{KEY}\"\n ]"),
            "\"instanceId\": \"i-".to_owned(),
            "- name: \\\"ada\\\"".to_owned(),
        ] {
            assert!(crawled.contains(&expected), "{version:?}: {expected}: {crawled}");
        }
    }
}

#[test]
fn cloud_init_phones_home() {
    let world = world();
    let serving = Serving::start(&world, "-q seed serve --phone-home-dir done", &[]);
    for version in versions() {
        let said = version.run("phone_home.py", &[&format!("{}phone-home/", serving.url), &version.release]);
        assert_eq!(said, "[]\n", "{version:?}");
        let record = fs::read_to_string(world.path(&format!("done/{}.json", version.release))).unwrap();
        let program = "import json, sys\nprint(sorted(json.loads(sys.argv[1]).items()))";
        assert_eq!(
            judge("/usr/bin/python3").args(["-c", program, &record]).succeed().stdout,
            format!(
                "[('fqdn', 'web.example'), ('hostname', 'web'), ('instance_id', '{}'), \
                 ('pub_key_ed25519', 'ssh-ed25519 BBBB root@web\\n'), ('pub_key_rsa', 'ssh-rsa AAAA+/= root@web\\n')]\n",
                version.release
            )
        );
    }
}
