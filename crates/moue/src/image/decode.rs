//! Decodes image files to pixels of a given size and number of channels.
//!
//! `format` recognizes the files, `complete` finds truncated ones, and the crate `image` decodes.

use super::complete::{self, Truncated};
use super::format::{Format, foreign};
use super::tiff::Palette;
use crate::message::io_reason;
use image::error::ImageError as DecoderError;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage, imageops::FilterType};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};

/// Extensions of image files.
const EXTENSIONS: [&str; 14] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ico", "qoi", "ppm", "pgm"];

/// Maximum size of an image file.
const MAX_FILE: u64 = 256 << 20;

/// Maximum extent of an image, and maximum memory for decoding one.
const MAX_EXTENT: u32 = 32_768;
const MAX_MEMORY: u64 = 1 << 30;

/// Maximum memory for decoding everything but the pixels, as a color profile, which may be
/// compressed, and for each pixel.
const HEADER_MEMORY: u64 = 64 << 20;
const PIXEL_MEMORY: u64 = 24;

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
    #[error("not a {FORMATS} image")]
    UnknownFormat,
    /// The file is of a kind that is not decoded.
    #[error("{kind}, not a {FORMATS} image; {advice}")]
    Foreign {
        /// What it is.
        kind: &'static str,
        /// What to do with it.
        advice: &'static str,
    },
    /// The image has no rows or no columns.
    #[error("the image has no pixels")]
    NoPixels,
    /// The file ends before the image does.
    #[error("truncated {format} image{}; copy or download it again", stated(*.missing))]
    Truncated {
        /// Its format.
        format: &'static str,
        /// Number of missing bytes, where the format states it.
        missing: Option<u64>,
    },
    /// The file is damaged.
    #[error("damaged {format} image (the decoder reports: {reason}); copy or download it again")]
    Damaged {
        /// Its format.
        format: &'static str,
        /// The decoder's message.
        reason: String,
    },
    /// The format has kinds of images that are not decoded.
    #[error(
        "{format} image of a kind that is not supported (the decoder reports: {reason}); convert it to JPEG or PNG"
    )]
    Unsupported {
        /// Its format.
        format: &'static str,
        /// The decoder's message.
        reason: String,
    },
    /// The image is larger than the decoder's limits.
    #[error("{format} image with more than {MAX_EXTENT} rows or columns, or that takes more than {} MB of memory; use a smaller one", MAX_MEMORY >> 20)]
    TooLarge {
        /// Its format.
        format: &'static str,
    },
}

/// The formats, for messages.
const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI or ICO";

/// The number of missing bytes in a message.
fn stated(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(" ({bytes} bytes are missing)"))
}

impl ImageError {
    /// An error of the decoder, in our words.
    fn of_decoder(error: DecoderError, format: Format) -> Self {
        let format = format.name();
        match error {
            DecoderError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Self::Truncated { format, missing: None }
            }
            DecoderError::Limits(_) => Self::TooLarge { format },
            DecoderError::Unsupported(error) => Self::Unsupported { format, reason: error.to_string() },
            error => Self::Damaged { format, reason: error.to_string() },
        }
    }

    fn truncated(format: Format, Truncated(missing): Truncated) -> Self {
        Self::Truncated { format: format.name(), missing }
    }
}

/// Whether a file has an extension of an image format.
#[must_use]
pub fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

/// Reads an open image file, if it does not exceed the size limit; a larger one is not read at all.
///
/// # Errors
/// When the file cannot be read or is too large.
pub fn read_opened_image(file: File) -> Result<Vec<u8>, ImageError> {
    if file.metadata()?.len() > MAX_FILE {
        return Err(ImageError::FileTooLarge);
    }
    read_image_file(file)
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

/// Decodes an image file (the first frame or page) and applies its EXIF orientation. The format is
/// recognized from the content. Transparent pixels are blended with white.
///
/// # Errors
/// When the bytes are not an image of a supported format, or the image is damaged or truncated.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let format = format(bytes)?;
    complete::check(format, bytes).map_err(|truncated| ImageError::truncated(format, truncated))?;
    decode(bytes, format, false)
}

