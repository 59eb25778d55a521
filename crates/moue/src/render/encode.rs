//! Writes pictures as files and as data URLs.

use crate::fs::write_atomically;
use base64::Engine as _;
use image::RgbImage;
use std::io::Cursor;
use std::path::Path;

/// Writes a picture atomically, as JPEG or PNG by the path's extension.
///
/// # Errors
/// When the file cannot be written.
pub fn save_picture(path: impl AsRef<Path>, picture: &RgbImage) -> std::io::Result<()> {
    let path = path.as_ref();
    let mut bytes = Cursor::new(Vec::new());
    let coded = if path.extension().is_some_and(|own| own == "png") {
        picture.write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes))
    } else {
        picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90))
    };
    coded.map_err(std::io::Error::other)?;
    write_atomically(path, bytes.get_ref())
}

/// An image `[H, W, C]` (1 channel or 3, 0–255) as a PNG in a data URL; `None` where the number of
/// pixels does not match the size.
#[must_use]
pub fn image_url(image: &[u8], shape: [usize; 3]) -> Option<String> {
    png(image, shape).map(|png| png_url(&png))
}

/// An image `[H, W, C]` (1 channel or 3, 0–255) as a PNG file; `None` where the number of pixels does not match the size.
#[must_use]
pub fn png(image: &[u8], [height, width, channels]: [usize; 3]) -> Option<Vec<u8>> {
    let color = if channels == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    if image.len() != height * width * channels {
        return None;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, image, width as u32, height as u32, color).ok()?;
    Some(png)
}

/// A PNG file in a data URL.
#[must_use]
pub fn png_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}
