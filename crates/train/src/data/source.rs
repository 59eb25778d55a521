//! The data of a run: a path, or synthetic faces.

use super::cache::Cache;
use super::dataset::{Dataset, ImageSpec};
use super::error::DataError;
use super::open::open;
use super::{fixing, synthetic, votes};
use crate::config::DataOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// Synthetic faces.
    #[serde(rename = "drawn")]
    Synthetic,
    /// A path.
    Given(PathBuf),
}

impl std::fmt::Display for DataSource {
    /// The text in headings.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Synthetic => f.write_str("synthetic faces"),
            Self::Given(path) => match path.file_name() {
                Some(name) => f.write_str(&name.to_string_lossy()),
                None => path.display().fmt(f),
            },
        }
    }
}

impl DataSource {
    /// Opens the data with the image size and channels of a network. `progress` is called with the
    /// number of decoded images.
    ///
    /// # Errors
    /// When the path contains no data set, or too many items cannot be read.
    pub fn open(
        &self,
        form: ImageSpec,
        options: &DataOptions,
        seed: u64,
        progress: &dyn Fn(usize),
    ) -> Result<Dataset, DataError> {
        match self {
            Self::Synthetic => {
                let mut faces = synthetic::dataset(synthetic::STANDARD_COUNT, form, seed);
                fixing::apply(&mut faces, options)?;
                votes::apply(&mut faces, options)?;
                Ok(faces)
            }
            Self::Given(path) => open(path, form, options, seed, &Cache::standard(), progress),
        }
    }

    /// The text in JSON: `drawn`, or the path.
    #[must_use]
    pub fn path_text(&self) -> String {
        match self {
            Self::Synthetic => self.word().to_owned(),
            Self::Given(path) => path.display().to_string(),
        }
    }

    /// The text in model files.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Synthetic => "drawn",
            Self::Given(_) => "given",
        }
    }
}
