//! Users, passwords, keys, names and first boots: judged by the tools of the systems that read them.

use std::fs;
use std::path::Path;

use crate::support::{ROOT, Run, World, assert_sound};
use testkit::judge::judge;

const BUILD: &str = "build --base base.img -o out.img";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDrAS96HzK4ghcv/JHAx7I6B00leBUxTzKtJzsbmauh/ ada@example.org";
const OTHER_KEY: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOvPd8GJLc0ZJpl5+8soFUphPyOw3d5BAMYT7xlsua/aV0LbNGqIYwD324NxCWbpPF5+SUUThUjwQayUDasn3jU= e";

/// What `/etc/login.defs` of Debian says, with numbers of its own.
const LOGIN_DEFS: &str = "MAIL_DIR /var/mail\nUMASK\t\t022\nHOME_MODE\t0750\nPASS_MAX_DAYS\t99999\nPASS_MIN_DAYS\t0\n\
    PASS_WARN_AGE\t7\nUID_MIN\t\t\t 1000\nUID_MAX\t\t\t60000\nGID_MIN\t\t\t 1000\nGID_MAX\t\t\t60000\n\
    SUB_UID_MIN\t\t   100000\nSUB_UID_MAX\t\t600100000\nSUB_UID_COUNT\t\t    65536\nSUB_GID_MIN\t\t   100000\n\
    SUB_GID_MAX\t\t600100000\nSUB_GID_COUNT\t\t    65536\nUSERGROUPS_ENAB yes\nENCRYPT_METHOD SHA512\n";

/// A world with files of a Debian that the fixture does not have, and flags that put them in.
fn world() -> (World, Vec<&'static str>) {
    let world = World::new();
    world.file("login.defs", LOGIN_DEFS).file("useradd", "SHELL=/bin/sh\n# HOME=/home\n");
    world.file("skel/.profile", "# profile\n").file("skel/.config/app/a", "a\n").mode("skel/.config/app", 0o700);
    world.file("subuid", "root:100000:65536\nother:300000:65536\n").file("subgid", "");
    let flags = vec![
        "--put",
        "login.defs:/etc/login.defs",
        "--put",
        "useradd:/etc/default/useradd",
        "--put",
        "skel:/etc/skel",
        "--put",
        "subuid:/etc/subuid",
        "--put",
        "subgid:/etc/subgid",
    ];
    (world, flags)
}

#[track_caller]
fn build(world: &World, flags: &[&str]) -> Run {
    let run = world.run_words(BUILD, flags).succeeds();
    assert_sound(&world.path("out.img"));
    run
}

fn text(world: &World, path: &str) -> String {
    String::from_utf8(world.content("out.img", ROOT, path)).unwrap()
}

