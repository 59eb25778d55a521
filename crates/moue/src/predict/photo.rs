//! Photos: paths, bytes or decoded pictures.

use super::options::PredictOptions;
use crate::image::{ImageError, decode_image, decode_truncated_image, image_extent, read_opened_image};
use image::DynamicImage;
use std::borrow::Cow;
use std::path::Path;

/// A photo.
#[derive(Clone, Copy, Debug)]
pub enum Photo<'a> {
    /// A file.
    File(&'a Path),
    /// The bytes of an image file, and their name in predictions.
    Bytes(&'a str, &'a [u8]),
    /// A decoded picture, and its name in predictions.
    Image(&'a str, &'a DynamicImage),
}

/// Why the pixels of a photo are not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// The photo cannot be read, is not an image, or is damaged.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The photo exceeds the caller's limit.
    #[error("the picture has {width} x {height} pixels, more than the limit of {limit}; use a smaller picture")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Maximum of columns times rows.
        limit: u64,
    },
}

impl<'a> Photo<'a> {
    /// Name in predictions.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(name, _) | Self::Image(name, _) => (*name).to_owned(),
        }
    }

    /// The upright picture, and whether its file is truncated.
    pub(super) fn decode(self, options: &PredictOptions) -> Result<(Cow<'a, DynamicImage>, bool), PhotoError> {
        let decode = |bytes: &[u8]| -> Result<(Cow<'a, DynamicImage>, bool), PhotoError> {
            if let Some(limit) = options.max_pixels {
                within(image_extent(bytes)?, limit)?;
            }
            let (image, truncated) =
                if options.allow_truncated { decode_truncated_image(bytes)? } else { (decode_image(bytes)?, false) };
            Ok((Cow::Owned(image), truncated))
        };
        match self {
            Self::File(path) => {
                let file = crate::fs::open(path).map_err(ImageError::Read)?;
                decode(&read_opened_image(file)?)
            }
            Self::Bytes(_, bytes) => decode(bytes),
            Self::Image(_, photo) => {
                within([photo.width(), photo.height()], options.max_pixels.unwrap_or(u64::MAX))?;
                Ok((Cow::Borrowed(photo), false))
            }
        }
    }
}

fn within([width, height]: [u32; 2], limit: u64) -> Result<(), PhotoError> {
    if u64::from(width) * u64::from(height) > limit {
        return Err(PhotoError::TooLarge { width, height, limit });
    }
    Ok(())
}

impl<'a> From<&'a Path> for Photo<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(path)
    }
}

impl<'a> From<&'a str> for Photo<'a> {
    fn from(path: &'a str) -> Self {
        Self::File(Path::new(path))
    }
}

impl<'a> From<&'a std::path::PathBuf> for Photo<'a> {
    fn from(path: &'a std::path::PathBuf) -> Self {
        Self::File(path)
    }
}

impl<'a> From<&'a DynamicImage> for Photo<'a> {
    fn from(photo: &'a DynamicImage) -> Self {
        Self::Image("<image>", photo)
    }
}
