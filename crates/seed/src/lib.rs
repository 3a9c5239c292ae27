//! Seeds of cloud-init's data source NoCloud: `user-data` and `meta-data`, perhaps `network-config`
//! and `vendor-data`, and the media that carry them to a guest.
//!
//! A [`Seed`] is the content; [`medium()`] turns it into a storage: an archive, or a disk with
//! the label that cloud-init looks for. The content is not copied, so it must not change as long as the
//! medium is used. The same content and the same time give the same bytes.
//!
//! User-data can be made without YAML ([`UserData`]) and from several files ([`multipart`]). Without a
//! medium, a [`Line`] tells a guest where its seed is, such as at a [`server`].
//!
//! Refused: a file of 4 GiB or more on a disk, of 8 GiB or more in an archive.
//!
//! ```
//! use std::sync::Arc;
//! use seed::{InstanceId, Medium, MetaData, Seed};
//! use storage::{Memory, ReadAt};
//!
//! let user_data = Arc::new(Memory::from(b"#cloud-config\n".to_vec()));
//! let seed = Seed::generate(user_data, None, None, MetaData::default(), InstanceId::FromContent)?;
//! let disk = seed::medium(&seed, Medium::Vfat, 1_700_000_000)?;
//! assert_eq!(disk.size_bytes(), 128 << 10);
//! # Ok::<(), seed::Error>(())
//! ```

mod base64;
pub mod check;
mod digest;
mod disk;
mod error;
mod line;
mod meta_data;
mod mime;
pub mod read;
pub mod server;
mod tar;
mod user_data;
pub mod yaml;

use std::sync::Arc;

use storage::ReadAt;

pub use error::Error;
pub use line::{Line, LineError, LineReader};
pub use meta_data::{InstanceId, MetaData};
pub use mime::{Kind, Part, multipart};
pub use user_data::UserData;

/// The bytes of one of a seed's files.
pub type Content = Arc<dyn ReadAt>;

/// What a guest gets.
#[derive(Clone)]
pub struct Seed {
    /// `user-data`: what the guest's user wants.
    pub user_data: Content,
    /// What the guest is called, and whether it has booted before.
    pub meta_data: Content,
    /// The guest's network, if it is not cloud-init's default.
    pub network_config: Option<Content>,
    /// `vendor-data`: what the platform wants.
    pub vendor_data: Option<Content>,
}

impl Seed {
    /// A seed whose `meta-data` is made here.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the content cannot be read.
    pub fn generate(
        user_data: Content,
        network_config: Option<Content>,
        vendor_data: Option<Content>,
        meta_data: MetaData,
        instance_id: InstanceId,
    ) -> Result<Self, Error> {
        let nothing = Arc::new(storage::Memory::default());
        let mut seed = Self { user_data, meta_data: nothing, network_config, vendor_data };
        let instance_id = match instance_id {
            InstanceId::Given(id) => id,
            InstanceId::FromContent => meta_data::instance_id(&seed, &meta_data)?,
        };
        seed.meta_data = Arc::new(storage::Memory::from(meta_data.to_json(&instance_id)));
        Ok(seed)
    }

    /// The files, by the names that cloud-init looks for.
    pub fn files(&self) -> Vec<(&'static str, &Content)> {
        let files = [
            ("user-data", Some(&self.user_data)),
            ("meta-data", Some(&self.meta_data)),
            ("network-config", self.network_config.as_ref()),
            ("vendor-data", self.vendor_data.as_ref()),
        ];
        files.into_iter().filter_map(|(name, content)| Some((name, content?))).collect()
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = self.files().into_iter().map(|(name, content)| (name, content.size_bytes()));
        f.debug_map().entries(sizes).finish()
    }
}

/// What carries a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A disk with an ISO 9660, the usual medium.
    Iso,
    /// A disk with a FAT as large as it needs to be.
    Vfat,
    /// A tar archive.
    Tar {
        /// The folder in the archive that the files are in; empty for the archive's root.
        folder: &'static str,
    },
}

/// The bytes of `medium` with `seed` on it. Every time on it is `seconds` after 1970.
///
/// # Errors
///
/// [`Error::TooLarge`], [`Error::Iso`] and [`Error::Vfat`] for a file that the medium cannot have.
pub fn medium(seed: &Seed, medium: Medium, seconds: u32) -> Result<Arc<dyn ReadAt>, Error> {
    Ok(match medium {
        Medium::Iso => Arc::new(disk::iso(seed, seconds)?),
        Medium::Vfat => Arc::new(disk::vfat(seed, seconds)?),
        Medium::Tar { folder } => Arc::new(tar::archive(seed, folder, seconds)?),
    })
}