/// The line of `name` in a table of the guest.
fn line(world: &World, path: &str, name: &str) -> String {
    let text = text(world, path);
    text.lines().find(|line| line.split(':').next() == Some(name)).unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// What `crypt` of the host makes of a password with the salt and parameters of `hash`.
fn crypt(password: &str, hash: &str) -> String {
    let script = "print crypt($ARGV[0], $ARGV[1])";
    judge("perl").args(["-e", script, password, hash]).succeed().stdout
}

#[test]
fn a_new_user_is_in_every_table_and_has_a_home_from_the_skeleton() {
    let (world, mut flags) = world();
    flags.extend([
        "--user",
        "ada:groups=sudo,adm:comment=Ada L.:shell=/usr/bin/bash",
        "--user",
        "bob",
        "--user",
        "srv:system",
    ]);
    let run = build(&world, &flags);
    for line in [
        "made user ada (1000:1000, home /home/ada, shell /usr/bin/bash, groups sudo, adm)\n",
        "made user bob (1001:1001, home /home/bob, shell /bin/sh)\n",
        "made user srv (101:101, home /home/srv, shell /bin/sh)\n",
    ] {
        assert!(run.stderr.contains(line), "{}", run.stderr);
    }
    assert_eq!(line(&world, "/etc/passwd", "ada"), "ada:x:1000:1000:Ada L.:/home/ada:/usr/bin/bash");
    // 2023-11-14, when the base's file system was last written to.
    assert_eq!(line(&world, "/etc/shadow", "ada"), "ada:!:19675:0:99999:7:::");
    assert_eq!(line(&world, "/etc/shadow", "srv"), "srv:!:19675::::::");
    assert_eq!(line(&world, "/etc/group", "ada"), "ada:x:1000:");
    assert_eq!(line(&world, "/etc/group", "adm"), "adm:x:4:syslog,ada");
    assert_eq!(line(&world, "/etc/gshadow", "ada"), "ada:!::");
    assert_eq!(line(&world, "/etc/gshadow", "sudo"), "sudo:*::ada");
    assert_eq!(
        text(&world, "/etc/subuid"),
        "root:100000:65536\nada:165536:65536\nbob:231072:65536\nother:300000:65536\n"
    );
    assert_eq!(text(&world, "/etc/subgid"), "ada:100000:65536\nbob:165536:65536\n");
    for (path, mode) in [("", "0750"), ("/.profile", "0644"), ("/.config", "0755"), ("/.config/app", "0700")] {
        let stat = world.stat("out.img", ROOT, &format!("/home/ada{path}"));
        assert_eq!((stat.mode.as_str(), stat.owner), (mode, (1000, 1000)), "{path}");
    }
    assert_eq!(text(&world, "/home/bob/.config/app/a"), "a\n");
    assert!(!world.debugfs("out.img", ROOT, "stat /home/srv").contains("Inode:"));
    let shadow = world.stat("out.img", ROOT, "/etc/shadow");
    assert_eq!((shadow.mode.as_str(), shadow.owner), ("0640", (0, 42)));
    pwck_and_grpck(&world);
}

/// `pwck` and `grpck` find nothing in the new tables that they do not find in the base's.
#[track_caller]
fn pwck_and_grpck(world: &World) {
    let findings = |image: &str| {
        let root = world.path("tables");
        fs::create_dir_all(root.join("etc")).unwrap();
        for table in ["passwd", "shadow", "group", "gshadow"] {
            fs::write(root.join("etc").join(table), world.content(image, ROOT, &format!("/etc/{table}"))).unwrap();
        }
        let mut said = String::new();
        for (program, tables) in [("pwck", ["passwd", "shadow"]), ("grpck", ["group", "gshadow"])] {
            let judge = judge(program).arg("-r");
            // Only root may look at them in their own root; for others, the users and groups are the host's.
            let judge = match testkit::is_root() {
                true => judge.arg("-R").arg(&root),
                false => judge.args(tables.map(|table| root.join("etc").join(table))),
            };
            let verdict = judge.run();
            said.push_str(&verdict.stdout);
            said.push_str(&verdict.stderr);
        }
        fs::remove_dir_all(&root).unwrap();
        let ignored: &[&str] = match testkit::is_root() {
            true => &["does not exist", "no changes"],
            false => &["does not exist", "no changes", "no group", "no user", "delete member"],
        };
        let lines = said.lines().filter(|line| !ignored.iter().any(|part| line.contains(part)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = findings("base.img");
    assert!(!before.is_empty(), "the fixture has users that its shadow has not");
    // What was wrong may be so no longer.
    let new: Vec<String> = findings("out.img").into_iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(new, [""; 0]);
}

#[test]
fn a_user_that_cannot_be_made_is_refused_by_name() {
    let (world, _) = world();
    for (user, message) in [
        ("ada:uid=33", "error: user `www-data` already has the number 33\n"),
        (
            "ada:groups=wheel",
            "error: the guest has no group `wheel`: it is not in its `/etc/group`\nhint: a number is taken as it is\n",
        ),
        ("ada:group=4711", "error: the guest has no group with the number 4711\n"),
        ("shadow", "error: the guest already has a group `shadow`\nhint: `group=shadow` makes it the user's group\n"),
        (
            "daemon",
            "error: the guest already has a user `daemon`\nhint: `password` and `ssh-key` change an existing user\n",
        ),
    ] {
        world.refuses(&format!("build --base base.img -o x.img --user {user}"), message);
    }
}

#[test]
fn passwords_are_hashed_as_the_guest_hashes_them_and_crypt_agrees() {
    let (world, _) = world();
    world.file("common-password", "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n");
    world.file("secret", "from a file\nnot this\n");
    let pam = ["--put", "common-password:/etc/pam.d/common-password"];
    let flags = ["--password", "root:password:s3cret: ü", "--password", "daemon:file:secret"];
    let hash = |user: &str| line(&world, "/etc/shadow", user).split(':').nth(1).unwrap().to_owned();

    build(&world, &flags)
        .says("set the password of root (sha512)\nset the password of daemon (sha512)\nbuilt out.img (…)\n");
    let (root, daemon) = (hash("root"), hash("daemon"));
    assert!(root.starts_with("$6$") && !root.contains("rounds"), "{root}");
    assert_eq!(crypt("s3cret: ü", &root), root);
    assert_eq!(crypt("from a file", &daemon), daemon);
    assert_eq!(line(&world, "/etc/shadow", "root").split_once(&root).unwrap().1, ":19675:0:99999:7:::");

    build(&world, &[&pam[..], &flags].concat()).says(
        "put common-password at /etc/pam.d/common-password (0644 0:0, 65 B)\n\
         set the password of root (yescrypt)\nset the password of daemon (yescrypt)\nbuilt out.img (…)\n"
            .replace("put common", "made /etc/pam.d/ (0755 0:0)\nput common")
            .as_str(),
    );
    let root = hash("root");
    assert!(root.starts_with("$y$j9T$"), "{root}");
    assert_eq!(crypt("s3cret: ü", &root), root);
    assert_ne!(crypt("s3cret", &root), root);
    pwck_and_grpck(&world);
}

#[test]
fn a_password_is_given_made_up_disabled_or_locked() {
    let (world, _) = world();
    let hash = |user: &str| line(&world, "/etc/shadow", user).split(':').nth(1).unwrap().to_owned();
    let run = build(
        &world,
        &[
            "--password",
            "root:random",
            "--password",
            "daemon:hash:$6$a$b",
            "--password",
            "daemon:locked",
            "--password",
            "www-data:disabled",
        ],
    );
    assert!(run.stderr.starts_with("set the password of root (sha512)\n"), "{}", run.stderr);
    let password = run.stdout.strip_prefix("root:").unwrap().trim_end();
    assert_eq!(password.len(), 16, "{}", run.stdout);
    assert_eq!(crypt(password, &hash("root")), hash("root"));
    assert_eq!(hash("daemon"), "!$6$a$b");
    // It was not in the table before.
    assert_eq!(line(&world, "/etc/shadow", "www-data"), "www-data:*:19675::::::");
    let run = world.run_words(&format!("{BUILD} --json -q"), &["--password", "root:random"]).succeeds();
    assert!(run.stdout.contains("\"made_up\": {"), "{}", run.stdout);
    world.refuses(
        "build --base base.img -o x.img --password ada:locked",
        "error: the guest has no user `ada`: it is not in its `/etc/passwd`\nhint: a number is taken as it is\n",
    );
    let run = world.run_words(BUILD, &["--password", "root:secret"]);
    assert_eq!(run.code, Some(2));
    assert!(!run.stderr.contains("x.img"), "{}", run.stderr);
}

#[test]
fn keys_are_added_once_and_are_the_users_alone() {
    let (world, mut flags) = world();
    world.file("keys.pub", format!("# both\n{KEY}\n{OTHER_KEY}\n"));
    let string = format!("ada:string:{KEY}");
    flags.extend(["--user", "ada", "--ssh-key", &string, "--ssh-key", "ada:file:keys.pub", "--ssh-key", &string]);
    flags.extend(["--ssh-key", "root:file:keys.pub"]);
    let run = build(&world, &flags);
    for line in [
        "added 1 SSH key for ada (/home/ada/.ssh/authorized_keys)\n",
        "kept the SSH keys of ada, which existed (/home/ada/.ssh/authorized_keys)\n",
        "added 2 SSH keys for root (/root/.ssh/authorized_keys)\n",
    ] {
        assert!(run.stderr.contains(line), "{}", run.stderr);
    }
    assert_eq!(text(&world, "/home/ada/.ssh/authorized_keys"), format!("{KEY}\n{OTHER_KEY}\n"));
    let stat = |path: &str| {
        let stat = world.stat("out.img", ROOT, path);
        (stat.mode, stat.owner)
    };
    assert_eq!(stat("/home/ada/.ssh"), ("0700".to_owned(), (1000, 1000)));
    assert_eq!(stat("/home/ada/.ssh/authorized_keys"), ("0600".to_owned(), (1000, 1000)));
    fs::write(world.path("authorized_keys"), text(&world, "/root/.ssh/authorized_keys")).unwrap();
    let listed = judge("ssh-keygen").arg("-lf").arg(world.path("authorized_keys")).succeed().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");

    world.file("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n").file("not", "hello\n");
    for (flag, message) in [
        ("root:file:id", "`id`: this is a private key, which must stay secret: the public key is in the `.pub` file"),
        (
            "root:file:not",
            "`not`: `hello` is not an SSH public key: a key begins with its type, as in `ssh-ed25519 AAAAC3… ada@example.org`",
        ),
        ("www-data:file:keys.pub", "the home `/var/www` of user `www-data` is not in the guest"),
    ] {
        let run = world.run(&format!("build --base base.img -o x.img --ssh-key {flag}"));
        assert!(run.stderr.starts_with(&format!("error: {message}\n")), "{}", run.stderr);
    }
}

#[test]
fn the_hostname_is_the_old_ones_in_every_place() {
    let world = World::new();
    let hosts = "/etc/hosts:127.0.0.1 localhost\n127.0.1.1 ubuntu.lan ubuntu # ubuntu\n";
    build(&world, &["--write", hosts, "--hostname", "web-1"]).says(
        "wrote /etc/hosts (0644 0:0, 57 B), in place of the old content\n\
         set the hostname to web-1 (it was ubuntu)\n\
         built out.img (…)\n",
    );
    assert_eq!(text(&world, "/etc/hostname"), "web-1\n");
    assert_eq!(text(&world, "/etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 web-1.lan web-1 # ubuntu\n");
}

#[test]
fn the_time_zone_is_one_of_the_guests() {
    let world = World::new();
    world.file("zone", "TZif2");
    let flags = ["--put", "zone:/usr/share/zoneinfo/Europe/Berlin", "--timezone", "Europe/Berlin"];
    build(&world, &flags);
    assert!(world.debugfs("out.img", ROOT, "stat /etc/localtime").contains("\"/usr/share/zoneinfo/Europe/Berlin\""));
    assert_eq!(text(&world, "/etc/timezone"), "Europe/Berlin\n");
    world.refuses(
        "build --base base.img -o x.img --timezone Europe/Berlin",
        "error: the guest has no time zone `Europe/Berlin`: there is no file `/usr/share/zoneinfo/Europe/Berlin`\n\
         hint: its package `tzdata` is not installed\n",
    );
    assert_eq!(world.run("build --base base.img -o x.img --timezone ../../etc/passwd").code, Some(2));
}

/// A root of the host with what was installed for the first boot in it.
fn first_boot_root(world: &World) -> std::path::PathBuf {
    let root = world.path("root");
    for folder in ["usr/lib/imgraft", "etc/systemd/system"] {
        let into = root.join(folder).parent().unwrap().to_owned();
        fs::create_dir_all(&into).unwrap();
        let file = world.path("partition");
        testkit::partition::extract_partition(&world.path("out.img"), ROOT, &file);
        let request = format!("rdump /{folder} {}", into.display());
        judge("debugfs").args(["-R", &request]).arg(&file).succeed();
    }
    root
}

#[test]
fn what_is_for_the_first_boot_runs_once_in_order_and_goes_on_after_a_failure() {
    let world = World::new();
    world.file("set up.sh", "#!/bin/sh\necho script; exec sleep 0\n");
    let flags = [
        "--first-boot",
        "set up.sh",
        "--first-boot-command",
        "echo one >&2; exit 3",
        "--first-boot-command",
        "echo two",
    ];
    build(&world, &flags).says(
        "set up script set up.sh for the first boot (/usr/lib/imgraft/first-boot/0001-set-up.sh)\n\
         set up command `echo one >&2; exit 3` for the first boot (/usr/lib/imgraft/first-boot/0002-command)\n\
         set up command `echo two` for the first boot (/usr/lib/imgraft/first-boot/0003-command)\n\
         built out.img (…)\n",
    );
    let root = first_boot_root(&world);
    let unit = root.join("etc/systemd/system/imgraft-first-boot.service");
    let wanted = root.join("etc/systemd/system/multi-user.target.wants/imgraft-first-boot.service");
    assert_eq!(fs::read_link(wanted).unwrap(), Path::new("/etc/systemd/system/imgraft-first-boot.service"));
    verify_unit(&root, &unit);

    // The runner itself, with its folders in a folder of ours.
    let runner = fs::read_to_string(root.join("usr/lib/imgraft/run-first-boot")).unwrap();
    let root_name = root.to_str().unwrap();
    let runner = runner.replace("=/usr", &format!("={root_name}/usr")).replace("=/var", &format!("={root_name}/var"));
    fs::create_dir_all(root.join("var/log")).unwrap();
    fs::write(world.path("runner"), runner).unwrap();
    let verdict = judge("sh").arg(world.path("runner")).run();
    let said = "imgraft: 0001-set-up.sh begins\nscript\nimgraft: 0001-set-up.sh ended with 0\n\
                imgraft: 0002-command begins\none\nimgraft: 0002-command ended with 3\n\
                imgraft: 0003-command begins\ntwo\nimgraft: 0003-command ended with 0\n";
    assert_eq!((verdict.stdout.as_str(), verdict.status.code()), (said, Some(1)));
    assert_eq!(fs::read_to_string(root.join("var/log/imgraft-first-boot.log")).unwrap(), said);
    let state = |name: &str| fs::read_to_string(root.join("var/lib/imgraft/first-boot").join(name)).unwrap();
    assert_eq!((state("0001-set-up.sh").as_str(), state("0002-command").as_str()), ("0\n", "3\n"));
    let again = judge("sh").arg(world.path("runner")).succeed();
    assert_eq!(again.stdout, "");
    judge("sh").arg("-n").arg(root.join("usr/lib/imgraft/run-first-boot")).succeed();
}

/// `systemd-analyze verify` has nothing to say against the unit; what it runs is looked for below `root`.
fn verify_unit(root: &Path, unit: &Path) {
    let folder = root.join("verify");
    fs::create_dir_all(&folder).unwrap();
    let text = fs::read_to_string(unit).unwrap();
    let run = format!("ExecStart={}/usr", root.display());
    let copy = folder.join("imgraft-first-boot.service");
    fs::write(&copy, text.replace("ExecStart=/usr", &run)).unwrap();
    let verdict = judge("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(&copy).run();
    let ours: Vec<&str> = verdict.stderr.lines().filter(|line| line.contains("imgraft")).collect();
    assert!(ours.is_empty() && verdict.status.success(), "{verdict}");
}

#[test]
fn packages_are_installed_by_the_guests_manager_and_wait_for_a_network() {
    let world = World::new();
    world.file("apt-get", "#!/bin/sh\n");
    build(&world, &["--put", "apt-get:/usr/bin/apt-get:0755", "--first-boot-install", "nginx,curl"]);
    let script = text(&world, "/usr/lib/imgraft/first-boot/0001-packages");
    assert!(script.starts_with("#!/bin/sh\nset -e\nexport DEBIAN_FRONTEND=noninteractive\napt-get -q -y "), "{script}");
    assert!(script.ends_with(" install nginx curl\n"), "{script}");
    let network = text(&world, "/etc/systemd/system/imgraft-first-boot.service.d/network.conf");
    assert!(network.contains("After=network-online.target"), "{network}");
    world.refuses(
        "build --base base.img -o x.img --first-boot-install nginx",
        "error: the guest has none of the package managers that imgraft knows: apt-get, dnf, microdnf, yum, zypper, \
         apk and pacman\n",
    );
}

/// The same users made by the real `useradd`, in a root that has the same tables: for root.
#[cfg(feature = "full-tests")]
#[test]
fn useradd_makes_the_same_users() {
    let (world, mut flags) = world();
    let root = world.path("real");
    fs::create_dir_all(root.join("home")).unwrap();
    fs::create_dir_all(root.join("etc/default")).unwrap();
    for table in ["passwd", "shadow", "group", "gshadow"] {
        fs::write(root.join("etc").join(table), world.content("base.img", ROOT, &format!("/etc/{table}"))).unwrap();
    }
    for (from, to) in
        [("login.defs", "login.defs"), ("useradd", "default/useradd"), ("subuid", "subuid"), ("subgid", "subgid")]
    {
        fs::copy(world.path(from), root.join("etc").join(to)).unwrap();
    }
    let useradd = |arguments: &[&str]| {
        let useradd = judge("useradd").env("SOURCE_DATE_EPOCH", "1700000000").arg("-P").arg(&root);
        useradd.args(arguments).succeed();
    };
    useradd(&["-m", "-G", "sudo,adm", "-c", "Ada L.", "-s", "/usr/bin/bash", "ada"]);
    useradd(&["-m", "-u", "2000", "-g", "33", "-d", "/srv/bob", "bob"]);
    useradd(&["-m", "eve"]);
    useradd(&["-r", "svc"]);
    flags.extend(["--user", "ada:groups=sudo,adm:comment=Ada L.:shell=/usr/bin/bash"]);
    flags.extend(["--user", "bob:uid=2000:group=www-data:home=/srv/bob", "--user", "eve", "--user", "svc:system"]);
    build(&world, &flags);
    for table in ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"] {
        let real = fs::read_to_string(root.join("etc").join(table)).unwrap();
        assert_eq!(text(&world, &format!("/etc/{table}")), real, "{table}");
    }
}
