//! The models in the box: their files, as the folder `models/` holds them.
//!
//! Each is trained from the preset of the same name; its card lies beside the file.
//! The features `model-default` and `model-tiny` put them in.

use super::file::read;
use super::{Model, ModelFileError};
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
pub const EMBEDDED: &[Embedded] = &[
    Embedded {
        name: "default",
        #[cfg(feature = "model-default")]
        bytes: Some(include_bytes!("../../../../models/default.safetensors")),
        #[cfg(not(feature = "model-default"))]
        bytes: None,
    },
    Embedded {
        name: "tiny",
        #[cfg(feature = "model-tiny")]
        bytes: Some(include_bytes!("../../../../models/tiny.safetensors")),
        #[cfg(not(feature = "model-tiny"))]
        bytes: None,
    },
];

impl Model {
    /// A model in the box by its name, or any other from its file. (A file that is
    /// called like a model in the box is read as `./default`.)
    ///
    /// # Errors
    /// When the file cannot be read or is not a model's.
    pub fn open(model: &Path) -> Result<Self, ModelFileError> {
        Self::from_bytes(&stored(model)?, model)
    }
}

/// The file of a model that is named as for [`Model::open`].
///
/// # Errors
/// When it cannot be read.
pub fn stored(model: &Path) -> Result<Cow<'static, [u8]>, ModelFileError> {
    match EMBEDDED.iter().find(|embedded| Path::new(embedded.name) == model) {
        Some(Embedded { bytes: Some(bytes), .. }) => Ok(Cow::Borrowed(bytes)),
        Some(Embedded { name, bytes: None }) => Err(ModelFileError::NotInTheBox((*name).to_owned())),
        None => read(model).map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits that the models were made for.
    #[test]
    fn models_in_the_box_are_whole_and_small() {
        for Embedded { name, bytes } in EMBEDDED {
            let Some(bytes) = bytes else { continue };
            let model = Model::open(Path::new(name)).unwrap();
            let largest = if *name == "tiny" { 300_000 } else { 6_000_000 };
            assert!(model.parameters() <= 3_000_000 && bytes.len() <= largest, "{name}");
            assert_eq!(model.architecture.name, *name);
            assert_eq!(model.classes, ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]);
            assert!(model.uncertain_below > 0.0 && model.calibration.temperature != 1.0, "{name} is calibrated");
            assert!(model.provenance.training_images.iter().sum::<usize>() > 20_000, "{name}");
        }
    }
}
