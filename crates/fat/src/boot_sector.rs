use storage::ReadAt;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Error;

/// FAT specification, "Boot Sector and BPB".
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawBootSector {
    /// 0x000
    pub(crate) bs_jmp_boot: [u8; 3],
    /// 0x003
    pub(crate) bs_oem_name: [u8; 8],
    /// 0x00b: 512, 1024, 2048 or 4096.
    pub(crate) bpb_byts_per_sec: U16,
    /// 0x00d: a power of two.
    pub(crate) bpb_sec_per_clus: u8,
    /// 0x00e: sectors before the first FAT, at least this one.
    pub(crate) bpb_rsvd_sec_cnt: U16,
    /// 0x010
    pub(crate) bpb_num_fats: u8,
    /// 0x011: entries of the fixed root directory; 0 on FAT32.
    pub(crate) bpb_root_ent_cnt: U16,
    /// 0x013: 0 if it needs 32 bits.
    pub(crate) bpb_tot_sec16: U16,
    /// 0x015
    pub(crate) bpb_media: u8,
    /// 0x016: 0 on FAT32.
    pub(crate) bpb_fat_sz16: U16,
    /// 0x018
    pub(crate) bpb_sec_per_trk: U16,
    /// 0x01a
    pub(crate) bpb_num_heads: U16,
    /// 0x01c
    pub(crate) bpb_hidd_sec: U32,
    /// 0x020
    pub(crate) bpb_tot_sec32: U32,
    /// 0x024: from here on as on FAT32; FAT12 and FAT16 have the fields from 0x40 on here.
    pub(crate) bpb_fat_sz32: U32,
    /// 0x028: bit 7 switches mirroring off.
    pub(crate) bpb_ext_flags: U16,
    /// 0x02a: 0.
    pub(crate) bpb_fs_ver: U16,
    /// 0x02c
    pub(crate) bpb_root_clus: U32,
    /// 0x030
    pub(crate) bpb_fs_info: U16,
    /// 0x032
    pub(crate) bpb_bk_boot_sec: U16,
    /// 0x034
    pub(crate) bpb_reserved: [u8; 12],
    /// 0x040
    rest: [u8; 446],
    /// 0x1fe: 0xaa55.
    pub(crate) signature_word: U16,
}

const _: () = assert!(size_of::<RawBootSector>() == 512);

/// FAT specification, "Extended BPB": at 0x024 on FAT12 and FAT16, at 0x040 on FAT32.
#[derive(Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawExtension {
    /// 0x00
    bs_drv_num: u8,
    /// 0x01
    bs_reserved1: u8,
    /// 0x02: 0x29 if the rest is valid.
    bs_boot_sig: u8,
    /// 0x03
    bs_vol_id: U32,
    /// 0x07
    bs_vol_lab: [u8; 11],
    /// 0x12: for people.
    bs_fil_sys_type: [u8; 8],
}

/// Where it is.
const EXTENSION_OFFSET: usize = 0x24;
const EXTENSION_OFFSET_FAT32: usize = 0x40;

impl RawExtension {
    pub(crate) fn new(serial: u32, label: &[u8; 11], type_name: [u8; 8]) -> Self {
        Self {
            bs_drv_num: 0x80,
            bs_reserved1: 0,
            bs_boot_sig: 0x29,
            bs_vol_id: serial.into(),
            bs_vol_lab: *label,
            bs_fil_sys_type: type_name,
        }
    }
}

impl RawBootSector {
    /// Puts `extension` in its place, and `code` after it.
    pub(crate) fn put_extension(&mut self, extension: &RawExtension, fat_type: FatType, code: &[u8; 5]) {
        let offset = if fat_type == FatType::Fat32 { EXTENSION_OFFSET_FAT32 } else { EXTENSION_OFFSET };
        let code_offset = offset + size_of::<RawExtension>();
        // A short jump over all of it, counted from its own end.
        self.bs_jmp_boot = [0xeb, code_offset as u8 - 2, 0x90];
        let bytes = self.as_mut_bytes();
        bytes[offset..code_offset].copy_from_slice(extension.as_bytes());
        bytes[code_offset..code_offset + code.len()].copy_from_slice(code);
    }
}

