//! `imgraft inspect`: what an image is.

use std::sync::Arc;

use audit::hygiene;
use guest::{FreeSpace, Guest, OperatingSystem, Packages, Place, Printable, Volume, open_volumes};
use image::{Info, Wrapping};
use partition::Table;
use recipe::ByteSize;
use serde::Serialize;

use crate::cli::Inspect;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{Messages, findings_text, print, print_json};
use graft::{Looked, in_one_line, noted_errors};

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct View {
    image: Info,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapping: Option<Wrapping>,
    partition_table: Option<String>,
    partitions: Vec<PartitionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_system: Option<OperatingSystem>,
    package_manager: Option<&'static str>,
    packages: Vec<guest::Package>,
    warnings: Vec<String>,
}

/// A partition, or the whole disk.
#[derive(Debug, Serialize)]
struct PartitionView {
    number: Option<u32>,
    /// `vg0/root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_volume: Option<String>,
    name: Option<String>,
    r#type: Option<String>,
    unique_guid: Option<String>,
    first_byte: u64,
    size_bytes: u64,
    file_system: Option<FileSystemView>,
}

/// What is on a partition.
#[derive(Debug, Serialize)]
struct FileSystemView {
    kind: &'static str,
    label: Option<String>,
    uuid: Option<String>,
    mounted_at: Vec<String>,
    features: Vec<String>,
    #[serde(flatten)]
    space: Option<FreeSpace>,
    problem: Option<String>,
}

pub(super) fn run(arguments: &Inspect, messages: &Messages) -> Result<Exit, Failure> {
    if arguments.hygiene {
        return look_for_traces(arguments, messages);
    }
    show(arguments, messages)?;
    Ok(Exit::Done)
}

/// Tells what no image of many machines should have.
fn look_for_traces(arguments: &Inspect, messages: &Messages) -> Result<Exit, Failure> {
    let path = &arguments.image;
    let looked = Looked::open(path, arguments.backing.into(), &messages.watcher())?;
    let guest = Guest::open(Arc::clone(&looked.disk));
    let guest = guest.map_err(|error| graft::Error::Guest { path: path.clone(), error })?;
    let findings = hygiene::findings(&hygiene::look(&guest));
    looked.host_has_not_failed()?;
    match arguments.json {
        true => print_json(&findings)?,
        false => print(&findings_text(&findings))?,
    }
    if findings.is_empty() {
        messages.note(format_args!("nothing in `{}` belongs to one machine only", path.display()));
    }
    Ok(Exit::of_answer(findings.is_empty()))
}

fn show(arguments: &Inspect, messages: &Messages) -> Result<(), Failure> {
    let view = look(arguments, messages)?;
    for warning in &view.warnings {
        messages.warning(warning);
    }
    match (arguments.json, arguments.packages) {
        (true, false) => print_json(&view),
        (true, true) => print_json(&view.packages),
        (false, true) => {
            let line = |package: &guest::Package| {
                let text = format!("{} {} {}", package.name, package.version, package.architecture);
                format!("{}\n", Printable(text.as_bytes()))
            };
            print(&view.packages.iter().map(line).collect::<String>())
        }
        (false, false) => print(&text(&view)),
    }
}

fn look(arguments: &Inspect, messages: &Messages) -> Result<View, Failure> {
    let path = &arguments.image;
    let looked = Looked::open(path, arguments.backing.into(), &messages.watcher())?;
    let Looked { image, disk, wrapping, .. } = &looked;
    let unusable = |error: &guest::Error| Failure::because(format!("`{}` cannot be used", path.display()), error);
    let table = partition::read(disk).unwrap_or(Table::None);
    let mut warnings = Vec::new();
    if matches!(&table, Table::Gpt(gpt) if gpt.disk_has_grown) {
        let path = path.display();
        warnings.push(format!("the disk is larger than its GPT says: `imgraft resize {path}` makes use of the rest"));
    }
    let guest = match Guest::open(Arc::clone(disk)) {
        Ok(guest) => Some(guest),
        Err(error @ (guest::Error::Storage(_) | guest::Error::Partition(_))) => return Err(unusable(&error)),
        // What there is can be shown all the same.
        Err(error) => {
            warnings.push(in_one_line(&error));
            None
        }
    };
    let mut view = View {
        image: image.info(),
        wrapping: *wrapping,
        partition_table: table.name().map(str::to_lowercase),
        partitions: Vec::new(),
        operating_system: None,
        package_manager: None,
        packages: Vec::new(),
        warnings,
    };
    match &guest {
        Some(guest) => {
            drop(view.warnings.splice(..0, not_shut_down(guest.volumes())));
            view.warnings.extend(noted_errors(guest));
            for (index, volume) in guest.volumes().iter().enumerate() {
                let points = guest.mount_points(index).iter().map(ToString::to_string).collect();
                view.partitions.push(PartitionView::of(volume, points));
            }
            view.add_system(guest);
        }
        None => {
            let volumes = open_volumes(disk).map_err(|error| unusable(&error))?;
            drop(view.warnings.splice(..0, not_shut_down(&volumes)));
            view.partitions = volumes.iter().map(|volume| PartitionView::of(volume, Vec::new())).collect();
        }
    }
    looked.host_has_not_failed()?;
    Ok(view)
}

/// What is said first of a guest that runs or was cut off.
fn not_shut_down(volumes: &[Volume]) -> Vec<String> {
    let replayed = volumes.iter().filter(|volume| volume.journal_replayed());
    replayed
        .map(|volume| format!("{volume} was not shut down cleanly: it is shown with its journal replayed"))
        .collect()
}

