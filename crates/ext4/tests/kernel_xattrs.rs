//! The kernel as the judge of extended attributes: what it set is what we read, and what we set is what it
//! shows. Needs root.
#![cfg(feature = "full-tests")]

use std::collections::BTreeMap;
use std::path::Path;

use ext4::{Attributes, FileSystem, InodeNumber, Time};
use storage::FileStorage;
use testkit::judge::judge;
use testkit::mount::Mount;
use testkit::tree::walk_kernel;

const FEATURES: &[&[&str]] = &[
    &["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"],
    &["-t", "ext4", "-b", "1024", "-O", "metadata_csum,ea_inode"],
    &["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum"],
    &["-t", "ext4", "-b", "4096", "-I", "512", "-O", "metadata_csum,inline_data"],
    &["-t", "ext2", "-b", "2048"],
];

/// ACLs with named users and groups, and two files that share one block of attributes.
const POPULATE: &str = r#"
for name in file other third; do echo content > $name; done
mkdir folder
setfattr -n user.small -v value file; setfattr -n trusted.name -v "" file
setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= other
setfattr -n security.selinux -v system_u:object_r:bin_t:s0 other
for name in file other third; do setfattr -n user.big -v "$(printf 'v%.0s' $(seq 1 600))" $name; done
setfacl -m u:1000:r,g:70000:rwx,m:rx file
setfacl -m u:1000:rwx,d:u:1001:rw,d:g::r folder
touch folder/inherits
"#;

type Attributed = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn kernel_attributes(image: &Path) -> Attributed {
    let length = std::fs::metadata(image).unwrap().len();
    let tree = walk_kernel(&Mount::read_only(image, &(0..length)).path());
    tree.into_iter().map(|(path, node)| (path, node.xattrs)).collect()
}

fn our_attributes(filesystem: &FileSystem<FileStorage>, paths: &Attributed) -> Attributed {
    let find = |path: &[u8]| {
        path.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .fold(InodeNumber::ROOT, |parent, name| filesystem.lookup(parent, name).unwrap().unwrap())
    };
    let attributes = |path: &Vec<u8>| filesystem.xattrs(find(path)).unwrap().into_iter().collect();
    paths.keys().map(|path| (path.clone(), attributes(path))).collect()
}

fn open(image: &Path) -> FileSystem<FileStorage> {
    let file = std::fs::File::options().read(true).write(true).open(image).unwrap();
    FileSystem::open(FileStorage::new(file).unwrap()).unwrap()
}

#[test]
fn attributes_are_the_same_to_the_kernel_and_to_us() {
    for options in FEATURES {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        judge("mke2fs").args(["-q", "-F"]).args(*options).arg(&image).arg("32768k").succeed();
        let mounted = tempfile::tempdir().unwrap();
        judge("mount").args(["-o", "loop,user_xattr,acl"]).arg(&image).arg(mounted.path()).succeed();
        let ran = judge("bash").args(["-euc", &format!("cd '{}'\n{POPULATE}", mounted.path().display())]).run();
        judge("umount").arg(mounted.path()).succeed();
        assert!(ran.status.success(), "{ran}");

        let mut filesystem = open(&image);
        let kernel = kernel_attributes(&image);
        assert!(kernel[&b"file"[..]].contains_key(&b"system.posix_acl_access"[..]), "{options:?}");
        assert!(kernel[&b"folder/inherits"[..]].contains_key(&b"system.posix_acl_access"[..]), "{options:?}");
        assert_eq!(our_attributes(&filesystem, &kernel), kernel, "{options:?}");
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{options:?}");

        let attributes = Attributes { permissions: 0o644, uid: 0, gid: 0, modified: Time::default() };
        let find =
            |filesystem: &FileSystem<_>, name: &[u8]| filesystem.lookup(InodeNumber::ROOT, name).unwrap().unwrap();
        // One of those that share a block changes, one goes, and a new file gets everything.
        let other = find(&filesystem, b"other");
        filesystem.set_xattr(other, b"user.big", b"no longer").unwrap();
        filesystem.remove_file(InodeNumber::ROOT, b"third").unwrap();
        let new = filesystem.create_file(InodeNumber::ROOT, b"new", &attributes, 3, &mut &b"new"[..]).unwrap();
        for (name, value) in kernel[&b"file"[..]].iter().chain(&kernel[&b"other"[..]]) {
            filesystem.set_xattr(new, name, value).unwrap();
        }
        let directory = filesystem.create_directory(InodeNumber::ROOT, b"new-folder", &attributes).unwrap();
        for (name, value) in &kernel[&b"folder"[..]] {
            filesystem.set_xattr(directory, name, value).unwrap();
        }
        let folder_inode = find(&filesystem, b"folder");
        filesystem.remove_xattr(folder_inode, b"system.posix_acl_default").unwrap();
        filesystem.flush().unwrap();
        drop(filesystem);
        testkit::judge::assert_e2fsck_clean(&image, 0);
        let seen = kernel_attributes(&image);
        assert_eq!(our_attributes(&open(&image), &seen), seen, "{options:?}");
        assert_eq!(seen[&b"new-folder"[..]], kernel[&b"folder"[..]], "{options:?}");
        assert_eq!(
            seen[&b"new"[..]][&b"system.posix_acl_access"[..]],
            kernel[&b"file"[..]][&b"system.posix_acl_access"[..]]
        );
        assert_eq!(seen[&b"new"[..]][&b"security.capability"[..]], kernel[&b"other"[..]][&b"security.capability"[..]]);
        assert_eq!(seen[&b"other"[..]][&b"user.big"[..]], b"no longer");
        assert_eq!(seen[&b"file"[..]], kernel[&b"file"[..]], "{options:?}: what shared a block keeps it");
        // getfacl agrees on what the mode shows.
        let mount = Mount::read_only(&image, &(0..std::fs::metadata(&image).unwrap().len()));
        let acl = judge("getfacl").args(["-nc"]).arg(mount.path().join("new")).succeed().stdout;
        assert!(acl.contains("user:1000:r--") && acl.contains("group:70000:rwx") && acl.contains("mask::r-x"), "{acl}");
    }
}

