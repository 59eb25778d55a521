//! A canvas for rectangles, text and images, in RGB.

use image::RgbImage;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of a line of text.
pub const LINE: usize = 16;

/// Red, green and blue, 0–255.
pub type Color = [u8; 3];

/// `[H, W, 3]`; drawing outside is clipped.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// An empty canvas.
    #[must_use]
    pub fn new(width: usize, height: usize, paper: Color) -> Self {
        Self { width, height, pixels: paper.repeat(width * height) }
    }

    /// A canvas with a picture as its background.
    pub fn on(picture: RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Self { width, height, pixels: picture.into_raw() }
    }

    /// `[width, height]`.
    pub fn extent(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn blend(&mut self, x: usize, y: usize, color: Color, share: u8) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (pixel, value) in self.pixels[at..at + 3].iter_mut().zip(color) {
            let (old, new, share) = (u32::from(*pixel), u32::from(value), u32::from(share));
            *pixel = ((old * (255 - share) + new * share + 127) / 255) as u8;
        }
    }

    /// Fills a rectangle, clipped to the canvas.
    pub fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, color: Color) {
        self.veil(x, y, width, height, color, 255);
    }

    /// Fills a rectangle with the opacity `share / 255`.
    pub fn veil(&mut self, x: usize, y: usize, width: usize, height: usize, color: Color, share: u8) {
        for row in y..(y + height).min(self.height) {
            for column in x..(x + width).min(self.width) {
                self.blend(column, row, color, share);
            }
        }
    }

    /// The outline of a rectangle, `thickness` wide, inside the rectangle.
    pub fn frame(&mut self, [x, y, width, height]: [usize; 4], thickness: usize, color: Color) {
        let thickness = thickness.min(width.div_ceil(2)).min(height.div_ceil(2));
        self.rectangle(x, y, width, thickness, color);
        self.rectangle(x, y + height - thickness, width, thickness, color);
        self.rectangle(x, y, thickness, height, color);
        self.rectangle(x + width - thickness, y, thickness, height, color);
    }

    /// Width of a text in pixels.
    pub fn text_width(text: &str) -> usize {
        text.chars().count() * get_raster_width(FontWeight::Regular, RasterHeight::Size16)
    }

    /// A line of text at its upper left corner; characters beyond ASCII become question marks.
    pub fn text(&mut self, x: usize, y: usize, text: &str, bold: bool, color: Color) {
        self.large_text(x, y, text, 1, bold, color);
    }

    /// A line of text, enlarged by `scale`.
    pub fn large_text(&mut self, mut x: usize, y: usize, text: &str, scale: usize, bold: bool, color: Color) {
        let weight = if bold { FontWeight::Bold } else { FontWeight::Regular };
        for letter in text.chars() {
            let raster = get_raster(letter, weight, RasterHeight::Size16);
            let Some(raster) = raster.or_else(|| get_raster('?', weight, RasterHeight::Size16)) else { continue };
            for (row, line) in raster.rows().enumerate() {
                for (column, &share) in line.iter().enumerate() {
                    self.veil(x + column * scale, y + row * scale, scale, scale, color, share);
                }
            }
            x += raster.width() * scale;
        }
    }

    /// An image `[H, W, C]`, resized to `side` pixels on its longer side.
    pub fn image(&mut self, x: usize, y: usize, image: &[u8], [height, width, channels]: [usize; 3], side: usize) {
        let longest = height.max(width).max(1);
        let (rows, columns) = ((height * side / longest).max(1), (width * side / longest).max(1));
        for row in 0..rows {
            for column in 0..columns {
                let at = (row * height / rows * width + column * width / columns) * channels;
                let color = if channels == 1 { [image[at]; 3] } else { [image[at], image[at + 1], image[at + 2]] };
                self.blend(x + column, y + row, color, 255);
            }
        }
    }

    /// The picture.
    pub fn into_picture(self) -> RgbImage {
        // The number of pixels always matches the size.
        RgbImage::from_raw(self.width as u32, self.height as u32, self.pixels).unwrap_or_default()
    }

    /// The picture as a PNG file.
    pub fn into_png(self) -> Vec<u8> {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let (width, height) = (self.width as u32, self.height as u32);
        // Writing to memory fails only for sizes that do not match the pixels.
        let _ = image::ImageEncoder::write_image(encoder, &self.pixels, width, height, image::ExtendedColorType::Rgb8);
        png
    }
}
