//! What a directory passes on to what is made in it, with the kernel as the judge. Needs root.
#![cfg(feature = "full-tests")]

use std::fs::{self, File};
use std::path::Path;

use crate::support::World;
use testkit::judge::{assert_e2fsck_clean, judge};

/// A directory with the set-group-ID bit, one with a default ACL, one with both, and one that forbids.
const PREPARE: &str = "
for maker in ours theirs; do
    mkdir -p $maker/group $maker/list $maker/both $maker/strict
    chown :8 $maker/group $maker/both; chmod 2775 $maker/group $maker/both
    setfacl -d -m u:1000:rwx,g:50:rx $maker/list $maker/both
    setfacl -d -m u::rw,g::-,o::- $maker/strict
done";

/// What programs of a guest do there.
const THEIRS: &str = "
umask 022
for place in group list both strict; do
    cd $place
    echo text > written; touch touched; mkdir -p a/b; echo line > a/b/appended
    cp ../../../app put; cp -r ../../../folder put-folder
    cd ..
done";

fn mounted(image: &Path, folder: &Path, script: &str) -> String {
    judge("mount").args(["-o", "loop,acl"]).arg(image).arg(folder).succeed();
    let ran = judge("bash").args(["-euc", &format!("cd '{}'; {script}", folder.display())]).run();
    judge("umount").arg(folder).succeed();
    assert!(ran.status.success(), "{ran}");
    ran.stdout
}

#[test]
fn group_and_lists_are_passed_on_as_the_kernel_does_it() {
    assert!(testkit::is_root(), "the full tests mount file systems, which needs root");
    let world = World::empty();
    world.file("tree/etc/os-release", "ID=test\n").file("app", "app\n").mode("app", 0o750);
    world.file("folder/inner/file", "file\n").mode("folder/inner/file", 0o640);
    world.mode("folder", 0o755).mode("folder/inner", 0o755);
    let (image, folder) = (world.path("my.img"), world.path("mounted"));
    fs::create_dir(&folder).unwrap();
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    judge("mkfs.ext4").args(["-q", "-F", "-d"]).arg(world.path("tree")).arg(&image).succeed();
    // The sources, where the kernel's side can have them.
    let sources = format!("cp -a '{0}/app' '{0}/folder' .", world.folder().display());
    mounted(&image, &folder, &format!("{PREPARE}\n{sources}\ncd theirs\n{}", THEIRS.replace("../../../", "../../")));
    for place in ["group", "list", "both", "strict"] {
        let at = format!("/ours/{place}");
        let words = [
            "--write".to_owned(),
            format!("{at}/written:text"),
            "--touch".to_owned(),
            format!("{at}/touched"),
            "--mkdir".to_owned(),
            format!("{at}/a/b"),
            "--append".to_owned(),
            format!("{at}/a/b/appended:line"),
            "--put".to_owned(),
            format!("app:{at}/put"),
            "--put".to_owned(),
            format!("folder:{at}/put-folder"),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        world.run_words("customize my.img", &words).succeeds();
    }
    assert_e2fsck_clean(&image, 0);
    let list = |maker: &str| mounted(&image, &folder, &format!("cd {maker}; getfacl -R -n -p ."));
    let (ours, theirs) = (list("ours"), list("theirs"));
    assert!(theirs.contains("# flags: -s-") && theirs.contains("default:user:1000:rwx"), "{theirs}");
    assert_eq!(ours, theirs);
}
