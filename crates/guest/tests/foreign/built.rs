//! File systems that somebody built: each would fill the memory or take hours, but for a bound.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use guest::FileSystemProblem;
use testkit::hostile::confined;

/// The blocks and inodes of the file systems here, in bytes; `mkfs.xfs` is told so.
const BLOCK: usize = 4096;
const INODE: usize = 512;

/// Gives the files with these inodes of an XFS block maps that are trees of four levels, in which each block is referred
/// to from all places of the level above: five blocks say that there are 300 million extents. The inodes say `extents`.
fn share_block_maps(path: &Path, inodes: &[u64], extents: i32) {
    let disk = File::options().read(true).write(true).open(path).unwrap();
    let mut superblock = [0; 512];
    disk.read_exact_at(&mut superblock, 0).unwrap();
    let log_start = u64::from_be_bytes(superblock[48..56].try_into().unwrap());
    let group_blocks = u64::from(u32::from_be_bytes(superblock[84..88].try_into().unwrap()));
    let [inodes_shift, blocks_shift] = [superblock[123], superblock[124]];
    // A number of a block has that of its allocation group in its upper bits.
    let linear = |block: u64| (block >> blocks_shift) * group_blocks + (block & ((1 << blocks_shift) - 1));
    for (file, &inode) in inodes.iter().enumerate() {
        let at = linear(inode >> inodes_shift) * BLOCK as u64 + inode % (1 << inodes_shift) * INODE as u64;
        let mut bytes = [0; INODE];
        disk.read_exact_at(&mut bytes, at).unwrap();
        assert!(&bytes[..2] == b"IN" && [2, 3].contains(&bytes[5]), "a file with a block map");
        // The log is clean, so its blocks but for the first ones are free to be used.
        let first = log_start + 1000 + 4 * file as u64;
        let maximum = (BLOCK - 72) / 16;
        for level in 0..4_u64 {
            let mut block = vec![0; BLOCK];
            let number = first + level;
            block[..4].copy_from_slice(b"BMA3");
            block[4..6].copy_from_slice(&(level as u16).to_be_bytes());
            block[6..8].copy_from_slice(&(maximum as u16).to_be_bytes());
            block[8..24].fill(0xff);
            block[24..32].copy_from_slice(&(linear(number) * 8).to_be_bytes());
            block[40..56].copy_from_slice(&superblock[32..48]);
            block[56..64].copy_from_slice(&inode.to_be_bytes());
            for record in 0..maximum {
                if level == 0 {
                    // One block of the file, which is the first of the log.
                    let packed = (record as u128) << 73 | u128::from(log_start) << 21 | 1;
                    block[72 + 16 * record..][..16].copy_from_slice(&packed.to_be_bytes());
                } else {
                    let pointers = 72 + 8 * maximum;
                    block[pointers + 8 * record..][..8].copy_from_slice(&(number - 1).to_be_bytes());
                }
            }
            let crc = crc32c::crc32c(&block).to_le_bytes();
            block[64..68].copy_from_slice(&crc);
            disk.write_all_at(&block, linear(number) * BLOCK as u64).unwrap();
        }
        // The root of the tree is in the inode, after the core of 176 bytes.
        let fork = &mut bytes[176..];
        let fits = (fork.len() - 4) / 16;
        fork.fill(0);
        fork[..2].copy_from_slice(&4_u16.to_be_bytes());
        fork[2..4].copy_from_slice(&(fits as u16).to_be_bytes());
        for record in 0..fits {
            fork[4 + 8 * fits + 8 * record..][..8].copy_from_slice(&(first + 3).to_be_bytes());
        }
        bytes[5] = 3;
        // The number of extents, in 32 bits, and no fork of attributes.
        bytes[76..80].copy_from_slice(&extents.to_be_bytes());
        bytes[82] = 0;
        bytes[100..104].fill(0);
        let crc = crc32c::crc32c(&bytes).to_le_bytes();
        bytes[100..104].copy_from_slice(&crc);
        disk.write_all_at(&bytes, at).unwrap();
    }
}

#[test]
fn a_block_map_that_shares_its_blocks() {
    confined("built::a_block_map_that_shares_its_blocks", || {
        let folder = tempfile::tempdir().unwrap();
        let path = crate::made::xfs(folder.path(), &["-b", "size=4096", "-i", "size=512", "-l", "size=64m"]);
        let volume = crate::made::open(&path);
        let file_system = volume.file_system().unwrap();
        let find = |names: &[&[u8]]| {
            let step = |node, name: &&[u8]| file_system.lookup(&node, name).unwrap().unwrap().0;
            names.iter().fold(file_system.root(), step)
        };
        let (large, directory) = (find(&[b"large"]), find(&[b"etc", b"directory"]));
        let said = |bound: &str| {
            let volume = crate::made::open(&path);
            let file_system = volume.file_system().unwrap();
            let said = |error: guest::FileSystemError| match &error.problem {
                FileSystemProblem::Damaged(finding) => assert!(finding.problem.contains(bound), "{}", finding.problem),
                _ => panic!("{error}"),
            };
            said(file_system.read_at(&large, 0, &mut [0; 100]).unwrap_err());
            said(file_system.content_extents(&large).unwrap_err());
            said(file_system.children(&directory).unwrap_err());
            file_system.read_only()
        };
        // Our engine reads it, then the library: with a feature that only those that write need to know.
        share_block_maps(&path, &[large.number(), directory.number()], i32::MAX);
        assert_eq!(said("2147483647 extents, more than 2097152"), None);
        share_block_maps(&path, &[large.number(), directory.number()], 2_000_000);
        assert_eq!(said("its map has block "), None);
        let disk = File::options().read(true).write(true).open(&path).unwrap();
        let mut superblock = [0; 512];
        disk.read_exact_at(&mut superblock, 0).unwrap();
        superblock[215] |= 0x20;
        superblock[224..228].fill(0);
        let crc = crc32c::crc32c(&superblock).to_le_bytes();
        superblock[224..228].copy_from_slice(&crc);
        disk.write_all_at(&superblock, 0).unwrap();
        let reason = said("more than 67108864 bytes of metadata would have to be read for one answer").unwrap();
        assert!(reason.ends_with("features that imgraft cannot write: sb_features_ro_compat=0x20"), "{reason}");
    });
}
