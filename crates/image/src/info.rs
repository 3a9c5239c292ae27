use std::fmt;

use serde::Serialize;

use crate::BackingName;

/// The format of an image's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The file is the guest's disk, byte for byte.
    Raw,
    /// QEMU's format, versions 2 and 3.
    Qcow2,
    /// VMware's format in one file.
    Vmdk,
    /// Virtual PC's and Azure's format, fixed: the guest's disk and a footer.
    Vhd,
}

impl Format {
    /// QEMU's name of the format.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vpc",
        }
    }

    /// The format with this name in QEMU, if it can be read.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vhd].into_iter().find(|format| format.qemu_name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
        })
    }
}

/// How a qcow2 image's compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionType {
    /// Raw deflate with a window of 4 KiB.
    Zlib,
    /// One zstd frame a cluster.
    Zstd,
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        })
    }
}

/// A description of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The file's format.
    pub format: Format,
    /// Size of the guest's disk in bytes.
    pub virtual_size_bytes: u64,
    /// Size of the file in bytes, with its holes.
    pub file_size_bytes: u64,
    /// More about a qcow2 image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qcow2: Option<Qcow2Info>,
    /// More about a VMDK image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmdk: Option<VmdkInfo>,
    /// More about a VHD image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vhd: Option<VhdInfo>,
}

impl Info {
    /// A description with the fields that every format has.
    pub(crate) fn new(format: Format, virtual_size_bytes: u64, file_size_bytes: u64) -> Self {
        Self { format, virtual_size_bytes, file_size_bytes, qcow2: None, vmdk: None, vhd: None }
    }
}

/// Fields of a VMDK image's header and descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmdkInfo {
    /// The kind of VMDK, as its descriptor calls it: `streamOptimized` or `monolithicSparse`.
    pub create_type: String,
    /// Size of a grain in bytes.
    pub grain_size_bytes: u32,
}

/// Fields of a VHD image's footer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VhdInfo {
    /// The program that made it: four letters.
    pub creator: String,
    /// The footer's UUID.
    pub uuid: String,
}

/// Fields of a qcow2 image's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Qcow2Info {
    /// The format's version, 2 or 3.
    pub version: u32,
    /// The version's name in `qemu-img -o compat=`.
    pub compat: &'static str,
    /// Size of a cluster in bytes.
    pub cluster_size_bytes: u32,
    /// How compressed clusters are compressed.
    pub compression_type: CompressionType,
    /// Width of a reference count in bits.
    pub refcount_bits: u32,
    /// Number of internal snapshots.
    pub snapshots: u32,
    /// The image's backing file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_file: Option<BackingName>,
    /// The feature bits that are set and the extensions that matter, by name.
    pub features: Vec<String>,
}
