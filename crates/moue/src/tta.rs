//! Test-time augmentation: the mean of the probabilities of several views of a face.

use crate::image::Bilinear;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Side of a crop as a share of the image: 44 of 48 pixels.
const CROP: f32 = 44.0 / 48.0;

/// Place of each crop as a share of what it leaves out: the corners, and the center.
const PLACES: [[f32; 2]; 5] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]];

/// The views of a face that are predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tta {
    /// The face alone.
    #[default]
    None,
    /// The face and its mirror image.
    Flip,
    /// Ten views: crops of 44 of 48 pixels at the corners and in the center, resized to the network's input, and their
    /// mirror images.
    Crops,
}

impl Tta {
    /// Whether there are several views.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::None
    }

    /// The name of the method; `None` without augmentation.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Flip => Some("flip"),
            Self::Crops => Some("crops"),
        }
    }

    /// Number of views.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::None => 1,
            Self::Flip => 2,
            Self::Crops => 2 * PLACES.len(),
        }
    }

    /// A view of an image `[height, width, channels]`, with the same shape; even numbers are not mirrored.
    ///
    /// # Panics
    /// When the image has another shape, or `number` is not less than [`Self::count`].
    #[must_use]
    pub fn view<'a>(self, number: usize, image: &'a [u8], [height, width, channels]: [usize; 3]) -> Cow<'a, [u8]> {
        let view = if self == Self::Crops {
            Cow::Owned(cropped(image, [height, width, channels], PLACES[number / 2]))
        } else {
            Cow::Borrowed(image)
        };
        if number.is_multiple_of(2) {
            return view;
        }
        let rows = view.chunks_exact(width * channels);
        rows.flat_map(|row| row.chunks_exact(channels).rev().flatten()).copied().collect()
    }

    /// The views of images, those of an image one after the other.
    #[must_use]
    pub fn views(self, images: &[Vec<u8>], shape: [usize; 3]) -> Cow<'_, [Vec<u8>]> {
        if !self.is_on() {
            return Cow::Borrowed(images);
        }
        let numbered = images.iter().flat_map(|image| (0..self.count()).map(move |number| (number, image)));
        numbered.map(|(number, image)| self.view(number, image, shape).into_owned()).collect()
    }

    /// For each image, the mean of the probabilities of its views, `[N, classes]`.
    #[must_use]
    pub fn mean(self, probabilities: Vec<f32>, classes: usize) -> Vec<f32> {
        if !self.is_on() {
            return probabilities;
        }
        let count = self.count();
        let images = probabilities.chunks_exact(count * classes);
        let of = |views: &[f32], class: usize| {
            let sum: f64 = views.iter().skip(class).step_by(classes).map(|&p| f64::from(p)).sum();
            (sum / count as f64) as f32
        };
        images.flat_map(|views| (0..classes).map(move |class| of(views, class))).collect()
    }
}

/// A crop at this place, resized to the whole image.
fn cropped(image: &[u8], [height, width, channels]: [usize; 3], place: [f32; 2]) -> Vec<u8> {
    let extents = [height, width];
    let sides = extents.map(|extent| (extent as f32 * CROP).round().max(1.0));
    let first = [0, 1].map(|axis| ((extents[axis] as f32 - sides[axis]) * place[axis]).round());
    let from = |axis: usize, to: usize| {
        let at = (to as f32 + 0.5) * sides[axis] / extents[axis] as f32 - 0.5;
        first[axis] + at.clamp(0.0, sides[axis] - 1.0)
    };
    let mut view = Vec::with_capacity(image.len());
    for row in 0..height {
        for column in 0..width {
            let at = Bilinear::at(extents, [from(0, row), from(1, column)]);
            for channel in 0..channels {
                let pixel = |row: usize, column: usize| [f32::from(image[(row * width + column) * channels + channel])];
                view.push(at.mix(pixel)[0].round() as u8);
            }
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [48, 48, 1];

    /// Each pixel has the number of its column.
    fn columns() -> Vec<u8> {
        (0..48 * 48).map(|i| (i % 48) as u8).collect()
    }

    #[test]
    fn flips_are_the_image_and_its_mirror_image() {
        let image = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(Tta::Flip.view(0, &image, [2, 3, 2]), &image[..]);
        assert_eq!(Tta::Flip.view(1, &image, [2, 3, 2]), &[5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8][..]);
    }

    #[test]
    fn crops_show_44_of_48_pixels_at_their_place() {
        let image = columns();
        let ends = |number| {
            let view = Tta::Crops.view(number, &image, SHAPE);
            [view[0], view[47]]
        };
        assert_eq!([0, 2, 4, 6, 8].map(ends), [[0, 43], [4, 47], [0, 43], [4, 47], [2, 45]]);
        assert_eq!(ends(1), [43, 0], "the mirror image");
        let top: Vec<u8> = (0..48 * 48).map(|i| (i / 48) as u8).collect();
        assert_eq!([0, 4].map(|number| Tta::Crops.view(number, &top, SHAPE)[0]), [0, 4]);
    }

    #[test]
    fn probabilities_of_views_are_averaged() {
        let faces = vec![columns(), columns()];
        for tta in [Tta::None, Tta::Flip, Tta::Crops] {
            assert_eq!(tta.views(&faces, SHAPE).len(), 2 * tta.count());
        }
        assert_eq!(Tta::Flip.mean(vec![0.25, 0.75, 0.5, 0.5, 1.0, 0.0, 0.0, 1.0], 2), [0.375, 0.625, 0.5, 0.5]);
        assert_eq!(Tta::None.mean(vec![0.2, 0.8], 2), [0.2, 0.8]);
    }
}
