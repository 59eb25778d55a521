//! A model that is ready to predict, shared between threads.
//!
//! A [`Classifier`] takes face images of the network's input size and returns probabilities. Face
//! detection is in [`crate::detect`].

use crate::device::{Device, DeviceError, Prepared};
use crate::model::{Calibration, CalibrationError, Model, ModelFileError, weights};
use crate::precision::{NoRanges, Precision, PrecisionChoice};
use moue_engine::{InferenceNetwork, Shape, Tensor, WorkspacePool};
use std::path::Path;

/// Faces of an array that are predicted in one batch.
const FACES_AT_ONCE: usize = 64;

/// The array does not consist of whole face images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an array of {found} values does not consist of whole images of {input:?} (height, width, channels)")]
pub struct NotFaces {
    /// Number of values in the array.
    pub found: usize,
    /// `[height, width, channels]` of the network's input.
    pub input: [usize; 3],
}

/// A model cannot be prepared for predictions in this precision on this device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The model has no ranges of activations, which 8-bit integers need.
    #[error(transparent)]
    NoRanges(#[from] NoRanges),
    /// The device cannot compute it.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A model, its network prepared for inference, and reusable workspaces.
pub struct Classifier {
    model: Model,
    network: Prepared,
    precision: Precision,
    device: Device,
    workspaces: WorkspacePool,
}

impl Classifier {
    /// Loads a bundled model by name, or any other model from its file, for inference in f32.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model file.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        Ok(Self::new(Model::open(model)?))
    }

    /// Prepares a model for inference in f32.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self::with_float(model, moue_engine::Precision::F32)
    }

    /// Prepares a model for inference in this floating-point precision.
    #[must_use]
    pub fn with_float(model: Model, precision: moue_engine::Precision) -> Self {
        let network = Prepared::Cpu(InferenceNetwork::with_precision(&model.network, precision));
        Self::of(model, network, precision.into(), Device::default())
    }

    /// Prepares a model for inference in this precision.
    ///
    /// # Errors
    /// When the model has no ranges of activations, which 8-bit integers need.
    pub fn with_precision(model: Model, precision: Precision) -> Result<Self, NoRanges> {
        let network = Prepared::Cpu(network(&model, precision)?);
        Ok(Self::of(model, network, precision, Device::default()))
    }

    /// Prepares a model for inference on this device. A GPU computes in f32, which is also what `auto` selects there.
    ///
    /// # Errors
    /// When the model has no ranges of activations, which 8-bit integers need, or the device cannot compute it.
    pub fn prepare(model: Model, precision: PrecisionChoice, device: &Device) -> Result<Self, PrepareError> {
        let precision = match precision {
            PrecisionChoice::Auto if !device.is_cpu() => Precision::F32,
            choice => choice.resolve(&model),
        };
        let network = prepared(&model, precision, device)?;
        Ok(Self::of(model, network, precision, device.clone()))
    }

    fn of(model: Model, network: Prepared, precision: Precision, device: Device) -> Self {
        Self { model, network, precision, device, workspaces: WorkspacePool::default() }
    }

    /// The device that computes the network.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The precision of the network's arithmetic.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the model, for example to change or save it.
    #[must_use]
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.model.classes
    }

    /// Predictions with a lower confidence are marked as uncertain; 0 marks none.
    #[must_use]
    pub fn uncertain_below(&self) -> f32 {
        self.model.uncertain_below
    }

    /// `[height, width, channels]` of the face images that the network takes.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.model.architecture.input
    }

    /// The input shape as the engine's type.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        let [height, width, channels] = self.input();
        Shape::new(height, width, channels)
    }

    /// Frees the memory that is kept for further predictions.
    pub fn release_memory(&self) {
        self.workspaces.clear();
        self.network.release_memory();
    }

    /// Replaces the network's weights: one array for each parameter, in the network's order. The model loses the ranges
    /// of its activations; where it computed with 8-bit integers, it computes in f32. Where the device cannot compute the
    /// network, the CPU does.
    pub fn set_weights(&mut self, values: &[Vec<f32>]) {
        weights::set_weights(&mut self.model.network, values);
        self.model.int8 = None;
        if self.precision == Precision::Int8 {
            self.precision = Precision::F32;
        }
        self.network = prepared(&self.model, self.precision, &self.device).unwrap_or_else(|error| {
            if let PrepareError::Device(error) = error {
                self.device.fail(&error);
            }
            Prepared::Cpu(InferenceNetwork::new(&self.model.network))
        });
    }

    /// Sets the calibration, and the confidence (0–1) below which predictions are marked as
    /// uncertain.
    ///
    /// # Errors
    /// When the calibration cannot be applied or inverted for this number of classes.
    pub fn set_calibration(&mut self, calibration: Calibration, uncertain_below: f32) -> Result<(), CalibrationError> {
        self.model.set_calibration(calibration, uncertain_below)
    }

    /// Logits `[N, classes]` of network inputs: images `[N, H, W, C]` after normalization.
    ///
    /// # Panics
    /// When the images have a different shape from [`Self::input_shape`].
    #[must_use]
    pub fn logits(&self, inputs: &Tensor) -> Vec<f32> {
        self.network.run(inputs, &self.model.network, &self.workspaces)
    }

    /// Calibrated probabilities `[N, classes]` of images `[N, H, W, C]`, 0–255.
    ///
    /// # Panics
    /// When the images have a different shape from [`Self::input_shape`].
    #[must_use]
    pub fn probabilities(&self, mut images: Tensor) -> Vec<f32> {
        self.model.normalization.apply(images.data_mut(), self.input()[2]);
        self.input_probabilities(&images)
    }

    /// Calibrated probabilities `[N, classes]` of images that are normalized already.
    ///
    /// # Panics
    /// When the images have a different shape from [`Self::input_shape`].
    #[must_use]
    pub fn input_probabilities(&self, inputs: &Tensor) -> Vec<f32> {
        let mut rows = self.logits(inputs);
        self.model.calibration.apply(&mut rows, self.model.classes.len());
        rows
    }

    /// Calibrated probabilities `[N, classes]` of face images, each `[H, W, C]` of the network's
    /// input, values 0–255.
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

    /// Calibrated probabilities `[N, classes]` of many face images in one array `[N, H, W, C]`,
    /// integers or floats in 0–255. The network runs in batches; only the current batch is copied.
    ///
    /// # Errors
    /// When the array does not consist of whole images.
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

