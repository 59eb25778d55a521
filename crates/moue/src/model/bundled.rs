//! The bundled models: their files in the folder `models/`.
//!
//! Each model is trained from the preset of the same name; its model card is in the same folder.
//! The features `model-default`, `model-fer2013` and `model-tiny` include them.

use super::error::ModelFileError;
use crate::message::nearest_name_or_path;
use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

/// A model file that is compiled into the program.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// Name of the model.
    pub name: &'static str,
    /// The file; `None` in a build without its feature.
    pub bytes: Option<&'static [u8]>,
}

/// All bundled models; the first is the default.
pub static EMBEDDED: &[Embedded] = &[
    Embedded {
        name: "default",
        #[cfg(feature = "model-default")]
        bytes: Some(include_bytes!("../../models/default.safetensors")),
        #[cfg(not(feature = "model-default"))]
        bytes: None,
    },
    Embedded {
        name: "fer2013",
        #[cfg(feature = "model-fer2013")]
        bytes: Some(include_bytes!("../../models/fer2013.safetensors")),
        #[cfg(not(feature = "model-fer2013"))]
        bytes: None,
    },
    Embedded {
        name: "tiny",
        #[cfg(feature = "model-tiny")]
        bytes: Some(include_bytes!("../../models/tiny.safetensors")),
        #[cfg(not(feature = "model-tiny"))]
        bytes: None,
    },
];

/// The bytes of the file of a model, named as for [`Model::open`](super::Model::open).
///
/// # Errors
/// When the file cannot be read.
pub fn stored(model: impl AsRef<Path>) -> Result<Cow<'static, [u8]>, ModelFileError> {
    find(model.as_ref())
}

/// The file of a model: the path itself, or that of the model in a run folder.
#[must_use]
pub fn model_file(model: &Path) -> Cow<'_, Path> {
    if model.is_dir() { Cow::Owned(model.join("model.safetensors")) } else { Cow::Borrowed(model) }
}

/// Not generic, so that the files are compiled in once.
fn find(model: &Path) -> Result<Cow<'static, [u8]>, ModelFileError> {
    match EMBEDDED.iter().find(|embedded| Path::new(embedded.name) == model) {
        Some(Embedded { bytes: Some(bytes), .. }) => Ok(Cow::Borrowed(bytes)),
        Some(Embedded { name, bytes: None }) => Err(ModelFileError::NotBundled((*name).to_owned())),
        None => crate::fs::read(model_file(model)).map(Cow::Owned).map_err(|source| match source.kind() {
            ErrorKind::NotFound => missing(model),
            _ => ModelFileError::Read { path: model.to_owned(), source },
        }),
    }
}

fn missing(model: &Path) -> ModelFileError {
    if model.is_dir() {
        let reason = "this folder has no model.safetensors".to_owned();
        return ModelFileError::NotAModel { path: model.to_owned(), reason };
    }
    let name = model.to_string_lossy();
    let bundled: Vec<&str> = EMBEDDED.iter().map(|embedded| embedded.name).collect();
    let similar = nearest_name_or_path(&name, &bundled);
    ModelFileError::Unknown { model: name.into_owned(), bundled: bundled.join(", "), similar }
}
