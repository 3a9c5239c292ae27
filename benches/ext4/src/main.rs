//! One job on an image of ext4 or XFS, done by one tool: what `benches/ext4.sh` and `benches/xfs.sh` measure.
//!
//! ```text
//! ext4-bench TOOL put IMAGE FOLDER     copies FOLDER with all that is in it into the image's root
//! ext4-bench TOOL remove IMAGE NAME    removes NAME from the image's root with all that is in it
//! ```
//!
//! The walk over FOLDER is the same for all tools, and each ends with an `fsync` of the image.

mod fstool;
mod ours;
mod ours_xfs;
mod rust_fs_ext4;
mod tool;

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use tool::{Meta, Result, Tool};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  cause: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    let [tool, job, image, subject] = arguments else {
        return Err("usage: ext4-bench TOOL put|remove IMAGE FOLDER|NAME".into());
    };
    let (job, image, subject) = (job.as_bytes(), Path::new(image), Path::new(subject));
    match tool.as_bytes() {
        b"ours" => run_with::<ours::Ours>(job, image, subject),
        b"ours-xfs" => run_with::<ours_xfs::OursXfs>(job, image, subject),
        b"fstool" => run_with::<fstool::Fstool>(job, image, subject),
        b"rust-fs-ext4" => run_with::<rust_fs_ext4::RustFsExt4>(job, image, subject),
        _ => Err("the tools are: ours ours-xfs fstool rust-fs-ext4".into()),
    }
}

fn run_with<T: Tool>(job: &[u8], image: &Path, subject: &Path) -> Result<()> {
    let mut tool = T::open(image)?;
    let name = subject.file_name().ok_or("neither a folder nor a name")?.as_bytes();
    match job {
        b"put" => {
            let root = tool.root();
            put_folder(&mut tool, root, name, subject)?;
        }
        b"remove" => tool.remove_tree(name)?,
        _ => return Err("the jobs are: put remove".into()),
    }
    tool.finish()
}

/// Copies the folder `from` into `parent`, in the order of names.
fn put_folder<T: Tool>(tool: &mut T, parent: T::Directory, name: &[u8], from: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        names.push(entry?.file_name().into_vec());
    }
    names.sort_unstable();
    let folder = tool.create_directory(parent, name, &meta(&fs::symlink_metadata(from)?), &names)?;
    for name in &names {
        let path = from.join(OsString::from_vec(name.clone()));
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            put_folder(tool, folder, name, &path)?;
        } else {
            tool.create_file(folder, name, &meta(&metadata), File::open(&path)?, metadata.len())?;
        }
    }
    Ok(())
}

fn meta(metadata: &fs::Metadata) -> Meta {
    Meta {
        permissions: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified_s: metadata.mtime(),
        modified_ns: metadata.mtime_nsec() as u32,
    }
}
