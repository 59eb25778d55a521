//! From an image file's bytes to pixels of a given form.

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage, imageops::FilterType};
use std::io::{Cursor, Read};

/// Endings of the files that are taken for images.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Largest image file that is read.
const MAX_FILE: u64 = 256 << 20;

/// Largest extent of an image, and most memory that decoding one may take.
const MAX_EXTENT: u32 = 32_768;
const MAX_MEMORY: u64 = 1 << 30;

/// Why an image file has no pixels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// The file is larger than any image should be.
    #[error("the file is larger than {} MB", MAX_FILE >> 20)]
    FileTooLarge,
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Its first bytes are those of no image.
    #[error("not a PNG, JPEG, WebP, BMP, GIF or TIFF image")]
    UnknownFormat,
    /// It has no rows or no columns.
    #[error("the image has no pixels")]
    NoPixels,
    /// It is damaged, too large, or of a kind that is not supported.
    #[error(transparent)]
    Decode(#[from] image::ImageError),
}

/// Whether a file's name ends as an image's.
#[must_use]
pub fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// The content of an image file, if it is not larger than any image should be.
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

/// Decodes a PNG, JPEG, WebP, BMP, GIF (its first picture) or TIFF file, told by
/// its content, and turns it as its EXIF orientation says. What is transparent
/// becomes white.
///
/// # Errors
/// When the file is no image, or a damaged one.
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

/// Columns and rows of an image file as they are stored, from its head alone.
///
/// # Errors
/// When the file is no image, or a damaged one.
pub fn image_extent(bytes: &[u8]) -> Result<[u32; 2], ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format().is_none() {
        return Err(ImageError::UnknownFormat);
    }
    let (width, height) = reader.into_dimensions()?;
    Ok([width, height])
}

/// The image on white paper.
fn on_white(image: &DynamicImage) -> DynamicImage {
    let mut opaque = RgbImage::new(image.width(), image.height());
    for (from, to) in image.to_rgba8().pixels().zip(opaque.pixels_mut()) {
        let [red, green, blue, alpha] = from.0.map(u32::from);
        to.0 = [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    DynamicImage::ImageRgb8(opaque)
}

/// The whole image at `size` (`[height, width]`) with 1 channel (luma) or 3,
/// `[H, W, C]`. Scaling averages over what it leaves out.
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
