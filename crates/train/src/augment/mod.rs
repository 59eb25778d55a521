//! Random augmentation of training images. Its options are in [`crate::config`].
//!
//! Each image has its own random stream, so the results do not depend on the order of the images.
//! All geometric transformations of an image are one affine map and one interpolation.

mod robust;

pub use robust::recoded;

use crate::config::{Augmentation, Interpolation, RobustChange};
use moue::image::Bilinear;
use moue_engine::Shape;
use moue_engine::random::Stream;

/// Range of the area, as a share, and of the ratio of height to width of an erased rectangle.
const ERASED_AREA: [f32; 2] = [0.02, 0.2];
const ERASED_RATIO: [f32; 2] = [0.5, 2.0];

impl Augmentation {
    fn moves(&self) -> bool {
        self.flip || self.rotation > 0.0 || self.translation > 0.0 || self.scale > 0.0
    }

    /// Writes an augmented image (0–255) of `shape` to `out`, `[height, width, C]`; the random
    /// draws do not depend on the size of `out`.
    pub fn apply(&self, image: &[u8], shape: Shape, stream: &mut Stream, [height, width]: [usize; 2], out: &mut [f32]) {
        let resized = Shape::new(height, width, shape.channels);
        if self.moves() {
            Affine::draw(self, shape, stream).sample(image, shape, resized, self.interpolation, out);
        } else if shape != resized {
            Affine::IDENTITY.sample(image, shape, resized, self.interpolation, out);
        } else {
            out.iter_mut().zip(image).for_each(|(out, &value)| *out = f32::from(value));
        }
        if self.blur > 0.0 && stream.chance(0.5) {
            robust::blur(resized, stream.between(0.0, self.blur), out);
        }
        if self.brightness > 0.0 || self.contrast > 0.0 {
            let gain = 1.0 + stream.between(-self.contrast, self.contrast);
            let offset = 127.5 * (1.0 - gain) + 255.0 * stream.between(-self.brightness, self.brightness);
            out.iter_mut().for_each(|v| *v = (*v * gain + offset).clamp(0.0, 255.0));
        }
        if self.noise > 0.0 && stream.chance(0.5) {
            let deviation = 255.0 * stream.between(0.0, self.noise);
            out.iter_mut().for_each(|v| *v = (*v + deviation * stream.normal()).clamp(0.0, 255.0));
        }
        if let Some(options) = &self.robust {
            robust::apply(options, resized, stream, out);
        }
        if stream.chance(self.random_erasing) {
            erase(resized, stream, out);
        }
    }

    /// The weight of an image in its mixture with another image, from 0.5 to 1.
    #[must_use]
    pub fn kept_share(&self, stream: &mut Stream) -> f32 {
        if self.mixup == 0.0 {
            return 1.0;
        }
        let share = beta(f64::from(self.mixup), stream) as f32;
        share.max(1.0 - share)
    }
}

/// A sample from Beta(alpha, alpha), alpha in (0, 1] (Jöhnk 1964).
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    // At least half of the samples are accepted; the bound guarantees that the loop ends.
    for _ in 0..1000 {
        let [x, y] = [(); 2].map(|()| libm::pow(f64::from(stream.between(0.0, 1.0)), 1.0 / alpha));
        if x + y > 0.0 && x + y <= 1.0 {
            return x / (x + y);
        }
    }
    1.0
}

/// Fills a rectangle with one random gray value.
fn erase(shape: Shape, stream: &mut Stream, out: &mut [f32]) {
    let area = shape.positions() as f32 * stream.between(ERASED_AREA[0], ERASED_AREA[1]);
    let ratio = stream.between(ERASED_RATIO[0], ERASED_RATIO[1]);
    let height = ((area * ratio).sqrt() as usize).clamp(1, shape.height);
    let width = ((area / ratio).sqrt() as usize).clamp(1, shape.width);
    let top = stream.below(shape.height - height + 1);
    let left = stream.below(shape.width - width + 1);
    let gray = stream.between(0.0, 255.0);
    for row in top..top + height {
        let start = (row * shape.width + left) * shape.channels;
        out[start..start + width * shape.channels].fill(gray);
    }
}

