//! Options and results of face detection.

use crate::image::{Square, face_pixels, to_pixels};
use crate::prediction::{FaceBox, Point};
use image::DynamicImage;

/// Default minimum score.
const MIN_SCORE: f32 = 0.7;

/// Side of a FER2013 picture, in sides of the detector's box, and how far its center is above that
/// of the box. The example `crop_fit` of the crate `moue-train` measures both.
const CROP_SIDE: f32 = 1.09;
const CROP_UP: f32 = 0.02;

/// Faces that are tilted by more degrees are leveled by the eyes.
const LEVEL: f32 = 5.0;

/// Options of face detection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectOptions {
    /// Side of the smallest face that is detected, √(width × height) of its box in the photo's
    /// pixels. Smaller values make the search of a large photo slower. 0 for the default: the photo
    /// is scaled to 640 pixels on its longer side (1,280 for photos above 1,920), and faces of 16
    /// pixels are found there.
    pub min_face: u32,
    /// Minimum score of a face, 0–1; a higher value gives fewer and more certain faces. 0 for the
    /// default, 0.7.
    pub min_score: f32,
    /// Searches the photo at 320 pixels only, which takes a third of the time or less and finds fewer
    /// faces: 36 of 47 faces from 40 pixels on in photos of 640 pixels, instead of 46. For the frames
    /// of a camera.
    pub fast: bool,
}

impl DetectOptions {
    /// The minimum score.
    #[must_use]
    pub fn least_score(&self) -> f32 {
        if self.min_score > 0.0 { self.min_score } else { MIN_SCORE }
    }
}

/// A detected face, in the photo's pixels; it may extend beyond the photo.
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
    /// The detector's score, 0–1.
    pub score: f32,
    /// Right eye, left eye, nose, right and left corner of the mouth; right and left are those of
    /// the person. `None` where the whole picture is taken as a face.
    pub landmarks: Option<[[f32; 2]; 5]>,
}

impl Detection {
    /// The whole picture as a face, where the detector responds with `score`.
    pub(super) fn whole(width: u32, height: u32, score: f32) -> Self {
        Self { x: 0.0, y: 0.0, width: width as f32, height: height as f32, score, landmarks: None }
    }

    /// Whether the whole picture is taken as a face, because the detector's response to it is below
    /// the minimum score.
    #[must_use]
    pub fn is_whole_picture(&self) -> bool {
        self.landmarks.is_none()
    }

    /// √(width × height).
    #[must_use]
    pub fn side(&self) -> f32 {
        (self.width * self.height).sqrt()
    }

    /// The angle of the line through the eyes, in degrees, clockwise; 0 is upright.
    #[must_use]
    pub fn roll(&self) -> Option<f32> {
        let [right, left, ..] = self.landmarks?;
        Some((left[1] - right[1]).atan2(left[0] - right[0]).to_degrees())
    }

    /// The landmarks, rounded to hundredths of a pixel.
    #[must_use]
    pub fn points(&self) -> Option<[Point; 5]> {
        let rounded = |value: f32| (value * 100.0).round() / 100.0;
        self.landmarks.map(|points| points.map(|[x, y]| Point { x: rounded(x), y: rounded(y) }))
    }

    /// The square that is framed as in FER2013, turned upright where the face is tilted.
    #[must_use]
    pub fn square(&self) -> Square {
        let roll = self.roll().unwrap_or(0.0);
        let degrees = if roll.abs() > LEVEL { roll } else { 0.0 };
        let (sin, cos) = degrees.to_radians().sin_cos();
        let side = self.side();
        let middle =
            [self.x + self.width / 2.0 + CROP_UP * side * sin, self.y + self.height / 2.0 - CROP_UP * side * cos];
        Square { middle, side: CROP_SIDE * side, degrees }
    }

    /// The pixels of the face as a network of this input size takes them: `[height, width]` and 1
    /// or 3 channels, `[H, W, C]`.
    #[must_use]
    pub fn pixels(&self, photo: &DynamicImage, size: [usize; 2], channels: usize) -> Vec<u8> {
        if self.is_whole_picture() {
            return to_pixels(photo, size, channels);
        }
        face_pixels(photo, &self.square(), size, channels)
    }

    /// The part of the box that lies inside a picture of this size.
    #[must_use]
    pub fn within(&self, width: u32, height: u32) -> FaceBox {
        let edge = |at: f32, extent: u32| at.round().clamp(0.0, extent as f32) as u32;
        let (x, y) = (edge(self.x, width), edge(self.y, height));
        FaceBox { x, y, width: edge(self.x + self.width, width) - x, height: edge(self.y + self.height, height) - y }
    }

    /// Intersection over union.
    pub(super) fn overlap(&self, other: &Self) -> f32 {
        let common = |a: f32, b: f32, extent: f32, other: f32| ((a + extent).min(b + other) - a.max(b)).max(0.0);
        let both =
            common(self.x, other.x, self.width, other.width) * common(self.y, other.y, self.height, other.height);
        both / (self.width * self.height + other.width * other.height - both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32, landmarks: Option<[[f32; 2]; 5]>) -> Detection {
        Detection { x, y, width: side, height: side, score: 0.9, landmarks }
    }

    #[test]
    fn boxes_are_clipped_to_the_photo() {
        let place = face(-10.4, 90.0, 30.0, None).within(200, 100);
        assert_eq!(place, FaceBox { x: 0, y: 90, width: 20, height: 10 });
        assert_eq!(face(300.0, 0.0, 10.0, None).within(200, 100).width, 0);
    }

    #[test]
    fn tilted_faces_are_leveled_by_the_eyes() {
        let eyes = |left: [f32; 2]| Some([[40.0, 40.0], left, [0.0; 2], [0.0; 2], [0.0; 2]]);
        let upright = face(0.0, 0.0, 100.0, eyes([60.0, 41.0]));
        assert!((upright.roll().unwrap() - 2.862).abs() < 1e-3);
        assert_eq!(upright.square().degrees, 0.0);
        let [x, y] = upright.square().middle;
        assert!((x - 50.0).abs() < 1e-4 && (y - 48.0).abs() < 1e-4);
        // Turned by a quarter: the forehead is on the right.
        let turned = face(0.0, 0.0, 100.0, eyes([40.0, 60.0])).square();
        assert_eq!(turned.degrees, 90.0);
        assert!((turned.middle[0] - 52.0).abs() < 1e-4 && (turned.middle[1] - 50.0).abs() < 1e-4);
    }

    #[test]
    fn a_whole_picture_has_no_landmarks() {
        let whole = Detection::whole(30, 40, 0.4);
        assert!(whole.is_whole_picture() && whole.roll().is_none() && whole.points().is_none());
        assert_eq!(whole.within(30, 40), FaceBox { x: 0, y: 0, width: 30, height: 40 });
    }
}
