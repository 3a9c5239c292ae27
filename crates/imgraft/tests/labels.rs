//! SELinux: what is new in a guest has the label that the guest's own policy says.

use std::fs::{self, File};

use crate::support::{Run, World};
use testkit::judge::{assert_e2fsck_clean, judge};

const MIB: u64 = 1 << 20;
const POLICY: &str = "/.*\tsystem_u:object_r:default_t:s0\n/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n\
                      /usr(/.*)?\tsystem_u:object_r:usr_t:s0\n/usr/local/bin(/.*)?\tsystem_u:object_r:bin_t:s0\n\
                      /usr/local/bin/agent\t--\tsystem_u:object_r:agent_exec_t:s0\n/srv/none(/.*)?\t<<none>>\n\
                      /srv/.*\t-l\tsystem_u:object_r:link_t:s0\n";
const LABEL: &str = "security.selinux";

/// A disk without partitions, whose root has `files` and, if `is_labelled`, a label.
fn world(files: &[(&str, &str)], is_labelled: bool) -> World {
    let world = World::empty();
    let tree =
        [("etc/os-release", "ID=test\nNAME=Test\n"), ("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=own\n")];
    for (name, content) in tree.iter().chain(files) {
        world.file(&format!("tree/{name}"), content);
    }
    fs::create_dir_all(world.path("tree/bin")).unwrap();
    world.file("app", "app\n").file("folder/a", "a").file("folder/below/b", "b");
    let image = world.path("my.img");
    File::create(&image).unwrap().set_len(32 * MIB).unwrap();
    let mkfs = judge("mkfs.ext4").args(["-q", "-F", "-E", "root_owner=0:0", "-d"]).arg(world.path("tree")).arg(&image);
    mkfs.succeed();
    if is_labelled {
        let set = format!("ea_set / {LABEL} system_u:object_r:root_t:s0");
        judge("debugfs").args(["-w", "-R", &set]).arg(&image).succeed();
    }
    world
}

fn with_policy() -> World {
    let folder = "etc/selinux/own/contexts/files/file_contexts";
    world(&[(folder, POLICY), (&format!("{folder}.subs_dist"), "/bin /usr/local/bin\n")], true)
}

/// The label of a file as `debugfs` has it, with the zero at its end; empty if it has none.
fn label(world: &World, image: &str, path: &str) -> String {
    let said = judge("debugfs").args(["-R", &format!("ea_get {path} {LABEL}")]).arg(world.path(image)).run().stdout;
    said.split_once(" = \"").map(|(_, value)| value.trim_end().trim_end_matches('"').to_owned()).unwrap_or_default()
}

fn warning(run: &Run) -> Option<&str> {
    run.stderr.lines().find(|line| line.starts_with("warning: the guest enforces SELinux"))
}

