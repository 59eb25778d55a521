//! The types of a prediction: a photo, its faces, and the probabilities of each.

use serde::Serialize;
use std::collections::BTreeMap;

/// A rectangle in a picture, in pixels.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaceBox {
    /// Left edge, in pixels from the left.
    pub x: u32,
    /// Upper edge, in pixels from the top.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// A point in a picture, in pixels.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Point {
    /// Distance from the left edge.
    pub x: f32,
    /// Distance from the upper edge.
    pub y: f32,
}

/// A face and its predicted expression.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Face {
    /// The bounding box of the face.
    #[serde(rename = "box")]
    pub place: FaceBox,
    /// The predicted class: the one with the highest probability.
    pub label: String,
    /// The probability of the predicted class.
    pub confidence: f32,
    /// Whether the confidence is below the model's threshold.
    pub uncertain: bool,
    /// The probability of each class.
    pub probabilities: BTreeMap<String, f32>,
    /// The detector's score, 0–1; `None` without a detector.
    pub score: Option<f32>,
    /// Right eye, left eye, nose, right and left corner of the mouth, where right and left are
    /// those of the person; `None` where the whole picture is the face.
    pub landmarks: Option<[Point; 5]>,
    /// The angle of the line through the eyes in degrees, clockwise; `None` without landmarks.
    pub roll: Option<f32>,
    /// The saliency map as an overlay on the face, as a data URL; only where requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// The prediction for one input.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Prediction {
    /// The name of the input: a path, or the file name of an upload.
    pub input: String,
    /// Width of the picture in pixels, after EXIF orientation; 0 when it cannot be read.
    pub width: u32,
    /// Height of the picture in pixels; 0 when it cannot be read.
    pub height: u32,
    /// The faces from left to right; empty where no face was found.
    pub faces: Vec<Face>,
    /// Why the faces may be wrong although the picture was predicted; `None` usually.
    pub warning: Option<String>,
    /// Why there is no prediction; `None` on success.
    pub error: Option<String>,
}

impl Prediction {
    /// The prediction for an input that cannot be read.
    #[must_use]
    pub fn failed(input: String, error: String) -> Self {
        Self { input, width: 0, height: 0, faces: Vec::new(), warning: None, error: Some(error) }
    }
}
