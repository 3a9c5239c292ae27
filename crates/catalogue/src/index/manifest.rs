//! Debian's manifests: JSON that names the build of an image.

use serde::Deserialize;

use crate::name::is_serial;

/// How large a manifest may be, in bytes: the packages of an image are in it.
pub const LIMIT_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
struct Manifest {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    info: Info,
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    version: Option<String>,
}

/// The serial of the build in the manifest `json`, if it has one.
pub fn serial(json: &[u8]) -> Option<String> {
    let manifest: Manifest = serde_json::from_slice(json).ok()?;
    manifest.items.into_iter().find_map(|item| item.data.info.version).filter(|serial| is_serial(serial))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &[u8] = include_bytes!("../../tests/published/debian-12-generic-amd64-20260316-2418.json");

    #[test]
    fn the_published_manifest_says_its_build() {
        assert_eq!(serial(PUBLISHED).as_deref(), Some("20260316-2418"));
    }

    #[test]
    fn what_says_none_has_none() {
        for json in
            ["", "{}", r#"{"items":[]}"#, r#"{"items":[{"data":{"info":{"version":"../x"}}}]}"#, r#"{"items":[{}]}"#]
        {
            assert_eq!(serial(json.as_bytes()), None, "{json}");
        }
    }
}
