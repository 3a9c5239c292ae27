//! A seed: what cloud-init does at a guest's first boot.

use std::error::Error;
use std::path::Path;

use graft::{SeedSource, write_seed};
use seed::Medium;
use seed::check::{Renderer, Severity};

/// Makes a disk with a seed: a user with a package, and the guest's name.
pub(crate) fn seed(target: &Path) -> Result<(), Box<dyn Error>> {
    let source = SeedSource {
        users: vec!["ada".to_owned()],
        packages: vec!["git".to_owned()],
        hostname: Some("web".to_owned()),
        ..SeedSource::default()
    };
    let seed = source.seed()?;
    let report = source.check(&seed, Renderer::Unknown)?;
    if let Some(wrong) = report.findings.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(wrong.message.clone().into());
    }
    Ok(write_seed(&seed, Medium::Iso, None, target)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    seed("seed.iso".as_ref())
}
