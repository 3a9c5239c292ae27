//! Who may depend on whom: the map of ARCHITECTURE.md, held against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use testkit::judge::judge;

/// What each crate of ours may use of ours. The command line is the only one that knows of a command line.
const EDGES: [(&str, &[&str]); 33] = [
    ("storage", &[]),
    ("words", &[]),
    ("authorized-keys", &[]),
    ("page", &[]),
    ("provenance", &[]),
    ("image", &["storage"]),
    ("partition", &["storage"]),
    ("lvm", &["storage"]),
    ("metadata", &[]),
    ("selinux", &["metadata"]),
    ("ext4", &["metadata", "storage"]),
    ("fat", &["storage"]),
    ("xfs", &["metadata", "storage"]),
    ("iso9660", &["storage"]),
    ("delta", &["storage"]),
    ("guest", &["ext4", "fat", "lvm", "metadata", "partition", "storage", "xfs"]),
    ("recipe", &["guest", "image", "words"]),
    ("audit", &["guest", "recipe", "words"]),
    ("customize", &["audit", "authorized-keys", "guest", "image", "recipe", "selinux", "storage", "words"]),
    ("seed", &["authorized-keys", "fat", "iso9660", "storage", "words"]),
    ("catalogue", &["words"]),
    ("registry", &["catalogue", "image"]),
    ("vm", &["guest", "partition", "storage"]),
    ("export", &["image", "vm"]),
    ("judge", &["page", "recipe", "vm"]),
    ("graft", &["audit", "customize", "delta", "guest", "image", "recipe", "seed", "storage", "words"]),
    ("sandbox-sys", &[]),
    ("sandbox", &["sandbox-sys"]),
    ("scratch", &["guest", "storage"]),
    ("mount", &["guest", "scratch"]),
    ("run", &["customize", "guest", "mount", "sandbox", "scratch"]),
    ("testkit", &[]),
    (
        "imgraft",
        &[
            "audit",
            "catalogue",
            "customize",
            "delta",
            "export",
            "graft",
            "guest",
            "image",
            "judge",
            "mount",
            "page",
            "partition",
            "provenance",
            "recipe",
            "registry",
            "run",
            "sandbox",
            "scratch",
            "seed",
            "storage",
            "vm",
            "words",
        ],
    ),
];

/// What only some of our crates may use of others', and which.
const RESERVED: [(&str, &[&str]); 6] = [
    ("clap", &["imgraft"]),
    ("indicatif", &["imgraft"]),
    ("anstream", &["imgraft"]),
    ("ureq", &["catalogue"]),
    ("httparse", &["seed"]),
    ("fuser", &["mount"]),
];

/// The names without the prefix of a package, and what each depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline", "--manifest-path"];
    let said = judge(env!("CARGO")).args(arguments).arg(manifest).succeed().stdout;
    let metadata: serde_json::Value = serde_json::from_str(&said).unwrap();
    let name = |value: &serde_json::Value| {
        let name = value["name"].as_str().unwrap();
        name.strip_prefix("imgraft-").unwrap_or(name).to_owned()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    let used = |package: &serde_json::Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        // What is optional is for tests.
        let is_used = |dependency: &&serde_json::Value| dependency["kind"] != "dev" && dependency["optional"] != true;
        dependencies.filter(is_used).map(name).collect()
    };
    packages.map(|package| (name(package), used(package))).collect()
}

#[test]
fn each_crate_uses_what_it_may_and_no_more() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(ours, EDGES.iter().map(|(name, _)| *name).collect(), "each crate has its line");
    for (name, allowed) in EDGES {
        let used: BTreeSet<&str> =
            dependencies[name].iter().map(String::as_str).filter(|&used| ours.contains(used)).collect();
        assert_eq!(used, allowed.iter().copied().collect(), "what `{name}` uses");
    }
    for (library, allowed) in RESERVED {
        let users: BTreeSet<&str> =
            dependencies.iter().filter(|(_, used)| used.contains(library)).map(|(name, _)| name.as_str()).collect();
        assert_eq!(users, allowed.iter().copied().collect(), "who uses `{library}`");
    }
}

#[test]
fn the_map_of_the_architecture_is_this_one() {
    let architecture = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")).unwrap();
    for (name, _) in EDGES {
        assert!(architecture.contains(&format!("\n| `{name}` | ")), "ARCHITECTURE.md has no row for `{name}`");
    }
}
