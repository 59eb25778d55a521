//! What a prediction is made of: a photo, its faces, and the probabilities of each.

use serde::Serialize;
use std::collections::BTreeMap;

/// A rectangle in a picture, in pixels.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaceBox {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A face and what its expression looks like.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    /// Where it is.
    #[serde(rename = "box")]
    pub place: FaceBox,
    /// The most probable class.
    pub label: String,
    /// Its probability.
    pub confidence: f32,
    /// Whether the confidence lies below the model's threshold.
    pub uncertain: bool,
    /// For each class.
    pub probabilities: BTreeMap<String, f32>,
    /// The detector's score; `None` without a detector.
    pub score: Option<f32>,
    /// Where that was asked for: the face with what its answer rests on laid over it,
    /// as a data URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// The answer for one input.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The input as it was given; the file's name, where one was sent.
    pub input: String,
    /// Columns of the picture, after EXIF orientation; 0 when it cannot be read.
    pub width: u32,
    /// Rows of the picture.
    pub height: u32,
    /// One for each face, from left to right; none is a normal answer.
    pub faces: Vec<Face>,
    /// Why there is no answer.
    pub error: Option<String>,
}

impl Prediction {
    /// The answer for an input that cannot be read.
    #[must_use]
    pub fn failed(input: String, error: String) -> Self {
        Self { input, width: 0, height: 0, faces: Vec::new(), error: Some(error) }
    }
}
