//! The bundled models: their files in the folder `models/`.
//!
//! Each model is trained from the preset of the same name; its model card is in the same folder.
//! The features `model-default` and `model-tiny` include them.

use super::error::ModelFileError;
use std::borrow::Cow;
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

/// Not generic, so that the files are compiled in once.
fn find(model: &Path) -> Result<Cow<'static, [u8]>, ModelFileError> {
    match EMBEDDED.iter().find(|embedded| Path::new(embedded.name) == model) {
        Some(Embedded { bytes: Some(bytes), .. }) => Ok(Cow::Borrowed(bytes)),
        Some(Embedded { name, bytes: None }) => Err(ModelFileError::NotBundled((*name).to_owned())),
        None => std::fs::read(model)
            .map(Cow::Owned)
            .map_err(|source| ModelFileError::Read { path: model.to_owned(), source }),
    }
}
