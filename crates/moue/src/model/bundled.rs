//! The models in the box: their files, as the folder `models/` holds them.
//!
//! Each is trained from the preset of the same name; its card lies beside the file.
//! The features `model-default` and `model-tiny` put them in.

use super::error::ModelFileError;
use std::borrow::Cow;
use std::path::Path;

/// A model file that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// By which it is asked for.
    pub name: &'static str,
    /// The file; `None` in a build without its feature.
    pub bytes: Option<&'static [u8]>,
}

/// All models in the box; the first is taken where none is named.
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

/// The file of a model that is named as for [`Model::open`](super::Model::open).
///
/// # Errors
/// When it cannot be read.
pub fn stored(model: impl AsRef<Path>) -> Result<Cow<'static, [u8]>, ModelFileError> {
    find(model.as_ref())
}

/// Not generic, so that the files are in the program once.
fn find(model: &Path) -> Result<Cow<'static, [u8]>, ModelFileError> {
    match EMBEDDED.iter().find(|embedded| Path::new(embedded.name) == model) {
        Some(Embedded { bytes: Some(bytes), .. }) => Ok(Cow::Borrowed(bytes)),
        Some(Embedded { name, bytes: None }) => Err(ModelFileError::NotBundled((*name).to_owned())),
        None => std::fs::read(model)
            .map(Cow::Owned)
            .map_err(|source| ModelFileError::Read { path: model.to_owned(), source }),
    }
}
