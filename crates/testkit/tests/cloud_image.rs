//! The fixtures are what they say they are.

#![allow(clippy::unwrap_used, reason = "in tests, helpers included")]
#![allow(clippy::disallowed_methods, reason = "asks for the environment of the test")]

use std::path::Path;

use testkit::fixture::{
    Format, LARGE_DIRECTORY, LARGE_FILE, Options, UBUNTU_26_04_FEATURES, copy_of, small_cloud_image,
};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::{
    assert_image_sgdisk_clean, assert_partition_e2fsck_clean, assert_partition_fsck_vfat_clean, extract_disk,
    extract_partition, partition_range,
};
use testkit::tree::{Kind, walk_kernel};

fn dumpe2fs(filesystem: &Path) -> String {
    judge("dumpe2fs").arg("-h").arg(filesystem).succeed().stdout
}

#[test]
fn the_judges_have_nothing_against_it() {
    let image = small_cloud_image(&Options::default());
    assert_qemu_img_check(&image);
    assert_image_sgdisk_clean(&image);
    assert_partition_e2fsck_clean(&image, 1);
    assert_partition_e2fsck_clean(&image, 16);
    assert_partition_fsck_vfat_clean(&image, 15);
    assert_eq!(partition_range(&image, 14), 1 << 20..5 << 20);
    assert_eq!(partition_range(&image, 1), 109 << 20..365 << 20);
}

#[test]
fn its_file_systems_are_those_of_noble() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    extract_partition(&small_cloud_image(&Options::default()), 1, &root);
    let header = dumpe2fs(&root);
    let features = "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file \
                    huge_file dir_nlink extra_isize metadata_csum";
    let line = header.lines().find_map(|line| line.strip_prefix("Filesystem features:")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), features);
    assert!(header.contains("cloudimg-rootfs"));
    let request = |what: &str| judge("debugfs").args(["-R", what]).arg(&root).succeed().stdout;
    assert!(request(&format!("stat {}", LARGE_DIRECTORY.0)).contains("Flags: 0x81000"), "no index");
    assert!(request("ea_list /usr/share/doc/attributes").contains("user.comment (7) = \"grafted\""));
    assert!(request("stat /dev/null").contains("Type: character special    Mode:  0666"));

    let features = Options { features: UBUNTU_26_04_FEATURES.to_owned(), ..Options::default() };
    let newer = folder.path().join("newer");
    extract_partition(&small_cloud_image(&features), 1, &newer);
    let header = dumpe2fs(&newer);
    assert!(header.contains("orphan_file") && header.contains("metadata_csum_seed"));
    judge("e2fsck").arg("-fn").arg(&newer).succeed();
}

#[test]
fn everything_is_owned_by_root_and_of_one_time_but_what_is_meant_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    extract_partition(&small_cloud_image(&Options::default()), 1, &root);
    let stat = |path: &str| judge("debugfs").args(["-R", &format!("stat {path}")]).arg(&root).succeed().stdout;
    for path in ["/", "/etc", "/etc/passwd", "/bin", "/usr/share/many/file-2999", "/lost+found"] {
        let text = stat(path);
        assert!(text.contains("User:     0   Group:     0"), "{text}");
        for time in ["atime", "ctime", "mtime", "crtime"] {
            assert!(text.contains(&format!("{time}: 0x6553f100:00000000")), "{text}");
        }
    }
    assert!(stat("/var/lib/ids").contains("User: 100000   Group: 100001"), "{}", stat("/var/lib/ids"));
    assert!(stat("/etc/shadow").contains("Mode:  0640"));
    assert!(stat("/usr/bin/git").contains("Links: 3"));
}

#[test]
fn other_formats_hold_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let raw = small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    let old = Format::Qcow2 { compat: "0.10", cluster_size_bytes: 4096, compression_type: "zlib", compressed: false };
    let zstd = Format::Qcow2 { compat: "1.1", cluster_size_bytes: 65_536, compression_type: "zstd", compressed: true };
    for format in [old, zstd] {
        let image = small_cloud_image(&Options { format, ..Options::default() });
        judge("qemu-img").arg("compare").args([&raw, &image]).succeed();
    }
    let copy = copy_of(&raw, folder.path());
    std::fs::OpenOptions::new().write(true).open(copy).unwrap().set_len(1).unwrap();
    assert!(raw.metadata().unwrap().len() > 1);
}

#[test]
fn two_runs_make_the_same_bytes() {
    let options = Options { root_size_mib: 96, format: Format::Raw, ..Options::default() };
    let first = small_cloud_image(&options);
    let folder = tempfile::tempdir().unwrap();
    let copy = copy_of(&first, folder.path());
    std::fs::remove_file(&first).unwrap();
    let second = small_cloud_image(&options);
    assert_eq!(first, second);
    judge("cmp").args([copy, second]).succeed();
}

/// The kernel's opinion needs root; without it the other judges stand alone.
#[test]
fn the_kernel_reads_the_same_tree() {
    if !testkit::is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = small_cloud_image(&Options::default());
    let disk = folder.path().join("disk");
    extract_disk(&image, &disk);
    let mount = testkit::mount::Mount::read_only(&disk, &partition_range(&image, 1));
    let tree = walk_kernel(&mount.path());
    let node = |path: &str| &tree[path.trim_start_matches('/').as_bytes()];
    assert_eq!(node(LARGE_FILE.0).size_bytes, LARGE_FILE.1);
    assert_eq!(tree.keys().filter(|path| path.starts_with(b"usr/share/many/")).count(), LARGE_DIRECTORY.1);
    assert_eq!(node("/etc/os-release").target.as_deref(), Some(&b"../usr/lib/os-release"[..]));
    assert_eq!(node("/usr/share/doc/attributes").xattrs[&b"user.comment"[..]], b"grafted");
    assert_eq!(node("/usr/bin/ping").xattrs[&b"security.capability"[..]][..5], [1, 0, 0, 2, 0]);
    assert_eq!((node("/dev/vda").kind, node("/dev/vda").device), (Kind::BlockDevice, Some((254, 0))));
    assert_eq!((node("/usr/bin/sudo").permissions, node("/usr/bin/git").links), (0o4755, 3));
    assert_eq!(node("/etc/machine-id").size_bytes, 0);
    assert_eq!(node("/etc/hostname").modified, (testkit::fixture::FIXTURE_TIME, 0));
}
