//! Crops a face from a photo at the photo's full resolution.

use super::decode::to_pixels;
use super::sample::Bilinear;
use image::{DynamicImage, Rgb, RgbImage};
use rayon::prelude::*;

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

/// A part of a photo as RGB.
struct Region {
    left: i64,
    top: i64,
    pixels: RgbImage,
}

impl Region {
    /// The part from `first` to `last` (`[x, y]`, both inclusive), or what of it is in the photo; at
    /// least a pixel of the border.
    fn new(photo: &DynamicImage, first: [i64; 2], last: [i64; 2]) -> Self {
        let clamp = |[x, y]: [i64; 2]| {
            [x.clamp(0, i64::from(photo.width()) - 1) as u32, y.clamp(0, i64::from(photo.height()) - 1) as u32]
        };
        let ([left, top], [right, bottom]) = (clamp(first), clamp(last));
        let pixels = photo.crop_imm(left, top, right - left + 1, bottom - top + 1).into_rgb8();
        Self { left: i64::from(left), top: i64::from(top), pixels }
    }

    /// The pixel of a position in the photo, clamped to the part's borders.
    fn pixel(&self, x: i64, y: i64) -> [u8; 3] {
        let x = (x - self.left).clamp(0, i64::from(self.pixels.width()) - 1);
        let y = (y - self.top).clamp(0, i64::from(self.pixels.height()) - 1);
        self.pixels.get_pixel(x as u32, y as u32).0
    }
}

fn upright(photo: &DynamicImage, square: &Square) -> RgbImage {
    let side = (square.side.round() as u32).max(1);
    let first = square.middle.map(|at| (at - square.side / 2.0).round() as i64);
    let region = Region::new(photo, first, first.map(|at| at + i64::from(side) - 1));
    let [left, top] = first;
    RgbImage::from_fn(side, side, |x, y| Rgb(region.pixel(left + i64::from(x), top + i64::from(y))))
}

/// The content of a tilted square, sampled once from the photo: each output pixel is an average over
/// the photo's pixels with weights that fall off linearly, as when an upright square is resized.
fn turned(photo: &DynamicImage, square: &Square, [height, width]: [usize; 2]) -> RgbImage {
    let extent = [photo.height() as usize, photo.width() as usize];
    let (sin, cos) = square.degrees.to_radians().sin_cos();
    let (down, across) = (Samples::new(square.side, height), Samples::new(square.side, width));
    // A sample is at most half a diagonal and an output pixel away from the middle.
    let reach = square.side * (1.0 + 2.0 / height.min(width) as f32);
    let [first, last] = [-reach, reach].map(|reach| square.middle.map(|at| (at + reach).floor() as i64));
    let region = Region::new(photo, first, last.map(|at| at + 1));
    let corner = |row: usize, column: usize| region.pixel(column as i64, row as i64).map(f32::from);
    // Adjacent output pixels share samples: each is taken once, and summed along its line first.
    let mut lines = vec![[0.0f32; 3]; down.count * width];
    lines.par_chunks_exact_mut(width).enumerate().for_each(|(line, sums)| {
        let v = down.place(line);
        let samples: Vec<[f32; 3]> = (0..across.count)
            .map(|number| {
                let u = across.place(number);
                let row = square.middle[1] + u * sin + v * cos - 0.5;
                let column = square.middle[0] + u * cos - v * sin - 0.5;
                Bilinear::at(extent, [row, column]).mix(corner)
            })
            .collect();
        sums.iter_mut().enumerate().for_each(|(x, sum)| *sum = across.average(x, |number| samples[number]));
    });
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let color = down.average(y as usize, |line| lines[line * width + x as usize]);
        Rgb(color.map(|value| value.round() as u8))
    })
}

/// The samples along one side of a square.
struct Samples {
    /// The square's side in pixels of the photo, and in output pixels.
    side: f32,
    extent: usize,
    /// Samples for each output pixel.
    each: usize,
    /// The weights of the samples of one output pixel; they sum to 1.
    weights: Vec<f32>,
    /// Number of samples along the side.
    count: usize,
}

impl Samples {
    fn new(side: f32, extent: usize) -> Self {
        // The number of the photo's pixels for one of the output.
        let step = side / extent as f32;
        if step <= 1.0 {
            return Self { side, extent, each: 1, weights: vec![1.0], count: extent };
        }
        let each = (step.ceil() as usize).min(MOST_SAMPLES);
        let offset = |number: usize| (number as f32 + 0.5) / each as f32 - 1.0;
        let weights = (0..2 * each).map(|number| (1.0 - offset(number).abs()) / each as f32).collect();
        Self { side, extent, each, weights, count: (extent + 1) * each }
    }

    /// The place of a sample, in pixels of the photo from the middle.
    fn place(&self, number: usize) -> f32 {
        // The samples of an output pixel extend half as many samples beyond it on both sides.
        let before = (self.weights.len() - self.each) as f32 / 2.0;
        let at = (number as f32 + 0.5 - before) / self.each as f32;
        (at / self.extent as f32 - 0.5) * self.side
    }

    /// The weighted mean of an output pixel's samples.
    fn average(&self, pixel: usize, sample: impl Fn(usize) -> [f32; 3]) -> [f32; 3] {
        let mut sum = [0.0; 3];
        for (number, weight) in self.weights.iter().enumerate() {
            let value = sample(pixel * self.each + number);
            sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += value * weight);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(middle: [f32; 2], side: f32, degrees: f32) -> Square {
        Square { middle, side, degrees }
    }

    /// A pixel's value is its column.
    fn ramp() -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_fn(200, 100, |x, _| Rgb([x as u8; 3])))
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
        let stripes = RgbImage::from_fn(400, 400, |x, _| Rgb([if x / 2 % 2 == 0 { 0 } else { 200 }; 3]));
        for degrees in [0.0, 0.6, 20.0] {
            let square = square([200.0, 200.0], 240.0, degrees);
            let pixels = face_pixels(&DynamicImage::ImageRgb8(stripes.clone()), &square, [24, 24], 1);
            assert!(pixels.iter().all(|pixel| pixel.abs_diff(100) < 25), "{degrees}: {pixels:?}");
        }
        let samples = Samples::new(3.3, 1);
        assert!((samples.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        // The samples of the only output pixel are symmetric around the middle.
        assert!((samples.place(0) + samples.place(samples.count - 1)).abs() < 1e-6);
    }

    #[test]
    fn border_pixels_are_repeated_outside_the_photo() {
        let photo = DynamicImage::ImageRgb8(RgbImage::from_fn(10, 10, |x, y| Rgb([(x * 10 + y) as u8; 3])));
        for degrees in [0.0, 30.0] {
            assert_eq!(face_pixels(&photo, &square([-20.0, -20.0], 10.0, degrees), [2, 2], 3), [0; 12]);
        }
    }
}
