//! What people type who know `ls`, the virt tools, guestfish or Docker: it works, or they learn what to type.

use std::path::Path;

use crate::support::{ROOT, Run, World, noise};
use testkit::fixture::Options;
use testkit::judge::judge;

/// The command lines that a message says.
fn said_lines(run: &Run) -> Vec<String> {
    let hint = run.stderr.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap_or_default();
    hint.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Has a shell run `line`, as somebody who copies it.
fn typed(world: &World, line: &str) -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_imgraft")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let verdict =
        judge("sh").env("PATH", path).args(["-c", &format!("cd {} && {line}", world.folder().display())]).succeed();
    verdict.stdout
}

#[test]
fn ls_takes_what_ls_takes() {
    let world = World::new();
    let plain = world.run("ls base.img /usr/bin").succeeds().stdout;
    for flags in ["-l", "-a", "-la", "-lA", "-al --almost-all", "--all"] {
        world.run(&format!("ls {flags} base.img /usr/bin")).succeeds().prints(&plain);
    }
    world.run("ls -1 base.img /dev").succeeds().prints("console\nnull\nvda\n");
    world.run("ls -d base.img /etc /nope /dev/null").says("error: `/nope` is not in the guest\n");
    let run = world.run("ls -d base.img /etc /nope /dev/null");
    let names: Vec<&str> = run.stdout.lines().map(|line| line.rsplit_once(' ').unwrap().1).collect();
    assert_eq!((run.code, &names[..]), (Some(2), &["/dev/null", "/etc"][..]));
    // Files come first, and directories have titles.
    let run = world.run("ls base.img /dev /etc/hostname /dev/null /nope").says("error: `/nope` is not in the guest\n");
    let (files, dev) = run.stdout.split_once("\n\n/dev:\n").unwrap();
    assert_eq!((run.code, files.lines().count(), dev.lines().count()), (Some(2), 2, 3), "{}", run.stdout);
    assert!(world.run("ls -n base.img /etc/shadow").succeeds().stdout.contains(" 0 42 "));
    assert!(world.run("ls base.img /dev /etc/hostname --json").succeeds().stdout.contains("\"/etc/hostname\""));
    assert!(world.run("ls --help").succeeds().stdout.contains("--human-readable"));
    // Who types only that wants to know what there is.
    assert!(world.run("ls -h").succeeds().stdout.contains("--human-readable"));
}

/// The host's own `ls` is the judge of sizes that are rounded, and of the order.
#[test]
fn sizes_and_order_are_those_of_ls() {
    let world = World::new();
    let sizes = [0, 1, 1023, 1024, 1025, 10_137, 10_138, 10_240, 102_400, 1_047_552, 1_048_575, 1_048_576, 12_345_678];
    for (index, size) in sizes.into_iter().enumerate() {
        let name = format!("tree/{}", char::from(b'a' + (index as u8 * 7) % 26));
        world.file(&name, vec![0; size]).modified(&name, 1_600_000_000 + (index as u64 * 5 % 13) * 100);
    }
    world.run("build --base base.img --put tree:/srv/tree -o my.img").succeeds();
    for flags in ["-h", "-S", "-t", "-tr", "-Sr", "-hr"] {
        let ours = world.run(&format!("ls {flags} my.img /srv/tree")).succeeds().stdout;
        let flags = flags.trim_start_matches('-');
        let theirs = judge("ls").env("LC_ALL", "C").arg(format!("-l{flags}")).arg(world.path("tree")).succeed().stdout;
        let columns = |line: &str| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            (words[4].to_owned(), words[words.len() - 1].to_owned())
        };
        let ours: Vec<_> = ours.lines().map(columns).collect();
        let theirs: Vec<_> = theirs.lines().skip(1).map(columns).collect();
        assert_eq!(ours, theirs, "{flags}");
    }
}

#[test]
fn an_image_after_a_dash_a_is_the_image() {
    let world = World::new();
    for (command, rest) in [
        ("inspect", "--packages"),
        ("ls", "/etc"),
        ("cat", "/etc/hostname /etc/os-release"),
        ("check", "--json"),
        ("get", "/etc/hostname -"),
    ] {
        let expected = world.run(&format!("{command} base.img {rest}")).succeeds();
        for line in [format!("-a base.img {rest}"), format!("--add=base.img {rest}"), format!("{rest} --add base.img")]
        {
            world.run(&format!("{command} {line}")).succeeds().prints(&expected.stdout).says(&expected.stderr);
        }
    }
    let world = World::with_copy(&Options::default());
    world.run("customize -a my.img --write /srv/a:1 --mkdir /srv/b").succeeds();
    world.run("resize -a my.img +64M").succeeds();
    world.run("convert -q -a my.img out.raw").succeeds();
    world.run("cat out.raw /srv/a").succeeds().prints("1");
    // What else is wrong is said then.
    let run = world.run("customize -a my.img --delete /srv/a");
    assert!(run.stderr.starts_with("error: `imgraft customize` has no `--delete`"), "{}", run.stderr);
    world.refuses(
        "build -a my.img --mkdir /srv/c -o new.img",
        "error: `imgraft build` has no `-a`\nhint: try `imgraft build --base my.img --mkdir /srv/c -o new.img`\n",
    );
    world.refuses(
        "build --add=my.img --mkdir /srv/c",
        "error: `imgraft build` has no `--add`\nhint: try `imgraft build --base my.img --mkdir /srv/c` or `imgraft \
         customize my.img --mkdir /srv/c`\n",
    );
    world.refuses(
        "resize my.img other.img",
        "error: `imgraft resize IMAGE SIZE` changes the image in its place\nhint: `imgraft resize my.img -o other.img` makes \
         another one\n",
    );
}

