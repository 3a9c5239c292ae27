//! `meta-data` made here, and the instance-id in it.

use crate::digest::ContentDigest;
use crate::{Error, Seed};

/// How many digits of the digest an instance-id has: 128 bits.
const ID_DIGITS: usize = 32;

/// The content of `meta-data` besides the instance-id. Empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaData {
    /// The guest's name.
    pub local_hostname: Vec<u8>,
    /// Interfaces as in `/etc/network/interfaces`.
    pub interfaces: Vec<u8>,
    /// `local` or `net`: whether the network must be there first.
    pub dsmode: Vec<u8>,
}

/// How the instance-id is chosen, by which a guest recognises a new first boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceId {
    /// A digest of the seed's content.
    FromContent,
    /// This one.
    Given(String),
}

impl MetaData {
    /// The file: JSON, which is YAML too, with a line for each key.
    pub fn to_json(&self, instance_id: &str) -> Vec<u8> {
        let lines: Vec<Vec<u8>> = [("instance-id", instance_id.as_bytes())]
            .into_iter()
            .chain(self.fields())
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| [b"\"", key.as_bytes(), b"\": \"", &escaped(value), b"\""].concat())
            .collect();
        [b"{\n", &lines.join(&b",\n"[..])[..], b"\n}\n"].concat()
    }

    fn fields(&self) -> [(&'static str, &[u8]); 3] {
        [("local-hostname", &self.local_hostname), ("interfaces", &self.interfaces), ("dsmode", &self.dsmode)]
    }
}

/// The text escaped for a JSON string. Invalid UTF-8 stays as it is.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'"' | b'\\' => escaped.extend([b'\\', byte]),
            b'\n' => escaped.extend(b"\\n"),
            b'\t' => escaped.extend(b"\\t"),
            b'\r' => escaped.extend(b"\\r"),
            0..0x20 | 0x7f => escaped.extend(format!("\\u{byte:04x}").bytes()),
            _ => escaped.push(byte),
        }
    }
    escaped
}

/// An ID that changes whenever anything in the seed changes.
pub(crate) fn instance_id(seed: &Seed, meta_data: &MetaData) -> Result<String, Error> {
    let files = seed.files().into_iter().filter(|(name, _)| *name != "meta-data");
    let mut digest = ContentDigest::of_files(files)?;
    for (name, value) in meta_data.fields().into_iter().filter(|(_, value)| !value.is_empty()) {
        digest.add(name, value);
    }
    let digits: String = digest.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("iid-{}", &digits[..ID_DIGITS]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use storage::ReadAt;

    fn content(text: &str) -> Content {
        Arc::new(storage::Memory::from(text.as_bytes().to_vec()))
    }

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_is_json() {
        let meta_data = MetaData { local_hostname: b"a\"b".to_vec(), dsmode: b"net".to_vec(), ..MetaData::default() };
        let expected = "{\n\"instance-id\": \"x\",\n\"local-hostname\": \"a\\\"b\",\n\"dsmode\": \"net\"\n}\n";
        assert_eq!(String::from_utf8(meta_data.to_json("x")).unwrap(), expected);
        assert_eq!(MetaData::default().to_json("x"), b"{\n\"instance-id\": \"x\"\n}\n");
        assert_eq!(escaped(b"auto lo\n\tx\x01\xff"), b"auto lo\\n\\tx\\u0001\xff");
    }

    #[test]
    fn another_content_is_another_instance() {
        let id = |user: &str, network: Option<&str>, vendor: Option<&str>, host: &str| {
            let meta_data = MetaData { local_hostname: host.as_bytes().to_vec(), ..MetaData::default() };
            let (network, vendor) = (network.map(content), vendor.map(content));
            let seed = Seed::generate(content(user), network, vendor, meta_data, InstanceId::FromContent).unwrap();
            let mut bytes = vec![0; seed.meta_data.size_bytes() as usize];
            seed.meta_data.read_at(0, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap().split('"').nth(3).unwrap().to_owned()
        };
        let ids = [
            id("a", None, None, ""),
            id("b", None, None, ""),
            id("", None, None, ""),
            id("a", Some(""), None, ""),
            id("a", Some("b"), None, ""),
            id("a", None, Some("b"), ""),
            id("a", None, None, "b"),
        ];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert_eq!(ids[0], id("a", None, None, ""));
        // What `{ printf 'imgraft seed 1'; printf '\11\0\0\0\0\0\0\0user-data\1\0\0\0\0\0\0\0a'; } | sha256sum` begins with.
        assert_eq!(ids[0], "iid-f3bc8e745ac38907c5b9b0334f7cb894");
    }
}
