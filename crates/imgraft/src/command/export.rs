//! `imgraft export`: what a place imports, in a folder, and the commands for that.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use export::{Disk, Firmware, Member, Name, Package, Seed, Subject, System, TARGETS, Target, Text};
use graft::{Conversion, Folder, Looked, OutputFile, OutputFolder};
use guest::Guest;
use recipe::ByteSize;
use serde::Serialize;
use vm::{FirmwareKind, Needs};

use crate::cli::export::Export;
use crate::environment;
use crate::failure::Failure;
use crate::report::ImageFile;
use crate::show::{Messages, print, print_json};

/// The mode of the files, less what the umask takes.
const MODE: u32 = 0o644;
/// The largest seed, in bytes: a CD has less.
const SEED_MAX_BYTES: u64 = 1 << 30;
/// Where ISO 9660 has its first descriptor, and what that begins with.
const ISO_9660: (u64, &[u8; 6]) = (0x8000, b"\x01CD001");

/// What was exported, as a program reads it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    target: &'a str,
    input: String,
    folder: String,
    name: &'a str,
    architecture: &'a str,
    virtual_size_bytes: u64,
    files: Vec<FileReport>,
    commands: &'a [String],
    placeholders: Vec<PlaceholderReport>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    name: String,
    size_bytes: u64,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct PlaceholderReport {
    word: &'static str,
    meaning: &'static str,
}

/// A target, as `--list --json` has it.
#[derive(Debug, Serialize)]
struct Listed {
    target: &'static str,
    title: &'static str,
    files: Vec<ListedFile>,
    architectures: Vec<&'static str>,
    takes_seed: bool,
    needs: &'static str,
    judged_by: &'static str,
    not_tried: &'static str,
}

#[derive(Debug, Serialize)]
struct ListedFile {
    end: &'static str,
    what: &'static str,
}

pub(super) fn run(arguments: &Export, messages: &Messages) -> Result<(), Failure> {
    let (Some(target), Some(image), Some(output)) = (&arguments.target, &arguments.image, &arguments.output) else {
        return list(arguments.json);
    };
    // The parser has refused every other word.
    let target = export::target(target).ok_or_else(|| Failure::new(format!("`{target}` is not a target")))?;
    Exporting { target, image, output, arguments, messages }.run()
}

/// Prints the table of targets.
fn list(json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&TARGETS.iter().map(listed).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for target in &TARGETS {
        let Listed { files, architectures, needs, judged_by, not_tried, .. } = listed(target);
        let files: Vec<String> = files.iter().map(|file| format!("{} ({})", file.end, file.what)).collect();
        let seed = if target.seed == Seed::Cd { "a CD" } else { "not taken" };
        text.push_str(&format!("{} - {}\n", target.name, target.title));
        for (key, value) in [
            ("files", files.join(", ")),
            ("for", architectures.join(", ")),
            ("seed", seed.to_owned()),
            ("needs", needs.to_owned()),
            ("judged by", judged_by.to_owned()),
            ("not tried", not_tried.to_owned()),
        ] {
            text.push_str(&format!("  {key:<10} {value}\n"));
        }
        text.push('\n');
    }
    print(text.trim_end_matches('\n')).and_then(|()| print("\n"))
}

fn listed(target: &Target) -> Listed {
    Listed {
        target: target.name,
        title: target.title,
        files: target.contents.iter().map(|&(end, what)| ListedFile { end, what }).collect(),
        architectures: target.architectures.iter().map(|architecture| architecture.name()).collect(),
        takes_seed: target.seed == Seed::Cd,
        needs: target.needs,
        judged_by: target.judged,
        not_tried: target.untried,
    }
}

struct Exporting<'a> {
    target: &'static Target,
    image: &'a Path,
    output: &'a Path,
    arguments: &'a Export,
    messages: &'a Messages,
}

