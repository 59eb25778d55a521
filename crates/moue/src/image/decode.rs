//! Decodes image files to pixels of a given size and number of channels.

use crate::message::io_reason;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage, imageops::FilterType};
use std::io::{Cursor, Read};

/// Extensions of image files.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Maximum size of an image file.
const MAX_FILE: u64 = 256 << 20;

/// Maximum extent of an image, and maximum memory for decoding one.
const MAX_EXTENT: u32 = 32_768;
const MAX_MEMORY: u64 = 1 << 30;

/// Why an image file cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read.
    #[error("{}", io_reason(.0))]
    Read(#[from] std::io::Error),
    /// The file exceeds the size limit.
    #[error("the file is larger than the limit of {} MB", MAX_FILE >> 20)]
    FileTooLarge,
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file does not begin as an image of a supported format.
    #[error("not a PNG, JPEG, WebP, BMP, GIF or TIFF image")]
    UnknownFormat,
    /// The image has no rows or no columns.
    #[error("the image has no pixels")]
    NoPixels,
    /// The file is damaged, too large, or of an unsupported kind.
    #[error(transparent)]
    Decode(#[from] image::ImageError),
}

/// Whether a file has an extension of an image format.
#[must_use]
pub fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Reads an image file, if it does not exceed the size limit.
///
/// # Errors
/// When the file cannot be read or is too large.
pub fn read_image_file(reader: impl Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ImageError::FileTooLarge);
    }
    Ok(bytes)
}

/// Decodes a PNG, JPEG, WebP, BMP, GIF (first frame) or TIFF file and applies its EXIF orientation.
/// The format is detected from the content. Transparent pixels are blended with white.
///
/// # Errors
/// When the bytes are not an image, or the image is damaged.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_EXTENT);
    limits.max_image_height = Some(MAX_EXTENT);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format().is_none() {
        return Err(ImageError::UnknownFormat);
    }
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    if image.width() == 0 || image.height() == 0 {
        return Err(ImageError::NoPixels);
    }
    image.apply_orientation(orientation);
    Ok(if image.color().has_alpha() { on_white(&image) } else { image })
}

/// Columns and rows of an image as stored, read from the file's header.
///
/// # Errors
/// When the bytes are not an image, or the image is damaged.
pub fn image_extent(bytes: &[u8]) -> Result<[u32; 2], ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format().is_none() {
        return Err(ImageError::UnknownFormat);
    }
    let (width, height) = reader.into_dimensions()?;
    Ok([width, height])
}

/// The image blended with white.
fn on_white(image: &DynamicImage) -> DynamicImage {
    let mut opaque = RgbImage::new(image.width(), image.height());
    for (from, to) in image.to_rgba8().pixels().zip(opaque.pixels_mut()) {
        let [red, green, blue, alpha] = from.0.map(u32::from);
        to.0 = [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    DynamicImage::ImageRgb8(opaque)
}

/// The whole image resized to `size` (`[height, width]`) with 1 channel (luma) or 3, `[H, W, C]`.
/// Downscaling averages over the source pixels.
#[must_use]
pub fn to_pixels(image: &DynamicImage, size: [usize; 2], channels: usize) -> Vec<u8> {
    let (height, width) = (size[0] as u32, size[1] as u32);
    let same = image.height() == height && image.width() == width;
    if channels == 1 {
        let luma = image.to_luma8();
        if same {
            luma.into_raw()
        } else {
            image::imageops::resize(&luma, width, height, FilterType::Triangle).into_raw()
        }
    } else {
        let rgb = image.to_rgb8();
        if same {
            rgb.into_raw()
        } else {
            image::imageops::resize(&rgb, width, height, FilterType::Triangle).into_raw()
        }
    }
}
