//! Sheets of thumbnails: many images in one PNG, which a page loads when the first of them is visible.

use crate::data::Dataset;
use moue::render;
use rayon::prelude::*;

/// From how many images on the thumbnails are files next to the page.
pub const MANY: usize = 2000;

/// What the scripts of pages with thumbnails share; it comes first.
pub const SCRIPT: &str = include_str!("cards.js");

/// The style of thumbnails and controls.
pub const STYLE: &str = include_str!("cards.css");

/// Thumbnails in a row, and rows, of a sheet.
pub const ACROSS: usize = 12;

/// Longest side of a thumbnail in pixels.
const MOST: usize = 96;

/// The side of the square that each thumbnail has on a sheet.
#[must_use]
pub fn side(dataset: &Dataset) -> usize {
    let [height, width, _] = dataset.shape();
    height.max(width).clamp(1, MOST)
}

/// The sources of the sheets of these images for the script, and the files among them, by their paths from the folder of
/// the page; there are none if the sheets are part of the page.
#[must_use]
pub fn placed(
    dataset: &Dataset,
    images: &[usize],
    assets: &str,
    embedded: bool,
) -> (Vec<String>, Vec<(String, Vec<u8>)>) {
    let sheets = sheets(dataset, images);
    if embedded {
        return (sheets.iter().map(|png| render::png_url(png)).collect(), Vec::new());
    }
    let named = |(number, png)| (format!("{assets}/sheet-{number:04}.png"), png);
    let files: Vec<(String, Vec<u8>)> = sheets.into_iter().enumerate().map(named).collect();
    (files.iter().map(|(name, _)| name.clone()).collect(), files)
}

/// The sheets of these images, as PNG files.
fn sheets(dataset: &Dataset, images: &[usize]) -> Vec<Vec<u8>> {
    images.par_chunks(ACROSS * ACROSS).map(|images| sheet(dataset, images)).collect()
}

fn sheet(dataset: &Dataset, images: &[usize]) -> Vec<u8> {
    let (side, [height, width, channels]) = (side(dataset), dataset.shape());
    let lines = images.len().div_ceil(ACROSS);
    let across = ACROSS * side;
    let mut pixels = vec![128; lines * side * across * channels];
    let longest = height.max(width);
    let [own_height, own_width] = [height, width].map(|extent| (extent * side / longest).max(1));
    let (down, aside) = ((side - own_height) / 2, (side - own_width) / 2);
    for (place, &image) in images.iter().enumerate() {
        let (row, column) = (place / ACROSS * side + down, place % ACROSS * side + aside);
        let image = dataset.image(image);
        for y in 0..own_height {
            for x in 0..own_width {
                for channel in 0..channels {
                    let value = mean(image, dataset.shape(), [y, x, channel], [own_height, own_width]);
                    pixels[((row + y) * across + column + x) * channels + channel] = value;
                }
            }
        }
    }
    // The pixels have this shape.
    render::png(&pixels, [lines * side, across, channels]).unwrap_or_default()
}

/// The mean of the pixels that a pixel of the thumbnail covers.
fn mean(image: &[u8], [height, width, channels]: [usize; 3], [y, x, channel]: [usize; 3], size: [usize; 2]) -> u8 {
    let cells = |at: usize, extent: usize, of: usize| {
        let first = at * extent / of;
        first..((at + 1) * extent / of).max(first + 1).min(extent)
    };
    let (rows, columns) = (cells(y, height, size[0]), cells(x, width, size[1]));
    let count = (rows.len() * columns.len()).max(1) as u32;
    let sum: u32 = rows
        .flat_map(|row| {
            columns.clone().map(move |column| u32::from(image[(row * width + column) * channels + channel]))
        })
        .sum();
    (sum / count) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn images_are_at_their_places() {
        let faces = synthetic::dataset(200, ImageSpec { size: Some([10, 8]), channels: 3 }, 1);
        let images: Vec<usize> = (0..200).rev().collect();
        let found = sheets(&faces, &images);
        assert_eq!((found.len(), side(&faces)), (2, 10));
        let sheet = image::load_from_memory(&found[0]).unwrap().into_rgb8();
        assert_eq!(sheet.dimensions(), (120, 120));
        // The second image, in the middle of its square.
        assert_eq!(sheet.get_pixel(11, 0).0, faces.image(198)[..3]);
        let small = image::load_from_memory(&found[1]).unwrap();
        assert_eq!((small.width(), small.height()), (120, 50));
    }

    #[test]
    fn large_images_are_reduced() {
        let faces = synthetic::dataset(14, ImageSpec { size: Some([192, 192]), channels: 1 }, 1);
        let sheet = image::load_from_memory(&sheets(&faces, &[3])[0]).unwrap().into_luma8();
        let near = |row: usize, column: usize| u32::from(faces.image(3)[row * 192 + column]);
        assert_eq!(
            u32::from(sheet.get_pixel(5, 7).0[0]),
            (near(14, 10) + near(14, 11) + near(15, 10) + near(15, 11)) / 4
        );
    }
}
