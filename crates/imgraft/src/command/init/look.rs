//! What can be seen in a project's folder.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest description of a project that is read, in bytes.
const DESCRIPTION_LIMIT_BYTES: u64 = 1 << 20;
/// The most files of a folder that are looked at, and the most folders.
const MAX_FILES: usize = 4096;
const MAX_FOLDERS: usize = 64;

/// A project, as far as it can be seen.
#[derive(Debug)]
pub(super) struct Project {
    /// What it is called; letters, digits, `-` and `_` only.
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    /// Programs for Linux that were built in it, those for this machine first.
    pub(super) programs: Vec<Program>,
    /// Whether there is a folder `dist`.
    pub(super) has_dist: bool,
}

/// What describes a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Cargo,
    Go,
    Node,
    Python,
}

/// A program that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Where it is, from the project's folder on.
    pub(super) path: PathBuf,
    /// The machine that it is for, as distributions call it.
    pub(super) architecture: &'static str,
}

impl Project {
    /// Looks at `folder`.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub(super) fn look(folder: &Path) -> io::Result<Self> {
        let own_name = std::fs::canonicalize(folder)?;
        std::fs::read_dir(folder)?;
        let described = [Kind::Cargo, Kind::Go, Kind::Node, Kind::Python].into_iter().find_map(|kind| {
            let text = read(&folder.join(kind.file()))?;
            Some((kind, kind.name(&text)))
        });
        let kind = described.as_ref().map(|(kind, _)| *kind);
        let name = described.and_then(|(_, name)| name).map(|name| plain(&name)).filter(|name| !name.is_empty());
        let own_name = || plain(&own_name.file_name().unwrap_or_default().to_string_lossy());
        let name = name.unwrap_or_else(own_name);
        let name = if name.is_empty() { "app".to_owned() } else { name };
        Ok(Self { name, kind, programs: programs(folder), has_dist: folder.join("dist").is_dir() })
    }

    /// The program that goes into an image: the one of the project's name, or the only one.
    pub(super) fn program(&self) -> Option<&Program> {
        let is_called = |program: &&Program| {
            let name = plain(&program.path.file_name().unwrap_or_default().to_string_lossy());
            name.strip_prefix(&self.name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
        };
        self.programs.iter().find(is_called).or(match &self.programs[..] {
            [only] => Some(only),
            _ => None,
        })
    }
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Cargo => "Cargo.toml",
            Self::Go => "go.mod",
            Self::Node => "package.json",
            Self::Python => "pyproject.toml",
        }
    }

    /// The name that a description says: that of the program, where it has one of its own.
    fn name(self, text: &str) -> Option<String> {
        let path = |keys: &[&str]| {
            let table: toml::Table = text.parse().ok()?;
            let first = table.get(*keys.first()?)?.clone();
            let found = keys[1..].iter().try_fold(first, |value, key| match value {
                toml::Value::Array(values) => values.first()?.get(key).cloned(),
                value => value.get(key).cloned(),
            });
            found?.as_str().map(str::to_owned)
        };
        match self {
            Self::Cargo => path(&["bin", "name"]).or_else(|| path(&["package", "name"])),
            Self::Python => path(&["project", "name"]).or_else(|| path(&["tool", "poetry", "name"])),
            Self::Node => {
                let value: serde_json::Value = serde_json::from_str(text).ok()?;
                let name = value.get("name")?.as_str()?;
                // `@scope/name`.
                Some(name.rsplit('/').next().unwrap_or(name).to_owned())
            }
            Self::Go => {
                let module = text.lines().find_map(|line| line.trim().strip_prefix("module "))?;
                let is_version = |part: &&str| {
                    part.strip_prefix('v').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                };
                let mut parts = module.trim().trim_matches('"').rsplit('/');
                parts.find(|part| !is_version(part)).map(str::to_owned)
            }
        }
    }
}

/// A description, where there is one that is no larger than such files are.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(DESCRIPTION_LIMIT_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `name` with a dash for everything but letters, digits, `-` and `_`.
fn plain(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).take(100).collect();
    plain.trim_matches('-').to_owned()
}

/// The programs in the folders that builds leave them in.
fn programs(folder: &Path) -> Vec<Program> {
    let below = |path: &str| names(&folder.join(path)).into_iter().map(|name| Path::new(path).join(name)).collect();
    let targets: Vec<PathBuf> = below("target");
    let dist: Vec<PathBuf> = below("dist");
    let folders = ["target/release", "dist", "bin", "build", "out"].into_iter().map(PathBuf::from);
    let folders = folders.chain(targets.into_iter().map(|target| target.join("release"))).chain(dist);
    let mut programs = Vec::new();
    for within in folders.filter(|path| folder.join(path).is_dir()).take(MAX_FOLDERS) {
        for name in names(&folder.join(&within)) {
            let path = within.join(name);
            if let Some(architecture) = architecture(&folder.join(&path)) {
                programs.push(Program { path, architecture });
            }
        }
    }
    // One that this machine can try comes first.
    programs.sort_by_key(|program| program.architecture != own_architecture());
    programs
}

/// The names in a folder, sorted; none if there is no such folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MAX_FILES);
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.file_name().into()).collect();
    names.sort();
    names
}

/// The architecture of this machine, as distributions call it.
pub(super) fn own_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// The architecture that a program for Linux is for; nothing for what is none, or none that bases are for.
fn architecture(path: &Path) -> Option<&'static str> {
    let is_library = path.file_name()?.to_str().is_some_and(|name| name.contains(".so"));
    // Not a pipe, which nobody may write to.
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    if is_library || metadata.permissions().mode() & 0o111 == 0 {
        return None;
    }
    let mut header = [0; 20];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    // e_ident: 64 bits, little-endian. e_type: an executable file, or a shared object, which most programs are today.
    if header[..6] != *b"\x7fELF\x02\x01" || !matches!(u16::from_le_bytes([header[16], header[17]]), 2 | 3) {
        return None;
    }
    match u16::from_le_bytes([header[18], header[19]]) {
        62 => Some("amd64"),
        183 => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_their_tools_read_them() {
        for (kind, text, name) in [
            (Kind::Cargo, "[package]\nname = \"app\"\n", Some("app")),
            (Kind::Cargo, "[package]\nname = \"lib\"\n[[bin]]\nname = \"app\"\n", Some("app")),
            (Kind::Cargo, "[workspace]\nmembers = []\n", None),
            (Kind::Cargo, "name = ", None),
            (Kind::Go, "// x\nmodule example.com/me/app/v2\n\ngo 1.23\n", Some("app")),
            (Kind::Go, "module app\n", Some("app")),
            (Kind::Node, "{\"name\": \"@me/app\"}", Some("app")),
            (Kind::Node, "{\"name\": 1}", None),
            (Kind::Python, "[project]\nname = \"my.app\"\n", Some("my.app")),
            (Kind::Python, "[tool.poetry]\nname = \"app\"\n", Some("app")),
        ] {
            assert_eq!(kind.name(text).as_deref(), name, "{text}");
        }
        assert_eq!(plain("my.app é\""), "my-app");
    }
}
