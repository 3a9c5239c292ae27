//! The file systems that the model is run over, and a test of each.

/// A way to make a file system.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Arguments of `mke2fs`.
    pub(crate) options: &'static [&'static str],
    pub(crate) size_kib: u64,
    /// Programs that change it afterwards, each with its arguments.
    pub(crate) then: &'static [&'static [&'static str]],
    pub(crate) start: Start,
}

/// What is in a file system when the random operations begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Empty,
    /// Small files, directories and links that `mke2fs -d` made, some with their data in the inode.
    Populated,
    /// The same, and one file that leaves so many blocks free.
    PopulatedNearlyFull(u64),
    /// One file that leaves so many blocks free.
    NearlyFull(u64),
    /// No two free blocks side by side, but for so many at the end.
    Fragmented(u64),
}

macro_rules! matrix {
    ($($name:ident: $options:expr, $size_kib:expr, $start:expr $(, then $then:expr)?;)*) => {
        pub(crate) const MATRIX: &[Entry] = &[$(Entry {
            name: stringify!($name),
            options: &$options,
            size_kib: $size_kib,
            then: &[$($then)?],
            start: $start,
        }),*];

        /// A short sequence for each, without root.
        mod short {
            $(#[test]
            fn $name() {
                crate::sequence::short(crate::matrix::entry(stringify!($name)));
            })*
        }

        /// Long sequences for each; the kernel judges them, too.
        #[cfg(feature = "full-tests")]
        mod long {
            $(#[test]
            fn $name() {
                crate::sequence::long(crate::matrix::entry(stringify!($name)));
            })*
        }
    };
}

/// The entry of a name.
pub(crate) fn entry(name: &str) -> &'static Entry {
    MATRIX.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no `{name}` in the matrix"))
}

use Start::{Empty, Fragmented, NearlyFull, Populated, PopulatedNearlyFull};

matrix! {
    ext2_1k: ["-t", "ext2", "-b", "1024"], 32768, Empty;
    ext2_4k_128: ["-t", "ext2", "-b", "4096", "-I", "128"], 32768, Empty;
    ext2_plain: ["-t", "ext2", "-b", "1024", "-I", "128", "-O", "none"], 32768, Empty;
    ext2_nearly_full: ["-t", "ext2", "-b", "1024"], 16384, NearlyFull(400);
    ext3_1k: ["-t", "ext3", "-b", "1024", "-J", "size=1"], 32768, Empty;
    ext3_2k: ["-t", "ext3", "-b", "2048", "-J", "size=2"], 32768, Empty;
    ext3_fragmented: ["-t", "ext3", "-b", "1024", "-J", "size=1"], 12288, Fragmented(300);
    noble: ["-t", "ext4", "-b", "4096", "-i", "8192", "-O", "metadata_csum,64bit,^orphan_file,^metadata_csum_seed"], 65536, Empty;
    resolute: ["-t", "ext4", "-b", "4096", "-i", "8192", "-O", "metadata_csum,64bit,orphan_file,metadata_csum_seed"], 65536, Empty;
    ext4_1k: ["-t", "ext4", "-b", "1024", "-i", "4096", "-O", "metadata_csum,64bit"], 49152, Empty;
    ext4_2k_uninit: ["-t", "ext4", "-b", "2048", "-O", "^64bit,^metadata_csum,uninit_bg"], 49152, Empty;
    ext4_1k_uninit_small_groups: ["-t", "ext4", "-b", "1024", "-g", "2048", "-N", "4096", "-O", "^metadata_csum,uninit_bg"], 49152, Empty;
    no_checksums: ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg,^flex_bg"], 32768, Empty;
    no_flex: ["-t", "ext4", "-b", "1024", "-g", "4096", "-O", "metadata_csum,^flex_bg"], 32768, Empty;
    inode_128: ["-t", "ext4", "-b", "1024", "-I", "128", "-O", "metadata_csum,64bit"], 32768, Empty;
    inode_128_no_checksums: ["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^metadata_csum"], 32768, Empty;
    inode_512: ["-t", "ext4", "-b", "2048", "-I", "512", "-O", "metadata_csum"], 32768, Empty;
    meta_bg: ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,metadata_csum,64bit"], 65536, Empty;
    sparse_super2: ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode,metadata_csum"], 32768, Empty;
    no_resize_inode: ["-t", "ext4", "-b", "1024", "-O", "^resize_inode,metadata_csum"], 32768, Empty;
    no_extents: ["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit,metadata_csum"], 32768, Empty;
    no_index: ["-t", "ext4", "-b", "1024", "-O", "^dir_index,^filetype,metadata_csum"], 32768, Empty;
    no_huge_file: ["-t", "ext4", "-b", "1024", "-O", "^huge_file,^large_file,^dir_nlink"], 32768, Empty;
    large_dir: ["-t", "ext4", "-b", "1024", "-O", "large_dir,metadata_csum"], 32768, Empty;
    inline_data: ["-t", "ext4", "-b", "1024", "-O", "inline_data,metadata_csum"], 32768, Populated;
    inline_data_4k_512: ["-t", "ext4", "-b", "4096", "-I", "512", "-O", "inline_data,^metadata_csum"], 32768, Populated;
    inline_data_nearly_full: ["-t", "ext4", "-b", "1024", "-O", "inline_data,metadata_csum"], 12288, PopulatedNearlyFull(100);
    populated: ["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit"], 32768, Populated;
    ea_inode: ["-t", "ext4", "-b", "1024", "-O", "ea_inode,metadata_csum,64bit"], 32768, Empty;
    ea_inode_4k_128: ["-t", "ext4", "-b", "4096", "-I", "128", "-O", "ea_inode,^metadata_csum"], 32768, Empty;
    ea_inode_nearly_full: ["-t", "ext4", "-b", "1024", "-N", "512", "-O", "ea_inode,metadata_csum"], 12288, NearlyFull(300);
    project: ["-t", "ext4", "-b", "1024", "-O", "project,metadata_csum"], 32768, Empty;
    quota: ["-t", "ext4", "-b", "1024", "-O", "quota,metadata_csum"], 32768, Empty;
    quota_project_ea_inode: ["-t", "ext4", "-b", "4096", "-O", "quota,project,ea_inode", "-E", "quotatype=usrquota:grpquota:prjquota"], 32768, Empty;
    tea: ["-t", "ext4", "-b", "1024", "-O", "metadata_csum"], 32768, Empty, then &["tune2fs", "-E", "hash_alg=tea"];
    legacy: ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], 32768, Empty, then &["tune2fs", "-E", "hash_alg=legacy"];
    unsigned_hash: ["-t", "ext4", "-b", "1024"], 32768, Empty, then &["debugfs", "-w", "-R", "ssv flags 2"];
    few_inodes: ["-t", "ext4", "-b", "1024", "-N", "160", "-O", "metadata_csum"], 16384, Empty;
    nearly_full_1k: ["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit"], 16384, NearlyFull(300);
    nearly_full_4k: ["-t", "ext4", "-b", "4096", "-O", "metadata_csum"], 32768, NearlyFull(200);
    fragmented_1k: ["-t", "ext4", "-b", "1024", "-O", "metadata_csum"], 12288, Fragmented(60);
    fragmented_4k: ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum"], 32768, Fragmented(200);
}
