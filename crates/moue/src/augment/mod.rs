//! Seeded changes to training images, and the way from pixels to inputs.
//!
//! One image's draws come from its own stream, so they fall the same in any
//! order. All moves of the image are one affine map, sampled once.

use crate::config::within;
use crate::model::Normalisation;
use moue_engine::Shape;
use moue_engine::random::Stream;
use serde::{Deserialize, Serialize};

/// The `[augment]` section of an architecture file; everything is off unless
/// given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirrors every other image.
    pub flip: bool,
    /// Turns by up to so many degrees either way.
    pub rotation: f32,
    /// Shifts by up to this share of the extent, down and across.
    pub translation: f32,
    /// Zooms by up to this share, in or out.
    pub scale: f32,
    /// Adds up to this share of white, or takes it away.
    pub brightness: f32,
    /// Stretches around the middle grey by up to this share, more or less.
    pub contrast: f32,
    /// Probability that a rectangle is blotted out (Zhong et al. 2020).
    pub random_erasing: f32,
}

/// Shares of the area, and ratios of height to width, of an erased rectangle.
const ERASED_AREA: [f32; 2] = [0.02, 0.2];
const ERASED_RATIO: [f32; 2] = [0.5, 2.0];

impl Augmentation {
    pub(crate) fn check(&self) -> Result<(), String> {
        within("augment.rotation", self.rotation, 0.0, 180.0)?;
        within("augment.translation", self.translation, 0.0, 1.0)?;
        within("augment.scale", self.scale, 0.0, 0.9)?;
        within("augment.brightness", self.brightness, 0.0, 1.0)?;
        within("augment.contrast", self.contrast, 0.0, 1.0)?;
        within("augment.random_erasing", self.random_erasing, 0.0, 1.0)
    }

    fn moves(&self) -> bool {
        self.flip || self.rotation > 0.0 || self.translation > 0.0 || self.scale > 0.0
    }

    /// Writes an altered image (0–255) to `out`; both are `[H, W, C]`.
    pub fn apply(&self, image: &[u8], shape: Shape, stream: &mut Stream, out: &mut [f32]) {
        if self.moves() {
            let map = Affine::draw(self, shape, stream);
            map.sample(image, shape, out);
        } else {
            out.iter_mut().zip(image).for_each(|(out, &value)| *out = f32::from(value));
        }
        if self.brightness > 0.0 || self.contrast > 0.0 {
            let gain = 1.0 + stream.between(-self.contrast, self.contrast);
            let offset = 127.5 * (1.0 - gain) + 255.0 * stream.between(-self.brightness, self.brightness);
            out.iter_mut().for_each(|v| *v = (*v * gain + offset).clamp(0.0, 255.0));
        }
        if stream.chance(self.random_erasing) {
            erase(shape, stream, out);
        }
    }
}

/// Fills a rectangle with one random grey.
fn erase(shape: Shape, stream: &mut Stream, out: &mut [f32]) {
    let area = shape.positions() as f32 * stream.between(ERASED_AREA[0], ERASED_AREA[1]);
    let ratio = stream.between(ERASED_RATIO[0], ERASED_RATIO[1]);
    let height = ((area * ratio).sqrt() as usize).clamp(1, shape.height);
    let width = ((area / ratio).sqrt() as usize).clamp(1, shape.width);
    let top = stream.below(shape.height - height + 1);
    let left = stream.below(shape.width - width + 1);
    let grey = stream.between(0.0, 255.0);
    for row in top..top + height {
        let start = (row * shape.width + left) * shape.channels;
        out[start..start + width * shape.channels].fill(grey);
    }
}

/// For each place of the result, the place of the image that it shows:
/// `(row, column)` relative to the centre, times the matrix, plus the shift.
struct Affine {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Affine {
    fn draw(options: &Augmentation, shape: Shape, stream: &mut Stream) -> Self {
        let mirror = if options.flip && stream.chance(0.5) { -1.0 } else { 1.0 };
        let angle = f64::from(stream.between(-options.rotation, options.rotation)).to_radians();
        let (sin, cos) = (libm::sin(angle) as f32, libm::cos(angle) as f32);
        let zoom = 1.0 / (1.0 + stream.between(-options.scale, options.scale));
        let shift = [shape.height as f32, shape.width as f32]
            .map(|extent| extent * stream.between(-options.translation, options.translation));
        Self { matrix: [[zoom * cos, zoom * sin * mirror], [-zoom * sin, zoom * cos * mirror]], shift }
    }

    /// Bilinear; beyond the border the border's pixels go on.
    fn sample(&self, image: &[u8], shape: Shape, out: &mut [f32]) {
        let (height, width, channels) = (shape.height, shape.width, shape.channels);
        let centre = [(height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0];
        let last = [(height - 1) as f32, (width - 1) as f32];
        for (place, out) in out.chunks_exact_mut(channels).enumerate() {
            let at = [(place / width) as f32 - centre[0], (place % width) as f32 - centre[1]];
            let from = [0, 1].map(|axis| {
                let [row, column] = self.matrix[axis];
                (row * at[0] + column * at[1] + centre[axis] + self.shift[axis]).clamp(0.0, last[axis])
            });
            let (top, left) = (from[0] as usize, from[1] as usize);
            let (down, right) = (from[0] - top as f32, from[1] - left as f32);
            let (bottom, far) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
            for (c, out) in out.iter_mut().enumerate() {
                let value = |row: usize, column: usize| f32::from(image[(row * width + column) * channels + c]);
                let upper = value(top, left) * (1.0 - right) + value(top, far) * right;
                let lower = value(bottom, left) * (1.0 - right) + value(bottom, far) * right;
                *out = upper * (1.0 - down) + lower * down;
            }
        }
    }
}

/// Scales values of 0–255, `[…, C]`, to network inputs in place.
pub fn normalise(values: &mut [f32], channels: usize, normalisation: &Normalisation) {
    for c in 0..channels {
        let (factor, offset) = normalisation.factor_and_offset(c);
        values.iter_mut().skip(c).step_by(channels).for_each(|v| *v = *v * factor + offset);
    }
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
        options.apply(&image(), SHAPE, &mut Stream::new(key), &mut out);
        out
    }

    #[test]
    fn nothing_asked_nothing_changed() {
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
    fn a_quarter_turn_moves_pixels_where_it_says() {
        let map = Affine { matrix: [[0.0, 1.0], [-1.0, 0.0]], shift: [0.0; 2] };
        let mut out = vec![0.0; 9];
        map.sample(&[1, 2, 3, 4, 5, 6, 7, 8, 9], Shape::new(3, 3, 1), &mut out);
        assert_eq!(out, [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0]);
    }

    #[test]
    fn everything_at_once_stays_within_the_pixels_range() {
        let options = Augmentation {
            flip: true,
            rotation: 30.0,
            translation: 0.3,
            scale: 0.5,
            brightness: 1.0,
            contrast: 1.0,
            random_erasing: 1.0,
        };
        for key in 0..200 {
            assert!(applied(&options, key).iter().all(|v| (0.0..=255.0).contains(v)));
        }
        assert_eq!(applied(&options, 3), applied(&options, 3));
        assert_ne!(applied(&options, 3), applied(&options, 4));
    }
}
