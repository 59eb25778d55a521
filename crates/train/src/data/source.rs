//! Where a run's data comes from: a path, or the program itself.

use super::cache::Cache;
use super::dataset::{Dataset, ImageSpec};
use super::error::DataError;
use super::open::open;
use super::synthetic;
use crate::config::DataOptions;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a run's data came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// Synthetic faces, made by the program.
    #[serde(rename = "drawn")]
    Synthetic,
    /// Given by path.
    Given(PathBuf),
}

impl std::fmt::Display for DataSource {
    /// For headings.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Synthetic => f.write_str("drawn faces"),
            Self::Given(path) => match path.file_name() {
                Some(name) => f.write_str(&name.to_string_lossy()),
                None => path.display().fmt(f),
            },
        }
    }
}

impl DataSource {
    /// Opens the data, in the form that a network takes. `progress` hears how many
    /// images are decoded.
    ///
    /// # Errors
    /// When the path holds no data set, or too much of it is broken.
    pub fn open(
        &self,
        form: ImageSpec,
        options: &DataOptions,
        seed: u64,
        progress: &dyn Fn(usize),
    ) -> Result<Dataset, DataError> {
        match self {
            Self::Synthetic => Ok(synthetic::dataset(synthetic::STANDARD_COUNT, form, seed)),
            Self::Given(path) => open(path, form, options, seed, &Cache::standard(), progress),
        }
    }

    /// For programs: `drawn`, or the path.
    #[must_use]
    pub fn path_text(&self) -> String {
        match self {
            Self::Synthetic => self.word().to_owned(),
            Self::Given(path) => path.display().to_string(),
        }
    }

    /// As a model's file has it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Synthetic => "drawn",
            Self::Given(_) => "given",
        }
    }
}
