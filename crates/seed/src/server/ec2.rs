//! The tree of Amazon's metadata service, as far as it makes sense outside of Amazon's cloud.

use super::seeds::{SeedFile, Seeds};
use crate::Content;

/// The versions of the tree; all are the same here.
const VERSIONS: [&str; 5] = ["2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", LATEST];
const LATEST: &str = "latest";
/// How many digits of the digest an instance's id has, as Amazon's do.
const ID_DIGITS: usize = 17;
const ACCOUNT: &str = "000000000000";

/// What the metadata service knows about an instance besides its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ec2 {
    /// SSH keys for the image's own user, each a line of `authorized_keys`.
    pub public_keys: Vec<String>,
    /// The instance's name.
    pub hostname: String,
    /// Such as `t3.micro`.
    pub instance_type: String,
    /// Such as `us-east-1a`: a region, and a letter.
    pub availability_zone: String,
    /// The address of the instance in its network.
    pub local_ipv4: String,
}

impl Default for Ec2 {
    fn default() -> Self {
        Self {
            public_keys: Vec::new(),
            hostname: "instance".to_owned(),
            instance_type: "t3.micro".to_owned(),
            availability_zone: "us-east-1a".to_owned(),
            // The address that QEMU's user network gives its first guest in the network of the service.
            local_ipv4: "169.254.2.15".to_owned(),
        }
    }
}

/// An entry of the tree.
enum Node {
    Leaf(String),
    Folder(Vec<Entry>),
}

struct Entry {
    name: String,
    /// The listing of the folder.
    listed: String,
    node: Node,
}

/// The entry at a place of the tree.
pub(super) enum Found {
    Text(String),
    Json(String),
    Content(Content),
    Nothing,
}

/// Whether it looks like a version, existing or not: no instance has such a name.
pub(super) fn is_version(segment: &str) -> bool {
    let is_date = |segment: &str| {
        segment.len() == 10
            && segment.bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    segment == LATEST || is_date(segment)
}

/// The list of the versions.
pub(super) fn versions() -> String {
    VERSIONS.join("\n")
}

impl Ec2 {
    /// What is at a place below a version.
    pub(super) fn find(&self, version: &str, segments: &[&str], seeds: &Seeds) -> std::io::Result<Found> {
        if !VERSIONS.contains(&version) {
            return Ok(Found::Nothing);
        }
        let digest = seeds.digest()?;
        Ok(match *segments {
            [] => Found::Text("dynamic\nmeta-data\nuser-data".to_owned()),
            ["user-data"] => match seeds.file(None, SeedFile::UserData)? {
                Some(content) if content.size_bytes() > 0 => Found::Content(content),
                _ => Found::Nothing,
            },
            ["meta-data", ref path @ ..] => self.meta_data(&instance_id(&digest)).find(path),
            ["dynamic"] => Found::Text("instance-identity/".to_owned()),
            ["dynamic", "instance-identity"] => Found::Text("document".to_owned()),
            ["dynamic", "instance-identity", "document"] => Found::Json(self.document(&instance_id(&digest))),
            _ => Found::Nothing,
        })
    }

    fn meta_data(&self, instance_id: &str) -> Node {
        let keys: Vec<Entry> = self.public_keys.iter().enumerate().map(|(index, key)| public_key(index, key)).collect();
        let mut entries = vec![
            leaf("ami-id", "ami-00000000000000000"),
            leaf("ami-launch-index", "0"),
            leaf("ami-manifest-path", "(unknown)"),
            leaf("hostname", &self.hostname),
            leaf("instance-action", "none"),
            leaf("instance-id", instance_id),
            leaf("instance-life-cycle", "on-demand"),
            leaf("instance-type", &self.instance_type),
            leaf("local-hostname", &self.hostname),
            leaf("local-ipv4", &self.local_ipv4),
            folder(
                "placement",
                vec![leaf("availability-zone", &self.availability_zone), leaf("region", self.region())],
            ),
            leaf("profile", "default-hvm"),
            leaf("reservation-id", "r-00000000000000000"),
            leaf("security-groups", "default"),
            folder("services", vec![leaf("domain", "amazonaws.com"), leaf("partition", "aws")]),
        ];
        if !keys.is_empty() {
            entries.push(folder("public-keys", keys));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Node::Folder(entries)
    }

    /// The zone without its letter.
    fn region(&self) -> &str {
        self.availability_zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase())
    }

    fn document(&self, instance_id: &str) -> String {
        let quoted = crate::user_data::quoted;
        format!(
            "{{\n  \"accountId\" : \"{ACCOUNT}\",\n  \"architecture\" : \"x86_64\",\n  \"availabilityZone\" : {},\n  \
             \"imageId\" : \"ami-00000000000000000\",\n  \"instanceId\" : {},\n  \"instanceType\" : {},\n  \
             \"privateIp\" : {},\n  \"region\" : {},\n  \"version\" : \"2017-09-30\"\n}}",
            quoted(&self.availability_zone),
            quoted(instance_id),
            quoted(&self.instance_type),
            quoted(&self.local_ipv4),
            quoted(self.region())
        )
    }
}

impl Node {
    fn find(&self, path: &[&str]) -> Found {
        match (self, path) {
            (Self::Leaf(text), []) => Found::Text(text.clone()),
            (Self::Folder(entries), []) => {
                let lines: Vec<&str> = entries.iter().map(|entry| entry.listed.as_str()).collect();
                Found::Text(lines.join("\n"))
            }
            (Self::Folder(entries), [name, rest @ ..]) => {
                entries.iter().find(|entry| entry.name == *name).map_or(Found::Nothing, |entry| entry.node.find(rest))
            }
            (Self::Leaf(_), _) => Found::Nothing,
        }
    }
}

fn leaf(name: &str, text: &str) -> Entry {
    Entry { name: name.to_owned(), listed: name.to_owned(), node: Node::Leaf(text.to_owned()) }
}

fn folder(name: &str, entries: Vec<Entry>) -> Entry {
    Entry { name: name.to_owned(), listed: format!("{name}/"), node: Node::Folder(entries) }
}

/// Keys are listed by number and name, and are found by number only.
fn public_key(index: usize, key: &str) -> Entry {
    let listed = format!("{index}=key-{index}");
    Entry { listed, ..folder(&index.to_string(), vec![leaf("openssh-key", key)]) }
}

fn instance_id(digest: &[u8]) -> String {
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("i-{}", &digits[..ID_DIGITS])
}
