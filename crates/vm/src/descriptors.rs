//! Finding UEFI firmware on this host: by QEMU's firmware descriptors (`docs/interop/firmware.json` in QEMU's
//! source), and then in the places of distributions without descriptors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::machine::{Uefi, Variables};
use crate::{Architecture, Writes};

/// The folders with descriptors, below `$XDG_CONFIG_HOME`'s. A file hides those of its name in later folders.
const FOLDERS: [&str; 4] = [
    "/etc/qemu/firmware",
    "/usr/share/qemu/firmware",
    "/usr/local/share/qemu/firmware",
    "/opt/homebrew/share/qemu/firmware",
];
/// The most bytes of a descriptor; they have some hundred.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// Features of a firmware that works only for guests whose memory the host cannot read.
const CONFIDENTIAL: [&str; 2] = ["amd-sev-snp", "intel-tdx"];

/// Code and variables on systems that may have no descriptors: Debian, Fedora, Arch, openSUSE, Homebrew.
const X86_64_PLACES: [[&str; 2]; 7] = [
    ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"],
    ["/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"],
    ["/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"],
    ["/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"],
    ["/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"],
    ["/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"],
    ["/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"],
];
const AARCH64_PLACES: [[&str; 2]; 6] = [
    ["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"],
    ["/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"],
    ["/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"],
    ["/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"],
    ["/usr/local/share/qemu/edk2-aarch64-code.fd", "/usr/local/share/qemu/edk2-arm-vars.fd"],
    ["/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"],
];

impl Uefi {
    /// A firmware of this host for machines of `architecture`, with secure boot and the keys of common systems where
    /// `is_secure`. The variables begin as the firmware's template has them, each time.
    ///
    /// `config_home` is the folder of the user's own settings, such as `~/.config`.
    pub fn find(architecture: Architecture, is_secure: bool, config_home: Option<&Path>) -> Option<Self> {
        let own = config_home.map(|home| home.join("qemu/firmware"));
        let folders: Vec<PathBuf> = own.into_iter().chain(FOLDERS.map(PathBuf::from)).collect();
        let described = descriptors(&folders).into_values().filter_map(|path| read(&path));
        let described = described.filter_map(|descriptor| of_descriptor(&descriptor, architecture, is_secure));
        let mut all = described.chain(of_places(architecture, is_secure));
        all.find(|uefi| uefi.code.is_file() && uefi.variables.as_ref().is_none_or(|variables| variables.path.is_file()))
    }

    /// The Debian package with a firmware.
    pub fn package(architecture: Architecture) -> &'static str {
        match architecture {
            Architecture::X86_64 => "ovmf",
            Architecture::Aarch64 => "qemu-efi-aarch64",
        }
    }
}

/// The descriptors in `folders`, sorted by their names, which decide which is preferred.
fn descriptors(folders: &[PathBuf]) -> BTreeMap<OsString, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            if let Some(name) = path.file_name() {
                found.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    found
}

/// The descriptor at `path`. An empty one hides others of its name, and a broken one is ignored.
fn read(path: &Path) -> Option<Value> {
    let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_DESCRIPTOR_BYTES);
    let text = is_small.then(|| std::fs::read(path).ok()).flatten()?;
    serde_json::from_slice(&text).ok()
}

