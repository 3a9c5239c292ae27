//! `imgraft seed check`: what cloud-init would make of a seed.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use graft::{Backing, Folder, OpenedFile, OutputFile, scratch_disk, temporary_folder};
use seed::check::{Document, Renderer, Report, Role, Severity, check_for, check_seed};
use seed::read::{self, Found, MAX_FILE_BYTES};
use serde::Serialize;
use storage::WriteAt;

use crate::cli::seed_check::Check;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::seed::{draw, summary};
use crate::show::{Annotation, Messages, print_json, sarif, stdout_failure};

/// The mode of a log, less what the umask takes.
const SARIF_MODE: u32 = 0o644;
const ROLES: [Role; 4] = [Role::UserData, Role::MetaData, Role::VendorData, Role::NetworkConfig];

/// A file that was read.
struct Loaded {
    name: String,
    role: Role,
    /// Why it is taken for that.
    why: &'static str,
    bytes: Vec<u8>,
}

/// What is looked at together.
struct Unit {
    /// A folder or a medium, of which it is known what is missing.
    whole: Option<(String, Option<String>)>,
    files: Vec<Loaded>,
}

pub(super) fn run(arguments: &Check, messages: &Messages) -> Result<Exit, Failure> {
    let units = load(arguments, messages)?;
    let renderer = arguments.renderer.map(Renderer::from).unwrap_or_default();
    let reports: Vec<Report> = units.iter().map(|unit| report(unit, renderer)).collect();
    if let Some(path) = &arguments.sarif {
        let found = |report: &Report| -> Vec<Annotation> {
            report.findings.iter().map(|finding| Annotation::of_finding(report, finding)).collect()
        };
        write_sarif(path, &reports.iter().flat_map(found).collect::<Vec<_>>())?;
    }
    if arguments.json {
        print_json(&Printed::new(&units, &reports))?;
    } else {
        for (unit, report) in units.iter().zip(&reports) {
            tell(unit, report, messages)?;
        }
    }
    let count = |severity| reports.iter().map(|report| report.count(severity)).sum::<usize>();
    messages.note(summary(count(Severity::Error), count(Severity::Warning), count(Severity::Note)));
    let is_wrong = count(Severity::Error) > 0 || arguments.strict && count(Severity::Warning) > 0;
    let is_unseen = reports.iter().any(|report| report.findings.iter().any(|finding| finding.rule == "limit"));
    Ok(if is_unseen { Exit::Trouble } else { Exit::of_answer(!is_wrong) })
}

/// Writes the log of what was found, all or nothing.
fn write_sarif(path: &Path, found: &[Annotation]) -> Result<(), Failure> {
    let unwritable = |error: &io::Error| Failure::because(format!("`{}` cannot be written", path.display()), error);
    let name = path.file_name().ok_or_else(|| unwritable(&io::ErrorKind::InvalidFilename.into()))?;
    let written = Folder::open(path.parent().unwrap_or(Path::new(""))).and_then(|folder| {
        let output = OutputFile::create(folder, name, SARIF_MODE)?;
        writeln!(output.file(), "{:#}", sarif(found))?;
        output.publish()
    });
    written.map_err(|error| unwritable(&error))
}

fn report(unit: &Unit, renderer: Renderer) -> Report {
    let documents: Vec<Document<'_>> =
        unit.files.iter().map(|file| Document { name: &file.name, role: file.role, bytes: &file.bytes }).collect();
    match &unit.whole {
        None => check_for(renderer, &documents),
        Some((name, label)) => check_seed(renderer, name, label.as_deref(), &documents),
    }
}

fn tell(unit: &Unit, report: &Report, messages: &Messages) -> Result<(), Failure> {
    for (file, checked) in unit.files.iter().zip(&report.documents) {
        let kinds = checked.kinds.join(", ");
        messages.note(format_args!("`{}` is {} {}: {kinds}", file.name, file.role.name(), file.why));
    }
    let mut stdout = anstream::stdout().lock();
    for finding in &report.findings {
        let written = match messages.is_for_github() {
            true => writeln!(stdout, "{}", Annotation::of_finding(report, finding).command()),
            false => writeln!(stdout, "{}\n", draw(report, finding).trim_end()),
        };
        written.map_err(stdout_failure)?;
    }
    stdout.flush().map_err(stdout_failure)
}

