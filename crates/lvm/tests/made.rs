use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use lvm::{Error, groups};
use storage::{FileStorage, ReadAt, WriteAt};
use testkit::judge::judge;
use testkit::lvm::{Loop, lvm, reported};

const MIB: u64 = 1 << 20;

/// Files as loop devices.
struct Loops(Vec<Loop>);

impl Loops {
    fn new(folder: &Path, sizes_mib: &[u64]) -> Self {
        let make = |(number, size): (usize, &u64)| {
            let path = folder.join(format!("pv{number}"));
            File::create(&path).unwrap().set_len(size * MIB).unwrap();
            Loop::new(&path, 0, None)
        };
        Self(sizes_mib.iter().enumerate().map(make).collect())
    }

    fn storages(&self) -> Vec<Arc<FileStorage>> {
        let open = |one: &Loop| {
            Arc::new(FileStorage::new(File::options().read(true).write(true).open(&one.file).unwrap()).unwrap())
        };
        self.0.iter().map(open).collect()
    }

    fn devices(&self) -> Vec<&str> {
        self.0.iter().map(|one| &one.device[..]).collect()
    }

    /// The file of a device that `lvm` has named.
    fn file(&self, device: &str) -> &Path {
        &self.0.iter().find(|one| one.device == device).unwrap().file
    }

    /// Makes the file of a device larger, and the device.
    fn enlarge(&self, index: usize, bytes: u64) {
        let Loop { file, device } = &self.0[index];
        let file = File::options().write(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() + bytes).unwrap();
        judge("losetup").args(["-c", device]).succeed();
    }
}

#[test]
fn linear_and_striped_volumes_are_where_lvm_says() {
    let folder = tempfile::tempdir().unwrap();
    let loops = Loops::new(folder.path(), &[80, 100, 120]);
    let devices = loops.devices();
    lvm(&["pvcreate", "-q", "--metadatacopies", "2", devices[0], devices[1]]);
    lvm(&["pvcreate", "-q", devices[2]]);
    lvm(&[&["vgcreate", "-q", "vg0"][..], &devices].concat());
    let create = ["lvcreate", "-q", "-an", "-Zn", "-Wn", "-y"];
    lvm(&[&create[..], &["-n", "root", "-L", "60M", "vg0"]].concat());
    lvm(&[&create[..], &["-n", "striped", "-i", "3", "-I", "64k", "-L", "36M", "vg0"]].concat());
    lvm(&[&create[..], &["-n", "between", "-L", "8M", "vg0"]].concat());
    // Of several segments, with others in between.
    lvm(&["lvextend", "-q", "-L", "90M", "vg0/root"]);
    let storages = loops.storages();
    let seen: Vec<&dyn ReadAt> = storages.iter().map(|storage| &**storage as &dyn ReadAt).collect();
    let found = groups(&seen).unwrap();
    let [group] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&group.name[..], group.extent_bytes, &group.damage[..]), ("vg0", 4 * MIB, &[][..]));
    assert_eq!(reported("vgs", "vg_uuid,vg_seqno", "vg0"), [format!("{} {}", group_uuid(&group.uuid), group.sequence)]);

    let first_extents: BTreeMap<&str, u64> =
        devices.iter().map(|device| (*device, reported("pvs", "pe_start", device)[0].parse().unwrap())).collect();
    for name in ["root", "striped"] {
        let volume = group.logical_volumes.iter().find(|volume| volume.name == name).unwrap();
        let mapped = group.open(volume, &storages).unwrap();
        assert_eq!(reported("lvs", "lv_size", &format!("vg0/{name}")), [mapped.size_bytes().to_string()]);
        assert!(volume.is_visible && volume.segments.len() > usize::from(name == "root"), "{volume:?}");
        // Each 64 KiB says where it is; then each is read where lvm says that it is.
        for at in (0..mapped.size_bytes()).step_by(64 << 10) {
            mapped.write_at(at, &at.to_le_bytes()).unwrap();
        }
        let segments = reported("lvs", "seg_start,seg_size,stripes,devices", &format!("vg0/{name}"));
        let mut checked = 0;
        for line in segments {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [start, size, stripes, places] = words[..] else { panic!("{line}") };
            let number = |word: &str| word.parse::<u64>().unwrap();
            let places: Vec<(&str, u64)> = places
                .split(',')
                .map(|place| {
                    let (device, extent) = place.trim_end_matches(')').split_once('(').unwrap();
                    (device, number(extent))
                })
                .collect();
            assert_eq!(places.len() as u64, number(stripes));
            for at in (0..number(size)).step_by(64 << 10) {
                let stripe = at / (64 << 10);
                let (device, extent) = match places.len() {
                    1 => places[0],
                    count => places[(stripe % count as u64) as usize],
                };
                let within = if places.len() == 1 { at } else { stripe / places.len() as u64 * (64 << 10) };
                let start_byte = first_extents[device];
                let mut bytes = [0; 8];
                let file = File::open(loops.file(device)).unwrap();
                file.read_exact_at(&mut bytes, start_byte + extent * 4 * MIB + within).unwrap();
                assert_eq!(u64::from_le_bytes(bytes), number(start) + at, "{name}: {line}");
                checked += 1;
            }
        }
        assert_eq!(checked, mapped.size_bytes() / (64 << 10));
    }

    // A group without one of its volumes is read, and what would need that one is refused.
    let some = groups(&seen[..1]).unwrap();
    let root = some[0].logical_volumes.iter().find(|volume| volume.name == "striped").unwrap();
    assert!(matches!(some[0].open(root, &storages[..1]), Err(Error::Unsupported { .. })));
}

