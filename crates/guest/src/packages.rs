//! The lists of installed packages that dpkg and apk keep.

use serde::Serialize;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Name: `openssh-server`.
    pub name: String,
    /// Version: `1:9.6p1-3ubuntu13.5`.
    pub version: String,
    /// Architecture: `amd64`, `all`.
    pub architecture: String,
}

/// The installed packages in the text of `/var/lib/dpkg/status`, in the file's order.
///
/// A package that is not completely installed does not count, nor does one of which only the configuration is left.
pub(crate) fn parse_dpkg_status(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    for line in text.lines() {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut paragraph).into_package());
        } else {
            paragraph.take_line(line);
        }
    }
    packages.extend(paragraph.into_package());
    packages
}

#[derive(Default)]
struct Paragraph<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    status: &'a str,
}

impl<'a> Paragraph<'a> {
    fn take_line(&mut self, line: &'a str) {
        // A line that begins with a blank continues the field before it. The wanted fields have one line each.
        let Some((key, value)) = line.split_once(':') else { return };
        let field = match key {
            "Package" => &mut self.name,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Status" => &mut self.status,
            _ => return,
        };
        *field = value.trim();
    }

    fn into_package(self) -> Option<Package> {
        let installed = self.status.split_ascii_whitespace().next_back() == Some("installed");
        (installed && !self.name.is_empty()).then(|| Package {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            architecture: self.architecture.to_owned(),
        })
    }
}

/// The installed packages in the text of `/lib/apk/db/installed`, in the file's order.
///
/// A paragraph is a package, and a line of it a letter, a colon and a value: `P` is the name, `V` the version and `A` the
/// architecture. Lines of files and folders follow those, and have letters of their own.
pub(crate) fn parse_apk_installed(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let (mut name, mut version, mut architecture) = ("", "", "");
    // An empty line ends the last one, too.
    for line in text.lines().chain([""]) {
        match line.split_once(':') {
            Some(("P", value)) => name = value.trim(),
            Some(("V", value)) => version = value.trim(),
            Some(("A", value)) => architecture = value.trim(),
            None if line.trim().is_empty() => {
                if !name.is_empty() {
                    let [name, version, architecture] = [name, version, architecture].map(str::to_owned);
                    packages.push(Package { name, version, architecture });
                }
                (name, version, architecture) = ("", "", "");
            }
            _ => {}
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_is_listed() {
        let text = "Package: git\nStatus: install ok installed\nVersion: 1:2.43.0-1ubuntu7\nArchitecture: amd64\n\
                    Description: fast\n Package: not-a-field\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                    Version: 1\nArchitecture: all\n\nPackage: broken\nStatus: install ok half-configured\nVersion: 2\n\n\
                    Package: held\nStatus: hold ok installed\nVersion: 3\nArchitecture: all";
        let packages = parse_dpkg_status(text);
        assert_eq!(
            packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect::<Vec<_>>(),
            [("git", "1:2.43.0-1ubuntu7"), ("held", "3")]
        );
        assert_eq!(packages[0].architecture, "amd64");
    }

    #[test]
    fn a_paragraph_of_apk_is_a_package() {
        let text = "P:musl\nV:1.2.4-r2\nA:x86_64\nS:388955\nT:the musl C library\n\
                    F:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\nP:\nV:1\n\nV:2\nP:ca-certificates\nA:noarch";
        let found: Vec<[String; 3]> = parse_apk_installed(text)
            .into_iter()
            .map(|found| [found.name, found.version, found.architecture])
            .collect();
        assert_eq!(found, [["musl", "1.2.4-r2", "x86_64"], ["ca-certificates", "2", "noarch"]]);
    }

    #[test]
    fn an_empty_list_is_no_package() {
        assert_eq!(parse_dpkg_status("\n\n"), []);
        assert_eq!(parse_apk_installed("\n\n"), []);
    }
}