/// Each with what a user has to type, who has only the files `my.img` and `app`.
const WORDS: &[(&str, &[&str])] = &[
    ("info my.img", &["imgraft inspect my.img"]),
    ("info --json my.img", &["imgraft inspect my.img --json"]),
    ("virt-inspector -a my.img", &["imgraft inspect my.img"]),
    ("virt-filesystems -a my.img --long -h", &["imgraft inspect my.img"]),
    ("list my.img /etc", &["imgraft ls my.img /etc"]),
    ("list -l my.img /etc", &["imgraft ls my.img -l /etc"]),
    ("virt-ls -lR -a my.img /etc", &["imgraft ls my.img -lR /etc"]),
    ("virt-cat -a my.img /etc/a /etc/b", &["imgraft cat my.img /etc/a /etc/b"]),
    ("virt-resize my.img other.img", &["imgraft resize my.img -o other.img"]),
    ("find my.img /etc", &["imgraft ls -R my.img /etc"]),
    ("cat-file my.img /etc/fstab", &["imgraft cat my.img /etc/fstab"]),
    ("virt-cat -a my.img /etc/fstab", &["imgraft cat my.img /etc/fstab"]),
    ("tail -n my.img:/var/log/syslog", &["imgraft cat my.img /var/log/syslog"]),
    ("cat-file my.img", &["imgraft cat my.img PATH"]),
    ("compare base.img my.img", &["imgraft diff base.img my.img"]),
    ("fsck -f my.img", &["imgraft check my.img"]),
    ("start my.img", &["imgraft boot my.img"]),
    ("sparsify my.img small.qcow2", &["imgraft convert my.img small.qcow2"]),
    ("virt-sparsify --compress my.img small.qcow2", &["imgraft convert my.img small.qcow2"]),
    ("sparsify --in-place my.img", &["imgraft convert my.img SMALLER.qcow2"]),
    ("grow my.img +5G", &["imgraft resize my.img +5G"]),
    ("create --base my.img --mkdir /a -o x.img", &["imgraft build --base my.img --mkdir /a -o x.img"]),
    ("create x.img --from y", &["imgraft build"]),
    ("guestmount -a my.img -i --ro mnt", &["imgraft mount my.img mnt"]),
    ("guestunmount mnt", &["imgraft umount mnt"]),
    ("pull ubuntu:24.04", &["imgraft fetch ubuntu:24.04"]),
    ("version", &["imgraft --version"]),
    ("rm my.img /etc/x", &["imgraft customize my.img --remove /etc/x"]),
    ("rm -rf my.img /a /b", &["imgraft customize my.img --remove /a --remove /b"]),
    ("rm my.img:/etc/x", &["imgraft customize my.img --remove /etc/x"]),
    ("rm /etc/x", &["imgraft customize IMAGE --remove /etc/x"]),
    ("rm my.img", &["imgraft customize my.img --remove PATTERN"]),
    ("mkdir -p my.img /srv/a", &["imgraft customize my.img --mkdir /srv/a"]),
    ("chmod 755 my.img /srv/a /srv/b", &["imgraft customize my.img --chmod 0755:/srv/a --chmod 0755:/srv/b"]),
    ("chown my.img www-data:www-data /srv/a", &["imgraft customize my.img --chown www-data:www-data:/srv/a"]),
    ("chmod my.img +x /srv/a", &["imgraft customize my.img --chmod MODE:PATH"]),
    ("mv my.img /a /b", &["imgraft customize my.img --move /a:/b"]),
    ("ln -s my.img /a /b", &["imgraft customize my.img --link /a:/b"]),
    ("hostname my.img web", &["imgraft customize my.img --hostname web"]),
    ("write my.img /etc/motd Hello", &["imgraft customize my.img --write /etc/motd:Hello"]),
    ("install my.img jq curl", &["imgraft customize my.img --network --install jq,curl"]),
    ("install -a my.img jq", &["imgraft customize my.img --network --install jq"]),
    ("install my.img", &["imgraft customize my.img --network --install 'PACKAGE[,PACKAGE]'"]),
    ("uninstall my.img snapd", &["imgraft customize my.img --uninstall snapd"]),
    ("upgrade my.img", &["imgraft customize my.img --network --update"]),
    ("run my.img id", &["imgraft customize my.img --run id"]),
    ("exec my.img -- ls -l /srv", &["imgraft customize my.img --run 'ls -l /srv'"]),
    ("run -it my.img", &["imgraft customize my.img --run COMMAND", "imgraft boot my.img"]),
    ("shell my.img", &["imgraft customize my.img --run COMMAND", "imgraft boot my.img"]),
    ("run my.img app", &["imgraft customize my.img --run-script app"]),
    ("put my.img app:/srv/app", &["imgraft customize my.img --put app:/srv/app"]),
    ("push app my.img:/srv/app", &["imgraft customize my.img --put app:/srv/app"]),
    ("upload my.img app /srv/app", &["imgraft customize my.img --put app:/srv/app"]),
    ("virt-copy-in -a my.img app lib /srv", &["imgraft customize my.img --put app:/srv/ --put lib:/srv/"]),
    ("virt-copy-out -a my.img /etc/a /etc/b .", &["imgraft get my.img /etc/a .", "imgraft get my.img /etc/b ."]),
    ("extract my.img /etc/a", &["imgraft get my.img /etc/a"]),
    ("cp app my.img:/usr/bin/", &["imgraft customize my.img --put app:/usr/bin/"]),
    ("cp my.img:/etc/fstab .", &["imgraft get my.img /etc/fstab ."]),
    ("cp my.img", &["imgraft customize my.img --put 'SRC:DEST[:MODE[:UID:GID]]'", "imgraft get my.img PATH"]),
    (
        "edit my.img /etc/fstab",
        &["imgraft customize my.img --replace /etc/fstab:REGEX:TEXT", "imgraft mount my.img DIR"],
    ),
    ("-q sysprep -a my.img", &["imgraft customize my.img --clean"]),
];

