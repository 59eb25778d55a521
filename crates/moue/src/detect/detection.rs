//! Options and results of face detection.

use crate::image::Square;
use crate::prediction::FaceBox;

/// Default minimum face size, in pixels.
const SMALLEST: f32 = 40.0;

/// Options of face detection.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectOptions {
    /// Side of the smallest face that is detected, in the photo's pixels; 0 for a 24th of the
    /// photo's longer side, but at least 40.
    pub min_face: u32,
    /// Minimum score of a face, on the detector's own scale; a higher value gives fewer and more
    /// reliable faces. 0 for the detector's default.
    pub min_score: f32,
}

impl DetectOptions {
    /// The minimum face size for a photo of this size.
    pub(super) fn smallest(&self, width: u32, height: u32) -> f32 {
        if self.min_face > 0 {
            return self.min_face as f32;
        }
        (width.max(height) as f32 / 24.0).max(SMALLEST)
    }

    /// The minimum score, given the detector's default.
    pub(super) fn least_score(&self, usual: f32) -> f32 {
        if self.min_score > 0.0 { self.min_score } else { usual }
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
    /// The detector's score.
    pub score: f32,
    /// The square crop, framed as in FER2013.
    pub crop: Square,
}

impl Detection {
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
