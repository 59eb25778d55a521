//! Model files: safetensors with one JSON document under the key `moue`.

use super::build::build_stored;
use super::error::ModelFileError;
use super::model::{Document, Model};
use super::tensors::{Stored, StoredPrecision, TensorFile, write_stored};
use crate::fs::write_atomically;
use moue_engine::{Network, Role};
use serde_json::Value;
use std::path::Path;

/// The metadata entry with the document.
pub(crate) const KEY: &str = "moue";

impl Model {
    /// The bytes of the model file: each parameter under its name (`conv2d_1.kernel`, …) as `f32`,
    /// and everything else as JSON in the metadata. Equal models give equal bytes.
    ///
    /// # Errors
    /// When an array or the metadata cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        self.to_bytes_with(StoredPrecision::F32)
    }

    /// The bytes of the model file with kernels of lower precision; biases, scales and statistics
    /// remain `f32`.
    ///
    /// # Errors
    /// When an array or the metadata cannot be written.
    pub fn to_bytes_with(&self, kernels: StoredPrecision) -> Result<Vec<u8>, ModelFileError> {
        let document = Value::Object(Document::of(self).to_fields().map_err(ModelFileError::Encode)?);
        let mut stored = Vec::new();
        self.network.visit(|parameter| {
            let precision = if parameter.role == Role::Weight { kernels } else { StoredPrecision::F32 };
            stored.extend(Stored::new(&parameter.name, &parameter.shape, &parameter.value, precision));
        });
        write_stored(&stored, KEY, &document.to_string()).map_err(|error| ModelFileError::Encode(error.to_string()))
    }

    /// Writes the model file atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ModelFileError> {
        self.save_with(path, StoredPrecision::F32)
    }

    /// Writes the model file atomically, with kernels of lower precision.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_with(&self, path: impl AsRef<Path>, kernels: StoredPrecision) -> Result<(), ModelFileError> {
        let path = path.as_ref();
        let bytes = self.to_bytes_with(kernels)?;
        write_atomically(path, &bytes).map_err(|source| ModelFileError::Write { path: path.to_owned(), source })
    }

    /// Reads a model from the bytes of a safetensors file; `path` is used in error messages.
    pub(super) fn from_safetensors(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        let tensors = TensorFile::open(bytes, KEY).map_err(|error| not_a_model(path, error.to_string()))?;
        let document = serde_json::from_str(tensors.document())
            .map_err(|error| error.to_string())
            .and_then(Document::from_fields)
            .map_err(|reason| not_a_model(path, format!("its `{KEY}` metadata is not valid: {reason}")))?;
        let mut network = build_stored(&document.architecture, document.classes.len(), tensors.values())
            .map_err(|source| ModelFileError::Architecture { path: path.to_owned(), source })?;
        fill(&mut network, &tensors).map_err(|reason| not_a_model(path, reason))?;
        document.into_model(network).map_err(|error| not_a_model(path, error.to_string()))
    }
}

/// Sets every parameter to the array of its name.
pub(crate) fn fill(network: &mut Network, tensors: &TensorFile<'_>) -> Result<(), String> {
    let mut problem = None;
    let mut used = 0;
    network.visit_mut(|parameter| match tensors.shape(&parameter.name) {
        Some(shape) if *shape == parameter.shape => {
            tensors.decode(&parameter.name, &mut parameter.value);
            used += 1;
        }
        Some(shape) => {
            problem = Some(format!("{} has shape {shape:?}, expected {:?}", parameter.name, parameter.shape));
        }
        None => problem = Some(format!("{} is missing", parameter.name)),
    });
    match problem {
        Some(reason) => Err(reason),
        None if used != tensors.len() => Err("it contains arrays that do not belong to its architecture".into()),
        None => Ok(()),
    }
}

fn not_a_model(path: &Path, reason: String) -> ModelFileError {
    ModelFileError::NotAModel { path: path.to_owned(), reason }
}