impl View {
    fn add_system(&mut self, guest: &Guest) {
        match guest.operating_system() {
            Ok(os) => self.operating_system = Some(os),
            Err(error) => self.warnings.push(in_one_line(&error)),
        }
        match guest.packages() {
            Ok(Packages::Listed(manager, packages)) => {
                self.package_manager = Some(manager.name());
                self.packages = packages;
            }
            Ok(Packages::Unreadable(manager)) => {
                self.package_manager = Some(manager);
                self.warnings.push(format!("the packages are {manager}'s, whose list imgraft cannot read yet"));
            }
            Ok(Packages::None) => {}
            Err(error) => self.warnings.push(in_one_line(&error)),
        }
    }
}

impl PartitionView {
    fn of(volume: &Volume, mounted_at: Vec<String>) -> Self {
        let partition = volume.partition();
        let file_system = volume.file_system();
        let not_empty = |text: String| (!text.is_empty()).then_some(text);
        Self {
            number: partition.map(|partition| partition.number),
            logical_volume: match volume.place() {
                Place::LogicalVolume(name) => Some(name.to_string()),
                Place::Disk | Place::Partition(_) => None,
            },
            name: partition.and_then(|partition| not_empty(partition.name.clone())),
            r#type: partition.map(|partition| match partition.kind.name() {
                Some(name) => name.to_owned(),
                None => partition.kind.to_string(),
            }),
            unique_guid: partition.map(|partition| partition.partuuid.clone()),
            first_byte: volume.first_byte(),
            size_bytes: volume.size_bytes(),
            file_system: volume.kind().map(|kind| FileSystemView {
                kind,
                label: file_system.and_then(|file_system| not_empty(Printable(file_system.label()).to_string())),
                uuid: file_system.map(guest::FileSystem::uuid),
                mounted_at,
                features: file_system.map(guest::FileSystem::features).unwrap_or_default(),
                space: file_system.and_then(|file_system| file_system.free_space().ok()),
                problem: volume.problem().map(ToString::to_string),
            }),
        }
    }
}

impl PartitionView {
    /// The number of the partition or the name of the logical volume; `disk` for the whole disk.
    fn place_name(&self, disk: &str) -> String {
        let number = self.number.map(|number| number.to_string());
        number.or_else(|| self.logical_volume.clone()).unwrap_or_else(|| disk.to_owned())
    }
}

/// What is shown to people.
fn text(view: &View) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
    line("format", &format_line(&view.image));
    if let Some(wrapping) = &view.wrapping {
        line("wrapped in", &wrapping.to_string());
    }
    let table = view.partition_table.as_ref().map_or("no partition table".to_owned(), |table| table.to_uppercase());
    line("disk", &format!("{}, {table}", ByteSize(view.image.virtual_size_bytes)));
    if let Some(os) = &view.operating_system {
        line("system", &system_line(os));
    }
    if view.package_manager.is_some() && !view.packages.is_empty() {
        line("packages", &format!("{} ({})", view.packages.len(), view.package_manager.unwrap_or_default()));
    }
    text.push('\n');
    text.push_str(&table_of(view));
    let width = view.partitions.iter().map(|partition| partition.place_name("disk").len()).max().unwrap_or(0);
    let features: Vec<String> =
        view.partitions.iter().filter_map(|partition| features_line(partition, width)).collect();
    if !features.is_empty() {
        text.push_str("\nfeatures\n");
        text.push_str(&features.concat());
    }
    text
}

fn format_line(info: &Info) -> String {
    let size = ByteSize(info.file_size_bytes);
    if let Some(vmdk) = &info.vmdk {
        return format!("{}, {}, {size}", info.format, Printable(vmdk.create_type.as_bytes()));
    }
    let Some(qcow2) = &info.qcow2 else { return format!("{}, {size}", info.format) };
    let mut text = format!(
        "{} {}, {size}, {}, clusters of {}",
        info.format,
        qcow2.compat,
        qcow2.compression_type,
        ByteSize(u64::from(qcow2.cluster_size_bytes))
    );
    if qcow2.snapshots > 0 {
        text.push_str(&format!(", {} snapshots", qcow2.snapshots));
    }
    for feature in &qcow2.features {
        text.push_str(&format!(", {feature}"));
    }
    text
}

fn system_line(os: &OperatingSystem) -> String {
    let mut text = Printable(os.name.as_bytes()).to_string();
    if let Some(version) = &os.version {
        text.push_str(&format!(" ({}:{})", Printable(os.id.as_bytes()), Printable(version.as_bytes())));
    }
    text
}

/// One row a partition.
fn table_of(view: &View) -> String {
    let header = ["partition", "type", "file system", "label", "mounted at", "size", "free"].map(str::to_owned);
    let mut rows = vec![header];
    for partition in &view.partitions {
        let file_system = partition.file_system.as_ref();
        let space = file_system.and_then(|file_system| file_system.space);
        let label = file_system.and_then(|file_system| file_system.label.clone()).unwrap_or_default();
        rows.push([
            partition.place_name("whole disk"),
            partition.r#type.clone().unwrap_or_default(),
            file_system.map(|file_system| file_system.kind.to_owned()).unwrap_or_default(),
            label,
            file_system.map(|file_system| file_system.mounted_at.join(", ")).unwrap_or_default(),
            ByteSize(partition.size_bytes).to_string(),
            space.map(|space| ByteSize(space.free_bytes()).to_string()).unwrap_or_default(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            // Sizes are numbers, and stand to the right.
            .map(
                |(column, (cell, &width))| {
                    if column < 5 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn features_line(partition: &PartitionView, width: usize) -> Option<String> {
    let file_system = partition.file_system.as_ref().filter(|file_system| !file_system.features.is_empty())?;
    let width = width.max("partition".len());
    Some(format!("{:<width$}  {}\n", partition.place_name("disk"), file_system.features.join(" ")))
}