fn group_uuid(plain: &str) -> String {
    // 6-4-4-4-4-4-6.
    let mut at = 0;
    let part = |length: usize| {
        at += length;
        &plain[at - length..at]
    };
    [6, 4, 4, 4, 4, 4, 6].map(part).join("-")
}

/// Either copy of the metadata is enough, and damage to both is an error.
#[test]
fn one_sound_copy_of_the_metadata_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let loops = Loops::new(folder.path(), &[64]);
    let device = &loops.0[0].device[..];
    lvm(&["pvcreate", "-q", "--metadatacopies", "2", device]);
    lvm(&["vgcreate", "-q", "vg1", device]);
    let storages = loops.storages();
    let read = || groups(&[&*storages[0] as &dyn ReadAt]);
    assert_eq!(read().unwrap()[0].damage.len(), 0);
    let file = File::options().read(true).write(true).open(&loops.0[0].file).unwrap();
    // The first area begins behind the label, the second one ends with the device.
    let mut areas = Vec::new();
    let mut bytes = vec![0; 64 * MIB as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    for at in (0..bytes.len()).step_by(512) {
        if bytes[at + 4..].starts_with(b" LVM2 x[5A%r0N*>") {
            areas.push(at as u64);
        }
    }
    assert_eq!(areas.len(), 2);
    file.write_all_at(b"X", areas[0] + 30).unwrap();
    let found = read().unwrap();
    assert_eq!((found[0].name.as_str(), found[0].damage.len()), ("vg1", 1), "{:?}", found[0].damage);
    file.write_all_at(b"X", areas[1] + 30).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("no header, or a wrong checksum"), "{error}");
    // The label itself.
    file.write_all_at(b"X", 512 + 40).unwrap();
    assert!(read().unwrap_err().to_string().contains("wrong crc_xl"));
}

