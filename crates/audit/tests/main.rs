//! Findings in guests that are made of this machine's own programs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod fit;
mod hygiene;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::{Guest, Time};
use storage::{FileStorage, Overlay};
use tempfile::TempDir;
use testkit::judge::judge;

/// A tree that becomes a guest.
struct Tree {
    folder: TempDir,
}

impl Tree {
    /// One with the names that every guest has.
    fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["etc", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "var/log", "root", "home"]
        {
            fs::create_dir_all(tree.path(folder)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), tree.path(name)).unwrap();
        }
        tree.file("etc/os-release", "ID=debian\n", 0o644).file("etc/machine-id", "", 0o444).file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            0o644,
        );
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// A file of this machine at the same path, or where its symlinks lead to in the tree.
    fn host(&self, path: &str) -> &Self {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        self.file(path.trim_start_matches('/'), fs::read(path).unwrap(), mode)
    }

    /// The guest whose root has this tree.
    fn guest(&self) -> Guest {
        let disk = self.folder.path().join("disk.raw");
        judge("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(self.path("")).arg(&disk).arg("96m").succeed();
        let file = FileStorage::new(File::open(&disk).unwrap()).unwrap();
        let overlay = Overlay::new(file, 64 << 20, Box::new(|| Err(std::io::ErrorKind::Unsupported.into())));
        let mut guest = Guest::open(Arc::new(overlay)).unwrap();
        // Whoever runs the tests owns the files.
        let mut pending = vec![self.path("")];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                let name = path.strip_prefix(self.path("")).unwrap().to_str().unwrap();
                guest.set_owner(&format!("/{name}").parse().unwrap(), 0, 0, Time::default()).unwrap();
                if entry.file_type().unwrap().is_dir() {
                    pending.push(path);
                }
            }
        }
        guest
    }

    /// A file for the compiler.
    fn work(&self, name: &str) -> PathBuf {
        let folder: &Path = self.folder.path();
        folder.join(name)
    }
}

/// Code and path of each finding.
fn told(findings: &[audit::Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (finding.code, finding.path.as_str())).collect()
}
