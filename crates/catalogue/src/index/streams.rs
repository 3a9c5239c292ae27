//! Simplestreams: JSON that names products, their versions by serial, and the files of each version.
//!
//! The formats are `index:1.0` and `products:1.0`, as on cloud-images.ubuntu.com. Paths in them begin at the
//! folder that has `streams/`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::cache::{Algorithm, Digest, ParseDigestError};

/// How large an index may be, in bytes.
pub const INDEX_LIMIT_BYTES: u64 = 8 << 20;
/// How large the products may be, in bytes: those of 2026 have 18 MB.
pub const PRODUCTS_LIMIT_BYTES: u64 = 128 << 20;

/// Why a file cannot be found in an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// It is not JSON of that form.
    #[error("the index cannot be read")]
    Json(#[source] serde_json::Error),
    /// It is of another format.
    #[error("the index is of format `{found}`, not `{expected}`")]
    Format {
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// It does not name such content.
    #[error("the index does not name `{content}`")]
    NoContent {
        /// The content.
        content: String,
    },
    /// The content does not have the product, or the product not the item.
    #[error("the index has no image of `{product}`")]
    NoProduct {
        /// The product.
        product: String,
    },
    /// A path in it leads out of its folder.
    #[error("the index has the path `{}`, which leads out of its folder", .path.escape_debug())]
    Path {
        /// The path.
        path: String,
    },
    /// A file in it has no usable digest.
    #[error("the index has no SHA-256 or SHA-512 digest of `{path}`")]
    NoDigest {
        /// The path.
        path: String,
        /// What is wrong with the digest, if there is one.
        source: Option<ParseDigestError>,
    },
}

/// A file of a version of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamItem {
    /// Its version.
    pub serial: String,
    /// Its path, from the folder that has `streams/`.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size_bytes: Option<u64>,
    /// Whether it belongs to a release, not to a preview of one.
    pub is_release: bool,
}

#[derive(Deserialize)]
struct Index {
    format: String,
    index: BTreeMap<String, Content>,
}

#[derive(Deserialize)]
struct Content {
    path: String,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    items: BTreeMap<String, Item>,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    path: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    sha512: Option<String>,
    #[serde(default)]
    size: Option<u64>,
}

/// Where the products of `content` are, from the folder that has `streams/`.
///
/// # Errors
///
/// If the index is invalid, or does not name the content.
pub fn products_path(index: &str, content: &str) -> Result<String, StreamsError> {
    let index: Index = serde_json::from_str(index).map_err(StreamsError::Json)?;
    if index.format != "index:1.0" {
        return Err(StreamsError::Format { found: index.format, expected: "index:1.0" });
    }
    let found = index.index.get(content).ok_or_else(|| StreamsError::NoContent { content: content.to_owned() })?;
    inside(&found.path)?;
    // A signed index should name the signed form; a site that adds signatures later may have forgotten.
    Ok(match found.path.strip_suffix(".json") {
        Some(path) => format!("{path}.sjson"),
        None => found.path.clone(),
    })
}

/// The files called `item` of all versions of `product`, the newest first.
///
/// # Errors
///
/// If these are not products, if `product` is not among them, or if one of its files is invalid.
pub fn items(products: &str, product: &str, item: &str) -> Result<Vec<StreamItem>, StreamsError> {
    let mut deserializer = serde_json::Deserializer::from_str(products);
    let document = Products { wanted: product }.deserialize(&mut deserializer).map_err(StreamsError::Json)?;
    deserializer.end().map_err(StreamsError::Json)?;
    if document.format.as_deref() != Some("products:1.0") {
        let found = document.format.unwrap_or_default();
        return Err(StreamsError::Format { found, expected: "products:1.0" });
    }
    let missing = || StreamsError::NoProduct { product: product.to_owned() };
    let mut items = Vec::new();
    for (serial, version) in document.product.ok_or_else(missing)?.versions {
        let Some(Item { path: Some(path), sha256, sha512, size }) = version.items.get(item) else { continue };
        inside(path)?;
        let digest = match (sha256, sha512) {
            (Some(hex), _) => Digest::from_hex(Algorithm::Sha256, hex).map_err(Some),
            (None, Some(hex)) => Digest::from_hex(Algorithm::Sha512, hex).map_err(Some),
            (None, None) => Err(None),
        };
        let digest = digest.map_err(|source| StreamsError::NoDigest { path: path.clone(), source })?;
        let is_release = version.label.as_deref().is_none_or(|label| matches!(label, "release" | "daily"));
        items.push(StreamItem { serial, path: path.clone(), digest, size_bytes: *size, is_release });
    }
    if items.is_empty() {
        return Err(missing());
    }
    items.sort_by_key(|item| std::cmp::Reverse(order(&item.serial)));
    Ok(items)
}

/// For sorting serials: as numbers, so that `20240523.10` comes after `20240523.9`.
pub(crate) fn order(serial: &str) -> (Vec<u64>, String) {
    (serial.split(['.', '-']).map(|part| part.parse().unwrap_or(0)).collect(), serial.to_owned())
}