/// FAT specification, "FSInfo Sector Structure".
#[derive(FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawFsInfo {
    /// 0x000: 0x41615252.
    fsi_lead_sig: U32,
    /// 0x004
    fsi_reserved1: [u8; 480],
    /// 0x1e4: 0x61417272.
    fsi_struc_sig: U32,
    /// 0x1e8
    fsi_free_count: U32,
    /// 0x1ec
    fsi_nxt_free: U32,
    /// 0x1f0
    fsi_reserved2: [u8; 12],
    /// 0x1fc: 0xaa550000.
    fsi_trail_sig: U32,
}

const _: () = assert!(size_of::<RawFsInfo>() == 512);

impl RawFsInfo {
    pub(crate) fn new(free_clusters: u32, next_free: u32) -> Self {
        Self {
            fsi_lead_sig: 0x4161_5252.into(),
            fsi_struc_sig: 0x6141_7272.into(),
            fsi_free_count: free_clusters.into(),
            fsi_nxt_free: next_free.into(),
            fsi_trail_sig: 0xaa55_0000.into(),
            ..Self::new_zeroed()
        }
    }
}

/// The type of a FAT, named after the size of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatType {
    /// Entries of 12 bits, the root directory of fixed size.
    Fat12,
    /// Entries of 16 bits, the root directory of fixed size.
    Fat16,
    /// Entries of 28 bits, the root directory like any other.
    Fat32,
}

/// Where everything is; all inside the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) fat_type: FatType,
    pub(crate) cluster_size_bytes: u32,
    /// Number of data clusters; they are numbered from 2.
    pub(crate) clusters: u32,
    /// Offset of the first FAT.
    pub(crate) fat_offset: u64,
    /// Number of FATs, which have the same content.
    pub(crate) fats: u8,
    /// Offset of cluster 2.
    pub(crate) data_offset: u64,
    pub(crate) root: Root,
}

/// Where the root directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Fixed { offset: u64, size_bytes: u32 },
    Cluster(u32),
}

/// The largest clusters that `hadris-fat` supports. Windows makes them of up to 256 KiB, for volumes
/// that no cloud image has.
const MAX_CLUSTER_BYTES: u32 = 32 << 10;
const DIRECTORY_SLOT_BYTES: u32 = 32;

impl Geometry {
    /// Reads the boot sector.
    pub(crate) fn read(storage: &dyn ReadAt) -> Result<Self, Error> {
        let mut bytes = [0; 512];
        if storage.size_bytes() < 512 {
            return Err(corrupt(format!("the storage has {} bytes", storage.size_bytes())));
        }
        storage.read_at(0, &mut bytes)?;
        let raw: RawBootSector = zerocopy::transmute!(bytes);
        Self::new(&raw, storage.size_bytes())
    }

