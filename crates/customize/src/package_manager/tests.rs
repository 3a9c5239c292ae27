//! The texts for a shell, judged by shells, by `shellcheck`, by apt, and by programs that write down how they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use testkit::judge::{Verdict, judge};

use super::*;

const PROGRAMS: [&str; 8] = ["apt-get", "dnf", "microdnf", "yum", "zypper", "apk", "pacman", "dpkg-query"];

/// A folder with programs in the place of package managers. They write down how they are called, a line a call, and
/// what apt reads of the sources that it is told.
struct Guest {
    folder: tempfile::TempDir,
}

impl Guest {
    fn new() -> Self {
        let guest = Self { folder: tempfile::tempdir().unwrap() };
        let text = r#"#!/bin/sh
name=${0##*/}
echo "$name $*" >>"$CALLS"
case $name in
dpkg-query) echo "$APT_VERSION" ;;
apt-get)
    for word; do
        if [ "$word" = update ]; then
            for each; do
                shift
                [ "$each" = update ] || set -- "$@" "$each"
            done
            exec /usr/bin/apt-get -o "Dir::State::Lists=$CALLS.lists" "$@" indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' >>"$CALLS.targets"
        elif [ "$word" = clean ]; then
            exit 0
        fi
    done
    case " $* " in *" --snapshot "*) exit 0 ;; esac
    # Only what is installed here: the lists of this machine may be long.
    exec /usr/bin/apt-get --simulate -o "Dir::State::Lists=$CALLS.lists" -o "Dir::Cache=$CALLS.cache" \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null "$@" ;;
zypper) exit "${STATUS:-0}" ;;
esac
"#;
        for name in PROGRAMS {
            guest.file(&format!("bin/{name}"), text);
            fs::set_permissions(guest.path(&format!("bin/{name}")), fs::Permissions::from_mode(0o755)).unwrap();
        }
        guest.file("uid_map", "         0          0 4294967295\n");
        fs::create_dir_all(guest.path("var/lib/apt/lists")).unwrap();
        fs::create_dir_all(guest.path("var/log/apt")).unwrap();
        fs::create_dir_all(guest.path("calls.lists/partial")).unwrap();
        fs::create_dir_all(guest.path("calls.cache/archives/partial")).unwrap();
        guest
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
        self
    }

    /// Has a shell run `script` with the files of this guest. Returns how that ended, and the calls.
    fn run(&self, script: &str, environment: &[(&str, &str)]) -> (Verdict, Vec<String>) {
        let script = [("/etc/apt/sources", "etc/apt/sources"), ("/var/", "var/"), ("/proc/self/uid_map", "uid_map")]
            .into_iter()
            .fold(script.to_owned(), |script, (from, to)| script.replace(from, self.path(to).to_str().unwrap()));
        for file in ["calls", "calls.targets"] {
            let _ = fs::remove_file(self.path(file));
        }
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display());
        let mut shell = judge("sh").arg("-c").arg(script).env("PATH", path).env("CALLS", self.path("calls"));
        for (name, value) in environment {
            shell = shell.env(name, value);
        }
        let verdict = shell.run();
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        (verdict, calls.lines().map(str::to_owned).collect())
    }

    /// The repositories that apt was told of: address, release and component.
    fn targets(&self) -> Vec<String> {
        let targets = fs::read_to_string(self.path("calls.targets")).unwrap();
        let mut targets: Vec<String> = targets.lines().map(str::to_owned).collect();
        targets.sort();
        targets.dedup();
        targets
    }
}

fn manager(program: &str) -> &'static PackageManager {
    MANAGERS.iter().find(|manager| manager.program == program).unwrap()
}

fn script(program: &str, action: Action, packages: &[&str]) -> String {
    let packages: Vec<String> = packages.iter().map(|&package| package.to_owned()).collect();
    manager(program).script(&Request::new(action, &packages)).unwrap()
}

fn snapshot() -> String {
    let packages = ["dpkg".to_owned()];
    let request = Request { snapshot: Some("20261101T000000Z"), ..Request::new(Action::Install, &packages) };
    manager("apt-get").script(&request).unwrap()
}