/// Whether a path of an index stays below its folder.
fn inside(path: &str) -> Result<(), StreamsError> {
    let is_inside = !path.is_empty()
        && !path.starts_with('/')
        && path.split('/').all(|part| part != "..")
        // Ubuntu's own names have colons, so only `://` marks an address.
        && !path.contains("://")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'%'));
    if is_inside { Ok(()) } else { Err(StreamsError::Path { path: path.to_owned() }) }
}

/// Reads one product, without keeping the others.
struct Products<'a> {
    wanted: &'a str,
}

struct Document {
    format: Option<String>,
    product: Option<Product>,
}

impl<'de> DeserializeSeed<'de> for Products<'_> {
    type Value = Document;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Products<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("products of Simplestreams")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document { format: None, product: None };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "format" => document.format = Some(map.next_value()?),
                "products" => document.product = map.next_value_seed(One { wanted: self.wanted })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(document)
    }
}

/// Reads one value of a map.
struct One<'a> {
    wanted: &'a str,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Option<Product>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Option<Product>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("products by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.wanted {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = include_str!("../../tests/published/released-download-20240822.json");
    const NOBLE: &str = "com.ubuntu.cloud:server:24.04:amd64";

    #[test]
    fn the_published_products_have_their_images_the_newest_first() {
        let items = items(PUBLISHED, NOBLE, "disk1.img").unwrap();
        let serials: Vec<&str> = items.iter().map(|item| item.serial.as_str()).collect();
        assert_eq!(serials, ["20240821", "20240523.1", "20240423"]);
        assert_eq!(items[0].path, "server/releases/noble/release-20240821/ubuntu-24.04-server-cloudimg-amd64.img");
        assert_eq!(
            items[0].digest.to_string(),
            "sha256:0e25ca6ee9f08ec5d4f9910054b66ae7163c6152e81a3e67689d89bd6e4dfa69"
        );
        assert_eq!((items[0].size_bytes, items[0].is_release), (Some(586_022_912), true));
    }

    #[test]
    fn what_is_not_in_the_products_is_named() {
        for (product, item) in [("com.ubuntu.cloud:server:24.04:vax", "disk1.img"), (NOBLE, "disk9.img")] {
            let error = items(PUBLISHED, product, item).unwrap_err().to_string();
            assert_eq!(error, format!("the index has no image of `{product}`"));
        }
    }

    /// Products with one version, whose item is `item`.
    fn with_item(item: &str) -> Result<Vec<StreamItem>, StreamsError> {
        let text = format!(
            r#"{{"format":"products:1.0","products":{{"p":{{"versions":{{"1":{{"items":{{"i":{item}}}}}}}}}}}}}"#
        );
        items(&text, "p", "i")
    }

    #[test]
    fn bad_paths_and_digests_are_refused() {
        let digest = "ab".repeat(32);
        let with_path = |path: &str| with_item(&format!(r#"{{"path":"{path}","sha256":"{digest}"}}"#));
        assert_eq!(with_path("a/b:c.img").unwrap().len(), 1);
        for path in
            ["", "/a", "../a", "a/../b", "https://a.example/b", "a b", "a?b", "a%2fb", r"a\\b", r"a\u0000b", "é"]
        {
            assert!(matches!(with_path(path), Err(StreamsError::Path { .. })), "{path}");
        }
        for item in [r#"{"path":"a"}"#, r#"{"path":"a","sha256":"ab"}"#, r#"{"path":"a","md5":"ab"}"#] {
            assert!(matches!(with_item(item), Err(StreamsError::NoDigest { .. })), "{item}");
        }
        let with_sha512 = with_item(&format!(r#"{{"path":"a","sha512":"{}","size":7}}"#, "cd".repeat(64))).unwrap();
        assert_eq!((with_sha512[0].digest.algorithm(), with_sha512[0].size_bytes), (Algorithm::Sha512, Some(7)));
    }

    #[test]
    fn serials_are_ordered_as_numbers() {
        let mut serials = ["20240523.10", "20240523", "20240523.9", "20231231.1", "20240701"];
        serials.sort_by_key(|serial| order(serial));
        assert_eq!(serials, ["20231231.1", "20240523", "20240523.9", "20240523.10", "20240701"]);
    }

    #[test]
    fn an_index_says_where_its_products_are() {
        let index = |format: &str, path: &str| {
            let text = format!(r#"{{"format":"{format}","index":{{"c":{{"path":"{path}","products":["p"]}}}}}}"#);
            products_path(&text, "c")
        };
        assert_eq!(index("index:1.0", "streams/v1/c.json").unwrap(), "streams/v1/c.sjson");
        assert_eq!(index("index:1.0", "streams/v1/c.sjson").unwrap(), "streams/v1/c.sjson");
        assert!(matches!(index("index:2.0", "streams/v1/c.json"), Err(StreamsError::Format { .. })));
        assert!(matches!(index("index:1.0", "../c.json"), Err(StreamsError::Path { .. })));
        let error = products_path(r#"{"format":"index:1.0","index":{}}"#, "c").unwrap_err();
        assert_eq!(error.to_string(), "the index does not name `c`");
        for text in ["", "{", "[]", r#"{"format":"index:1.0"}"#] {
            assert!(matches!(products_path(text, "c"), Err(StreamsError::Json(_))), "{text}");
            assert!(items(text, "p", "i").is_err(), "{text}");
        }
    }
}