/// Large values that the kernel puts into inodes of their own, the same one for two attributes and for two
/// files, and into a block that two files share.
const POPULATE_VALUES: &str = r#"
large=$(head -c 9000 /dev/zero | tr '\0' l)
for name in one two three; do
    echo content > $name
    setfattr -n user.first -v "$large" $name
    setfattr -n user.second -v "$large" $name
    setfattr -n user.big -v "$(printf 'v%.0s' $(seq 1 600))" $name
done
setfattr -n user.first -v other three
"#;

/// Runs a script in the root of a file system that the kernel has mounted.
fn mounted(image: &Path, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    judge("mount").args(["-o", "loop,user_xattr,acl"]).arg(image).arg(folder.path()).succeed();
    let ran = judge("bash").args(["-euc", &format!("cd '{}'\n{script}", folder.path().display())]).run();
    judge("umount").arg(folder.path()).succeed();
    assert!(ran.status.success(), "{ran}");
    ran.stdout
}

/// An edit.
type Step<'a> = &'a dyn Fn(&mut FileSystem<FileStorage>);

#[test]
fn values_that_the_kernel_shares_are_counted_as_the_kernel_counts_them() {
    for inode_size in ["128", "256", "1024"] {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        let options = ["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "metadata_csum,ea_inode", "-I", inode_size];
        judge("mke2fs").args(options).arg(&image).arg("32768k").succeed();
        mounted(&image, POPULATE_VALUES);
        let kernel = kernel_attributes(&image);
        assert_eq!(kernel[&b"one"[..]][&b"user.second"[..]].len(), 9000);
        let mut filesystem = open(&image);
        assert_eq!(filesystem.check().unwrap(), Vec::new(), "{inode_size}");
        assert_eq!(our_attributes(&filesystem, &kernel), kernel, "{inode_size}");

        let find =
            |filesystem: &FileSystem<_>, name: &[u8]| filesystem.lookup(InodeNumber::ROOT, name).unwrap().unwrap();
        let steps: [Step<'_>; 5] = [
            &|filesystem| filesystem.remove_xattr(find(filesystem, b"one"), b"user.first").unwrap(),
            &|filesystem| filesystem.set_xattr(find(filesystem, b"two"), b"user.second", &[b'n'; 20_000]).unwrap(),
            &|filesystem| filesystem.set_xattr(find(filesystem, b"three"), b"user.new", b"new").unwrap(),
            &|filesystem| filesystem.remove_file(InodeNumber::ROOT, b"one").unwrap(),
            &|filesystem| filesystem.remove_xattr(find(filesystem, b"two"), b"user.first").unwrap(),
        ];
        for (number, step) in steps.iter().enumerate() {
            step(&mut filesystem);
            filesystem.flush().unwrap();
            assert_eq!(filesystem.check().unwrap(), Vec::new(), "{inode_size}: step {number}");
            testkit::judge::assert_e2fsck_clean(&image, 0);
        }
        drop(filesystem);
        let seen = kernel_attributes(&image);
        assert_eq!(our_attributes(&open(&image), &seen), seen, "{inode_size}");
        assert_eq!(seen[&b"two"[..]][&b"user.second"[..]], [b'n'; 20_000]);
        assert_eq!(seen[&b"three"[..]][&b"user.second"[..]], kernel[&b"three"[..]][&b"user.second"[..]]);
        // The kernel gives up what we left, too.
        mounted(&image, "rm two; setfattr -x user.second three");
        testkit::judge::assert_e2fsck_clean(&image, 0);
        assert_eq!(open(&image).check().unwrap(), Vec::new(), "{inode_size}");
    }
}

#[test]
fn a_capability_that_we_set_is_what_getcap_says() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    judge("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&image).arg("32768k").succeed();
    let mut filesystem = open(&image);
    let attributes = Attributes { permissions: 0o755, uid: 0, gid: 0, modified: Time::default() };
    let file = filesystem.create_file(InodeNumber::ROOT, b"file", &attributes, 3, &mut &b"new"[..]).unwrap();
    // Version 2, effective; permitted: CAP_NET_RAW.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    filesystem.set_xattr(file, b"security.capability", &capability).unwrap();
    filesystem.set_xattr(file, b"security.selinux", b"system_u:object_r:bin_t:s0\0").unwrap();
    filesystem.flush().unwrap();
    drop(filesystem);
    let said = mounted(&image, "getcap file; getfattr -n security.selinux --only-values file");
    assert!(said.contains("file cap_net_raw=ep") && said.contains("system_u:object_r:bin_t:s0"), "{said}");
}
