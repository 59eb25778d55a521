//! Crops a face from a photo at the photo's full resolution.

use super::decode::to_pixels;
use super::sample::Bilinear;
use image::{DynamicImage, GenericImageView, RgbImage};

/// A square in a photo, in pixels; it may extend beyond the photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    /// `[x, y]` of its center.
    pub middle: [f32; 2],
    /// Its side.
    pub side: f32,
    /// Rotation in degrees, clockwise; 0 is upright.
    pub degrees: f32,
}

/// Smaller rotations are ignored.
const LEVEL: f32 = 0.5;

/// Maximum samples of a tilted square for one pixel of the output, along one axis.
const MOST_SAMPLES: usize = 4;

/// The upright content of a square of the photo, resized to `[height, width]` with 1 or 3 channels,
/// `[H, W, C]`. Outside the photo the border pixels are repeated.
#[must_use]
pub fn face_pixels(photo: &DynamicImage, square: &Square, size: [usize; 2], channels: usize) -> Vec<u8> {
    let cut = if square.degrees.abs() < LEVEL { upright(photo, square) } else { turned(photo, square, size) };
    to_pixels(&DynamicImage::ImageRgb8(cut), size, channels)
}

/// A pixel of the photo, clamped to its borders.
fn pixel(photo: &DynamicImage, x: i64, y: i64) -> [u8; 3] {
    let x = x.clamp(0, i64::from(photo.width()) - 1) as u32;
    let y = y.clamp(0, i64::from(photo.height()) - 1) as u32;
    let image::Rgba([red, green, blue, _]) = photo.get_pixel(x, y);
    [red, green, blue]
}

fn upright(photo: &DynamicImage, square: &Square) -> RgbImage {
    let side = (square.side.round() as u32).max(1);
    let [left, top] = square.middle.map(|at| (at - square.side / 2.0).round() as i64);
    RgbImage::from_fn(side, side, |x, y| image::Rgb(pixel(photo, left + i64::from(x), top + i64::from(y))))
}

/// The content of a tilted square, sampled once from the photo: each output pixel is an average over
/// the photo's pixels with weights that fall off linearly, as when an upright square is resized.
fn turned(photo: &DynamicImage, square: &Square, [height, width]: [usize; 2]) -> RgbImage {
    let extent = [photo.height() as usize, photo.width() as usize];
    let (sin, cos) = square.degrees.to_radians().sin_cos();
    let down = weighted(square.side / height as f32);
    let across = weighted(square.side / width as f32);
    let corner = |row: usize, column: usize| pixel(photo, column as i64, row as i64).map(f32::from);
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let mut sum = [0.0f32; 3];
        for &(offset_y, weight_y) in &down {
            let v = ((y as f32 + 0.5 + offset_y) / height as f32 - 0.5) * square.side;
            for &(offset_x, weight_x) in &across {
                let u = ((x as f32 + 0.5 + offset_x) / width as f32 - 0.5) * square.side;
                let row = square.middle[1] + u * sin + v * cos - 0.5;
                let column = square.middle[0] + u * cos - v * sin - 0.5;
                let color = Bilinear::at(extent, [row, column]).mix(corner);
                sum.iter_mut().zip(color).for_each(|(sum, value)| *sum += value * weight_x * weight_y);
            }
        }
        image::Rgb(sum.map(|value| value.round() as u8))
    })
}

/// Offsets of the samples for an output pixel, in output pixels, and their weights, which sum to 1;
/// `step` is the number of the photo's pixels for one of the output.
fn weighted(step: f32) -> Vec<(f32, f32)> {
    if step <= 1.0 {
        return vec![(0.0, 1.0)];
    }
    let count = (step.ceil() as usize).min(MOST_SAMPLES);
    let samples = (0..2 * count).map(|number| (number as f32 + 0.5) / count as f32 - 1.0);
    samples.map(|offset| (offset, (1.0 - offset.abs()) / count as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(middle: [f32; 2], side: f32, degrees: f32) -> Square {
        Square { middle, side, degrees }
    }

    /// A pixel's value is its column.
    fn ramp() -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_fn(200, 100, |x, _| image::Rgb([x as u8; 3])))
    }

    #[test]
    fn the_square_is_centered() {
        let pixels = face_pixels(&ramp(), &square([100.0, 50.0], 44.0, 0.0), [44, 44], 1);
        assert_eq!((pixels[0], pixels[43]), (78, 121));
    }

    #[test]
    fn a_rotation_by_90_degrees_swaps_rows_and_columns() {
        let pixels = face_pixels(&ramp(), &square([100.0, 50.0], 44.0, 90.0), [44, 44], 1);
        // The left side is at the bottom after the rotation.
        assert_eq!((pixels[0], pixels[43], pixels[43 * 44]), (121, 121, 78));
    }

    #[test]
    fn a_small_rotation_changes_little() {
        let (level, tilted) = (square([100.0, 50.0], 44.0, 0.0), square([100.0, 50.0], 44.0, 1.0));
        let [level, tilted] = [level, tilted].map(|square| face_pixels(&ramp(), &square, [44, 44], 1));
        assert!(level.iter().zip(&tilted).all(|(a, b)| a.abs_diff(*b) <= 2));
    }

    #[test]
    fn a_tilted_square_is_averaged_as_an_upright_one() {
        // Stripes of two pixels: a sample per output pixel would show them.
        let stripes = RgbImage::from_fn(400, 400, |x, _| image::Rgb([if x / 2 % 2 == 0 { 0 } else { 200 }; 3]));
        for degrees in [0.0, 0.6, 20.0] {
            let square = square([200.0, 200.0], 240.0, degrees);
            let pixels = face_pixels(&DynamicImage::ImageRgb8(stripes.clone()), &square, [24, 24], 1);
            assert!(pixels.iter().all(|pixel| pixel.abs_diff(100) < 25), "{degrees}: {pixels:?}");
        }
        let weights: f32 = weighted(3.3).iter().map(|(_, weight)| weight).sum();
        assert!((weights - 1.0).abs() < 1e-6);
    }

    #[test]
    fn border_pixels_are_repeated_outside_the_photo() {
        let photo = DynamicImage::ImageRgb8(RgbImage::from_fn(10, 10, |x, y| image::Rgb([(x * 10 + y) as u8; 3])));
        for degrees in [0.0, 30.0] {
            assert_eq!(face_pixels(&photo, &square([-20.0, -20.0], 10.0, degrees), [2, 2], 3), [0; 12]);
        }
    }
}