    fn new(raw: &RawBootSector, storage_bytes: u64) -> Result<Self, Error> {
        match &raw.bs_oem_name {
            b"EXFAT   " => return Err(Error::unsupported("exFAT")),
            b"NTFS    " => return Err(Error::unsupported("NTFS")),
            _ => {}
        }
        if raw.signature_word.get() != 0xaa55 {
            return Err(corrupt(format!("signature_word={:#06x}, not 0xaa55", raw.signature_word.get())));
        }
        let sector_bytes = u32::from(raw.bpb_byts_per_sec.get());
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
            return Err(corrupt(format!("bpb_byts_per_sec={sector_bytes}")));
        }
        if !raw.bpb_sec_per_clus.is_power_of_two() {
            return Err(corrupt(format!("bpb_sec_per_clus={} is not a power of two", raw.bpb_sec_per_clus)));
        }
        let cluster_size_bytes = sector_bytes * u32::from(raw.bpb_sec_per_clus);
        if cluster_size_bytes > MAX_CLUSTER_BYTES {
            return Err(Error::unsupported(format!("a FAT with clusters of {cluster_size_bytes} bytes")));
        }
        if raw.bpb_rsvd_sec_cnt.get() == 0 || !matches!(raw.bpb_num_fats, 1 | 2) {
            let (reserved, fats) = (raw.bpb_rsvd_sec_cnt.get(), raw.bpb_num_fats);
            return Err(corrupt(format!("bpb_rsvd_sec_cnt={reserved} bpb_num_fats={fats}")));
        }
        Self::lay_out(raw, storage_bytes, u64::from(sector_bytes), cluster_size_bytes)
    }

    fn lay_out(raw: &RawBootSector, storage_bytes: u64, sector: u64, cluster_size_bytes: u32) -> Result<Self, Error> {
        let small_fat = raw.bpb_fat_sz16.get();
        let root_entries = raw.bpb_root_ent_cnt.get();
        let is_fat32 = small_fat == 0 && root_entries == 0;
        let fat_sectors = if is_fat32 { u64::from(raw.bpb_fat_sz32.get()) } else { u64::from(small_fat) };
        let root_bytes = u32::from(root_entries) * DIRECTORY_SLOT_BYTES;
        let root_sectors = u64::from(root_bytes).div_ceil(sector);
        let total_sectors = match raw.bpb_tot_sec16.get() {
            0 => u64::from(raw.bpb_tot_sec32.get()),
            sectors => u64::from(sectors),
        };
        if total_sectors * sector > storage_bytes {
            return Err(corrupt(format!("{total_sectors} sectors of {sector} bytes do not fit {storage_bytes} bytes")));
        }
        let fat_start = u64::from(raw.bpb_rsvd_sec_cnt.get());
        let root_start = fat_start + u64::from(raw.bpb_num_fats) * fat_sectors;
        let data_start = root_start + root_sectors;
        if data_start >= total_sectors || (!is_fat32 && (root_entries == 0 || small_fat == 0)) {
            return Err(corrupt(format!(
                "no room for data: total_sectors={total_sectors} fat_sectors={fat_sectors} bpb_root_ent_cnt={root_entries}"
            )));
        }
        let clusters = (total_sectors - data_start) * sector / u64::from(cluster_size_bytes);
        let (fat_type, entry_bits) = match clusters {
            _ if is_fat32 => (FatType::Fat32, 32),
            ..4085 => (FatType::Fat12, 12),
            _ => (FatType::Fat16, 16),
        };
        let limit = if is_fat32 { 0x0fff_fff5 } else { 65_524 };
        if clusters == 0 || clusters > limit || (clusters + 2) * entry_bits > fat_sectors * sector * 8 {
            return Err(corrupt(format!("{clusters} clusters do not fit FATs of {fat_sectors} sectors")));
        }
        let clusters = clusters as u32;
        let root = if is_fat32 {
            Root::Cluster(root_cluster(raw, clusters)?)
        } else {
            Root::Fixed { offset: root_start * sector, size_bytes: root_bytes }
        };
        let (fat_offset, data_offset) = (fat_start * sector, data_start * sector);
        let fats = raw.bpb_num_fats;
        Ok(Self { fat_type, cluster_size_bytes, clusters, fat_offset, fats, data_offset, root })
    }

    /// Whether `cluster` is one of the data clusters.
    pub(crate) fn has(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// The offset of a data cluster.
    pub(crate) fn offset_of(&self, cluster: u32) -> u64 {
        self.data_offset + u64::from(cluster - 2) * u64::from(self.cluster_size_bytes)
    }
}

/// Checks the fields that only FAT32 has.
fn root_cluster(raw: &RawBootSector, clusters: u32) -> Result<u32, Error> {
    if raw.bpb_fs_ver.get() != 0 {
        return Err(Error::unsupported(format!("FAT32 with bpb_fs_ver={:#06x}", raw.bpb_fs_ver.get())));
    }
    if raw.bpb_ext_flags.get() & 0x80 != 0 {
        return Err(Error::unsupported("FAT32 that does not mirror its FATs"));
    }
    if !(1..raw.bpb_rsvd_sec_cnt.get()).contains(&raw.bpb_fs_info.get()) {
        return Err(Error::unsupported("FAT32 without an FSInfo sector"));
    }
    let cluster = raw.bpb_root_clus.get();
    if cluster < 2 || cluster - 2 >= clusters {
        return Err(corrupt(format!("bpb_root_clus={cluster} is not one of {clusters} clusters from 2 on")));
    }
    Ok(cluster)
}

