//! A model that is ready to predict, from any number of threads.
//!
//! It takes faces as the network takes them and gives probabilities. Which part of a
//! photo is a face is for others to know.

use crate::model::{Calibration, CalibrationError, Model, ModelFileError, weights};
use moue_engine::{InferenceNetwork, Shape, Tensor, Workspace};
use std::path::Path;
use std::sync::Mutex;

/// Faces of an array that go through the network together.
const FACES_AT_ONCE: usize = 64;

/// Numbers that are not pictures of faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} numbers are not whole images of {input:?} (height, width, channels)")]
pub struct NotFaces {
    /// How many numbers there are.
    pub found: usize,
    /// `[height, width, channels]` of the network's input.
    pub input: [usize; 3],
}

/// A model, its network made ready, and memory to run it in.
pub struct Classifier {
    model: Model,
    network: InferenceNetwork,
    /// Memory that is not in use just now.
    workspaces: Mutex<Vec<Workspace>>,
}

impl Classifier {
    /// A classifier with a bundled model by its name, or any other from its file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model's.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        Ok(Self::new(Model::open(model)?))
    }

    /// Makes a model ready.
    #[must_use]
    pub fn new(model: Model) -> Self {
        let network = InferenceNetwork::new(&model.network);
        Self { model, network, workspaces: Mutex::new(Vec::new()) }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model, to be changed or kept.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.model.classes
    }

    /// Predictions with a lower confidence are called uncertain; 0 for never.
    #[must_use]
    pub fn uncertain_below(&self) -> f32 {
        self.model.uncertain_below
    }

    /// `[height, width, channels]` of the pictures of faces that the network takes.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.model.architecture.input
    }

    /// The same as the engine has it.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        let [height, width, channels] = self.input();
        Shape::new(height, width, channels)
    }

    /// Gives the network other weights: an array for each parameter, in its order.
    pub fn set_weights(&mut self, values: &[Vec<f32>]) {
        weights::set_weights(&mut self.model.network, values);
        self.network = InferenceNetwork::new(&self.model.network);
    }

    /// Changes what is done to logits, and the confidence (0–1) below which predictions are
    /// called uncertain.
    ///
    /// # Errors
    /// When the calibration cannot be applied, or undone, for this many classes.
    pub fn set_calibration(&mut self, calibration: Calibration, uncertain_below: f32) -> Result<(), CalibrationError> {
        self.model.set_calibration(calibration, uncertain_below)
    }

    /// Logits `[N, classes]` of network inputs: images `[N, H, W, C]` after normalization.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    #[must_use]
    pub fn logits(&self, inputs: &Tensor) -> Vec<f32> {
        // The lock is not held while the network runs: a thread that waits for
        // others may be given another photo, and would wait for itself.
        let free = self.workspaces.lock().ok().and_then(|mut free| free.pop());
        let mut workspace = free.unwrap_or_default();
        let logits = self.network.run_in(inputs, &mut workspace);
        let rows = logits.data().to_vec();
        workspace.give(logits);
        if let Ok(mut free) = self.workspaces.lock() {
            free.push(workspace);
        }
        rows
    }

    /// Calibrated probabilities `[N, classes]` of images `[N, H, W, C]`, 0–255.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    #[must_use]
    pub fn probabilities(&self, mut images: Tensor) -> Vec<f32> {
        self.model.normalization.apply(images.data_mut(), self.input()[2]);
        self.input_probabilities(&images)
    }

    /// The same of images after normalization.
    ///
    /// # Panics
    /// When the images have another shape than [`Self::input_shape`].
    #[must_use]
    pub fn input_probabilities(&self, inputs: &Tensor) -> Vec<f32> {
        let mut rows = self.logits(inputs);
        self.model.calibration.apply(&mut rows, self.model.classes.len());
        rows
    }

    /// Probabilities `[N, classes]` for pictures of faces, each `[H, W, C]` of the
    /// network's input, 0–255.
    #[must_use]
    pub fn crop_probabilities(&self, crops: &[Vec<u8>]) -> Vec<f32> {
        if crops.is_empty() {
            return Vec::new();
        }
        let shape = self.input_shape();
        let mut images = Tensor::zeros(crops.len(), shape);
        for (crop, out) in crops.iter().zip(images.data_mut().chunks_exact_mut(shape.len())) {
            crop.iter().zip(out).for_each(|(&pixel, out)| *out = f32::from(pixel));
        }
        self.probabilities(images)
    }

    /// Probabilities `[N, classes]` of many faces in one array `[N, H, W, C]` of the
    /// network's input, values 0–255, as whole numbers or not. They go through the network
    /// in batches; nothing is copied but the batch in work.
    ///
    /// # Errors
    /// When the array is not made of whole images.
    pub fn face_probabilities<P: Copy + Into<f32> + Sync>(&self, pixels: &[P]) -> Result<Vec<f32>, NotFaces> {
        let shape = self.input_shape();
        if !pixels.len().is_multiple_of(shape.len()) {
            return Err(NotFaces { found: pixels.len(), input: self.input() });
        }
        let mut rows = Vec::with_capacity(pixels.len() / shape.len() * self.classes().len());
        for batch in pixels.chunks(FACES_AT_ONCE * shape.len()) {
            let mut images = Tensor::zeros(batch.len() / shape.len(), shape);
            images.data_mut().iter_mut().zip(batch).for_each(|(out, &pixel)| *out = pixel.into());
            rows.extend(self.probabilities(images));
        }
        Ok(rows)
    }
}
