//! Which images are published, and where: the data of `catalogue.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::cache::Algorithm;
use crate::name::is_serial;
use crate::openpgp::Fingerprint;

/// The catalogue of this build of the program.
const BUILTIN: &str = include_str!("../catalogue.toml");

/// All that has a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The format of the data.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test reads it"))]
    version: u32,
    /// Who signs.
    signer: BTreeMap<String, Signer>,
    /// What is published.
    distribution: BTreeMap<String, Distribution>,
}

/// A signer of lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// Who that is.
    pub about: String,
    /// The fingerprints of the only primary keys that may sign.
    #[serde(deserialize_with = "fingerprints")]
    pub fingerprints: Vec<Fingerprint>,
    /// Files in which the public keys may be on a machine.
    pub keyrings: Vec<String>,
    /// The package that contains these files.
    pub package: String,
    /// The address of a public key, with `{fingerprint}` in it.
    pub keyserver: String,
}

/// A distribution.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distribution {
    /// Where its images are published, without a slash at the end.
    pub site: String,
    /// The signer of its lists, if there is one.
    #[serde(default)]
    signer: Option<String>,
    /// The architectures that it is published for.
    pub architectures: Vec<String>,
    /// The default variant.
    pub default_variant: String,
    /// Its releases, the oldest first.
    pub releases: Vec<Release>,
    /// The variants of each release.
    variant: BTreeMap<String, Variant>,
}

/// A release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `24.04`.
    pub version: String,
    /// `noble`, if it has another name than its version.
    #[serde(default)]
    pub codename: Option<String>,
    /// Which of its builds is published, if the publisher makes one for a release and names files after it: Fedora's `1.7`.
    #[serde(default)]
    pub build: Option<String>,
}

/// One of several images of a release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What it is, for people.
    pub about: String,
    /// Its place in an index, if it is in one.
    #[serde(default)]
    pub streams: Option<Streams>,
    /// The folders that have it.
    pub folder: Folder,
}

/// The place of an image in a Simplestreams index.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// The address of the inline-signed index.
    pub index: Template,
    /// The name of the content in it.
    pub content: String,
    /// The name of the product in that.
    pub product: Template,
    /// The name of the item in each of its versions.
    pub item: String,
}

/// The folders that have an image and a list of digests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Folder {
    /// The folder of the newest build.
    pub newest: Template,
    /// The folder of one build, if builds stay there.
    #[serde(default)]
    pub dated: Option<Template>,
    /// The image's file, if the newest build has a name that stays the same.
    #[serde(default)]
    pub file: Option<Template>,
    /// The image's file under the name of its build, if it has one.
    #[serde(default)]
    pub dated_file: Option<Template>,
    /// The list of digests, of SHA-512 if its name has `512` in it, else of SHA-256.
    pub sums: Template,
    /// The detached signature of the list.
    #[serde(default)]
    pub signature: Option<Template>,
    /// Whether the list carries its signature.
    #[serde(default)]
    pub signed_inline: bool,
    /// A file that names the newest build.
    #[serde(default)]
    pub manifest: Option<Template>,
}

/// A text with `{names}` in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Template(String);

/// What a template's names stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub(crate) version: &'a str,
    pub(crate) codename: &'a str,
    pub(crate) variant: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) build: &'a str,
    pub(crate) serial: &'a str,
}

impl Catalogue {
    /// The catalogue that is part of the program.
    pub fn builtin() -> &'static Self {
        static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
        // A test reads it too, so this cannot fail for a user.
        #[expect(clippy::expect_used, reason = "the data is part of the program")]
        CATALOGUE.get_or_init(|| toml::from_str(BUILTIN).expect("the catalogue of the program can be read"))
    }

    /// The distributions by their names.
    pub fn distributions(&self) -> impl Iterator<Item = (&str, &Distribution)> {
        self.distribution.iter().map(|(name, distribution)| (name.as_str(), distribution))
    }

    /// The distribution of this name.
    pub fn distribution(&self, name: &str) -> Option<&Distribution> {
        self.distribution.get(name)
    }

    /// Who signs the lists of `distribution`, if anybody does.
    pub fn signer(&self, distribution: &Distribution) -> Option<&Signer> {
        distribution.signer.as_ref().and_then(|signer| self.signer.get(signer))
    }
}

impl Distribution {
    /// The variants by their names.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &Variant)> {
        self.variant.iter().map(|(name, variant)| (name.as_str(), variant))
    }

    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variant.get(name)
    }

    /// The release with this version or codename.
    pub fn release(&self, name: &str) -> Option<&Release> {
        self.releases.iter().find(|release| release.version == name || release.codename.as_deref() == Some(name))
    }
}

