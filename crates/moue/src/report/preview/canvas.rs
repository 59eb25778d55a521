//! A picture to draw on: rectangles, text and images, in RGB.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Height of a line of text.
pub const LINE: usize = 16;

pub type Colour = [u8; 3];

/// `[H, W, 3]`; what lies outside is not drawn.
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: usize, height: usize, paper: Colour) -> Self {
        Self { width, height, pixels: paper.repeat(width * height) }
    }

    fn blend(&mut self, x: usize, y: usize, colour: Colour, share: u8) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (pixel, value) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            let (old, new, share) = (u32::from(*pixel), u32::from(value), u32::from(share));
            *pixel = ((old * (255 - share) + new * share + 127) / 255) as u8;
        }
    }

    pub fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        for row in y..y + height {
            for column in x..x + width {
                self.blend(column, row, colour, 255);
            }
        }
    }

    /// Width of a text in pixels.
    pub fn text_width(text: &str) -> usize {
        text.chars().count() * get_raster_width(FontWeight::Regular, RasterHeight::Size16)
    }

    /// A line of text whose upper left corner is given; letters beyond ASCII
    /// become question marks.
    pub fn text(&mut self, mut x: usize, y: usize, text: &str, bold: bool, colour: Colour) {
        let weight = if bold { FontWeight::Bold } else { FontWeight::Regular };
        for letter in text.chars() {
            let raster = get_raster(letter, weight, RasterHeight::Size16);
            let Some(raster) = raster.or_else(|| get_raster('?', weight, RasterHeight::Size16)) else { continue };
            for (row, line) in raster.rows().enumerate() {
                for (column, &share) in line.iter().enumerate() {
                    self.blend(x + column, y + row, colour, share);
                }
            }
            x += raster.width();
        }
    }

    /// An image `[H, W, C]`, brought to `side` pixels on its longer side.
    pub fn image(&mut self, x: usize, y: usize, image: &[u8], [height, width, channels]: [usize; 3], side: usize) {
        let longest = height.max(width).max(1);
        let (rows, columns) = ((height * side / longest).max(1), (width * side / longest).max(1));
        for row in 0..rows {
            for column in 0..columns {
                let at = (row * height / rows * width + column * width / columns) * channels;
                let colour = if channels == 1 { [image[at]; 3] } else { [image[at], image[at + 1], image[at + 2]] };
                self.blend(x + column, y + row, colour, 255);
            }
        }
    }

    /// The picture as a PNG file.
    pub fn into_png(self) -> Vec<u8> {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let (width, height) = (self.width as u32, self.height as u32);
        // Writing to memory fails only for sizes that do not match, which these do.
        let _ = image::ImageEncoder::write_image(encoder, &self.pixels, width, height, image::ExtendedColorType::Rgb8);
        png
    }
}
