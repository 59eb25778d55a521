//! Models: an architecture, its weights, and everything that a prediction needs.
//!
//! A model file is one safetensors file that is complete by itself; see [`Model::save`] for its
//! layout. Three models are bundled ([`EMBEDDED`]). Prediction is in [`crate::classifier`], training
//! in the crate `moue-train`.

pub mod architecture;
mod blocks;
mod build;
mod bundled;
mod calibration;
mod error;
mod file;
#[cfg(feature = "onnx")]
mod fold;
mod int8;
#[allow(clippy::module_inception, reason = "the module is named after its main type")]
mod model;
mod normalization;
#[cfg(feature = "onnx")]
pub mod onnx;
mod open;
mod provenance;
mod size;
mod tensors;
pub mod weights;

pub use architecture::Architecture;
pub use build::{ArchitectureError, LayerSummary, build, build_any, build_blank, built_layers, summary};
pub use bundled::{EMBEDDED, Embedded, model_file, stored};
pub use calibration::{Calibration, CalibrationError};
pub use error::ModelFileError;
pub(crate) use file::{KEY, fill};
pub use int8::{Int8, Int8Accuracy, RangeError};
pub use model::Model;
pub use normalization::Normalization;
pub use provenance::{Provenance, ValidationCount};
pub(crate) use tensors::TensorFile;
pub use tensors::{StoredPrecision, TensorError, Tensors, read_tensors, write_tensors};
