//! Face detection: one of the detectors, and one box for each face.

use super::detection::{DetectOptions, Detection};
use super::seetaface;
#[cfg(feature = "yunet")]
use super::yunet::YuNet;
use image::DynamicImage;

/// Intersection over union from which two boxes are the same face.
const SAME_FACE: f32 = 0.3;

/// A face detector.
#[derive(Default)]
pub enum Detector {
    /// The bundled detector. Scores run from 0 to about 50, usually from 2.
    #[default]
    SeetaFace,
    /// A `YuNet` model. Scores run from 0 to 1, usually from 0.7.
    #[cfg(feature = "yunet")]
    YuNet(Box<YuNet>),
}

impl Detector {
    /// The faces in a photo, from left to right.
    #[must_use]
    pub fn find(&self, photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        match self {
            Self::SeetaFace => merged(seetaface::find(photo, options)),
            #[cfg(feature = "yunet")]
            Self::YuNet(yunet) => merged(yunet.find(photo, options)),
        }
    }
}

/// Non-maximum suppression: of overlapping boxes the one with the highest score; ordered from left
/// to right.
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
    use crate::image::Square;
    use crate::prediction::FaceBox;
    use image::GrayImage;
    use proptest::prelude::*;

    fn face(x: f32, y: f32, side: f32, score: f32) -> Detection {
        let crop = Square { middle: [x + side / 2.0, y + side / 2.0], side, degrees: 0.0 };
        Detection { x, y, width: side, height: side, score, crop }
    }

    fn find(photo: &DynamicImage, options: &DetectOptions) -> Vec<Detection> {
        Detector::SeetaFace.find(photo, options)
    }

    #[test]
    fn suppression_keeps_the_box_with_the_highest_score() {
        let found = vec![face(100.0, 0.0, 50.0, 4.0), face(10.0, 0.0, 50.0, 5.0), face(20.0, 5.0, 50.0, 9.0)];
        assert_eq!(merged(found), [face(20.0, 5.0, 50.0, 9.0), face(100.0, 0.0, 50.0, 4.0)]);
    }

    #[test]
    fn boxes_are_clipped_to_the_photo() {
        let face_crops = face(-10.4, 90.0, 30.0, 1.0).within(200, 100);
        assert_eq!(face_crops, FaceBox { x: 0, y: 90, width: 20, height: 10 });
        assert_eq!(face(300.0, 0.0, 10.0, 1.0).within(200, 100).width, 0);
    }

    #[test]
    fn blank_photos_have_no_faces() {
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
