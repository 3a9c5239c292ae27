//! The real cloud-init, in the versions that there are: the installed one and those that `scripts/cloud-inits` gets.

use std::path::{Path, PathBuf};

use testkit::judge::{Verdict, find, judge};

/// A version of cloud-init.
#[derive(Debug)]
pub(crate) struct CloudInit {
    /// What it is of: `installed`, or the name of a release of Debian.
    pub(crate) release: String,
    /// Where its Python is, where that is not installed.
    path: Option<PathBuf>,
}

/// All versions.
///
/// # Panics
///
/// Where there is only the installed one, or not even that.
pub(crate) fn versions() -> Vec<CloudInit> {
    assert!(find("cloud-init").is_some(), "the judge `cloud-init` is not installed: run ./test");
    let folder = std::env::var("IMGRAFT_TEST_CLOUD_INITS")
        .expect("IMGRAFT_TEST_CLOUD_INITS is what scripts/cloud-inits prints: run ./test");
    let mut versions = vec![CloudInit { release: "installed".to_owned(), path: None }];
    for release in ["bullseye", "trixie"] {
        let path = Path::new(&folder).join(release);
        assert!(path.is_dir(), "there is no {}: run scripts/cloud-inits", path.display());
        versions.push(CloudInit { release: release.to_owned(), path: Some(path) });
    }
    versions
}

impl CloudInit {
    /// What one of the scripts in this folder prints with it.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> String {
        let script = format!("{}/tests/support/{script}", env!("CARGO_MANIFEST_DIR"));
        self.python().arg(script).args(arguments).succeed().stdout
    }

    /// What a short program prints with it.
    pub(crate) fn evaluate(&self, program: &str, arguments: &[&str]) -> Verdict {
        self.python().args(["-c", program]).args(arguments).succeed()
    }

    fn python(&self) -> testkit::judge::Judge {
        // Debian's own, for which the packages are. A newer one warns of what older versions do.
        let python = judge("/usr/bin/python3").args(["-W", "ignore"]);
        match &self.path {
            Some(path) => python.env("PYTHONPATH", path),
            None => python,
        }
    }
}