impl Exporting<'_> {
    fn run(&self) -> Result<(), Failure> {
        let start = Instant::now();
        let Self { target, arguments, messages, .. } = self;
        let seed = self.seed()?;
        let subject = self.subject(seed.is_some())?;
        let folder = self.folder()?;
        let path = folder.path();
        let disk = self.convert(&subject, &path)?;
        let seed = seed.map(|seed| self.copy_seed(seed, &subject, &path)).transpose()?;
        let texts = (target.files)(&subject, &disk);
        let mut files = match target.package {
            Package::Ova => vec![self.pack(&subject, &disk, seed, &texts, &path)?],
            Package::None => {
                let mut files = vec![FileReport {
                    name: disk.file_name.clone(),
                    size_bytes: disk.file_size_bytes,
                    sha256: disk.sha256.clone(),
                }];
                files.extend(seed);
                for text in &texts {
                    files.push(self.write_text(text, &path)?);
                }
                files
            }
        };
        let commands = (target.commands)(&subject, &disk);
        files.push(self.write_text(&export::readme(target, &subject, &commands), &path)?);
        files.sort_by(|one, other| one.name.cmp(&other.name));
        let sums: Vec<_> = files.iter().map(|file| (file.name.clone(), file.sha256.clone())).collect();
        files.push(self.write_text(&export::sums(&sums), &path)?);
        folder.publish().map_err(|error| self.unwritable(&error))?;

        self.tell(&subject, &files, start);
        let placeholders = target.open_placeholders(&subject);
        if arguments.json {
            let placeholders =
                placeholders.iter().map(|one| PlaceholderReport { word: one.word, meaning: one.meaning }).collect();
            return print_json(&Report {
                target: target.name,
                input: self.image.display().to_string(),
                folder: self.output.display().to_string(),
                name: subject.name.slug(),
                architecture: subject.architecture.name(),
                virtual_size_bytes: disk.size_bytes,
                files,
                commands: &commands,
                placeholders,
            });
        }
        for placeholder in placeholders {
            messages.note(format_args!("in the commands, {} stands for {}", placeholder.word, placeholder.meaning));
        }
        let cd = format!("cd {}\n", vm::quoted(self.output.as_os_str()));
        print(&commands.iter().fold(cd, |text, command| format!("{text}{command}\n")))
    }

    fn tell(&self, subject: &Subject, files: &[FileReport], start: Instant) {
        let size = files.iter().map(|file| file.size_bytes).sum();
        self.messages.note(format_args!(
            "exported {} to {} as `{}` for {} ({} files, {}) in {:.1} s",
            self.image.display(),
            self.output.display(),
            subject.name.slug(),
            self.target.title,
            files.len(),
            ByteSize(size),
            start.elapsed().as_secs_f64(),
        ));
    }

    /// What is known of the image.
    fn subject(&self, has_seed: bool) -> Result<Subject, Failure> {
        let Self { target, image: path, arguments, messages, .. } = self;
        let looked = Looked::open(path, arguments.backing.into(), &messages.watcher())?;
        let guest = Guest::open(Arc::clone(&looked.disk)).ok();
        let needs = Needs::of(&looked.disk, guest.as_ref());
        let needs = needs.map_err(|error| Failure::because(format!("`{}` cannot be read", path.display()), &error))?;
        looked.host_has_not_failed()?;
        let found = needs.architecture.map(|found| found.what);
        let architecture = match (found, arguments.arch) {
            (Some(found), Some(given)) if found != given => {
                return Err(Failure::new(format!("`{}` is for {found}, and not for {given}", path.display()))
                    .hint("leave out `--arch`"));
            }
            (Some(architecture), _) | (None, Some(architecture)) => architecture,
            (None, None) => {
                return Err(Failure::new(format!("`{}` does not tell which processor it is for", path.display()))
                    .hint("say it with `--arch x86_64` or `--arch aarch64`"));
            }
        };
        if !target.architectures.contains(&architecture) {
            return Err(Failure::new(format!(
                "`{}` is for {architecture}, and {} has no machines of that here",
                path.display(),
                target.title
            )));
        }
        let firmware = Firmware { bios: needs.firmware.what == FirmwareKind::Bios, uefi: needs.has_esp };
        let name = arguments.name.clone().unwrap_or_else(|| default_name(path));
        let mut subject = Subject::new(name, architecture, firmware);
        let system = guest.and_then(|guest| guest.operating_system().ok());
        subject.system = system.map(|os| System::new(&os.id, os.version.as_deref(), &os.name));
        if let Some(time) = environment::source_date_epoch()? {
            subject.created = time.seconds;
        }
        subject.has_seed = has_seed;
        subject.bucket.clone_from(&arguments.bucket);
        if arguments.bucket.is_some() && !target.placeholders.iter().any(|placeholder| placeholder.word == "BUCKET") {
            return Err(
                Failure::new(format!("no bucket is used on the way to {}", target.title)).hint("leave out `--bucket`")
            );
        }
        Ok(subject)
    }

    /// The seed, opened, if it is one.
    fn seed(&self) -> Result<Option<File>, Failure> {
        let Some(path) = &self.arguments.seed else { return Ok(None) };
        if let Seed::Instead(instead) = self.target.seed {
            return Err(Failure::new(format!("{} takes no seed as a medium", self.target.title)).hint(instead));
        }
        let unreadable = |error: io::Error| Failure::because(format!("`{}` cannot be read", path.display()), &error);
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let (offset, expected) = ISO_9660;
        let mut found = [0; 6];
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let is_iso = metadata.is_file() && file.read_exact(&mut found).is_ok() && found == *expected;
        if !is_iso || metadata.len() > SEED_MAX_BYTES {
            return Err(Failure::new(format!("`{}` is not an ISO 9660 image of at most 1 GiB", path.display()))
                .hint("`imgraft seed iso` makes one"));
        }
        file.rewind().map_err(unreadable)?;
        Ok(Some(file))
    }

    fn folder(&self) -> Result<OutputFolder, Failure> {
        OutputFolder::create(self.output, self.arguments.force).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(format!("`{}` is there already", self.output.display()))
                .hint("give another folder, or replace this one with `--force`"),
            io::ErrorKind::NotADirectory if self.arguments.force => {
                Failure::new(format!("`{}` is not a folder, and is not replaced", self.output.display()))
            }
            _ => self.unwritable(&error),
        })
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        Failure::because(format!("`{}` cannot be written", self.output.display()), error)
    }

    /// Writes the disk into `folder`.
    fn convert(&self, subject: &Subject, folder: &Path) -> Result<Disk, Failure> {
        let file_name = self.target.disk_name(subject);
        let path = folder.join(&file_name);
        let mut conversion = Conversion::new(self.image, &path);
        conversion.backing = self.arguments.backing.into();
        conversion.form.format = Some(self.target.format.container());
        conversion.modified = environment::source_date_epoch()?;
        let converted = conversion.run(&self.messages.watcher())?;
        let (size_bytes, file_size_bytes) = (converted.virtual_size_bytes, converted.file_size_bytes);
        Ok(Disk { file_name, size_bytes, file_size_bytes, sha256: sha256_of(&path)? })
    }

    fn copy_seed(&self, seed: File, subject: &Subject, folder: &Path) -> Result<FileReport, Failure> {
        self.write(&subject.seed_name(), folder, &mut |out| {
            io::copy(&mut (&seed).take(SEED_MAX_BYTES), out)?;
            Ok(())
        })
    }

    fn write_text(&self, text: &Text, folder: &Path) -> Result<FileReport, Failure> {
        self.write(&text.name, folder, &mut |out| out.write_all(&text.content))
    }

    /// Packs what was written into one file.
    fn pack(
        &self,
        subject: &Subject,
        disk: &Disk,
        seed: Option<FileReport>,
        texts: &[Text],
        folder: &Path,
    ) -> Result<FileReport, Failure> {
        let disk =
            FileReport { name: disk.file_name.clone(), size_bytes: disk.file_size_bytes, sha256: disk.sha256.clone() };
        let parts: Vec<FileReport> = [Some(disk), seed].into_iter().flatten().collect();
        let paths: Vec<PathBuf> = parts.iter().map(|part| folder.join(&part.name)).collect();
        let opened: io::Result<Vec<File>> = paths.iter().map(File::open).collect();
        let mut opened = opened.map_err(|error| self.unwritable(&error))?;
        let descriptor = texts.first().ok_or_else(|| Failure::new("an OVA needs a descriptor"))?;
        let packed = self.write(&subject.file(".ova"), folder, &mut |out| {
            let member = |(part, content): (&FileReport, _)| Member {
                name: part.name.clone(),
                size_bytes: part.size_bytes,
                sha256: part.sha256.clone(),
                content,
            };
            let content = opened.iter_mut().map(|file| file as &mut dyn Read);
            let mut members: Vec<Member<'_>> = parts.iter().zip(content).map(member).collect();
            export::write_ova(out, subject, descriptor, &mut members)
        })?;
        for path in paths {
            std::fs::remove_file(path).map_err(|error| self.unwritable(&error))?;
        }
        Ok(packed)
    }

    /// Writes a file and syncs it.
    fn write(
        &self,
        name: &str,
        folder: &Path,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<FileReport, Failure> {
        let failed = |error: io::Error| self.unwritable(&error);
        let output = OutputFile::create(Folder::open(folder).map_err(failed)?, name.as_ref(), MODE).map_err(failed)?;
        let mut out = BufWriter::new(output.file());
        fill(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        drop(out);
        output.publish().map_err(failed)?;
        let path = folder.join(name);
        let size_bytes = std::fs::metadata(&path).map_err(failed)?.len();
        Ok(FileReport { name: name.to_owned(), size_bytes, sha256: sha256_of(&path)? })
    }
}

/// The name of the image's file without its end.
fn default_name(path: &Path) -> Name {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let end = [".tar.gz", ".qcow2", ".img", ".raw", ".vmdk", ".vhd", ".image", ".disk"]
        .into_iter()
        .find(|end| name.len() > end.len() && name.ends_with(end))
        .unwrap_or_default();
    Name::of_file(&name[..name.len() - end.len()])
}

fn sha256_of(path: &Path) -> Result<String, Failure> {
    Ok(ImageFile::of(path, None)?.sha256.unwrap_or_default())
}