/// Maps each pixel of the result to a position in the source image: `(row, column)` relative to the
/// center, times the matrix, plus the shift.
struct Affine {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Affine {
    const IDENTITY: Self = Self { matrix: [[1.0, 0.0], [0.0, 1.0]], shift: [0.0; 2] };

    fn draw(options: &Augmentation, shape: Shape, stream: &mut Stream) -> Self {
        let mirror = if options.flip && stream.chance(0.5) { -1.0 } else { 1.0 };
        let degrees = stream.between(-options.rotation, options.rotation);
        let zoom = 1.0 / (1.0 + stream.between(-options.scale, options.scale));
        let shift = [shape.height as f32, shape.width as f32]
            .map(|extent| extent * stream.between(-options.translation, options.translation));
        Self { shift, ..Self::turn(degrees, zoom, mirror) }
    }

    /// A rotation around the center; `mirror` is 1, or −1 for a horizontal flip.
    fn turn(degrees: f32, zoom: f32, mirror: f32) -> Self {
        let angle = f64::from(degrees).to_radians();
        let (sin, cos) = (libm::sin(angle) as f32, libm::cos(angle) as f32);
        Self { matrix: [[zoom * cos, zoom * sin * mirror], [-zoom * sin, zoom * cos * mirror]], shift: [0.0; 2] }
    }

    /// Samples an image of another size; the border pixels are repeated.
    fn sample(&self, image: &[u8], shape: Shape, resized: Shape, interpolation: Interpolation, out: &mut [f32]) {
        let (height, width, channels) = (shape.height, shape.width, shape.channels);
        let centre_of = |shape: Shape| [(shape.height as f32 - 1.0) / 2.0, (shape.width as f32 - 1.0) / 2.0];
        let (centre, middle) = (centre_of(shape), centre_of(resized));
        let ratio = [height as f32 / resized.height as f32, width as f32 / resized.width as f32];
        let last = [(height - 1) as f32, (width - 1) as f32];
        for (place, out) in out.chunks_exact_mut(channels).enumerate() {
            let (row, column) = ((place / resized.width) as f32, (place % resized.width) as f32);
            let at = [(row - middle[0]) * ratio[0], (column - middle[1]) * ratio[1]];
            let from = [0, 1].map(|axis| {
                let [row, column] = self.matrix[axis];
                (row * at[0] + column * at[1] + centre[axis] + self.shift[axis]).clamp(0.0, last[axis])
            });
            match interpolation {
                Interpolation::Bilinear => {
                    let place = Bilinear::at([height, width], from);
                    for (c, out) in out.iter_mut().enumerate() {
                        let pixel =
                            |row: usize, column: usize| [f32::from(image[(row * width + column) * channels + c])];
                        [*out] = place.mix(pixel);
                    }
                }
                Interpolation::Bicubic => bicubic(image, shape, from, out),
            }
        }
    }
}

/// The value of an image at `[row, column]`, interpolated from sixteen pixels; positions outside
/// are clamped to the border.
fn bicubic(image: &[u8], shape: Shape, from: [f32; 2], out: &mut [f32]) {
    let taps = |at: f32, extent: usize| {
        let first = at.floor();
        let place = |step: usize| (first as usize + step).saturating_sub(1).min(extent - 1);
        ([0, 1, 2, 3].map(place), keys(at - first))
    };
    let (rows, down) = taps(from[0], shape.height);
    let (columns, right) = taps(from[1], shape.width);
    for (c, out) in out.iter_mut().enumerate() {
        let value = |row: usize, column: usize| f32::from(image[(row * shape.width + column) * shape.channels + c]);
        let across = |row: usize| (0..4).map(|i| right[i] * value(row, columns[i])).sum::<f32>();
        *out = (0..4).map(|i| down[i] * across(rows[i])).sum::<f32>().clamp(0.0, 255.0);
    }
}

/// Weights of the four nearest pixels for an offset `t` (0–1) from the second (Keys 1981).
fn keys(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1.0, -1.5 * t3 + 2.0 * t2 + 0.5 * t, 0.5 * t3 - 0.5 * t2]
}

