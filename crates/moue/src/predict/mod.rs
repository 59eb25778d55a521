//! From a picture to probabilities.
//!
//! The whole picture is taken for the face; finding faces in photographs is not
//! here yet.

use crate::augment::normalise;
use crate::data::{decode_image, to_pixels};
use crate::model::Model;
use moue_engine::loss::argmax;
use moue_engine::{Shape, Tensor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A rectangle in a picture, in pixels.
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
}

/// The answer for one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The input as it was given.
    pub input: String,
    /// Columns of the picture, after EXIF orientation; 0 when it cannot be read.
    pub width: u32,
    /// Rows of the picture.
    pub height: u32,
    /// One for each face.
    pub faces: Vec<Face>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// A model that is ready to answer.
pub struct Predictor {
    model: Model,
    images: Tensor,
}

impl Predictor {
    /// A predictor for a model.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self { model, images: Tensor::default() }
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.model.classes
    }

    /// Reads a picture and answers; a picture that cannot be read is an answer
    /// with `error`.
    pub fn predict_file(&mut self, path: &Path) -> Prediction {
        let input = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => self.predict_bytes(input, &bytes),
            Err(error) => failed(input, error.to_string()),
        }
    }

    /// Answers for the bytes of a PNG, JPEG, WebP or BMP file; `input` names
    /// them in the answer.
    pub fn predict_bytes(&mut self, input: String, bytes: &[u8]) -> Prediction {
        let image = match decode_image(bytes) {
            Ok(image) => image,
            Err(error) => return failed(input, error),
        };
        let [height, width, channels] = self.model.architecture.input;
        let shape = Shape::new(height, width, channels);
        self.images.reset(1, shape);
        let pixels = to_pixels(&image, [height, width], channels);
        self.images.data_mut().iter_mut().zip(pixels).for_each(|(value, pixel)| *value = f32::from(pixel));
        normalise(self.images.data_mut(), channels, &self.model.normalisation);
        let probabilities = self.model.probabilities(&self.images);
        let best = argmax(&probabilities);
        let face = Face {
            place: FaceBox { x: 0, y: 0, width: image.width(), height: image.height() },
            label: self.model.classes[best].clone(),
            confidence: probabilities[best],
            uncertain: probabilities[best] < self.model.uncertain_below,
            probabilities: self.model.classes.iter().cloned().zip(probabilities.iter().copied()).collect(),
            score: None,
        };
        Prediction { input, width: image.width(), height: image.height(), faces: vec![face], error: None }
    }
}

fn failed(input: String, error: String) -> Prediction {
    Prediction { input, width: 0, height: 0, faces: Vec::new(), error: Some(error) }
}

/// The pictures that an input stands for: a file itself, or the image files in a
/// folder by name.
///
/// # Errors
/// When a folder cannot be read.
pub fn expand(input: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !input.is_dir() {
        return Ok(vec![input.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(input)? {
        let path = entry?.path();
        if path.is_file() && crate::data::is_image(&path.to_string_lossy()) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
