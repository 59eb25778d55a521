//! Opens models by name or from a file: bundled, safetensors or ONNX.

use super::bundled::stored;
use super::error::ModelFileError;
use super::model::Model;
use std::path::Path;

impl Model {
    /// Opens a bundled model by name, or any other model from its file or run folder. (A file with
    /// the name of a bundled model is opened as `./default`.)
    ///
    /// # Errors
    /// When the file cannot be read or is not a model file.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let model = model.as_ref();
        Self::from_bytes(&stored(model)?, model)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        let bytes = crate::fs::read(path).map_err(|source| ModelFileError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a model from the bytes of a file; `path` is used in error messages, and its extension
    /// `.onnx` selects ONNX.
    ///
    /// # Errors
    /// When the bytes are not a model file.
    pub fn from_bytes(bytes: &[u8], path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        #[cfg(feature = "onnx")]
        if super::onnx::is_named_so(path) {
            return super::onnx::from_onnx(bytes, path);
        }
        Self::from_safetensors(bytes, path)
    }

    /// Writes the model as an ONNX file with weights and activations of 8 bits; see [`super::onnx`].
    ///
    /// # Errors
    /// When the file cannot be written.
    #[cfg(feature = "onnx")]
    pub fn save_onnx_int8(&self, path: impl AsRef<Path>) -> Result<(), ModelFileError> {
        write_onnx(path.as_ref(), &super::onnx::to_onnx_int8(self)?)
    }

    /// Writes the model as an ONNX file; see [`super::onnx`].
    ///
    /// # Errors
    /// When the file cannot be written.
    #[cfg(feature = "onnx")]
    pub fn save_onnx(&self, path: impl AsRef<Path>) -> Result<(), ModelFileError> {
        write_onnx(path.as_ref(), &super::onnx::to_onnx(self)?)
    }
}

#[cfg(feature = "onnx")]
fn write_onnx(path: &Path, bytes: &[u8]) -> Result<(), ModelFileError> {
    crate::fs::write_atomically(path, bytes).map_err(|source| ModelFileError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EMBEDDED, Embedded};

    /// Size limits of the bundled models.
    #[test]
    fn bundled_models_are_complete_and_small() {
        for Embedded { name, bytes } in EMBEDDED {
            let Some(bytes) = bytes else { continue };
            let model = Model::open(name).unwrap();
            let largest = if *name == "tiny" { 300_000 } else { 6_000_000 };
            assert!(model.parameters() <= 3_000_000 && bytes.len() <= largest, "{name}");
            assert_eq!(model.architecture.name, *name);
            assert_eq!(model.classes, ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]);
            assert!(model.uncertain_below > 0.0 && model.calibration.temperature != 1.0, "{name} is calibrated");
            assert!(model.provenance.training_images.iter().sum::<usize>() > 20_000, "{name}");
        }
    }
}
