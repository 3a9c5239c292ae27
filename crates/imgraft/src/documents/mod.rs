//! Documents about a new image: the facts that they are made of, gathered from a build.

mod changes;
mod input;
mod key;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use customize::Operation;
use graft::{Author, Inventory, Job, Report};
use guest::{FileKind, Packages};
use provenance::{
    Base, Digested, Input, MANIFEST_NAMESPACE, Manager, Manifest, Output, Package, PutFile, STATEMENT_NAMESPACE, Sbom,
    SecretKey, Tool,
};
use serde_json::Value;

pub(crate) use self::changes::changes;
use self::input::{Names, inputs, sha256_of, sha256_of_text};
use crate::cli::{self, Backing};
use crate::failure::Failure;
use crate::report::{ImageFile, Published};
use crate::show::rfc3339;

/// What of an operation's report depends on the machine and not on the inputs, or is a secret.
const LEFT_OUT: [&str; 4] = ["made_up", "log", "runner", "runner_because"];

/// Which document it is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Manifest,
    Spdx,
    CycloneDx,
    Statement,
    Predicate,
}

impl Kind {
    /// In which namespace it is signed, if it is.
    fn namespace(self) -> Option<&'static str> {
        match self {
            Self::Manifest => Some(MANIFEST_NAMESPACE),
            Self::Statement => Some(STATEMENT_NAMESPACE),
            // What takes these signs what it makes of them.
            Self::Spdx | Self::CycloneDx | Self::Predicate => None,
        }
    }
}

/// The documents that are asked for, and what is known before the build.
#[derive(Debug)]
pub(crate) struct Documents {
    files: Vec<(PathBuf, Kind)>,
    /// What signs those of them that are signed.
    key: Option<SecretKey>,
    recipe: Option<Digested>,
    base: Base,
    /// What was given for the recipe's inputs.
    given: BTreeMap<String, PathBuf>,
    names: Names,
    /// What each operation reads of the host.
    sources: Vec<Option<PathBuf>>,
    tool: Tool,
}

impl Documents {
    /// Those of a build: `recipe` is its path and text, `inputs` those that were given for it.
    pub(crate) fn of(
        asked: cli::documents::Documents,
        backing: Backing,
        recipe: Option<(&Path, &str)>,
        base_path: &Path,
        published: Option<Published>,
        inputs: &BTreeMap<String, PathBuf>,
        job: &Job,
    ) -> Result<Option<Arc<dyn Author>>, Failure> {
        let sign = asked.sign.clone();
        let files = files(asked)?;
        if sign.is_some() && !files.iter().any(|(_, kind)| kind.namespace().is_some()) {
            return Err(Failure::new("there is nothing to sign").hint("a manifest is signed: add `--manifest FILE`"));
        }
        let key = sign.map(|path| key::read(&path)).transpose()?;
        if files.is_empty() {
            return Ok(None);
        }
        if backing.allow_backing {
            return Err(Failure::new(
                "documents are about a base that is one file, and this one may have others under it",
            )
            .hint("make one file of it first: `imgraft convert BASE NEW --allow-backing`"));
        }
        let names = Names::new(recipe.and_then(|(path, _)| path.parent()).unwrap_or(Path::new("")));
        let digested = |path: &Path| sha256_of(path).map(|sha256| Digested { name: names.of(path), sha256 });
        let lock = published.as_ref().and_then(|published| published.lock.as_deref()).map(Path::new);
        let ImageFile { file_size_bytes, sha256, .. } = ImageFile::of(base_path, None)?;
        let base = Base {
            name: published.as_ref().map_or_else(|| names.of(base_path), |published| published.name.clone()),
            sha256: sha256.unwrap_or_default(),
            size_bytes: file_size_bytes.unwrap_or_default(),
            lock: lock.map(digested).transpose()?,
            published: published.map(|Published { address, digest, verified, .. }| provenance::Published {
                address,
                digest,
                verified,
            }),
        };
        // Of what was read, whatever is in the file by now.
        let recipe = recipe.map(|(path, text)| Digested { name: names.of(path), sha256: sha256_of_text(text) });
        let sources = job.operations.iter().map(Operation::source).collect();
        let given = inputs.clone();
        Ok(Some(Arc::new(Self { files, key, recipe, base, given, names, sources, tool: tool() })))
    }

    fn manifest(&self, report: &Report) -> Result<Manifest, Box<dyn Error + Send + Sync>> {
        let Some(comparison) = &report.comparison else {
            return Err("the base is too damaged to say what differs from it".into());
        };
        let inputs: Vec<Input> = inputs(&report.read, &self.given, &self.names)?;
        let operation = |(index, report): (usize, &customize::Report)| {
            let mut value = serde_json::to_value(report)?;
            if let Value::Object(fields) = &mut value {
                LEFT_OUT.iter().for_each(|field| drop(fields.remove(*field)));
                let source = self.sources.get(index).and_then(Option::as_deref);
                for name in ["source", "done"] {
                    if let (Some(source), Some(Value::String(text))) = (source, fields.get_mut(name)) {
                        *text = self.names.within(text, source);
                    }
                }
            }
            Ok::<_, serde_json::Error>(value)
        };
        let name = Path::new(&report.output).file_name().unwrap_or_default();
        Ok(Manifest {
            manifest_version: provenance::VERSION,
            created: report.inventory.as_ref().and_then(|inventory| inventory.time).map(rfc3339),
            tool: self.tool.clone(),
            recipe: self.recipe.clone(),
            base: self.base.clone(),
            inputs,
            operations: report.operations.iter().enumerate().map(operation).collect::<Result<_, _>>()?,
            packages: comparison.packages.as_ref().map(serde_json::to_value).transpose()?,
            changes: changes(comparison)?,
            outputs: vec![Output {
                name: name.display().to_string(),
                format: report.format.clone(),
                sha256: report.sha256.clone().unwrap_or_default(),
                size_bytes: report.file_size_bytes.unwrap_or_default(),
                virtual_size_bytes: report.virtual_size_bytes,
            }],
        })
    }
}