/// An image `[H, W, C]` with the weakest and with the strongest amount of a robust change.
#[must_use]
pub fn ends(change: &RobustChange, image: &[u8], [height, width, channels]: [usize; 3]) -> [Vec<u8>; 2] {
    change.range.map(|amount| {
        let mut out: Vec<f32> = image.iter().map(|&value| f32::from(value)).collect();
        robust::change(change.kind, amount, Shape::new(height, width, channels), 0, &mut out);
        out.iter().map(|value| value.round() as u8).collect()
    })
}

/// An image `[H, W, C]` rotated around its center.
#[must_use]
pub fn turned(image: &[u8], [height, width, channels]: [usize; 3], degrees: f32) -> Vec<u8> {
    let shape = Shape::new(height, width, channels);
    let mut out = vec![0.0; image.len()];
    Affine::turn(degrees, 1.0, 1.0).sample(image, shape, shape, Interpolation::Bilinear, &mut out);
    out.iter().map(|value| value.round() as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::new(6, 5, 1);

    fn image() -> Vec<u8> {
        (0..30).map(|i| (i * 7 % 251) as u8).collect()
    }

    fn applied(options: &Augmentation, key: u64) -> Vec<f32> {
        let mut out = vec![0.0; 30];
        options.apply(&image(), SHAPE, &mut Stream::new(key), [6, 5], &mut out);
        out
    }

    #[test]
    fn no_augmentation_leaves_images_unchanged() {
        let expected: Vec<f32> = image().into_iter().map(f32::from).collect();
        assert_eq!(applied(&Augmentation::default(), 1), expected);
    }

    #[test]
    fn a_flip_mirrors_exactly_and_about_half_the_time() {
        let options = Augmentation { flip: true, ..Augmentation::default() };
        let plain: Vec<f32> = image().into_iter().map(f32::from).collect();
        let mirrored: Vec<f32> =
            plain.chunks(5).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
        let flips = (0..1000).filter(|&key| {
            let out = applied(&options, key);
            assert!(out == plain || out == mirrored);
            out == mirrored
        });
        assert!((450..550).contains(&flips.count()));
    }

    #[test]
    fn a_rotation_by_90_degrees_moves_pixels_exactly() {
        let map = Affine { matrix: [[0.0, 1.0], [-1.0, 0.0]], shift: [0.0; 2] };
        let mut out = vec![0.0; 9];
        let shape = Shape::new(3, 3, 1);
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            map.sample(&[1, 2, 3, 4, 5, 6, 7, 8, 9], shape, shape, interpolation, &mut out);
            assert_eq!(out, [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0]);
        }
    }

    #[test]
    fn bicubic_interpolation_reproduces_a_parabola() {
        let image: Vec<u8> = (0..10).flat_map(|row: u8| (0..10).map(move |column| row * row + 2 * column)).collect();
        let mut out = [0.0];
        for [row, column] in [[4.3f32, 5.9f32], [1.0, 7.5], [6.75, 1.25]] {
            bicubic(&image, Shape::new(10, 10, 1), [row, column], &mut out);
            assert!((out[0] - (row * row + 2.0 * column)).abs() < 1e-3, "{row} {column}: {}", out[0]);
        }
        assert!((keys(0.37).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_blur_of_a_point_is_gaussian_and_preserves_the_sum() {
        let shape = Shape::new(31, 31, 1);
        let mut out = vec![0.0; 961];
        out[15 * 31 + 15] = 1.0;
        robust::blur(shape, 1.5, &mut out);
        let moment = |of: &dyn Fn(f32, f32) -> f32| -> f32 {
            out.iter().enumerate().map(|(i, v)| v * of((i / 31) as f32 - 15.0, (i % 31) as f32 - 15.0)).sum()
        };
        assert!((moment(&|_, _| 1.0) - 1.0).abs() < 1e-4);
        for variance in [moment(&|y, _| y * y), moment(&|_, x| x * x)] {
            // The distribution is truncated at three standard deviations.
            assert!((variance - 2.25).abs() < 0.12, "{variance}");
        }
        let mut even = vec![77.0; 961];
        robust::blur(shape, 2.0, &mut even);
        assert!(even.iter().all(|v| (v - 77.0).abs() < 1e-3));
    }

    #[test]
    fn noise_is_applied_to_half_of_the_images_within_its_limit() {
        let options = Augmentation { noise: 0.1, ..Augmentation::default() };
        let (gray, shape) = (vec![128; 400], Shape::new(20, 20, 1));
        let mut out = vec![0.0; 400];
        let deviations: Vec<f32> = (0..600)
            .map(|key| {
                options.apply(&gray, shape, &mut Stream::new(key), [20, 20], &mut out);
                (out.iter().map(|v| (v - 128.0) * (v - 128.0)).sum::<f32>() / 400.0).sqrt()
            })
            .collect();
        let noisy = deviations.iter().filter(|deviation| **deviation > 0.0).count();
        let mean = deviations.iter().sum::<f32>() / noisy as f32;
        assert!((240..360).contains(&noisy) && (mean - 12.75).abs() < 1.5, "{noisy} {mean}");
        assert!(deviations.iter().all(|deviation| *deviation < 30.0));
    }

    #[test]
    fn all_augmentations_together_stay_within_the_pixel_range() {
        let options = Augmentation {
            flip: true,
            rotation: 30.0,
            translation: 0.3,
            scale: 0.5,
            brightness: 1.0,
            contrast: 1.0,
            interpolation: Interpolation::Bicubic,
            blur: 2.0,
            noise: 0.5,
            random_erasing: 1.0,
            mixup: 0.5,
            robust: Some(crate::config::Robust::default()),
        };
        for key in 0..200 {
            assert!(applied(&options, key).iter().all(|v| (0.0..=255.0).contains(v)));
        }
        assert_eq!(applied(&options, 3), applied(&options, 3));
        assert_ne!(applied(&options, 3), applied(&options, 4));
    }

    #[test]
    fn halving_the_size_samples_the_centers_of_squares() {
        let mut out = vec![0.0; 4];
        let image = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150];
        let options = Augmentation::default();
        options.apply(&image, Shape::new(4, 4, 1), &mut Stream::new(1), [2, 2], &mut out);
        assert_eq!(out, [25.0, 45.0, 105.0, 125.0]);
    }

    #[test]
    fn mixup_weights_follow_the_beta_distribution() {
        for alpha in [0.2, 0.5, 1.0] {
            let options = Augmentation { mixup: alpha, ..Augmentation::default() };
            let mut stream = Stream::new(5);
            let shares: Vec<f64> = (0..20_000).map(|_| f64::from(options.kept_share(&mut stream))).collect();
            assert!(shares.iter().all(|share| (0.5..=1.0).contains(share)));
            // Folding preserves (weight - 1/2)²: the variance, 1 / (4 (2 alpha + 1)).
            let variance = shares.iter().map(|share| (share - 0.5) * (share - 0.5)).sum::<f64>() / 20_000.0;
            let expected = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!((variance - expected).abs() < 0.003, "{alpha}: {variance}, expected {expected}");
        }
        assert_eq!(Augmentation::default().kept_share(&mut Stream::new(5)), 1.0);
    }
}
