//! What differs from a base, as a manifest says it.

use graft::{Comparison, FileState};
use guest::diff::{Facts, PathChangeKind};
use provenance::{Changes, File, PathChange};
use serde_json::Value;

/// What a comparison with digests found.
///
/// # Errors
///
/// If a path could not be compared: a manifest says everything or is not there.
pub(crate) fn changes(comparison: &Comparison) -> Result<Changes, Box<dyn std::error::Error + Send + Sync>> {
    let differences = &comparison.differences;
    let mut paths = Vec::with_capacity(differences.paths.len());
    for (change, state) in differences.paths.iter().zip(&comparison.states) {
        if change.change == PathChangeKind::Unknown {
            let problem = change.problem.as_deref().unwrap_or_default();
            return Err(format!("`{}` could not be compared: {problem}", change.path).into());
        }
        paths.push(PathChange {
            change: text(&change.change),
            path: change.path.clone(),
            volume: change.volume.clone(),
            what: change.what.iter().map(|&what| what.to_owned()).collect(),
            base: change.base.as_ref().map(|facts| file(facts, None)),
            image: change.image.as_ref().map(|facts| file(facts, state.as_ref())),
        });
    }
    let values = |values: Value| match values {
        Value::Array(values) => values,
        _ => Vec::new(),
    };
    Ok(Changes {
        disk_bytes: serde_json::to_value(comparison.disk_bytes)?,
        partition_table: values(serde_json::to_value(&differences.partition_table)?),
        outside: values(serde_json::to_value(&differences.outside)?),
        volumes: values(serde_json::to_value(&differences.volumes)?),
        paths,
    })
}

fn file(facts: &Facts, state: Option<&FileState>) -> File {
    let Facts { kind, mode, uid, gid, size_bytes, modified, links, target, device } = facts.clone();
    File {
        kind: text(&kind),
        mode,
        uid,
        gid,
        size_bytes,
        modified,
        links,
        target,
        device,
        sha256: state.and_then(|state| state.sha256.clone()),
        xattrs: state.map(|state| state.xattrs.clone()).unwrap_or_default(),
        flags: state.map(|state| state.flags),
    }
}

/// What serde calls a variant.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
