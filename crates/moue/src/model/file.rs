//! Model files: safetensors with one JSON document under the key `moue`.

use super::tensors::{Precision, Stored, read_tensors, write_stored};
use super::{Architecture, ArchitectureError, Calibration, Model, Normalisation, Provenance, build_blank};
use moue_engine::{Network, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const KEY: &str = "moue";

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// A name of a model that other builds of the program have in them.
    #[error("this build has no model `{0}` in it: name a model file")]
    NotInTheBox(String),
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}; what was there before is untouched", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no safetensors file.
    #[error("{} is not a model file: {reason}", .path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Its architecture is no network.
    #[error("the architecture in {} is not usable", .path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ArchitectureError,
    },
}

/// What a model file says beside its numbers, as JSON with its keys sorted.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    format: u32,
    pub(super) architecture: Architecture,
    pub(super) classes: Vec<String>,
    normalisation: Normalisation,
    calibration: Calibration,
    uncertain_below: f32,
    provenance: Provenance,
}

impl Document {
    pub(super) fn of(model: &Model) -> Self {
        Self {
            format: FORMAT,
            architecture: model.architecture.clone(),
            classes: model.classes.clone(),
            normalisation: model.normalisation.clone(),
            calibration: model.calibration.clone(),
            uncertain_below: model.uncertain_below,
            provenance: model.provenance.clone(),
        }
    }

    /// Its fields; a map keeps its keys sorted.
    pub(super) fn to_fields(&self) -> Result<Map<String, Value>, String> {
        match serde_json::to_value(self).map_err(|error| error.to_string())? {
            Value::Object(fields) => Ok(fields),
            other => Err(format!("a document came out as {other}")),
        }
    }

    pub(super) fn from_fields(fields: Map<String, Value>) -> Result<Self, String> {
        let document: Self = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("it has format {}, this version reads format {FORMAT}", document.format));
        }
        document.calibration.check(document.classes.len())?;
        Ok(document)
    }

    pub(super) fn into_model(self, network: Network) -> Model {
        Model {
            architecture: self.architecture,
            classes: self.classes,
            normalisation: self.normalisation,
            calibration: self.calibration,
            uncertain_below: self.uncertain_below,
            provenance: self.provenance,
            network,
            ready: None,
        }
    }
}

impl Model {
    /// The file's bytes: each parameter under its name (`conv2d_1.kernel`, …) as
    /// `f32`, and the rest as JSON in the metadata. Equal models give equal bytes.
    ///
    /// # Errors
    /// When safetensors refuses the arrays.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        self.to_bytes_with(Precision::F32)
    }

    /// The same with kernels of less precision; biases, scales and statistics
    /// stay `f32`.
    ///
    /// # Errors
    /// When safetensors refuses the arrays.
    pub fn to_bytes_with(&self, kernels: Precision) -> Result<Vec<u8>, String> {
        let document = Value::Object(Document::of(self).to_fields()?);
        let mut stored = Vec::new();
        self.network.visit(|parameter| {
            let precision = if parameter.role == Role::Weight { kernels } else { Precision::F32 };
            stored.extend(Stored::new(&parameter.name, &parameter.shape, &parameter.value, precision));
        });
        write_stored(&stored, KEY, &document.to_string())
    }

    /// Writes the model's file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        self.save_with(path, Precision::F32)
    }

    /// Writes the model's file with kernels of less precision.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_with(&self, path: &Path, kernels: Precision) -> Result<(), ModelFileError> {
        let bytes = self.to_bytes_with(kernels).map_err(|reason| not_a_model(path, reason))?;
        write_atomically(path, &bytes).map_err(|source| ModelFileError::Write { path: path.to_owned(), source })
    }

    /// Writes the model as an ONNX file; see [`super::onnx`].
    ///
    /// # Errors
    /// When the file cannot be written.
    #[cfg(feature = "onnx")]
    pub fn save_onnx(&self, path: &Path) -> Result<(), ModelFileError> {
        let bytes = super::onnx::to_onnx(self).map_err(|reason| not_a_model(path, reason))?;
        write_atomically(path, &bytes).map_err(|source| ModelFileError::Write { path: path.to_owned(), source })
    }

    /// Reads a model's file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model's.
    pub fn load(path: &Path) -> Result<Self, ModelFileError> {
        Self::from_bytes(&read(path)?, path)
    }

    /// Reads a model from the bytes of a file; `path` is for messages, and says by
    /// its ending `.onnx` that the file is ONNX.
    ///
    /// # Errors
    /// When the bytes are not a model's.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        #[cfg(feature = "onnx")]
        if super::onnx::is_named_so(path) {
            return super::onnx::from_onnx(bytes, path);
        }
        let (tensors, document) = read_tensors(bytes, KEY).map_err(|reason| not_a_model(path, reason))?;
        let document = serde_json::from_str(&document)
            .map_err(|error| error.to_string())
            .and_then(Document::from_fields)
            .map_err(|reason| not_a_model(path, format!("its `{KEY}` metadata is not usable: {reason}")))?;
        let mut network = build_blank(&document.architecture, document.classes.len())
            .map_err(|source| ModelFileError::Architecture { path: path.to_owned(), source })?;
        let mut problem = None;
        let mut used = 0;
        network.visit_mut(|parameter| match tensors.get(&parameter.name) {
            Some((shape, values)) if *shape == parameter.shape => {
                parameter.value.copy_from_slice(values);
                used += 1;
            }
            Some((shape, _)) => {
                problem = Some(format!("{} has shape {shape:?} instead of {:?}", parameter.name, parameter.shape));
            }
            None => problem = Some(format!("{} is missing", parameter.name)),
        });
        if let Some(reason) = problem {
            return Err(not_a_model(path, reason));
        }
        if used != tensors.len() {
            return Err(not_a_model(path, "it holds arrays that its architecture does not have".into()));
        }
        Ok(document.into_model(network))
    }
}

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ModelFileError> {
    std::fs::read(path).map_err(|source| ModelFileError::Read { path: path.to_owned(), source })
}

fn not_a_model(path: &Path, reason: String) -> ModelFileError {
    ModelFileError::NotAModel { path: path.to_owned(), reason }
}

/// Writes a file whole or not at all: into a temporary file beside it, then
/// renamed.
///
/// # Errors
/// When the folder does not take the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".moue-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    // A temporary file is private; what it becomes is an ordinary file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