#[test]
fn commands_of_other_programs_name_the_one_that_is_meant() {
    let world = World::with_copy(&Options::default());
    world.file("app", "#!/bin/sh\n");
    let before = world.contents();
    for (line, expected) in WORDS {
        let run = world.run(line);
        assert_eq!(said_lines(&run), *expected, "imgraft {line}: {}", run.stderr);
        let word = line.trim_start_matches("-q ").split(' ').next().unwrap();
        assert!(run.stderr.starts_with(&format!("error: `{word}` is not a command of imgraft\n")), "{}", run.stderr);
        assert_eq!(run.code, Some(2), "imgraft {line}");
    }
    assert!(before == world.contents());
    // A slip is still one.
    let run = world.run("biuld");
    assert!(run.stderr.contains("'build'") && run.code == Some(2), "{}", run.stderr);
    let run = world.run("zebra my.img");
    assert!(!run.stderr.contains("hint:") && run.code == Some(2), "{}", run.stderr);
}

/// Who copies the line into a shell gets what was meant, whatever is in the names.
#[test]
fn the_line_that_is_named_does_it() {
    let world = World::with_copy(&Options::default());
    world.file("my app's", noise(4, 5000));
    let suggestion = |line: &str, more: &[&str]| {
        let lines = said_lines(&world.run_words(line, more));
        assert_eq!(lines.len(), 1, "{line}: {lines:?}");
        typed(&world, &lines[0])
    };
    suggestion("push", &["my app's", "my.img:/srv/my app's $HOME"]);
    assert!(world.content("my.img", ROOT, "\"/srv/my app's $HOME\"") == noise(4, 5000));
    suggestion("cp", &["my.img:/srv/my app's $HOME", "back"]);
    assert!(std::fs::read(world.path("back")).unwrap() == noise(4, 5000));
    assert!(suggestion("list -a my.img", &["/srv/"]).contains("my app's $HOME"));
    suggestion("rm -f my.img", &["/srv/my app's $HOME"]);
    let run = world.run_words("ls my.img", &["/srv/my app's $HOME"]);
    assert_eq!(run.code, Some(2), "{}", run.stdout);
}

#[test]
fn a_path_after_a_colon_is_told_to_stand_after_a_blank() {
    let world = World::new();
    let run = world.run("get base.img:/etc/hostname out");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("between an image and a path in it: `base.img /etc/hostname`\n"), "{}", run.stderr);
    let run = world.run("ls base.img:/etc");
    assert!(run.stderr.contains("`base.img /etc`\n"), "{}", run.stderr);
    assert!(!world.run("ls other.img:/etc").stderr.contains("blank"));
}