/// Reads all that is given. Files that are neither folders nor media are one seed.
fn load(arguments: &Check, messages: &Messages) -> Result<Vec<Unit>, Failure> {
    let role = arguments.role.map(Role::from);
    let mut loose = Vec::new();
    let mut units = Vec::new();
    for path in &arguments.files {
        if path.is_dir() {
            units.push(folder(path)?);
            continue;
        }
        let name = path.display().to_string();
        if path == Path::new("-") {
            if loose.iter().any(|file: &Loaded| file.name == "-") {
                return Err(Failure::new("standard input is one file and not two").hint("give `-` once"));
            }
            let bytes = read_all(io::stdin().lock()).map_err(|error| unreadable(path, &error))?;
            loose.push(loaded(name, role, bytes));
        } else if let Some(found) = medium(path, messages)? {
            units.push(of_medium(path, found));
        } else {
            loose.push(loaded(name, role, read_file(path)?));
        }
    }
    if !loose.is_empty() {
        units.insert(0, Unit { whole: None, files: loose });
    }
    Ok(units)
}

fn loaded(name: String, role: Option<Role>, bytes: Vec<u8>) -> Loaded {
    let (role, why) = role.map_or_else(|| Role::guess(&name, &bytes), |role| (role, "as was said"));
    Loaded { name, role, why, bytes }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::because(format!("`{}` cannot be read", path.display()), error)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    read_all(file).map_err(|error| unreadable(path, &error))
}

fn read_all(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

fn folder(path: &Path) -> Result<Unit, Failure> {
    let mut files = Vec::new();
    for role in ROLES {
        let file: PathBuf = path.join(role.name());
        if file.is_file() {
            let name = file.display().to_string();
            files.push(Loaded { name, role, why: "by its name", bytes: read_file(&file)? });
        }
    }
    Ok(Unit { whole: Some((path.display().to_string(), None)), files })
}

fn of_medium(path: &Path, found: Found) -> Unit {
    let path = path.display().to_string();
    let name = |role: Role| format!("{path}:{}", role.name());
    let files = found.files.into_iter();
    let files = files.map(|(role, bytes)| Loaded { name: name(role), role, why: "by its name", bytes }).collect();
    Unit { whole: Some((path, found.label)), files }
}

/// What is on the medium at `path`, if it is one.
fn medium(path: &Path, messages: &Messages) -> Result<Option<Found>, Failure> {
    // A pipe is read once, and so is no medium.
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let opened = OpenedFile::look(path, &messages.watcher())?;
    let broken = |error: seed::Error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
    let storage = opened.storage()?;
    let overlay = storage::Overlay::new(storage, 1 << 20, Box::new(|| Err(io::ErrorKind::StorageFull.into())));
    let storage: Arc<dyn WriteAt> = Arc::new(overlay);
    if let Some(found) = read::read(storage).map_err(broken)? {
        return Ok(Some(found));
    }
    // `cloud-localds` makes disks in the formats of images, too.
    if !is_image(path) {
        return Ok(None);
    }
    let image = opened.image(Backing::Refuse, &temporary_folder(), &messages.watcher())?.image;
    let found = read::read(scratch_disk(&image)).map_err(broken)?;
    let nothing = || Failure::new(format!("`{}` is an image without a seed", path.display()));
    found.map(Some).ok_or_else(nothing)
}

fn is_image(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && [*b"QFI\xfb", *b"KDMV", *b"cone"].contains(&magic)
}

/// A report as JSON.
#[derive(Serialize)]
struct Printed {
    cloud_init: &'static str,
    files: Vec<PrintedFile>,
    findings: Vec<PrintedFinding>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

#[derive(Serialize)]
struct PrintedFile {
    name: String,
    role: &'static str,
    why: &'static str,
    kinds: Vec<&'static str>,
}

#[derive(Serialize)]
struct PrintedFinding {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    severity: &'static str,
    rule: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Printed {
    fn new(units: &[Unit], reports: &[Report]) -> Self {
        let count = |severity| reports.iter().map(|report| report.count(severity)).sum();
        let mut printed = Self {
            cloud_init: seed::check::CLOUD_INIT_VERSION,
            files: Vec::new(),
            findings: Vec::new(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        };
        for (unit, report) in units.iter().zip(reports) {
            let files = unit.files.iter().zip(&report.documents);
            printed.files.extend(files.map(|(file, checked)| PrintedFile {
                name: file.name.clone(),
                role: file.role.name(),
                why: file.why,
                kinds: checked.kinds.clone(),
            }));
            printed.findings.extend(report.findings.iter().map(|finding| {
                let position = report.position(finding);
                PrintedFinding {
                    file: report.sources.get(finding.source).map(|source| source.name.clone()).unwrap_or_default(),
                    line: position.map(|position| position.line),
                    column: position.map(|position| position.column),
                    severity: finding.severity.name(),
                    rule: finding.rule,
                    message: finding.message.clone(),
                    label: finding.label.clone(),
                    hint: finding.hint.clone(),
                }
            }));
        }
        printed
    }
}
