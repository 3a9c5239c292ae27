use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lvm::{Error, groups};
use storage::{FileStorage, ReadAt, WriteAt};
use testkit::judge::judge;

const MIB: u64 = 1 << 20;
/// Without device-mapper, and without what the machine has of its own.
const CONFIG: &str = "devices { scan=[\"/dev\"] use_devicesfile=0 global_filter=[\"a|/dev/loop.*|\",\"r|.*|\"] } \
                      global { use_lvmpolld=0 use_lvmlockd=0 } backup { backup=0 archive=0 } \
                      activation { monitoring=0 udev_sync=0 udev_rules=0 verify_udev_operations=1 }";

/// Files as loop devices, given back at the end.
struct Loops(Vec<(PathBuf, String)>);

impl Loops {
    fn new(folder: &Path, sizes_mib: &[u64]) -> Self {
        let make = |(number, size): (usize, &u64)| {
            let path = folder.join(format!("pv{number}"));
            File::create(&path).unwrap().set_len(size * MIB).unwrap();
            let device = judge("losetup").args(["--find", "--show"]).arg(&path).succeed().stdout.trim().to_owned();
            (path, device)
        };
        Self(sizes_mib.iter().enumerate().map(make).collect())
    }

    fn storages(&self) -> Vec<Arc<FileStorage>> {
        let open = |(path, _): &(PathBuf, String)| {
            Arc::new(FileStorage::new(File::options().read(true).write(true).open(path).unwrap()).unwrap())
        };
        self.0.iter().map(open).collect()
    }

    /// Where the first byte of a physical extent is in one of the devices, which `lvm` has named.
    fn file(&self, device: &str) -> &Path {
        &self.0.iter().find(|(_, name)| name == device).unwrap().0
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for (_, device) in &self.0 {
            judge("losetup").args(["-d", device]).run();
        }
    }
}

fn lvm(words: &[&str]) -> String {
    let (command, arguments) = words.split_first().unwrap();
    judge("lvm").args([*command, "--driverloaded", "n", "--config", CONFIG]).args(arguments).succeed().stdout
}

#[test]
fn linear_and_striped_volumes_are_where_lvm_says() {
    let folder = tempfile::tempdir().unwrap();
    let loops = Loops::new(folder.path(), &[80, 100, 120]);
    let devices: Vec<&str> = loops.0.iter().map(|(_, device)| &device[..]).collect();
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
    assert_eq!((&group.name[..], group.extent_bytes, &group.problems[..]), ("vg0", 4 * MIB, &[][..]));
    let report = ["--noheadings", "--units", "b", "--nosuffix"];
    let said = lvm(&[&["vgs"][..], &report, &["-o", "vg_uuid,vg_seqno", "vg0"]].concat());
    let said: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(said, [group_uuid(&group.uuid), group.sequence.to_string()]);

    let first_extents: BTreeMap<&str, u64> =
        devices.iter().map(|device| (*device, lvm_first_extent(&report, device))).collect();
    for name in ["root", "striped"] {
        let volume = group.logical_volumes.iter().find(|volume| volume.name == name).unwrap();
        let mapped = group.open(volume, &storages).unwrap();
        let size = lvm(&[&["lvs"][..], &report, &["-o", "lv_size", &format!("vg0/{name}")]].concat());
        assert_eq!(mapped.size_bytes().to_string(), size.trim());
        assert!(volume.is_visible && volume.segments.len() > usize::from(name == "root"), "{volume:?}");
        // Each 64 KiB says where it is; then each is read where lvm says that it is.
        for at in (0..mapped.size_bytes()).step_by(64 << 10) {
            mapped.write_at(at, &at.to_le_bytes()).unwrap();
        }
        let segments = lvm(&[
            &["lvs"][..],
            &report,
            &["--segments", "-o", "seg_start,seg_size,stripes,devices", &format!("vg0/{name}")],
        ]
        .concat());
        let mut checked = 0;
        for line in segments.lines() {
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

/// `pe_start` of a physical volume, in bytes.
fn lvm_first_extent(report: &[&str], device: &str) -> u64 {
    lvm(&[&["pvs"][..], report, &["-o", "pe_start", device]].concat()).trim().parse().unwrap()
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
    let device = &loops.0[0].1[..];
    lvm(&["pvcreate", "-q", "--metadatacopies", "2", device]);
    lvm(&["vgcreate", "-q", "vg1", device]);
    let storages = loops.storages();
    let read = || groups(&[&*storages[0] as &dyn ReadAt]);
    assert_eq!(read().unwrap()[0].problems.len(), 0);
    let file = File::options().read(true).write(true).open(&loops.0[0].0).unwrap();
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
    assert_eq!((found[0].name.as_str(), found[0].problems.len()), ("vg1", 1), "{:?}", found[0].problems);
    file.write_all_at(b"X", areas[1] + 30).unwrap();
    let error = read().unwrap_err().to_string();
    assert!(error.contains("no header, or a wrong checksum"), "{error}");
    // The label itself.
    file.write_all_at(b"X", 512 + 40).unwrap();
    assert!(read().unwrap_err().to_string().contains("wrong crc_xl"));
}
