//! A disk of which one read fails: the guest on it is not opened, whichever read that is.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::File;
use std::sync::Arc;

use guest::Guest;
use storage::{Failing, FileStorage, Overlay, WriteAt};
use testkit::fixture::{Format, Options, small_cloud_image};

#[test]
fn a_read_that_fails_is_an_error_on_whichever_partition_it_is() {
    let image = small_cloud_image(&Options { format: Format::Raw, ..Options::default() });
    for number in 1.. {
        let file = FileStorage::new(File::open(&image).unwrap()).unwrap();
        let no_spill = || Err(std::io::ErrorKind::Unsupported.into());
        let failing = Arc::new(Failing::new(Overlay::new(file, 64 << 20, Box::new(no_spill)), number));
        let opened = Guest::open(Arc::clone(&failing) as Arc<dyn WriteAt>);
        if !failing.has_failed() {
            assert!(opened.is_ok() && number > 10, "there were {number} reads");
            return;
        }
        assert!(opened.is_err(), "read {number}");
    }
}