fn corrupt(problem: impl Into<String>) -> Error {
    Error::corrupt("boot sector", problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Memory;

    /// 64 MiB of FAT32 in one-sector clusters.
    fn fat32() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[11..13].copy_from_slice(&512u16.to_le_bytes());
        (bytes[13], bytes[14], bytes[16]) = (1, 32, 2);
        bytes[0x20..0x24].copy_from_slice(&131_072u32.to_le_bytes());
        bytes[0x24..0x28].copy_from_slice(&1009u32.to_le_bytes());
        (bytes[0x2c], bytes[0x30]) = (2, 1);
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    fn read(mut bytes: Vec<u8>) -> Result<Geometry, String> {
        bytes.resize(64 << 20, 0);
        Geometry::read(&Memory::from(bytes)).map_err(|error| error.to_string())
    }

    fn changed(at: usize, value: &[u8]) -> String {
        let mut bytes = fat32();
        bytes[at..at + value.len()].copy_from_slice(value);
        read(bytes).unwrap_err()
    }

    #[test]
    fn a_good_boot_sector_says_where_everything_is() {
        let geometry = read(fat32()).unwrap();
        assert_eq!(geometry.fat_type, FatType::Fat32);
        assert_eq!(geometry.clusters, 131_072 - 32 - 2 * 1009);
        assert_eq!((geometry.fat_offset, geometry.data_offset), (32 * 512, (32 + 2018) * 512));
        assert!(geometry.has(2) && geometry.has(geometry.clusters + 1) && !geometry.has(geometry.clusters + 2));
    }

    #[test]
    fn each_rule_is_checked_by_name() {
        assert_eq!(changed(3, b"EXFAT   "), "exFAT is not supported");
        assert_eq!(changed(510, &[0]), "boot sector: signature_word=0xaa00, not 0xaa55");
        assert_eq!(changed(11, &[0, 3]), "boot sector: bpb_byts_per_sec=768");
        assert_eq!(changed(13, &[0]), "boot sector: bpb_sec_per_clus=0 is not a power of two");
        assert_eq!(changed(13, &[128]), "a FAT with clusters of 65536 bytes is not supported");
        assert_eq!(changed(14, &[0]), "boot sector: bpb_rsvd_sec_cnt=0 bpb_num_fats=2");
        assert_eq!(changed(16, &[3]), "boot sector: bpb_rsvd_sec_cnt=32 bpb_num_fats=3");
        assert!(changed(0x20, &[0xff; 4]).ends_with("4294967295 sectors of 512 bytes do not fit 67108864 bytes"));
        assert!(changed(0x20, &[0; 4]).starts_with("boot sector: no room for data: total_sectors=0"));
        assert!(changed(0x24, &[9, 0]).ends_with("131022 clusters do not fit FATs of 9 sectors"));
        assert!(changed(0x24, &[0xff; 4]).starts_with("boot sector: no room for data"));
        assert_eq!(changed(0x28, &[0x80]), "FAT32 that does not mirror its FATs is not supported");
        assert_eq!(changed(0x2a, &[1]), "FAT32 with bpb_fs_ver=0x0001 is not supported");
        assert_eq!(changed(0x30, &[32]), "FAT32 without an FSInfo sector is not supported");
        assert!(changed(0x2c, &[1]).starts_with("boot sector: bpb_root_clus=1"));
        assert!(changed(0x16, &[1]).starts_with("boot sector: no room for data"));
        let short = Geometry::read(&Memory::from(vec![0; 511])).unwrap_err();
        assert_eq!(short.to_string(), "boot sector: the storage has 511 bytes");
    }
}
