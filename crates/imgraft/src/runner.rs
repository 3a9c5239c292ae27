//! What runs commands in the guest, on this machine.

use std::sync::Arc;

use customize::Runner;
use graft::{Folder, temporary_folder};
use run::{Namespaces, Network};
use sandbox::{Ids, Limits};

use crate::environment;

/// The runner of this machine.
pub(crate) fn runner() -> Arc<dyn Runner> {
    Arc::new(Namespaces {
        spill: Box::new(|| Folder::open(&temporary_folder())?.unnamed_file()),
        network: Box::new(|| Network {
            resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
            environment: environment::proxies(),
        }),
        log_folder: temporary_folder(),
        limits: Limits::default(),
        ids: Ids::Auto,
    })
}
