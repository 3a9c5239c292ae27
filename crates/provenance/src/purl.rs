//! Packages, and the addresses that SBOMs have for them.

/// Whose package it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian's.
    Dpkg,
    /// Alpine's.
    Apk,
    /// Fedora's, Red Hat's and SUSE's.
    Rpm,
    /// Arch's.
    Pacman,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, as its manager writes it.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

/// The package URL of a package: `pkg:deb/ubuntu/openssh-server@1:9.6p1-3ubuntu13?arch=amd64&distro=ubuntu-24.04`.
/// `system` is the guest's `ID` of os-release, and `version` its `VERSION_ID`.
pub fn purl(manager: Manager, package: &Package, system: &str, version: Option<&str>) -> String {
    let kind = match manager {
        Manager::Dpkg => "deb",
        Manager::Apk => "apk",
        Manager::Rpm => "rpm",
        Manager::Pacman => "alpm",
    };
    // Only rpm tells large letters from small ones, and has the epoch beside the version.
    let (name, epoch, version_there) = match (manager, package.version.split_once(':')) {
        (Manager::Rpm, Some((epoch, version))) => (package.name.clone(), Some(epoch), version),
        (Manager::Rpm, None) => (package.name.clone(), None, package.version.as_str()),
        _ => (package.name.to_ascii_lowercase(), None, package.version.as_str()),
    };
    let (namespace, name) = (encoded(&system.to_ascii_lowercase()), encoded(&name));
    let mut purl = format!("pkg:{kind}/{namespace}/{name}@{}", encoded(version_there));
    let distro = version.map(|version| format!("{system}-{version}"));
    let qualifiers = [("arch", Some(package.architecture.as_str())), ("distro", distro.as_deref()), ("epoch", epoch)];
    let qualifiers = qualifiers.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    for (index, (key, value)) in qualifiers.filter(|(_, value)| !value.is_empty()).enumerate() {
        purl.push(if index == 0 { '?' } else { '&' });
        purl.push_str(&format!("{key}={}", encoded(value)));
    }
    purl
}

/// Percent-encoded as package URLs want it: a colon stays.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_part_is_encoded() {
        let package =
            Package { name: "libstdc++6".into(), version: "1:2~x+b@1?#/".into(), architecture: "amd64".into() };
        assert_eq!(
            purl(Manager::Dpkg, &package, "ubuntu", Some("24.04")),
            "pkg:deb/ubuntu/libstdc%2B%2B6@1:2~x%2Bb%401%3F%23%2F?arch=amd64&distro=ubuntu-24.04"
        );
    }
}