impl Author for Documents {
    fn paths(&self) -> Vec<PathBuf> {
        let signed = self.files.iter().filter(|(_, kind)| self.key.is_some() && kind.namespace().is_some());
        let signatures = signed.map(|(path, _)| signature_of(path));
        self.files.iter().map(|(path, _)| path.clone()).chain(signatures).collect()
    }

    fn write(&self, report: &Report) -> Result<Vec<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let manifest = self.manifest(report)?;
        let (mut documents, mut signatures) = (Vec::new(), Vec::new());
        for (_, kind) in &self.files {
            let document = match kind {
                Kind::Manifest => manifest.to_bytes()?,
                Kind::Spdx => provenance::spdx(&sbom(&manifest, report)?),
                Kind::CycloneDx => provenance::cyclonedx(&sbom(&manifest, report)?),
                Kind::Statement => provenance::statement(&manifest),
                Kind::Predicate => provenance::predicate(&manifest),
            };
            if let (Some(key), Some(namespace)) = (&self.key, kind.namespace()) {
                signatures.push(key.sign(namespace, &document)?.into_bytes());
            }
            documents.push(document);
        }
        documents.append(&mut signatures);
        Ok(documents)
    }
}

/// Where the signature of a document is, as `ssh-keygen -Y sign` names it.
pub(crate) fn signature_of(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".sig");
    PathBuf::from(name)
}

/// Where each document goes.
fn files(asked: cli::documents::Documents) -> Result<Vec<(PathBuf, Kind)>, Failure> {
    let cli::documents::Documents { manifest, sbom, provenance, predicate, sign: _ } = asked;
    let mut files: Vec<(PathBuf, Kind)> = manifest.into_iter().map(|path| (path, Kind::Manifest)).collect();
    for path in sbom {
        let kind = match path.to_string_lossy() {
            name if name.ends_with(".spdx.json") => Kind::Spdx,
            name if name.ends_with(".cdx.json") => Kind::CycloneDx,
            name => {
                return Err(Failure::new(format!("the name `{name}` does not say which kind of SBOM it is"))
                    .hint("end it in `.spdx.json` for SPDX 2.3 or in `.cdx.json` for CycloneDX 1.6"));
            }
        };
        files.push((path, kind));
    }
    files.extend(provenance.map(|path| (path, Kind::Statement)));
    files.extend(predicate.map(|path| (path, Kind::Predicate)));
    Ok(files)
}

/// This program.
fn tool() -> Tool {
    // It is what runs, even if another file has its name by now. Without a /proc, nobody knows.
    let sha256 = sha256_of(Path::new("/proc/self/exe")).ok();
    Tool { name: "imgraft".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), sha256 }
}

/// What is in the image of `manifest`.
fn sbom(manifest: &Manifest, report: &Report) -> Result<Sbom, Box<dyn Error + Send + Sync>> {
    let (Some(Inventory { system, packages, time }), Some(comparison)) = (&report.inventory, &report.comparison) else {
        return Err("nothing is known of the guest".into());
    };
    let (manager, packages) = match packages {
        Packages::Listed(guest::Manager::Dpkg, packages) => (Manager::Dpkg, packages),
        Packages::Listed(guest::Manager::Apk, packages) => (Manager::Apk, packages),
        Packages::Listed(guest::Manager::Rpm, packages) => (Manager::Rpm, packages),
        Packages::Listed(guest::Manager::Pacman, packages) => (Manager::Pacman, packages),
        Packages::Unreadable(manager) => {
            return Err(format!("an SBOM lists the guest's packages, and {manager}'s list cannot be read yet").into());
        }
        Packages::None => return Err("an SBOM lists the guest's packages, and no list of them was found".into()),
    };
    let package = |guest::Package { name, version, architecture }| (manager, Package { name, version, architecture });
    let mut files = Vec::new();
    for (change, state) in comparison.differences.paths.iter().zip(&comparison.states) {
        let is_regular = change.image.as_ref().is_some_and(|facts| facts.kind == FileKind::Regular);
        if let Some(state) = state.as_ref().filter(|_| is_regular)
            && let (Some(sha256), Some(sha1)) = (&state.sha256, &state.sha1)
        {
            files.push(PutFile { path: change.path.clone(), sha256: sha256.clone(), sha1: sha1.clone() });
        }
    }
    let system = system.clone().unwrap_or_default();
    Ok(Sbom {
        image: manifest.outputs[0].clone(),
        tool: manifest.tool.clone(),
        created: rfc3339(time.unwrap_or_default()),
        system: system.id,
        system_version: system.version,
        system_name: system.name,
        packages: packages.iter().cloned().map(package).collect(),
        files,
    })
}
