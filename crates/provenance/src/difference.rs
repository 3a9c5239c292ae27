//! Whether what differs is what a manifest says.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::{Changes, File, PathChange};

/// Each way in which `found`, what differs between base and image, is not what `said` says: a line each.
pub fn difference(said: &Changes, found: &Changes) -> Vec<String> {
    let mut lines = Vec::new();
    if said.disk_bytes != found.disk_bytes {
        lines.push(format!("the disks' sizes are {}, and the manifest says {}", found.disk_bytes, said.disk_bytes));
    }
    for (place, said, found) in [
        ("the partition table", &said.partition_table, &found.partition_table),
        ("the disk outside of partitions", &said.outside, &found.outside),
        ("a partition", &said.volumes, &found.volumes),
    ] {
        values(place, said, found, &mut lines);
    }
    paths(&said.paths, &found.paths, &mut lines);
    lines
}

/// Compares lists as multisets: what is said twice has to be there twice.
fn values(place: &str, said: &[Value], found: &[Value], lines: &mut Vec<String>) {
    let count = |values: &[Value]| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        values.iter().for_each(|value| *counts.entry(value.to_string()).or_default() += 1);
        counts
    };
    let (said, found) = (count(said), count(found));
    for text in found.keys().filter(|text| found.get(*text) > said.get(*text)) {
        lines.push(format!("in {place}, this differs, which the manifest does not say: {text}"));
    }
    for text in said.keys().filter(|text| said.get(*text) > found.get(*text)) {
        lines.push(format!("in {place}, this does not differ, which the manifest says: {text}"));
    }
}

fn paths(said: &[PathChange], found: &[PathChange], lines: &mut Vec<String>) {
    let by_path = |paths: &'_ [PathChange]| -> BTreeMap<(String, String), Vec<PathChange>> {
        let mut map: BTreeMap<_, Vec<PathChange>> = BTreeMap::new();
        for path in paths {
            map.entry((path.volume.clone(), path.path.clone())).or_default().push(path.clone());
        }
        map
    };
    let (mut said, found) = (by_path(said), by_path(found));
    for ((volume, path), found) in found {
        let said = said.remove(&(volume.clone(), path.clone())).unwrap_or_default();
        if said.is_empty() {
            lines.extend(
                found.iter().map(|found| format!("`{path}` is {}, which the manifest does not say", found.change)),
            );
        } else if said.len() != found.len() {
            lines.push(format!("the manifest has `{path}` {} times", said.len()));
        }
        for (said, found) in said.iter().zip(&found) {
            path_difference(said, found, lines);
        }
    }
    for ((_, path), said) in said {
        let what: Vec<&str> = said.iter().map(|said| said.change.as_str()).collect();
        lines.push(format!("`{path}` is as in the base, and the manifest says that it is {}", what.join(" and ")));
    }
}

fn path_difference(said: &PathChange, found: &PathChange, lines: &mut Vec<String>) {
    let path = &found.path;
    if said.change != found.change {
        lines.push(format!("`{path}` is {}, and the manifest says that it is {}", found.change, said.change));
        return;
    }
    for (side, said, found) in [("in the image", &said.image, &found.image), ("in the base", &said.base, &found.base)] {
        match (said, found) {
            (Some(said), Some(found)) => file_difference(&format!("`{path}` {side}"), said, found, lines),
            (None, None) => {}
            _ => lines.push(format!("the manifest does not say what `{path}` is {side}, or says it for nothing")),
        }
    }
    if said.what != found.what {
        let (said, found) = (said.what.join(", "), found.what.join(", "));
        lines.push(format!("of `{path}`, {found} differs, and the manifest says: {said}"));
    }
}

fn file_difference(name: &str, said: &File, found: &File, lines: &mut Vec<String>) {
    if said == found {
        return;
    }
    let number = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
    let facts = |file: &File| {
        [
            ("kind", file.kind.clone()),
            ("mode", file.mode.clone()),
            ("owner", format!("{}:{}", file.uid, file.gid)),
            ("size", number(file.size_bytes)),
            ("SHA-256", file.sha256.clone().unwrap_or_default()),
            ("mtime", format!("{}.{:09}", file.modified.0, file.modified.1)),
            ("number of names", number(file.links.map(u64::from))),
            ("target", file.target.clone().unwrap_or_default()),
            ("device", format!("{:?}", file.device)),
            ("extended attributes", format!("{:?}", file.xattrs)),
            ("flags", number(file.flags.map(u64::from))),
        ]
    };
    for ((what, said), (_, found)) in facts(said).into_iter().zip(facts(found)) {
        if said != found {
            lines.push(format!("{name} has the {what} {found}, and the manifest says {said}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str, sha256: &str) -> PathChange {
        let file = File { kind: "regular".into(), mode: "0644".into(), sha256: Some(sha256.into()), ..File::default() };
        PathChange {
            change: "added".into(),
            path: name.into(),
            volume: "partition 1".into(),
            what: Vec::new(),
            base: None,
            image: Some(file),
        }
    }

    fn changes(paths: Vec<PathChange>) -> Changes {
        Changes { paths, ..Changes::default() }
    }

    #[test]
    fn every_lie_has_its_line() {
        let (a, b) = (path("/a", "11"), path("/b", "22"));
        let said = changes(vec![a.clone(), b.clone()]);
        assert!(difference(&said, &changes(vec![b.clone(), a.clone()])).is_empty());
        let lines = |found: Vec<PathChange>| difference(&said, &changes(found)).join("\n");
        assert_eq!(lines(vec![a.clone()]), "`/b` is as in the base, and the manifest says that it is added");
        assert_eq!(
            lines(vec![a.clone(), b.clone(), path("/c", "33")]),
            "`/c` is added, which the manifest does not say"
        );
        assert_eq!(
            lines(vec![a.clone(), path("/b", "23")]),
            "`/b` in the image has the SHA-256 23, and the manifest says 22"
        );
        let mut other = b.clone();
        other.image.as_mut().unwrap().mode = "4755".into();
        assert_eq!(lines(vec![a.clone(), other]), "`/b` in the image has the mode 4755, and the manifest says 0644");
        // The same path twice, with two contents: one of them is right.
        let twice = changes(vec![a.clone(), b.clone(), path("/b", "23")]);
        assert_eq!(difference(&twice, &said), ["the manifest has `/b` 2 times"]);
        let sector = serde_json::json!({"place": "gap", "sectors": 1});
        let found = Changes { outside: vec![sector.clone(), sector.clone()], ..said.clone() };
        let told = Changes { outside: vec![sector], ..said.clone() };
        assert_eq!(difference(&told, &found).len(), 1);
        assert_eq!(difference(&found, &told).len(), 1);
    }
}
