//! Where the faces are in a photo.
//!
//! The detector in the program is `seeta`; `yunet` runs another one that a person
//! supplies.

use super::FaceBox;
use super::crop::Square;
use super::seeta::{Candidate, Grey, SeetaFace};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage};
use std::cell::RefCell;

/// The smallest face that SeetaFace finds, in the pixels it is given.
const SMALLEST: f32 = 40.0;

/// Longest side that is searched, in pixels: beyond it time is not worth it.
const LONGEST_SEARCHED: f32 = 2400.0;

/// Side of a FER2013 picture, in sides of SeetaFace's box; their middles are the
/// same. `examples/crop_fit.rs` measures it.
const SIDE: f32 = 1.1;

/// Share of two boxes that they have in common when they are one face.
const SAME_FACE: f32 = 0.3;

/// How faces are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectOptions {
    /// Side of the smallest face that is looked for, in the photo's pixels; 0
    /// for a 24th of its longer side, but at least 40.
    pub min_face: u32,
    /// Least score of a face, on the detector's own scale; higher means fewer,
    /// surer faces. 0 for the detector's usual one.
    pub min_score: f32,
}

impl DetectOptions {
    /// The smallest face in a photo of this size.
    pub(super) fn smallest(&self, width: u32, height: u32) -> f32 {
        if self.min_face > 0 {
            return self.min_face as f32;
        }
        (width.max(height) as f32 / 24.0).max(SMALLEST)
    }

    /// The least score, where this is the detector's usual one.
    pub(super) fn least_score(&self, usual: f32) -> f32 {
        if self.min_score > 0.0 { self.min_score } else { usual }
    }
}

/// What finds faces.
#[derive(Default)]
pub enum Detector {
    /// The one in the program. Scores run from 0 to about 50, usually from 2.
    #[default]
    SeetaFace,
    /// A `YuNet` model. Scores run from 0 to 1, usually from 0.7.
    #[cfg(feature = "yunet")]
    YuNet(Box<super::yunet::YuNet>),
}

impl Detector {
    /// The faces in a photo, from left to right.
    #[must_use]
    pub fn find(&self, photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        match self {
            Self::SeetaFace => merged(seetaface(photo, options)),
            #[cfg(feature = "yunet")]
            Self::YuNet(yunet) => merged(yunet.find(photo, options)),
        }
    }
}

/// A face found, in the photo's pixels; it may reach beyond the photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Columns.
    pub width: f32,
    /// Rows.
    pub height: f32,
    /// How sure the detector is.
    pub score: f32,
    /// What FER2013 would have cut out.
    pub crop: Square,
}

impl Detection {
    /// The part of it that lies in a picture of this size.
    #[must_use]
    pub fn within(&self, width: u32, height: u32) -> FaceBox {
        let edge = |at: f32, extent: u32| at.round().clamp(0.0, extent as f32) as u32;
        let (x, y) = (edge(self.x, width), edge(self.y, height));
        FaceBox { x, y, width: edge(self.x + self.width, width) - x, height: edge(self.y + self.height, height) - y }
    }

    /// Area in common over area of both together.
    fn overlap(&self, other: &Self) -> f32 {
        let common = |a: f32, b: f32, extent: f32, other: f32| ((a + extent).min(b + other) - a.max(b)).max(0.0);
        let both =
            common(self.x, other.x, self.width, other.width) * common(self.y, other.y, self.height, other.height);
        both / (self.width * self.height + other.width * other.height - both)
    }
}