#[test]
fn what_is_new_has_the_label_of_the_policy() {
    let world = with_policy();
    let put = "--put app:/usr/local/bin/agent:0755 --put app:/usr/local/bin/app --put folder:/usr/folder --put app:/bin/x \
               --put app:/srv/file --link agent:/srv/link --put app:/srv/none/app --write /etc/os-release:ID=test";
    let run = world.run(&format!("build --base my.img {put} -o out.img")).succeeds();
    assert_eq!(warning(&run), None);
    let said = "labelled 13 new files for SELinux: 1 agent_exec_t, 3 bin_t, 2 default_t, 1 link_t, 6 usr_t\n";
    for (path, kind) in [
        ("/usr", "usr_t"),
        ("/usr/local/bin", "bin_t"),
        ("/usr/local/bin/agent", "agent_exec_t"),
        ("/usr/local/bin/app", "bin_t"),
        ("/usr/folder/below/b", "usr_t"),
        ("/bin/x", "bin_t"),
        ("/srv", "default_t"),
        ("/srv/file", "default_t"),
        ("/srv/link", "link_t"),
    ] {
        assert_eq!(label(&world, "out.img", path), format!("system_u:object_r:{kind}:s0\\000"), "{path}");
    }
    // What was there stays as it was, and some files have none.
    for path in ["/etc/os-release", "/srv/none", "/srv/none/app", "/bin"] {
        assert_eq!(label(&world, "out.img", path), "", "{path}");
    }
    assert_eq!(label(&world, "out.img", "/"), "system_u:object_r:root_t:s0");
    assert_e2fsck_clean(&world.path("out.img"), 0);
    let told: serde_json::Value =
        serde_json::from_str(&world.run(&format!("build --base my.img {put} -o b.img --json")).stdout).unwrap();
    let labels = told["labels"].as_array().unwrap();
    assert!(
        labels.contains(&serde_json::json!({"path": "/bin/x", "label": "system_u:object_r:bin_t:s0"})),
        "{labels:?}"
    );
    assert_eq!(fs::read(world.path("out.img")).unwrap(), fs::read(world.path("b.img")).unwrap());
    assert!(run.stderr.contains(said), "{}", run.stderr);

    // A file that has a label keeps it when it is replaced, moved or renamed with its directory.
    let run = world.run("customize out.img --put app:/usr/local/bin/agent --move /usr/folder:/etc/folder").succeeds();
    assert_eq!(
        label(&world, "out.img", "/usr/local/bin/agent"),
        "system_u:object_r:agent_exec_t:s0\\000",
        "{}",
        run.stderr
    );
    assert_eq!(label(&world, "out.img", "/etc/folder/below/b"), "system_u:object_r:usr_t:s0\\000");
    // A copy is one with all that is known of the file, as `cp -a` makes it.
    world.run("customize out.img --copy /usr/local/bin/agent:/etc/agent").succeeds();
    assert_eq!(label(&world, "out.img", "/etc/agent"), "system_u:object_r:agent_exec_t:s0\\000");
    // What is made and moved in one go has the label of the place where it is.
    world.run("build --base my.img --put folder:/usr/folder --move /usr/folder:/etc/folder -o moved.img").succeeds();
    assert_eq!(label(&world, "moved.img", "/etc/folder/below/b"), "system_u:object_r:etc_t:s0\\000");
    let run = world.run(&format!("build --base my.img {put} --no-label -o plain.img")).succeeds();
    assert!(!run.stderr.contains("labelled") && warning(&run).is_none(), "{}", run.stderr);
    assert_eq!(label(&world, "plain.img", "/usr/local/bin/app"), "");
}

#[test]
fn a_guest_whose_policy_gives_no_label_is_told_of() {
    let folder = "etc/selinux/own/contexts/files/file_contexts";
    type Case<'a> = (&'a [(&'a str, &'a str)], bool, &'a str);
    let cases: [Case<'_>; 4] = [
        (&[(folder, POLICY)], false, "its root directory has none, either"),
        (&[], true, "its policy `own` has no `/etc/selinux/own/contexts/files/file_contexts`"),
        (&[(folder, "/etc\n")], true, "its policy cannot be read: line 1 of `file_contexts`: no label"),
        (
            &[(folder, "/s(?=r)rv(/.*)? a:b:c\n")],
            true,
            "imgraft cannot read the expression `/s(?=r)rv(/.*)?` of its policy",
        ),
    ];
    for (files, is_labelled, why) in cases {
        let world = world(files, is_labelled);
        let run = world.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
        let said = format!(
            "warning: the guest enforces SELinux and new files have no labels ({why}): `relabel` has them labelled at the first boot"
        );
        assert_eq!(warning(&run), Some(&said[..]), "{}", run.stderr);
        assert_eq!(label(&world, "out.img", "/srv/app"), "");
        // Nothing new, or a guest that is asked to label all of it.
        let run = world.run("build --base my.img --append /etc/os-release:X=1 -o same.img").succeeds();
        assert_eq!(warning(&run), None);
        let run = world.run("build --base my.img --put app:/srv/app --relabel -o asked.img").succeeds();
        assert_eq!(warning(&run), None);
    }
    // A guest that only notes what it would deny has labels, and no warning.
    let permissive = world(&[("etc/selinux/config", "SELINUX=permissive\n")], true);
    let run = permissive.run("build --base my.img --put app:/srv/app -o out.img").succeeds();
    assert_eq!(warning(&run), None);
}

