//! Images of a dataset as PNG files.

use image::{ColorType, ImageFormat};
use moue::fs::write_atomically;
use std::io::Cursor;
use std::path::Path;

/// Writes the pixels of an image, `[H, W, C]`, as a file; creates its folder.
pub fn write_png(path: &Path, pixels: &[u8], size: [usize; 2], channels: usize) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let [height, width] = size.map(|extent| extent as u32);
    let color = if channels == 1 { ColorType::L8 } else { ColorType::Rgb8 };
    let mut bytes = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut bytes, pixels, width, height, color, ImageFormat::Png)
        .map_err(std::io::Error::other)?;
    write_atomically(path, bytes.get_ref())
}