impl Release {
    /// Its codename, or its version if it has none.
    pub(crate) fn codename(&self) -> &str {
        self.codename.as_deref().unwrap_or(&self.version)
    }
}

impl Folder {
    /// The algorithm of the list's digests.
    pub(crate) fn algorithm(&self) -> Algorithm {
        if self.sums.0.contains("512") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }
}

impl Template {
    pub(crate) fn fill(&self, values: Values<'_>) -> String {
        let Values { version, codename, variant, architecture, build, serial } = values;
        let machine = match architecture {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        self.0
            .replace("{version}", version)
            .replace("{codename}", codename)
            .replace("{variant}", variant)
            .replace("{arch}", architecture)
            .replace("{machine}", machine)
            .replace("{build}", build)
            .replace("{serial}", serial)
    }

    /// The serial in a text that is this one with a serial in it.
    pub(crate) fn serial_in<'a>(&self, values: Values<'_>, text: &'a str) -> Option<&'a str> {
        const PLACE: &str = "{serial}";
        let filled = self.fill(Values { serial: PLACE, ..values });
        let (before, after) = filled.split_once(PLACE)?;
        text.strip_prefix(before)?.strip_suffix(after).filter(|serial| is_serial(serial))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn fingerprints<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Fingerprint>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_of_the_program_holds_together() {
        let catalogue = Catalogue::builtin();
        assert_eq!(catalogue.version, 1);
        let names: Vec<&str> = catalogue.distributions().map(|(name, _)| name).collect();
        let expected =
            ["almalinux", "alpine", "amzn", "arch", "centos", "debian", "fedora", "opensuse-leap", "rocky", "ubuntu"];
        assert_eq!(names, expected);
        for (name, distribution) in catalogue.distributions() {
            assert!(distribution.site.starts_with("https://") && !distribution.site.ends_with('/'), "{name}");
            assert!(distribution.variant(&distribution.default_variant).is_some(), "{name}");
            assert_eq!(distribution.signer.is_some(), catalogue.signer(distribution).is_some(), "{name}");
            for release in &distribution.releases {
                for (variant_name, variant) in distribution.variants() {
                    let values = Values {
                        version: &release.version,
                        codename: release.codename(),
                        variant: variant_name,
                        architecture: &distribution.architectures[0],
                        build: release.build.as_deref().unwrap_or("{build}"),
                        serial: "20260102",
                    };
                    let folder = &variant.folder;
                    let streams = variant.streams.iter().flat_map(|streams| [&streams.index, &streams.product]);
                    let templates = [&folder.newest, &folder.sums].into_iter().chain(streams).chain(&folder.dated);
                    let files =
                        folder.file.iter().chain(&folder.dated_file).chain(&folder.manifest).chain(&folder.signature);
                    for template in templates.chain(files) {
                        let text = template.fill(values);
                        assert!(!text.contains(['{', '}', ' ']) && !text.starts_with('/'), "{template}: {text}");
                    }
                    let dated = folder.dated.iter().chain(&folder.dated_file);
                    let is_named =
                        folder.dated.is_none() || dated.clone().any(|template| template.0.contains("{serial}"));
                    assert!(
                        is_named && (folder.file.is_some() || folder.dated_file.is_some()),
                        "{name}/{variant_name}"
                    );
                    let is_signed = folder.signature.is_some() || folder.signed_inline;
                    assert_eq!(is_signed, distribution.signer.is_some(), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_serial_is_what_stands_in_its_place() {
        let template = Template("Rocky-{version}-Base-{serial}.{machine}.qcow2".to_owned());
        let values = Values { version: "9", codename: "9", variant: "", architecture: "arm64", build: "", serial: "" };
        let serial = |text| template.serial_in(values, text);
        assert_eq!(serial("Rocky-9-Base-9.8-20260525.0.aarch64.qcow2"), Some("9.8-20260525.0"));
        for other in
            ["Rocky-9-Base-9.8.x86_64.qcow2", "Rocky-9-Base-latest.aarch64.qcow2", "Rocky-9-Base-.aarch64.qcow2"]
        {
            assert_eq!(serial(other), None, "{other}");
        }
    }

    #[test]
    fn canonicals_two_keys_are_pinned() {
        let catalogue = Catalogue::builtin();
        let ubuntu = catalogue.distribution("ubuntu").unwrap();
        let pinned: Vec<String> =
            catalogue.signer(ubuntu).unwrap().fingerprints.iter().map(ToString::to_string).collect();
        assert_eq!(pinned, ["D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81", "4A3CE3CD565D7EB5C810E2B97FF3F408476CF100"]);
    }
}
