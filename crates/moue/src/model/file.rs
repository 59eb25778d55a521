//! Model files: safetensors with one JSON document under the key `moue`.

use super::{Architecture, ArchitectureError, Calibration, Model, Normalisation, Provenance, build};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const KEY: &str = "moue";

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
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

/// The document in the file's metadata, keys sorted.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    architecture: Architecture,
    classes: Vec<String>,
    normalisation: Normalisation,
    calibration: Calibration,
    uncertain_below: f32,
    provenance: Provenance,
}

/// Named arrays of `f32`: shape and values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Model {
    /// The file's bytes: each parameter under its name (`conv2d_1.kernel`, …) as
    /// `f32`, and the rest as JSON in the metadata. Equal models give equal bytes.
    ///
    /// # Errors
    /// When safetensors refuses the arrays.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let document = Document {
            format: FORMAT,
            architecture: self.architecture.clone(),
            classes: self.classes.clone(),
            normalisation: self.normalisation.clone(),
            calibration: self.calibration.clone(),
            uncertain_below: self.uncertain_below,
            provenance: self.provenance.clone(),
        };
        // A `Value` keeps its keys sorted.
        let document = serde_json::to_value(&document).map_err(|error| error.to_string())?;
        let mut tensors = Tensors::new();
        self.network.visit(|parameter| {
            tensors.insert(parameter.name.clone(), (parameter.shape.clone(), parameter.value.to_vec()));
        });
        write_tensors(&tensors, KEY, &document.to_string())
    }

    /// Writes the model's file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let bytes = self.to_bytes().map_err(|reason| not_a_model(path, reason))?;
        write_atomically(path, &bytes).map_err(|source| ModelFileError::Write { path: path.to_owned(), source })
    }

    /// Reads a model's file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a model's.
    pub fn load(path: &Path) -> Result<Self, ModelFileError> {
        let bytes = std::fs::read(path).map_err(|source| ModelFileError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a model from the bytes of a file; `path` is for messages.
    ///
    /// # Errors
    /// When the bytes are not a model's.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        let (tensors, document) = read_tensors(bytes, KEY).map_err(|reason| not_a_model(path, reason))?;
        let document: Document = serde_json::from_str(&document)
            .map_err(|error| not_a_model(path, format!("its `{KEY}` metadata is damaged: {error}")))?;
        if document.format != FORMAT {
            let reason = format!("it has format {}, this version reads format {FORMAT}", document.format);
            return Err(not_a_model(path, reason));
        }
        if !(document.calibration.temperature.is_finite() && document.calibration.temperature > 0.0) {
            return Err(not_a_model(path, "its calibration temperature is not a positive number".into()));
        }
        let mut network = build(&document.architecture, document.classes.len(), 0)
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
        Ok(Self {
            architecture: document.architecture,
            classes: document.classes,
            normalisation: document.normalisation,
            calibration: document.calibration,
            uncertain_below: document.uncertain_below,
            provenance: document.provenance,
            network,
            ready: None,
        })
    }
}

fn not_a_model(path: &Path, reason: String) -> ModelFileError {
    ModelFileError::NotAModel { path: path.to_owned(), reason }
}

/// Bytes of a safetensors file with these arrays and one metadata entry.
///
/// # Errors
/// When safetensors refuses the arrays.
pub fn write_tensors(tensors: &Tensors, key: &str, document: &str) -> Result<Vec<u8>, String> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::new();
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes).map_err(|error| format!("{name}: {error}"))?;
        views.push(((*name).clone(), view));
    }
    let metadata = HashMap::from([(key.to_owned(), document.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// The `f32` arrays of a safetensors file and one metadata entry.
///
/// # Errors
/// When the bytes are not such a file.
pub fn read_tensors(bytes: &[u8], key: &str) -> Result<(Tensors, String), String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let document = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(key))
        .ok_or_else(|| format!("its metadata has no entry `{key}`"))?
        .clone();
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} is {:?}, not F32", view.dtype()));
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok((tensors, document))
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