/// SeetaFace finds faces from 40 pixels on, so the photo is scaled until the
/// smallest face that is wanted has that size.
fn seetaface(photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
    let longest = photo.width().max(photo.height()) as f32;
    let scale = (SMALLEST / options.smallest(photo.width(), photo.height())).min(LONGEST_SEARCHED / longest);
    let (width, height) = (photo.width() as f32 * scale, photo.height() as f32 * scale);
    // Below the detector's window there is nothing to slide it over.
    if width < SMALLEST || height < SMALLEST {
        return Vec::new();
    }
    let searched = searched(photo, width as u32, height as u32);
    let scale = [searched.width() as f32 / photo.width() as f32, searched.height() as f32 / photo.height() as f32];
    let found = search(&searched, options.least_score(2.0)).into_iter().map(|Candidate { x, y, side, score }| {
        let [x, y, side] = [x as f32, y as f32, side as f32];
        let [x, y, width, height] = [x / scale[0], y / scale[1], side / scale[0], side / scale[1]];
        let crop = Square { middle: [x + width / 2.0, y + height / 2.0], side: SIDE * width, degrees: 0.0 };
        Detection { x, y, width, height, score, crop }
    });
    found.collect()
}

/// The photo's luma at the size it is searched at.
fn searched(photo: &DynamicImage, width: u32, height: u32) -> GrayImage {
    let luma = photo.to_luma8();
    let mut scaled = GrayImage::new(width, height);
    let from = TypedImageRef::<U8>::from_buffer(luma.width(), luma.height(), luma.as_raw());
    let into = TypedImage::<U8>::from_buffer(width, height, &mut scaled);
    if let (Ok(from), Ok(mut into)) = (from, into) {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Both have pixels of one form, which is all that it asks for.
        let _ = Resizer::new().resize_typed(&from, &mut into, &options);
    }
    scaled
}

/// What SeetaFace finds, in the pixels of `image`.
fn search(image: &GrayImage, min_score: f32) -> Vec<Candidate> {
    thread_local! {
        static DETECTOR: RefCell<Option<SeetaFace>> = RefCell::new(SeetaFace::new());
    }
    let picture = Grey { pixels: image.as_raw(), width: image.width() as usize, height: image.height() as usize };
    let find = |detector: &mut Option<SeetaFace>| Some(detector.as_mut()?.find(picture, min_score));
    DETECTOR.with_borrow_mut(find).unwrap_or_default()
}

/// One box for each face: of those that overlap the surest; from left to right.
fn merged(mut found: Vec<Detection>) -> Vec<Detection> {
    found.retain(|face| face.width >= 1.0 && face.height >= 1.0);
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for face in found {
        if kept.iter().all(|other| face.overlap(other) < SAME_FACE) {
            kept.push(face);
        }
    }
    kept.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn face(x: f32, y: f32, side: f32, score: f32) -> Detection {
        let crop = Square { middle: [x + side / 2.0, y + side / 2.0], side, degrees: 0.0 };
        Detection { x, y, width: side, height: side, score, crop }
    }

    fn find(photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        Detector::SeetaFace.find(photo, options)
    }

    #[test]
    fn of_overlapping_boxes_the_surest_stays() {
        let found = vec![face(100.0, 0.0, 50.0, 4.0), face(10.0, 0.0, 50.0, 5.0), face(20.0, 5.0, 50.0, 9.0)];
        assert_eq!(merged(found), [face(20.0, 5.0, 50.0, 9.0), face(100.0, 0.0, 50.0, 4.0)]);
    }

    #[test]
    fn boxes_are_cut_at_the_photos_edges() {
        let cut = face(-10.4, 90.0, 30.0, 1.0).within(200, 100);
        assert_eq!(cut, FaceBox { x: 0, y: 90, width: 20, height: 10 });
        assert_eq!(face(300.0, 0.0, 10.0, 1.0).within(200, 100).width, 0);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        for (width, height) in [(1, 1), (39, 2000), (40, 40), (500, 41), (300, 300)] {
            let photo = DynamicImage::ImageLuma8(GrayImage::from_pixel(width, height, image::Luma([128])));
            assert_eq!(find(&photo, &DetectOptions::default()), [], "{width} x {height}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_picture_makes_the_detector_panic(width in 1u32..160, height in 1u32..160, min_face in 0u32..60, key: u64) {
            let mut stream = moue_engine::random::Stream::new(key);
            let noise = GrayImage::from_fn(width, height, |_, _| image::Luma([stream.below(256) as u8]));
            let _ = find(&DynamicImage::ImageLuma8(noise), &DetectOptions { min_face, min_score: 0.001 });
        }
    }
}