/// Each byte stays where it was, `lvm` accepts the metadata, has the sizes that were meant, and changes them afterwards.
#[test]
fn volumes_that_have_grown_are_lvms() {
    let folder = tempfile::tempdir().unwrap();
    let loops = Loops::new(folder.path(), &[64, 48]);
    let devices = loops.devices();
    lvm(&["pvcreate", "-q", "--metadatasize", "60k", devices[0], devices[1]]);
    lvm(&["vgcreate", "-q", "-s", "64k", "vg2", devices[0], devices[1]]);
    let create = ["lvcreate", "-q", "-an", "-Zn", "-Wn", "-y"];
    lvm(&[&create[..], &["-n", "root", "-L", "20M", "vg2", devices[0]]].concat());
    lvm(&[&create[..], &["-n", "other", "-L", "8M", "vg2", devices[1]]].concat());
    lvm(&[&create[..], &["-n", "striped", "-i", "2", "-I", "16k", "-L", "4M", "vg2"]].concat());
    let mapped = |name: &str| {
        let storages = loops.storages();
        let found = groups(&storages.iter().map(|storage| &**storage as &dyn ReadAt).collect::<Vec<_>>()).unwrap();
        let volume = found[0].logical_volumes.iter().find(|volume| volume.name == name).unwrap();
        (found[0].open(volume, &storages).unwrap(), found[0].sequence, volume.segments.len())
    };
    let (root, ..) = mapped("root");
    let content: Vec<u8> = (0..root.size_bytes()).map(|at| (at / 511) as u8).collect();
    root.write_at(0, &content).unwrap();
    let mut sequence = mapped("root").1;
    // The area for metadata has room for some thirty texts: it is gone round several times.
    for round in 0..150 {
        loops.enlarge(round % 2, 64 << 10);
        lvm::grow(&loops.storages(), "vg2", "root").unwrap();
        let (grown, new_sequence, segments) = mapped("root");
        assert_eq!(new_sequence, sequence + 1, "round {round}");
        sequence = new_sequence;
        assert!(grown.begins_like(&root) && root.begins_like(&grown) && !grown.begins_like(&mapped("other").0));
        // On two devices in turn, so that none follows the one before.
        assert!(segments >= 2, "{segments}");
        if round % 30 == 0 {
            assert_eq!(reported("vgs", "vg_free,vg_seqno,vg_missing_pv_count", "vg2"), [format!("0 {sequence} 0")]);
            assert_eq!(reported("lvs", "lv_size", "vg2/root"), [grown.size_bytes().to_string()]);
            lvm(&["vgck", "vg2"]);
        }
    }
    for (index, device) in devices.iter().enumerate() {
        let size = File::open(&loops.0[index].file).unwrap().metadata().unwrap().len();
        let [said] = &reported("pvs", "dev_size,pv_size,pv_used", device)[..] else { panic!("{device}") };
        let [there, size_bytes, used] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert_eq!((there, size_bytes), (&size.to_string()[..], used));
    }
    let (grown, ..) = mapped("root");
    let mut now = vec![0; content.len()];
    grown.read_at(0, &mut now).unwrap();
    assert_eq!(now, content);
    // Without more room, nothing is written.
    lvm::grow(&loops.storages(), "vg2", "root").unwrap();
    assert_eq!(mapped("root").1, sequence);
    // LVM goes on with it.
    lvm(&["lvreduce", "-q", "-f", "-y", "-L", "20M", "vg2/root"]);
    lvm(&[&create[..], &["-n", "more", "-L", "12M", "vg2"]].concat());
    assert!(mapped("root").0.begins_like(&root));
    assert_eq!(mapped("other").0.size_bytes(), 8 * MIB);
}

#[test]
fn a_physical_volume_with_metadata_at_its_end_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let loops = Loops::new(folder.path(), &[32]);
    let device = &loops.0[0].device[..];
    lvm(&["pvcreate", "-q", "--metadatacopies", "2", device]);
    lvm(&["vgcreate", "-q", "vg3", device]);
    lvm(&["lvcreate", "-q", "-an", "-Zn", "-Wn", "-y", "-n", "root", "-L", "8M", "vg3"]);
    loops.enlarge(0, 8 * MIB);
    let error = lvm::grow(&loops.storages(), "vg3", "root").unwrap_err().to_string();
    assert_eq!(error, "growing the physical volume pv0, which has metadata at its end, is not supported");
    assert!(lvm::grow(&loops.storages(), "vg3", "home").unwrap_err().to_string().contains("it is not there"));
}