/// Decodes an image file as [`decode_image`] does, and also the available part of a truncated one;
/// returns whether it is truncated. Missing pixels are black, or gray in a JPEG.
///
/// # Errors
/// When the bytes are not an image of a supported format, or no pixels can be decoded.
pub fn decode_truncated_image(bytes: &[u8]) -> Result<(DynamicImage, bool), ImageError> {
    match decode_image(bytes) {
        Err(truncated @ ImageError::Truncated { .. }) => {
            let (format, mut whole) = (format(bytes)?, bytes.to_vec());
            // Formats that usually are not compressed: zeros stand for the missing pixels.
            if matches!(format, Format::Bmp | Format::Tiff | Format::Pnm) {
                let pixels: u64 = image_extent(bytes)?.into_iter().map(u64::from).product();
                let missing = match &truncated {
                    ImageError::Truncated { missing, .. } if format != Format::Pnm => missing.unwrap_or(0),
                    _ => pixels.saturating_mul(8),
                };
                // A header may claim any number; the pixels need no more than this.
                let most = pixels.saturating_mul(PIXEL_MEMORY).saturating_add(1 << 16).min(MAX_FILE);
                whole.resize(bytes.len() + missing.min(most) as usize, 0);
            }
            let part = decode(&whole, format, true).map_err(|_| truncated)?;
            Ok((part, true))
        }
        other => Ok((other?, false)),
    }
}

/// The format of a file.
fn format(bytes: &[u8]) -> Result<Format, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    match foreign(bytes) {
        Some((kind, advice)) => Err(ImageError::Foreign { kind, advice }),
        None => Format::of(bytes).ok_or(ImageError::UnknownFormat),
    }
}

/// The image on white; with `partial` also when pixels are missing.
fn decode(bytes: &[u8], format: Format, partial: bool) -> Result<DynamicImage, ImageError> {
    // The decoder of ICO files accepts a PNG only with an alpha channel.
    let icon = if format == Format::Ico { complete::png_icon(bytes) } else { None };
    let (bytes, format) = icon.map_or((bytes, format), |png| (png, Format::Png));
    let palette = if format == Format::Tiff { Palette::of(bytes) } else { None };
    let bytes = palette.as_ref().map_or(bytes, |palette| &palette.indices);
    let image = decoded(bytes, format, partial).map_err(|error| ImageError::of_decoder(error, format))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(ImageError::NoPixels);
    }
    let image = if let Some(palette) = &palette { palette.colored(&image) } else { image };
    Ok(if image.color().has_alpha() { on_white(&image) } else { image })
}

/// The image as stored, turned as its EXIF orientation says.
fn decoded(bytes: &[u8], format: Format, partial: bool) -> Result<DynamicImage, DecoderError> {
    let mut decoder = reader(bytes, format).into_decoder()?;
    let (width, height) = decoder.dimensions();
    let memory = (u64::from(width) * u64::from(height)).saturating_mul(PIXEL_MEMORY).saturating_add(HEADER_MEMORY);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_EXTENT);
    limits.max_image_height = Some(MAX_EXTENT);
    limits.max_alloc = Some(memory.min(MAX_MEMORY));
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(Part { decoder, partial })?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// A reader of a file that may allocate the memory for everything but the pixels.
fn reader(bytes: &[u8], format: Format) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(HEADER_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.decoder());
    reader.limits(limits);
    reader
}

/// A decoder that returns the pixels before an error.
struct Part<D> {
    decoder: D,
    /// Whether it does so.
    partial: bool,
}

impl<D: ImageDecoder> ImageDecoder for Part<D> {
    fn dimensions(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    fn color_type(&self) -> ColorType {
        self.decoder.color_type()
    }

    fn read_image(self, pixels: &mut [u8]) -> Result<(), DecoderError> {
        let read = self.decoder.read_image(pixels);
        let has_pixels = pixels.iter().any(|&value| value != 0);
        if self.partial && has_pixels { Ok(()) } else { read }
    }

    fn read_image_boxed(self: Box<Self>, pixels: &mut [u8]) -> Result<(), DecoderError> {
        (*self).read_image(pixels)
    }
}

/// Columns and rows of an image as stored, read from the file's header.
///
/// # Errors
/// When the bytes are not an image, or the image is damaged.
pub fn image_extent(bytes: &[u8]) -> Result<[u32; 2], ImageError> {
    let format = format(bytes)?;
    let (width, height) =
        reader(bytes, format).into_dimensions().map_err(|error| ImageError::of_decoder(error, format))?;
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