#[cfg(feature = "full-tests")]
mod full {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::support::{ROOT, guests};
    use testkit::mount::Mount;
    use testkit::partition::{extract_disk, partition_range};

    fn policy() -> std::path::PathBuf {
        let folder = std::env::var_os("IMGRAFT_TEST_SELINUX_POLICY");
        folder.expect("IMGRAFT_TEST_SELINUX_POLICY: see scripts/selinux-policy").into()
    }

    /// The root of a raw image as the kernel mounts it.
    fn mounted(disk: &Path, mode: &str) -> Mount {
        let range = partition_range(disk, ROOT);
        let place = format!("{mode},offset={},sizelimit={}", range.start, range.end - range.start);
        Mount::with_options(disk, &place)
    }

    /// What `setfiles` would label otherwise below `root`.
    fn would_relabel(root: &Path) -> Vec<String> {
        let contexts = policy().join("file_contexts");
        let said = judge("setfiles").args(["-n", "-v", "-F", "-r"]).arg(root).arg(contexts).arg(root).run();
        said.stdout.lines().filter(|line| line.contains("elabel")).map(str::to_owned).collect()
    }

    /// A whole guest that `setfiles` has labelled by a whole policy: after all kinds of edits, commands and packages included,
    /// it would label nothing otherwise.
    #[test]
    fn setfiles_finds_nothing_to_label() {
        let world = World::empty();
        let base = world.path("base.raw");
        extract_disk(&guests::small_base(), &base);
        {
            let mount = mounted(&base, "rw");
            let to = mount.path().join("etc/selinux");
            fs::create_dir_all(to.join("default/contexts/files")).unwrap();
            fs::write(to.join("config"), "SELINUX=enforcing\nSELINUXTYPE=default\n").unwrap();
            for end in ["", ".homedirs", ".subs_dist"] {
                let name = format!("file_contexts{end}");
                fs::copy(policy().join(&name), to.join("default/contexts/files").join(&name)).unwrap();
            }
            let contexts = policy().join("file_contexts");
            judge("setfiles").args(["-F", "-r"]).arg(mount.path()).arg(contexts).arg(mount.path()).succeed();
            assert_eq!(would_relabel(&mount.path()), [""; 0]);
        }
        for number in 0..2000 {
            world.file(&format!("tree/folder{}/file{number}", number % 7), "text");
        }
        symlink("folder1", world.path("tree/link")).unwrap();
        world.file("app", "app\n");
        let line = "build --base base.raw --put tree:/opt/tree --put app:/usr/local/bin/app:0755 --put app:/bin/other \
                    --put app:/etc/cron.d/job --put app:/etc/shadow- --put app:/var/log/app.log --mkdir /var/lib/private/app \
                    --put app:/etc/systemd/system/app.service --link /opt/tree:/srv/tree --put app:/root/.ssh/authorized_keys \
                    --user ada --put app:/home/ada/.ssh/id --put app:/usr/lib64/env --put app:/tmp/app \
                    --hostname other --first-boot-command true -o out.raw";
        let script = "mkdir -p /var/cache/made/below; echo x >/etc/new; cp /bin/true /usr/sbin/own; sed -i s/a/b/ /etc/passwd-; \
                      mv /var/cache/made /var/spool/moved; ln -s true /usr/bin/link; mkfifo /srv/pipe; ln /etc/new /etc/hard";
        let run = world.run_words(line, &["--run", script]).succeeds();
        assert!(run.stderr.contains(" new files for SELinux: "), "{}", run.stderr);
        assert_eq!(would_relabel(&mounted(&world.path("out.raw"), "ro").path()), [""; 0]);
        let plain = world.run_words(&line.replace("out.raw", "plain.raw"), &["--run", script, "--no-label"]);
        plain.succeeds();
        assert!(would_relabel(&mounted(&world.path("plain.raw"), "ro").path()).len() > 2000);
    }
}
