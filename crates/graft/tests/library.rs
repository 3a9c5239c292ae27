//! The examples of `docs/library.md`: that they are what is shown there, and that they do what they say.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;

use testkit::fixture::{self, Options};
use testkit::judge::{assert_qemu_img_check, judge};
use testkit::partition::{assert_partition_e2fsck_clean, extract_partition};

#[allow(dead_code, reason = "its `main` is for those who run it")]
#[path = "../examples/in_place.rs"]
mod in_place;
#[allow(dead_code, reason = "its `main` is for those who run it")]
#[path = "../examples/new_image.rs"]
mod new_image;
#[allow(dead_code, reason = "its `main` is for those who run it")]
#[path = "../examples/seed.rs"]
mod seed;

const ROOT: u32 = 1;

/// What `debugfs` reads from the root of the image at `path`.
fn cat(path: &Path, file: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.ext4");
    extract_partition(path, ROOT, &root);
    judge("debugfs").args(["-R", &format!("cat {file}")]).arg(&root).succeed().stdout
}

#[test]
fn the_guide_shows_the_examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(folder.join("../../docs/library.md")).unwrap();
    for name in ["new_image", "in_place", "seed"] {
        let example = fs::read_to_string(folder.join(format!("examples/{name}.rs"))).unwrap();
        // What our own lints have to be told is nothing for readers.
        let example = match example.split_once('\n') {
            Some((attribute, example)) if attribute.starts_with("#![allow(") => example,
            _ => &example,
        };
        assert!(
            guide.contains(&format!("```rust\n{example}```\n")),
            "docs/library.md does not have {name}.rs as it is"
        );
    }
}

#[test]
fn a_new_image_has_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (program, target) = (folder.path().join("app"), folder.path().join("app.img"));
    fs::write(&program, "#!/bin/sh\necho hello\n").unwrap();
    new_image::new_image(&fixture::small_cloud_image(&Options::default()), &program, &target).unwrap();
    assert_qemu_img_check(&target);
    assert_partition_e2fsck_clean(&target, ROOT);
    assert_eq!(cat(&target, "/usr/local/bin/app"), "#!/bin/sh\necho hello\n");
    assert_eq!(cat(&target, "/etc/motd"), "Welcome");
}

#[test]
fn an_image_changes_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let image = fixture::copy_of(&fixture::small_cloud_image(&Options::default()), folder.path());
    in_place::in_place(&image).unwrap();
    assert_qemu_img_check(&image);
    assert_partition_e2fsck_clean(&image, ROOT);
    assert_eq!(cat(&image, "/etc/hostname"), "web\n");
    assert!(cat(&image, "/etc/hosts").ends_with("10.0.0.1 db\n"));
}

#[test]
fn a_seed_has_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("seed.iso");
    seed::seed(&target).unwrap();
    let print = |file: &str| judge("isoinfo").args(["-R", "-x", file, "-i"]).arg(&target).succeed().stdout;
    let user_data = print("/user-data");
    assert!(user_data.starts_with("#cloud-config\n") && user_data.contains("ada") && user_data.contains("git"));
    assert!(print("/meta-data").contains("web"));
}