/// A model's network, prepared for inference on a device.
fn prepared(model: &Model, precision: Precision, device: &Device) -> Result<Prepared, PrepareError> {
    match precision {
        _ if device.is_cpu() => Ok(Prepared::Cpu(network(model, precision)?)),
        Precision::F32 => Ok(Prepared::new(&model.network, device)?),
        other => Err(DeviceError::Precision(other).into()),
    }
}

/// A model's network, prepared for inference on the CPU.
fn network(model: &Model, precision: Precision) -> Result<InferenceNetwork, NoRanges> {
    Ok(match precision {
        Precision::F32 => InferenceNetwork::new(&model.network),
        Precision::Bf16 => InferenceNetwork::with_precision(&model.network, moue_engine::Precision::Bf16),
        Precision::Int8 => InferenceNetwork::with_int8(&model.network, &model.int8.as_ref().ok_or(NoRanges)?.ranges),
    })
}

#[cfg(all(test, feature = "model-tiny"))]
mod tests {
    use super::*;

    #[test]
    fn new_weights_keep_the_precision() {
        let mut classifier = Classifier::with_precision(Model::open("tiny").unwrap(), Precision::Bf16).unwrap();
        classifier.set_weights(&weights::snapshot(classifier.model().network()));
        assert_eq!(classifier.precision(), Precision::Bf16);
        assert_eq!(Classifier::open("tiny").unwrap().precision(), Precision::F32);
    }
}