/// The firmware that `descriptor` describes, if it is one for such a machine.
fn of_descriptor(descriptor: &Value, architecture: Architecture, is_secure: bool) -> Option<Uefi> {
    let texts = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let features = texts(&descriptor["features"]);
    let has = |feature: &str| features.iter().any(|other| other == feature);
    let is_for_machine = descriptor["targets"].as_array()?.iter().any(|target| {
        target["architecture"] == architecture.name()
            && texts(&target["machines"]).iter().any(|pattern| is_match(pattern, architecture.versioned_board()))
    });
    let is_wanted = if is_secure {
        has("secure-boot") && has("enrolled-keys")
    } else {
        !has("secure-boot") && !has("enrolled-keys") && !has("requires-smm")
    };
    let mapping = &descriptor["mapping"];
    // A firmware that is mapped as memory or as a kernel has no variables.
    let is_usable = texts(&descriptor["interface-types"]).iter().any(|kind| kind == "uefi")
        && mapping["device"] == "flash"
        && !CONFIDENTIAL.into_iter().any(has);
    if !is_for_machine || !is_wanted || !is_usable {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let variables = match mapping["mode"].as_str().unwrap_or("split") {
        "split" => Some(Variables {
            path: text(&mapping["nvram-template"]["filename"])?.into(),
            format: text(&mapping["nvram-template"]["format"])?,
            writes: Writes::Throwaway,
        }),
        "stateless" => None,
        // Its variables are in the file of the code, which all machines share.
        _ => return None,
    };
    Some(Uefi {
        code: text(&mapping["executable"]["filename"])?.into(),
        code_format: text(&mapping["executable"]["format"])?,
        variables,
        needs_smm: has("requires-smm"),
    })
}

/// Firmware without a descriptor. None is known to have secure boot.
fn of_places(architecture: Architecture, is_secure: bool) -> impl Iterator<Item = Uefi> {
    let places: &[[&str; 2]] = match architecture {
        _ if is_secure => &[],
        Architecture::X86_64 => &X86_64_PLACES,
        Architecture::Aarch64 => &AARCH64_PLACES,
    };
    places.iter().map(|[code, variables]| Uefi {
        code: code.into(),
        code_format: "raw".to_owned(),
        variables: Some(Variables { path: variables.into(), format: "raw".to_owned(), writes: Writes::Throwaway }),
        needs_smm: false,
    })
}

/// Whether `pattern`, in which `*` matches anything, matches `text`.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A descriptor as Debian's `ovmf` has them.
    fn descriptor(code: &str, features: &[&str]) -> Value {
        json!({
            "description": "UEFI firmware",
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": { "filename": code, "format": "raw" },
                "nvram-template": { "filename": "/vars.fd", "format": "raw" },
            },
            "targets": [{ "architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"] }],
            "features": features,
            "tags": [],
        })
    }

    fn code(descriptor: &Value, is_secure: bool) -> Option<PathBuf> {
        of_descriptor(descriptor, Architecture::X86_64, is_secure).map(|uefi| uefi.code)
    }

    #[test]
    fn secure_boot_is_there_when_it_is_asked_for() {
        let plain = descriptor("/plain.fd", &["acpi-s3", "verbose-dynamic"]);
        let secure = descriptor("/secure.fd", &["requires-smm", "secure-boot"]);
        let enrolled = descriptor("/enrolled.fd", &["enrolled-keys", "requires-smm", "secure-boot"]);
        assert_eq!(code(&plain, false), Some("/plain.fd".into()));
        assert_eq!((code(&plain, true), code(&secure, false)), (None, None));
        assert_eq!((code(&secure, true), code(&enrolled, false)), (None, None));
        let uefi = of_descriptor(&enrolled, Architecture::X86_64, true).unwrap();
        assert!(uefi.needs_smm && uefi.code == Path::new("/enrolled.fd"));
        assert_eq!(uefi.variables.unwrap().writes, Writes::Throwaway);
    }

    #[test]
    fn what_is_for_other_machines_is_passed_over() {
        let plain = descriptor("/plain.fd", &[]);
        assert!(of_descriptor(&plain, Architecture::Aarch64, false).is_none());
        let mut older = plain.clone();
        older["targets"][0]["machines"] = json!(["pc-i440fx-*", "pc-q35-2.4"]);
        assert_eq!(code(&older, false), None);
        let mut bios = plain.clone();
        bios["interface-types"] = json!(["bios"]);
        assert_eq!(code(&bios, false), None);
        for mapping in [
            json!({ "device": "memory", "filename": "/ovmf.fd" }),
            json!({ "device": "kernel", "filename": "/u-boot" }),
            json!({ "device": "flash", "mode": "combined", "executable": { "filename": "/a", "format": "raw" } }),
            json!(null),
        ] {
            let other = json!({ "interface-types": ["uefi"], "mapping": mapping, "targets": plain["targets"] });
            assert_eq!(code(&other, false), None, "{other}");
        }
        assert_eq!(code(&descriptor("/snp.fd", &["amd-sev-snp"]), false), None);
        assert_eq!(code(&json!([]), false), None);
    }

    #[test]
    fn a_firmware_without_variables_needs_none() {
        let mut stateless = descriptor("/stateless.fd", &[]);
        stateless["mapping"]["mode"] = json!("stateless");
        let uefi = of_descriptor(&stateless, Architecture::X86_64, false).unwrap();
        assert_eq!(uefi.variables, None);
    }

    #[test]
    fn a_descriptor_hides_those_of_its_name_further_down() {
        let (own, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["50-a.json", "60-b.json", "70-c.json", "readme"] {
            std::fs::write(system.path().join(name), descriptor(name, &[]).to_string()).unwrap();
        }
        // An empty one hides and describes nothing.
        std::fs::write(own.path().join("50-a.json"), "").unwrap();
        std::fs::write(own.path().join("70-c.json"), descriptor("mine", &[]).to_string()).unwrap();
        let folders = [own.path().to_owned(), "/not-there".into(), system.path().to_owned()];
        let read: Vec<_> = descriptors(&folders).into_values().filter_map(|path| read(&path)).collect();
        let codes: Vec<_> = read.iter().map(|descriptor| code(descriptor, false).unwrap()).collect();
        assert_eq!(codes, [Path::new("60-b.json"), Path::new("mine")]);
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, is) in [
            ("pc-q35-*", "pc-q35-9.0", true),
            ("pc-q35-2.4", "pc-q35-9.0", false),
            ("*", "virt-9.0", true),
            ("*-*.0", "virt-9.0", true),
            ("virt-*", "virt", false),
            ("virt", "virt-9.0", false),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(is_match(pattern, text), is, "{pattern} {text}");
        }
    }
}
