use std::ops::Range;

use zerocopy::{FromZeros, IntoBytes};

use crate::Error;
use crate::boot_sector::{FatType, RawBootSector, RawExtension, RawFsInfo};

pub(super) const SECTOR_BYTES: u64 = 512;
pub(super) const FIRST_CLUSTER: u32 = 2;

/// FAT specification: up to 4,084 clusters it is FAT12, up to 65,524 FAT16. Some programs count differently, so
/// numbers near these are avoided.
const MAX_FAT12_CLUSTERS: u64 = 4084 - 16;
const MIN_FAT16_CLUSTERS: u64 = 4085 + 16;
const MAX_FAT16_CLUSTERS: u64 = 65_524 - 16;
const MIN_FAT32_CLUSTERS: u64 = 65_525 + 16;
/// `BPB_TotSec32`.
const MAX_SECTORS: u64 = u32::MAX as u64;
/// Of the root of FAT12 and FAT16: 512 entries.
const ROOT_SECTORS: u64 = 32;
const ROOT_ENTRIES: u16 = 512;
const FSINFO_SECTOR: u16 = 1;
const BACKUP_SECTOR: u16 = 6;
const FAT32_RESERVED_SECTORS: u64 = 32;
const MEDIA: u8 = 0xf8;
/// Calls the BIOS for the next device to boot from.
const BOOT_CODE: [u8; 5] = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];

/// Where everything is, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) fat_type: FatType,
    pub(super) sectors: u64,
    sectors_per_cluster: u64,
    fat_sectors: u64,
    clusters: u64,
}

impl Layout {
    /// The layout for files of these sizes.
    pub(super) fn for_sizes(
        sizes: impl Iterator<Item = u64> + Clone,
        min_bytes: u64,
        step_bytes: u64,
    ) -> Result<Self, Error> {
        let content_bytes: u64 = sizes.clone().fold(0, u64::saturating_add);
        let mut size_bytes = content_bytes.max(min_bytes).next_multiple_of(step_bytes);
        // This ends: the room for the tables grows with each step, and sizes have a limit.
        loop {
            let layout = Self::new(size_bytes / SECTOR_BYTES).ok_or(Error::TooLarge { size_bytes: content_bytes })?;
            let root = u64::from(layout.fat_type == FatType::Fat32);
            let needed = sizes.clone().map(|size| u64::from(layout.clusters_of(size))).sum::<u64>() + root;
            if needed <= layout.clusters {
                return Ok(layout);
            }
            let missing_bytes = (needed - layout.clusters) * layout.cluster_bytes();
            size_bytes += missing_bytes.next_multiple_of(step_bytes);
        }
    }

    /// The layout of `sectors` sectors, if there is one.
    fn new(sectors: u64) -> Option<Self> {
        let small = [4, 8, 16, 32, 64].into_iter().map(|per_cluster| (false, per_cluster));
        let large = [8, 16, 32, 64].into_iter().map(|per_cluster| (true, per_cluster));
        small.chain(large).find_map(|(is_fat32, per_cluster)| Self::with_clusters_of(sectors, is_fat32, per_cluster))
    }

    fn with_clusters_of(sectors: u64, is_fat32: bool, sectors_per_cluster: u64) -> Option<Self> {
        let mut layout = Self { fat_type: FatType::Fat12, sectors, sectors_per_cluster, fat_sectors: 1, clusters: 0 };
        if sectors > MAX_SECTORS {
            return None;
        }
        // This ends: larger tables leave fewer clusters, which need no larger tables.
        loop {
            // What the table must be large enough for, before any clusters are given up.
            layout.fat_type = if is_fat32 { FatType::Fat32 } else { layout.fat_type };
            let clusters = sectors.checked_sub(layout.data_start())? / sectors_per_cluster;
            let (fat_type, clusters) = match clusters {
                _ if is_fat32 => (FatType::Fat32, clusters),
                ..MIN_FAT16_CLUSTERS => (FatType::Fat12, clusters.min(MAX_FAT12_CLUSTERS)),
                _ => (FatType::Fat16, clusters),
            };
            (layout.fat_type, layout.clusters) = (fat_type, clusters);
            let needed = ((clusters + u64::from(FIRST_CLUSTER)) * layout.entry_bits()).div_ceil(8 * SECTOR_BYTES);
            if needed <= layout.fat_sectors {
                break;
            }
            layout.fat_sectors = needed;
        }
        let range = match layout.fat_type {
            FatType::Fat12 => 1..=MAX_FAT12_CLUSTERS,
            FatType::Fat16 => MIN_FAT16_CLUSTERS..=MAX_FAT16_CLUSTERS,
            FatType::Fat32 => MIN_FAT32_CLUSTERS..=0x0fff_fff5,
        };
        // The number of clusters is only known from the number of sectors.
        layout.sectors = layout.sectors.min(layout.data_start() + (layout.clusters + 1) * sectors_per_cluster - 1);
        range.contains(&layout.clusters).then_some(layout)
    }

    fn entry_bits(&self) -> u64 {
        match self.fat_type {
            FatType::Fat12 => 12,
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        }
    }

    fn reserved(&self) -> u64 {
        if self.fat_type == FatType::Fat32 { FAT32_RESERVED_SECTORS } else { 1 }
    }

