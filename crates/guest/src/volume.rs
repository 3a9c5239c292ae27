//! A partition, a logical volume or a whole disk, and the file system on it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use partition::{Partition, Table};
use storage::{Finding, Printable, ReadAt, Window, WriteAt};

use crate::diff::ranges;
use crate::error::Error;
use crate::file_system::{Bytes, FileSystem, FileSystemError, FileSystemProblem, Kind, Support, recognise};
use crate::fstab::{self, Device};
use crate::metadata::FileKind;
use crate::place::{LogicalVolume, LogicalVolumeName, Place, Site};

/// A partition, a logical volume, or the whole disk if it has no partition table.
pub struct Volume {
    site: Site,
    bytes: Bytes,
    /// The parts of it that are logical volumes, which are volumes of their own: sorted, from its beginning.
    lent: Vec<Range<u64>>,
    /// Of a physical volume, what is wrong with copies of its metadata that others make up for.
    damage: Vec<Finding>,
    pub(crate) content: Content,
}

/// What a volume holds.
pub(crate) enum Content {
    /// A file system that is read, and perhaps written.
    FileSystem(Box<dyn FileSystem>),
    /// One that could not be opened.
    Broken { kind: &'static str, error: FileSystemError },
    /// Something that is known by name only.
    Named(&'static Kind),
    /// Nothing that is known.
    None,
}

impl Volume {
    /// Looks at the partition, or at the whole of `disk`, and opens its file system if it is one of `kinds`.
    fn open(disk: &Arc<dyn WriteAt>, partition: Option<Partition>, kinds: &'static [Kind]) -> Result<Self, Error> {
        let (first_byte, size_bytes) = match &partition {
            Some(partition) => (partition.first_byte, partition.size_bytes),
            None => (0, disk.size_bytes()),
        };
        let bytes: Bytes = Window::new(Arc::clone(disk), first_byte, size_bytes)?;
        Self::on(bytes, partition.map_or(Site::Disk { size_bytes }, Site::Partition), kinds)
    }

    /// Looks at `bytes`, which are those of `site`, and opens their file system if it is one of `kinds`.
    fn on(bytes: Bytes, site: Site, kinds: &'static [Kind]) -> Result<Self, Error> {
        let content = match recognise(&bytes, kinds)? {
            Some(kind) => match kind.support {
                Support::Opens { open, name } => match open(bytes.clone()) {
                    Ok(file_system) => Content::FileSystem(file_system),
                    Err(error) => Content::Broken { kind: name(&bytes).unwrap_or(kind.name), error },
                },
                Support::NameOnly | Support::NoFiles | Support::LogicalVolumes => Content::Named(kind),
            },
            None => Content::None,
        };
        let volume = Self { site, bytes, lent: Vec::new(), damage: Vec::new(), content };
        let name = volume.to_string();
        match volume.content {
            // A file system that the host could not read may be sound.
            Content::Broken { error, .. } if error.is_from_host() => {
                Err(Error::FileSystem { volume: name, path: None, error })
            }
            content => Ok(Self { content, ..volume }),
        }
    }

    /// The logical volumes on those of `volumes` that are physical ones, in the order of their names.
    pub(crate) fn open_logical(volumes: &mut [Self], kinds: &'static [Kind]) -> Result<Vec<Self>, Error> {
        let mut physical: Vec<&mut Self> = volumes.iter_mut().filter(|volume| volume.is_physical()).collect();
        let storages: Vec<Bytes> = physical.iter().map(|volume| volume.bytes.clone()).collect();
        let readable: Vec<&dyn ReadAt> = storages.iter().map(|bytes| bytes as &dyn ReadAt).collect();
        let groups = match lvm::groups(&readable) {
            Ok(groups) => groups,
            Err(lvm::Error::Storage(error)) if error.host_error().is_some() => return Err(error.into()),
            Err(error) => {
                // Which of them is damaged is in the words.
                for volume in physical {
                    volume.content = Content::Broken { kind: "LVM2", error: of_lvm(&error) };
                }
                return Ok(Vec::new());
            }
        };
        let places: Vec<Range<u64>> = physical.iter().map(|volume| volume.whole()).collect();
        let mut logical = Vec::new();
        for group in &groups {
            for damage in &group.damage {
                physical[damage.storage].damage.push(Finding::new("LVM2", &damage.problem));
            }
            let mut visible: Vec<_> = group.logical_volumes.iter().filter(|volume| volume.is_visible).collect();
            visible.sort_by_key(|volume| &volume.name);
            for volume in visible {
                let name = LogicalVolumeName { group: group.name.clone(), name: volume.name.clone() };
                let size_bytes = group.size_bytes(volume);
                let opened = match group.open(volume, &storages) {
                    Ok(mapped) => {
                        for (index, physical) in physical.iter_mut().enumerate() {
                            physical.lent.extend(mapped.used(index));
                        }
                        let bytes: Arc<dyn WriteAt> = Arc::new(mapped.clone());
                        let bytes = Window::new(Arc::clone(&bytes), 0, bytes.size_bytes())?;
                        let site =
                            LogicalVolume { name, size_bytes, mapped: Some(mapped), physical_volumes: places.clone() };
                        Self::on(bytes, Site::LogicalVolume(site), kinds)?
                    }
                    Err(error) => {
                        let site = LogicalVolume { name, size_bytes, mapped: None, physical_volumes: Vec::new() };
                        let nothing: Arc<dyn WriteAt> = Arc::new(storage::Memory::from(Vec::new()));
                        Self {
                            site: Site::LogicalVolume(site),
                            bytes: Window::new(nothing, 0, 0)?,
                            lent: Vec::new(),
                            damage: Vec::new(),
                            content: Content::Broken { kind: "LVM2", error: of_lvm(&error) },
                        }
                    }
                };
                logical.push(opened);
            }
        }
        physical.iter_mut().for_each(|volume| volume.lent.sort_by_key(|range| range.start));
        Ok(logical)
    }

    /// Gives a logical volume of `disk`, which was made larger, the room at the end: the last partition of its group grows,
    /// then the physical volume on that, then the logical one.
    pub(crate) fn grow_logical(
        disk: &Arc<dyn WriteAt>,
        name: &LogicalVolumeName,
        kinds: &'static [Kind],
    ) -> Result<(), Error> {
        let failed = |error: lvm::Error| {
            let volume = Place::LogicalVolume(name.clone()).to_string();
            Error::FileSystem { volume, path: None, error: of_lvm(&error) }
        };
        let physical = Self::physical(disk, kinds)?;
        let storages: Vec<&dyn ReadAt> = physical.iter().map(|volume| &volume.bytes as &dyn ReadAt).collect();
        let groups = lvm::groups(&storages).map_err(failed)?;
        let group = groups.iter().find(|group| group.name == name.group);
        let members = group.into_iter().flat_map(|group| &group.physical_volumes).filter_map(|volume| volume.storage);
        let last = members.map(|index| &physical[index]).max_by_key(|volume| volume.first_byte());
        if let Some(partition) = last.and_then(Self::partition) {
            partition::grow(&**disk, partition.number)?;
        }
        let bytes: Vec<Bytes> = Self::physical(disk, kinds)?.into_iter().map(|volume| volume.bytes).collect();
        lvm::grow(&bytes, &name.group, &name.name).map_err(failed)
    }

    /// The physical volumes on `disk`.
    fn physical(disk: &Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Vec<Self>, Error> {
        let mut volumes = Self::partitions(disk, kinds)?;
        volumes.retain(Self::is_physical);
        Ok(volumes)
    }

    /// The partitions of `disk`, or the whole of it.
    pub(crate) fn partitions(disk: &Arc<dyn WriteAt>, kinds: &'static [Kind]) -> Result<Vec<Self>, Error> {
        let open = |partition: Option<&Partition>| Self::open(disk, partition.cloned(), kinds);
        match partition::read(disk)? {
            Table::None => Ok(vec![open(None)?]),
            table => table.partitions().iter().map(|partition| open(Some(partition))).collect(),
        }
    }

    /// Whether it is a physical volume of LVM2.
    fn is_physical(&self) -> bool {
        matches!(self.content, Content::Named(kind) if matches!(kind.support, Support::LogicalVolumes))
    }

    /// Where LVM2 keeps what it knows of a physical volume, as sorted ranges of its bytes; none if it is not one.
    pub(crate) fn lvm_ranges(&self) -> Result<Vec<Range<u64>>, Error> {
        let label = if self.is_physical() { lvm::Label::read(&self.bytes) } else { Ok(None) };
        let label = label.map_err(|error| self.failed(of_lvm(&error)))?;
        let mut ranges = label.map(|label| label.ranges()).unwrap_or_default();
        ranges.sort_by_key(|range| range.start);
        Ok(ranges)
    }

    /// An error of the file system, as one of the guest.
    pub(crate) fn failed(&self, error: FileSystemError) -> Error {
        Error::FileSystem { volume: self.to_string(), path: None, error }
    }

    /// The name of its place on the disk.
    pub fn place(&self) -> Place {
        self.site.place()
    }

    /// The partition; `None` for the whole disk and for a logical volume.
    pub fn partition(&self) -> Option<&Partition> {
        match &self.site {
            Site::Partition(partition) => Some(partition),
            Site::Disk { .. } | Site::LogicalVolume(_) => None,
        }
    }

    /// Its own bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Size of the partition, of the logical volume or of the disk in bytes.
    pub fn size_bytes(&self) -> u64 {
        match &self.site {
            Site::Disk { size_bytes } => *size_bytes,
            Site::Partition(partition) => partition.size_bytes,
            Site::LogicalVolume(volume) => volume.size_bytes,
        }
    }

    /// Offset on the disk of its first byte. Not all of a logical volume need follow there.
    pub fn first_byte(&self) -> u64 {
        self.site.first_byte()
    }

    /// Whether its bytes are in several parts of the disk, as those of a logical volume can be.
    pub fn is_in_parts(&self) -> bool {
        self.site.is_in_parts()
    }

    /// What it has of these sorted byte ranges of the disk, counted from its own beginning; sorted. What a logical volume
    /// has is not part of its partition.
    pub fn within(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        ranges::without(&self.site.within(ranges), &self.lent)
    }

    /// Whether the shorter one of two volumes has its bytes where the longer one has them.
    pub(crate) fn begins_like(&self, other: &Self) -> bool {
        self.site.begins_like(&other.site)
    }

    /// What two volumes have of these sorted byte ranges of their disks, counted from their beginning; `None` if they do
    /// not have their bytes in the same places of the disk.
    pub(crate) fn within_both(&self, other: &Self, ranges: &[Range<u64>]) -> Option<Vec<Range<u64>>> {
        let lent = || ranges::union(&self.lent, &other.lent);
        let within = || ranges::union(&self.site.within(ranges), &other.site.within(ranges));
        self.begins_like(other).then(|| ranges::without(&within(), &lent()))
    }

    /// Where it is on the disk, if it is a disk or a partition.
    fn whole(&self) -> Range<u64> {
        self.first_byte()..self.first_byte().saturating_add(self.size_bytes())
    }

    /// Size in bytes of the file system; of the partition, if none could be opened.
    pub fn file_system_bytes(&self) -> u64 {
        let blocks = self.file_system().and_then(|file_system| {
            let space = file_system.free_space().ok()?;
            Some(space.blocks * u64::from(space.block_size_bytes))
        });
        blocks.unwrap_or(self.size_bytes())
    }

    /// What it holds, by name: `ext2`, `ext3`, `ext4`, `fat`, `xfs`, `swap`…
    pub fn kind(&self) -> Option<&'static str> {
        match &self.content {
            Content::FileSystem(file_system) => Some(file_system.kind()),
            Content::Broken { kind, .. } => Some(kind),
            Content::Named(kind) => Some(kind.name),
            Content::None => None,
        }
    }

    /// Why the file system could not be opened, if so.
    pub fn problem(&self) -> Option<&FileSystemError> {
        match &self.content {
            Content::Broken { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What is wrong with a physical volume of LVM2, although its logical volumes can be read.
    pub fn lvm_damage(&self) -> &[Finding] {
        &self.damage
    }

    /// The file system, if it could be opened.
    pub fn file_system(&self) -> Option<&dyn FileSystem> {
        match &self.content {
            Content::FileSystem(file_system) => Some(&**file_system),
            _ => None,
        }
    }

    pub(crate) fn file_system_mut(&mut self) -> Option<&mut dyn FileSystem> {
        match &mut self.content {
            Content::FileSystem(file_system) => Some(&mut **file_system),
            _ => None,
        }
    }

    /// Whether the file system has a regular file at this path, whose components are `names`. Links are not followed.
    pub fn has_file(&self, names: &[&str]) -> bool {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let found =
            self.file_system().and_then(|file_system| file_system.walk(&file_system.root(), &names).ok().flatten());
        found.is_some_and(|(_, kind)| kind == FileKind::Regular)
    }

    /// Whether it may have files, but imgraft only knows the name of its kind.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.content, Content::Named(kind) if matches!(kind.support, Support::NameOnly))
    }

    /// Whether the file system has an `/etc`, and nothing in its `/usr`, so that another can be mounted there.
    pub(crate) fn has_empty_usr(&self) -> bool {
        let Some(file_system) = self.file_system().filter(|file_system| file_system.is_unix()) else { return false };
        let root = file_system.root();
        let has_etc = matches!(file_system.lookup(&root, b"etc"), Ok(Some((_, FileKind::Directory))));
        let is_empty = match file_system.lookup(&root, b"usr") {
            Ok(Some((usr, FileKind::Directory))) => {
                file_system.children(&usr).is_ok_and(|children| children.is_empty())
            }
            Ok(None) => true,
            _ => false,
        };
        has_etc && is_empty
    }

    /// Whether a journal was left dirty and has been replayed.
    pub fn journal_replayed(&self) -> bool {
        self.file_system().is_some_and(|file_system| file_system.journal_replayed())
    }

    /// Whether a line of fstab means this volume.
    pub(crate) fn is(&self, device: &Device) -> bool {
        let partition = self.partition();
        match device {
            Device::Label(label) => {
                self.file_system().is_some_and(|file_system| file_system.label() == label.as_bytes())
            }
            Device::Uuid(uuid) => {
                self.file_system().is_some_and(|file_system| file_system.uuid().eq_ignore_ascii_case(uuid))
            }
            Device::PartitionUuid(uuid) => {
                partition.is_some_and(|partition| partition.partuuid.eq_ignore_ascii_case(uuid))
            }
            Device::PartitionLabel(label) => partition.is_some_and(|partition| partition.name == *label),
            Device::Node(node) => match self.place() {
                Place::Disk => false,
                Place::Partition(number) => fstab::partition_number(node) == Some(number),
                Place::LogicalVolume(name) => node.starts_with("/dev/") && node.parse() == Ok(name),
            },
        }
    }
}

/// What LVM2 says of a volume, as an error of what would be on it.
fn of_lvm(error: &lvm::Error) -> FileSystemError {
    let problem = match error {
        lvm::Error::Storage(error) => FileSystemProblem::of_storage(error),
        lvm::Error::Corrupt { object, problem } => FileSystemProblem::Damaged(Finding::new(object, problem)),
        lvm::Error::Unsupported { what } => FileSystemProblem::Unsupported { feature: what.clone() },
    };
    problem.into()
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)?;
        let label = self.file_system().map(|file_system| file_system.label()).filter(|label| !label.is_empty());
        match (self.kind(), label) {
            (Some(kind), Some(label)) => write!(f, " ({kind} `{}`)", Printable(label)),
            (Some(kind), None) => write!(f, " ({kind})"),
            (None, _) => Ok(()),
        }
    }
}
