//! The form of a new image's file.

use std::str::FromStr;

use image::{Compat, CompressionType, Container, Info, Qcow2Options};

use crate::size::DiskSize;

/// The form of a new image's file. Whatever is not given is as in the image that it is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The format.
    pub format: Option<Container>,
    /// Whether the file holds only the differences from the base.
    pub overlay: bool,
    /// Size of a qcow2 cluster.
    pub cluster_size: Option<ClusterSize>,
    /// The version of a qcow2.
    pub compat: Option<Compat>,
    /// The compression of a qcow2's clusters.
    pub compression_type: Option<CompressionType>,
}

/// Size of a qcow2 cluster: a power of two from 512 bytes to 2 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSize {
    /// The size in bytes.
    pub bytes: u32,
}

/// Why a file cannot have a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The text is not a cluster size.
    #[error("`{text}` is not a size of qcow2 clusters: expected a power of two from 512 to 2M")]
    NotAClusterSize {
        /// The text.
        text: String,
    },
    /// Only a qcow2 has this.
    #[error("{what} is for qcow2 images, and the new one is {format}")]
    NotForFormat {
        /// What.
        what: &'static str,
        /// The format that was given, or the base's.
        format: String,
    },
}

impl Form {
    /// This form, completed by `other` where this one gives nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            format: self.format.or(other.format),
            overlay: self.overlay || other.overlay,
            cluster_size: self.cluster_size.or(other.cluster_size),
            compat: self.compat.or(other.compat),
            compression_type: self.compression_type.or(other.compression_type),
        }
    }

    /// The container of a file that is made from an image. `None` means that the file is in every respect as that
    /// image.
    ///
    /// An overlay does not know the name of its backing file yet.
    ///
    /// # Errors
    ///
    /// [`FormError::NotForFormat`].
    pub fn container(&self, image: &Info) -> Result<Option<Container>, FormError> {
        if *self == Self::default() {
            return Ok(None);
        }
        // An overlay is a qcow2, whatever the format of its base is.
        let format = match (&self.format, self.overlay) {
            (Some(format), _) => format.clone(),
            (None, true) => Container::Qcow2(Qcow2Options::default()),
            (None, false) => image.format.to_string().parse().unwrap_or(Container::Raw),
        };
        if !matches!(format, Container::Qcow2(_)) {
            let given = [
                (self.overlay, "a thin overlay"),
                (self.cluster_size.is_some(), "a cluster size"),
                (self.compat.is_some(), "a compat version"),
                (self.compression_type.is_some(), "a compression type"),
            ];
            return match given.into_iter().find(|(is_given, _)| *is_given) {
                Some((_, what)) => Err(FormError::NotForFormat { what, format: format.to_string() }),
                None => Ok(Some(format)),
            };
        }
        let mut options = Qcow2Options::like(image);
        if self.overlay {
            options.compat = Compat::V3;
        }
        if let Some(ClusterSize { bytes }) = self.cluster_size {
            options.cluster_size_bytes = bytes;
        }
        if let Some(compat) = self.compat {
            options.compat = compat;
            if compat == Compat::V2 {
                // Version 2 knows no other.
                options.compression_type = CompressionType::Zlib;
            }
        }
        if let Some(compression_type) = self.compression_type {
            options.compression_type = compression_type;
            if self.compat.is_none() && compression_type == CompressionType::Zstd {
                options.compat = Compat::V3;
            }
        }
        Ok(Some(Container::Qcow2(options)))
    }
}

impl FromStr for ClusterSize {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match text.parse() {
            Ok(DiskSize::To(bytes @ 512..=0x20_0000)) if bytes.is_power_of_two() => Ok(Self { bytes: bytes as u32 }),
            _ => Err(FormError::NotAClusterSize { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Format, Qcow2Info};

    fn info(format: Format) -> Info {
        let qcow2 = Qcow2Info {
            version: 2,
            compat: "0.10",
            cluster_size_bytes: 4096,
            compression_type: CompressionType::Zlib,
            refcount_bits: 16,
            snapshots: 0,
            backing_file: None,
            features: Vec::new(),
        };
        let qcow2 = (format == Format::Qcow2).then_some(qcow2);
        Info { format, virtual_size_bytes: 1, file_size_bytes: 1, qcow2, vmdk: None, vhd: None }
    }

    fn options(form: &Form, format: Format) -> Qcow2Options {
        match form.container(&info(format)).unwrap() {
            Some(Container::Qcow2(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_given_is_as_in_the_image() {
        assert_eq!(Form::default().container(&info(Format::Qcow2)), Ok(None));
        let clusters = Form { cluster_size: Some("64K".parse().unwrap()), ..Form::default() };
        let of_image = options(&clusters, Format::Qcow2);
        assert_eq!((of_image.cluster_size_bytes, of_image.compat), (65536, Compat::V2));
        let zstd = Form { compression_type: Some(CompressionType::Zstd), ..Form::default() };
        let of_image = options(&zstd, Format::Qcow2);
        assert_eq!((of_image.cluster_size_bytes, of_image.compat), (4096, Compat::V3));
        let overlay = Form { overlay: true, ..Form::default() };
        assert_eq!(options(&overlay, Format::Raw), Qcow2Options::default());
        assert_eq!(options(&overlay, Format::Qcow2).compat, Compat::V3);
        let raw = Form { format: Some(Container::Raw), ..Form::default() };
        assert_eq!(raw.container(&info(Format::Qcow2)), Ok(Some(Container::Raw)));
    }

    #[test]
    fn what_only_a_qcow2_has_is_not_for_others() {
        let overlay = Form { overlay: true, format: Some(Container::Raw), ..Form::default() };
        let error = overlay.container(&info(Format::Qcow2)).unwrap_err();
        assert_eq!(error.to_string(), "a thin overlay is for qcow2 images, and the new one is raw");
        let compat = Form { compat: Some(Compat::V3), ..Form::default() };
        let error = compat.container(&info(Format::Raw)).unwrap_err();
        assert_eq!(error.to_string(), "a compat version is for qcow2 images, and the new one is raw");
    }

    #[test]
    fn a_cluster_size_is_a_power_of_two() {
        assert_eq!("2M".parse(), Ok(ClusterSize { bytes: 2 << 20 }));
        for text in ["", "256", "4M", "1000", "+4K", "64KiB"] {
            assert!(text.parse::<ClusterSize>().is_err(), "{text}");
        }
    }
}