    /// The first sector of the first cluster.
    fn data_start(&self) -> u64 {
        let root = if self.fat_type == FatType::Fat32 { 0 } else { ROOT_SECTORS };
        self.reserved() + 2 * self.fat_sectors + root
    }

    pub(super) fn cluster_bytes(&self) -> u64 {
        self.sectors_per_cluster * SECTOR_BYTES
    }

    /// How many clusters a file of less than 4 GiB takes.
    pub(super) fn clusters_of(&self, size_bytes: u64) -> u32 {
        size_bytes.div_ceil(self.cluster_bytes()) as u32
    }

    /// The size of the root directory.
    pub(super) fn root_bytes(&self) -> u64 {
        if self.fat_type == FatType::Fat32 { self.cluster_bytes() } else { ROOT_SECTORS * SECTOR_BYTES }
    }

    /// One of the tables, in which each of `chains` is a file's clusters in a row.
    pub(super) fn table(&self, chains: &[Range<u32>]) -> Vec<u8> {
        let mut table = vec![0; (self.fat_sectors * SECTOR_BYTES) as usize];
        self.set(&mut table, 0, 0x0fff_ff00 | u32::from(MEDIA));
        self.set(&mut table, 1, 0x0fff_ffff);
        if self.fat_type == FatType::Fat32 {
            self.set(&mut table, FIRST_CLUSTER, 0x0fff_ffff);
        }
        for chain in chains {
            for cluster in chain.clone() {
                let next = if cluster + 1 == chain.end { 0x0fff_ffff } else { cluster + 1 };
                self.set(&mut table, cluster, next);
            }
        }
        table
    }

    fn set(&self, table: &mut [u8], cluster: u32, value: u32) {
        let cluster = cluster as usize;
        match self.fat_type {
            FatType::Fat12 => {
                let pair = &mut table[cluster * 3 / 2..][..2];
                let (old, value) = (u16::from_le_bytes([pair[0], pair[1]]), value as u16 & 0xfff);
                let new = if cluster.is_multiple_of(2) { old & 0xf000 | value } else { old & 0xf | value << 4 };
                pair.copy_from_slice(&new.to_le_bytes());
            }
            FatType::Fat16 => table[cluster * 2..][..2].copy_from_slice(&(value as u16).to_le_bytes()),
            FatType::Fat32 => table[cluster * 4..][..4].copy_from_slice(&value.to_le_bytes()),
        }
    }

    /// What is before the tables; `next` is the first cluster that no file has.
    pub(super) fn reserved_sectors(&self, label: &[u8; 11], serial: u32, next: u32) -> Vec<u8> {
        let boot = self.boot_sector(label, serial);
        let mut bytes = vec![0; (self.reserved() * SECTOR_BYTES) as usize];
        let mut put = |sector: u16, content: &[u8]| bytes[usize::from(sector) * 512..][..512].copy_from_slice(content);
        put(0, boot.as_bytes());
        if self.fat_type == FatType::Fat32 {
            let free = self.clusters as u32 - (next - FIRST_CLUSTER);
            let info = RawFsInfo::new(free, next.min(self.clusters as u32 + 1));
            put(FSINFO_SECTOR, info.as_bytes());
            put(BACKUP_SECTOR, boot.as_bytes());
            put(BACKUP_SECTOR + FSINFO_SECTOR, info.as_bytes());
        }
        bytes
    }

    fn boot_sector(&self, label: &[u8; 11], serial: u32) -> RawBootSector {
        let mut raw = RawBootSector::new_zeroed();
        raw.bs_oem_name = *b"imgraft ";
        raw.bpb_byts_per_sec = (SECTOR_BYTES as u16).into();
        raw.bpb_sec_per_clus = self.sectors_per_cluster as u8;
        raw.bpb_rsvd_sec_cnt = (self.reserved() as u16).into();
        raw.bpb_num_fats = 2;
        raw.bpb_media = MEDIA;
        raw.bpb_sec_per_trk = 32.into();
        raw.bpb_num_heads = 64.into();
        raw.signature_word = 0xaa55.into();
        match u16::try_from(self.sectors) {
            Ok(sectors) if self.fat_type != FatType::Fat32 => raw.bpb_tot_sec16 = sectors.into(),
            _ => raw.bpb_tot_sec32 = (self.sectors as u32).into(),
        }
        let type_name = match self.fat_type {
            FatType::Fat12 => *b"FAT12   ",
            FatType::Fat16 => *b"FAT16   ",
            FatType::Fat32 => *b"FAT32   ",
        };
        let extension = RawExtension::new(serial, label, type_name);
        if self.fat_type == FatType::Fat32 {
            raw.bpb_fat_sz32 = (self.fat_sectors as u32).into();
            raw.bpb_root_clus = FIRST_CLUSTER.into();
            raw.bpb_fs_info = FSINFO_SECTOR.into();
            raw.bpb_bk_boot_sec = BACKUP_SECTOR.into();
        } else {
            raw.bpb_fat_sz16 = (self.fat_sectors as u16).into();
            raw.bpb_root_ent_cnt = ROOT_ENTRIES.into();
        }
        raw.put_extension(&extension, self.fat_type, &BOOT_CODE);
        raw
    }
}
