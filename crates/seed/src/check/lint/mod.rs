//! What no schema can express: things that are valid, but that nobody wants. Each has a file.

mod commands;
pub(super) mod hostname;
pub(super) mod keys;
mod network;
mod packages;
mod passwords;
mod ssh_key;
mod users;
mod write_files;

use super::Role;
use super::finding::Findings;
use crate::yaml::Node;

pub(super) use network::{version_1 as network_v1, version_2 as network_v2};

/// Looks at a cloud-config, which is a mapping.
pub(super) fn cloud_config(root: &Node, role: Role, findings: &mut Findings<'_>) {
    keys::check(root, findings);
    users::check(root, role, findings);
    passwords::check(root, findings);
    ssh_key::check(root, findings);
    write_files::check(root, findings);
    commands::check(root, findings);
    packages::check(root, findings);
    hostname::check(root, findings);
}

/// The users that are created: names and settings. The stock user, `default`, is not among them.
fn named_users(root: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let items = root.get("users").and_then(Node::items).unwrap_or_default();
    items.iter().filter_map(|user| Some((user.text("name")?, user)))
}