#[test]
fn the_texts_are_what_shells_and_shellcheck_take() {
    let folder = tempfile::tempdir().unwrap();
    let packages = ["jq".to_owned(), "g++=4:12.2.0-3".to_owned()];
    let mut files = Vec::new();
    for manager in &MANAGERS {
        for (action, clean, recommends, snapshot) in [
            (Action::Install, false, None, None),
            (Action::Install, true, Some(false), None),
            (Action::Install, true, Some(true), Some("20261101T000000Z")),
            (Action::Uninstall, true, None, None),
            (Action::Update, true, None, Some("20261101T000000Z")),
            (Action::Update, false, None, None),
        ] {
            let packages = if action == Action::Update { &[][..] } else { &packages };
            let request = Request { action, packages, snapshot, recommends, clean };
            match manager.script(&request) {
                Ok(script) => {
                    let file = folder.path().join(format!("{}-{}.sh", files.len(), manager.program));
                    fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
                    files.push(file);
                }
                // What it does not know is refused by name.
                Err(Error::Refused { problem, hint: Some(hint) }) => {
                    assert!(problem.contains(manager.program) && hint.starts_with("leave out"), "{problem}");
                    assert!(snapshot.is_some() || recommends.is_some());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(files.len() >= 3 * MANAGERS.len(), "{}", files.len());
    for file in &files {
        for shell in ["sh", "bash"] {
            judge(shell).arg("-n").arg(file).succeed();
        }
    }
    judge("shellcheck").args(&files).succeed();
}

#[test]
fn each_package_manager_is_told_what_its_manual_says() {
    let guest = Guest::new();
    for (program, install, uninstall, update) in [
        ("dnf", "dnf -y install jq curl", "dnf -y remove jq", "dnf -y upgrade"),
        ("microdnf", "microdnf -y install jq curl", "microdnf -y remove jq", "microdnf -y upgrade"),
        ("yum", "yum -y install jq curl", "yum -y remove jq", "yum -y update"),
        (
            "zypper",
            "zypper --non-interactive install --auto-agree-with-licenses jq curl",
            "zypper --non-interactive remove jq",
            "zypper --non-interactive update --auto-agree-with-licenses",
        ),
        ("apk", "apk update;apk add jq curl", "apk del jq", "apk update;apk upgrade"),
        ("pacman", "pacman -Syu --noconfirm --needed jq curl", "pacman -R --noconfirm jq", "pacman -Syu --noconfirm"),
    ] {
        for (action, packages, calls) in [
            (Action::Install, &["jq", "curl"][..], install),
            (Action::Uninstall, &["jq"], uninstall),
            (Action::Update, &[], update),
        ] {
            let (verdict, called) = guest.run(&script(program, action, packages), &[]);
            assert!(verdict.status.success(), "{verdict}");
            assert_eq!(called.join(";"), calls, "{program} {action:?}");
        }
    }
}

#[test]
fn apt_takes_the_options_and_asks_nothing() {
    let guest = Guest::new();
    // `apt-get` itself is asked what it would do: it knows every option.
    let (verdict, calls) = guest.run(&script("apt-get", Action::Install, &["dpkg"]), &[]);
    assert!(verdict.status.success(), "{verdict}");
    assert!(verdict.stdout.contains("Reading state information"), "{verdict}");
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].ends_with(" update") && calls[1].ends_with(" install dpkg"), "{calls:?}");
    for call in &calls {
        for option in [" -y ", " -q ", " Dpkg::Options::=--force-confdef ", " Dpkg::Options::=--force-confold "] {
            assert!(call.contains(option), "{call}");
        }
        assert!(!call.contains("APT::Sandbox"), "{call}");
    }
    for (recommends, option) in [(false, "--no-install-recommends"), (true, "--install-recommends")] {
        let packages = ["dpkg".to_owned()];
        let request = Request { recommends: Some(recommends), ..Request::new(Action::Install, &packages) };
        let (verdict, calls) = guest.run(&manager("apt-get").script(&request).unwrap(), &[]);
        assert!(verdict.status.success() && calls[1].ends_with(&format!(" install {option} dpkg")), "{verdict}");
    }
    // An update of what is there needs no list, and a package that nobody has is an error.
    let (verdict, calls) = guest.run(&script("apt-get", Action::Update, &[]), &[]);
    assert!(verdict.status.success() && calls[1].ends_with(" upgrade"), "{verdict}");
    let (verdict, calls) = guest.run(&script("apt-get", Action::Uninstall, &["no-such-package-anywhere"]), &[]);
    assert_eq!((verdict.status.code(), calls.len()), (Some(100), 1), "{verdict}");
}

#[test]
fn apt_downloads_as_root_where_there_are_few_users() {
    let guest = Guest::new();
    for (map, is_alone) in [
        ("0 1000 1\n", true),
        ("0 1000 1\n1 100000 65535\n", false),
        ("0 1000 1\n1 100000 99\n", true),
        ("0 0 4294967295\n", false),
    ] {
        guest.file("uid_map", map);
        let (verdict, calls) = guest.run(&script("apt-get", Action::Install, &["dpkg"]), &[]);
        assert!(verdict.status.success(), "{verdict}");
        assert_eq!(calls[1].contains("APT::Sandbox::User=root"), is_alone, "{map}");
    }
}

#[test]
fn an_apt_that_knows_snapshots_is_told_the_moment() {
    let guest = Guest::new();
    for version in ["2.7.13", "2.7.14build2", "3.0.3"] {
        let (verdict, calls) = guest.run(&snapshot(), &[("APT_VERSION", version)]);
        // The `update` is what the apt of this machine may not know.
        let install = calls.iter().find(|call| call.contains(" install "));
        match install {
            Some(install) => assert!(install.contains(" --snapshot 20261101T000000Z "), "{install}"),
            None => assert!(calls[1].contains(" --snapshot 20261101T000000Z "), "{verdict}"),
        }
    }
}

#[test]
fn an_older_apt_reads_the_guests_own_sources_from_the_snapshots() {
    let guest = Guest::new();
    // Debian's own cloud image, an Ubuntu in a cloud, a mirror of somebody's, and a source that no snapshot has.
    guest
        .file("etc/apt/sources.list", "# deb http://deb.debian.org/debian sid main\ndeb http://security.debian.org/debian-security bullseye-security main\ndeb http://security.debian.org stretch/updates main\n")
        .file(
            "etc/apt/sources.list.d/debian.sources",
            "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\nSuites: bookworm-security\nComponents: main\n",
        )
        .file(
            "etc/apt/sources.list.d/ubuntu.list",
            "deb http://us-east-1.ec2.archive.ubuntu.com/ubuntu/ jammy main\ndeb http://security.ubuntu.com/ubuntu jammy-security universe\ndeb [arch=arm64] http://ports.ubuntu.com/ubuntu-ports jammy main\n",
        )
        .file("etc/apt/sources.list.d/other.list", "deb https://deb.nodesource.com/node_20.x nodistro main\ndeb http://ftp.de.debian.org/debian/ bullseye contrib\n");
    let (verdict, calls) = guest.run(&snapshot(), &[("APT_VERSION", "2.6.1")]);
    assert!(verdict.status.success(), "{verdict}");
    assert!(calls.iter().all(|call| !call.contains("--snapshot")), "{calls:?}");
    let debian = "http://snapshot.debian.org/archive/debian/20261101T000000Z";
    let security = "http://snapshot.debian.org/archive/debian-security/20261101T000000Z";
    let ubuntu = "https://snapshot.ubuntu.com/ubuntu/20261101T000000Z";
    let mut expected = vec![
        format!("{security}/ bullseye-security main"),
        format!("{security}/ stretch/updates main"),
        format!("{debian}/ bookworm main"),
        format!("{debian}/ bookworm-updates main"),
        format!("{security}/ bookworm-security main"),
        format!("{ubuntu}/ jammy main"),
        format!("{ubuntu}/ jammy-security universe"),
        "https://deb.nodesource.com/node_20.x/ nodistro main".to_owned(),
        format!("{debian}/ bullseye contrib"),
    ];
    expected.sort();
    assert_eq!(guest.targets(), expected);
    let temporary = |call: &String| call.split("sourcelist=").nth(1)?.split(' ').next().map(PathBuf::from);
    let list = calls.iter().find_map(temporary).unwrap();
    assert!(!list.ancestors().nth(2).unwrap().exists(), "{}", list.display());
}

#[test]
fn sources_of_which_none_has_snapshots_end_it() {
    let guest = Guest::new();
    guest.file("etc/apt/sources.list", "deb https://deb.nodesource.com/node_20.x nodistro main\n");
    let (verdict, calls) = guest.run(&snapshot(), &[("APT_VERSION", "2.4.12")]);
    assert_eq!(verdict.status.code(), Some(1), "{verdict}");
    assert_eq!(verdict.stderr, "none of the package sources in /etc/apt has snapshots\n");
    assert!(calls.iter().all(|call| !call.starts_with("apt-get")), "{calls:?}");
}

#[test]
fn zypper_may_ask_for_a_restart_and_still_have_done_it() {
    let guest = Guest::new();
    let install = script("zypper", Action::Install, &["jq"]);
    for (status, ends_with) in [("0", 0), ("102", 0), ("103", 0), ("104", 104), ("8", 8)] {
        let (verdict, _) = guest.run(&install, &[("STATUS", status)]);
        assert_eq!(verdict.status.code(), Some(ends_with), "{verdict}");
    }
}

#[test]
fn lists_are_removed_if_there_were_none() {
    let packages = ["dpkg".to_owned()];
    let request = Request { clean: true, ..Request::new(Action::Install, &packages) };
    let script = manager("apt-get").script(&request).unwrap();
    // The lists come with the update.
    let list = ": >/var/lib/apt/lists/new_Packages; apt-get \"$@\" install";
    let script = script.replacen("apt-get \"$@\" install", list, 1);
    for (before, after) in [(None, 0), (Some("old_Packages"), 2)] {
        let guest = Guest::new();
        if let Some(list) = before {
            guest.file(&format!("var/lib/apt/lists/{list}"), "");
        }
        let (verdict, calls) = guest.run(&script, &[]);
        assert!(verdict.status.success() && calls.last().unwrap() == "apt-get clean", "{verdict} {calls:?}");
        assert_eq!(fs::read_dir(guest.path("var/lib/apt/lists")).unwrap().count(), after);
    }
}

#[test]
fn what_would_differ_each_time_is_as_it_was() {
    let guest = Guest::new();
    guest.file("var/log/dpkg.log", "old\n").file("var/cache/apt/pkgcache.bin", "").file("var/log/other.log", "a\n");
    let log = |name: &str| guest.path(&format!("var/log/{name}"));
    let modified = || fs::metadata(log("dpkg.log")).unwrap().modified().unwrap();
    let before = modified();
    let writes = "echo new >>/var/log/dpkg.log; echo new >/var/log/apt/history.log; echo new >>/var/log/other.log; \
                  apt-get \"$@\" install";
    let script = script("apt-get", Action::Install, &["dpkg"]).replacen("apt-get \"$@\" install", writes, 1);
    let (verdict, _) = guest.run(&script, &[]);
    assert!(verdict.status.success(), "{verdict}");
    assert_eq!(fs::read_to_string(log("dpkg.log")).unwrap(), "old\n");
    assert_eq!(modified(), before);
    assert!(!log("apt/history.log").exists() && !guest.path("var/cache/apt/pkgcache.bin").exists());
    // What others write is theirs.
    assert_eq!(fs::read_to_string(log("other.log")).unwrap(), "a\nnew\n");
}

#[test]
fn a_quoted_text_is_one_word_as_it_is() {
    for text in ["jq", "a'b", "'", "$(reboot) `x` \"\\", "*", "a b\nc"] {
        let said = judge("sh").arg("-c").arg(format!("printf %s {}", quoted(text))).succeed();
        assert_eq!(said.stdout, text);
    }
}

#[test]
fn packages_have_names_that_no_shell_and_no_package_manager_reads_otherwise() {
    let parse = |text: &str| parse_names(OsStr::new(text));
    assert_eq!(parse("a,b c=1.2:3~4+5").unwrap(), ["a", "b", "c=1.2:3~4+5"]);
    assert_eq!(parse("g++,libc6:arm64,@core,ubuntu-desktop^").unwrap().len(), 4);
    for text in ["", ",", "a;b", "$(x)", "-y", "a\nb", "a`b`", "nginx-", "jq,--purge", "a*", "a'b", "a\u{e9}"] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse(&"a".repeat(256)).is_err());
}

#[test]
fn a_distribution_has_the_package_manager_of_its_family() {
    for (os_release, program) in [
        ("ID=debian", "apt-get"),
        ("ID=ubuntu\nID_LIKE=debian", "apt-get"),
        ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"", "apt-get"),
        ("ID=fedora", "dnf"),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "dnf"),
        ("ID=\"amzn\"\nID_LIKE=\"fedora\"", "dnf"),
        ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "zypper"),
        ("ID=\"opensuse-tumbleweed\"", "zypper"),
        ("ID=\"sles\"\nID_LIKE=\"suse\"", "zypper"),
        ("ID=alpine", "apk"),
        ("ID=arch", "pacman"),
        ("ID=manjaro\nID_LIKE=arch", "pacman"),
    ] {
        let os = OperatingSystem::parse(os_release);
        let first = MANAGERS.iter().find(|manager| manager.is_of(&os)).map(|manager| manager.program);
        assert_eq!(first, Some(program), "{os_release}");
    }
    let os = OperatingSystem::parse("ID=nixos");
    assert!(!MANAGERS.iter().any(|manager| manager.is_of(&os)));
}
