//! The library under `imgraft`: files grafted onto a stock cloud image, in user space.
//!
//! - [`Job`]: a new image out of a base and operations, or an image changed in its place, all or nothing.
//! - [`Conversion`]: the same disk in another file.
//! - [`make_delta`] and [`apply_delta`]: a file as what differs from another one, and that file again.
//! - [`SeedSource`] and [`write_seed`]: what a guest gets at its first boot, and the medium that carries it.
//! - [`Looked`]: an image and its guest, for a look.
//!
//! Nothing is printed, and neither the clock nor the environment is asked, but for the folder of temporary files
//! (`TMPDIR`). No program is started but by the runner that a caller hands in for commands in the guest. Whoever wants to
//! know how far a job is hands in a [`Watcher`].

mod attentive;
mod backing;
mod checksum;
mod commit;
mod comparison;
mod container;
mod content;
mod convert;
mod delta;
mod disk;
mod error;
mod findings;
mod job;
mod leftover;
mod lock;
mod medium;
mod output;
mod proof;
mod report;
mod reproducible;
mod seed;
mod soundness;
mod source;
mod state;
mod target;
mod unwrap;
mod watch;

use std::num::NonZeroUsize;

pub use audit::Finding;
pub use backing::Layer;
pub use comparison::{Comparison, Differences, DiskMap, Extent, PartitionChange};
pub use content::{of_file, of_stream};
pub use convert::{Conversion, Converted};
pub use delta::{DeltaReport, apply_delta, delta_info, make_delta};
pub use disk::{Looked, Scratch, scratch_disk, scratch_overlay, temporary_folder};
pub use error::{Error, Obstacle, TargetProblem, describe, in_one_line, is_full};
pub use job::{Author, Job, Visitor, noted_errors};
pub use leftover::{Leftover, before_leftovers, remove_all, remove_all_in_panic};
pub use lock::InUse;
pub use medium::{seed_container, stream_seed, write_seed, write_seed_in};
pub use output::{Folder, OutputFile, OutputFolder, with_temporary_name};
pub use report::{Change, Clusters, Grown, InPlace, Inventory, Report};
pub use seed::{SeedError, SeedFile, SeedSource, SshKeys};
pub use source::{Backing, OpenedFile, OpenedImage};
pub use state::{FileState, StateError, file_states};
pub use watch::{Event, Lasting, Stage, Watch, Watcher};

/// The number of processors that this process may run on.
pub fn threads() -> NonZeroUsize {
    // Not `available_parallelism`, which reads files of /proc and /sys.
    let count = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    NonZeroUsize::new(count as usize).unwrap_or(NonZeroUsize::MIN)
}
