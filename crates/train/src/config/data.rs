//! The `[data]` section of an architecture file.

use super::range::Bounded;
use moue::model::Provenance;
use serde::{Deserialize, Serialize};

/// Normalization of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NormalizationKind {
    /// To mean 0 and standard deviation 1, measured on the training images.
    #[default]
    Standard,
    /// To the range 0–1.
    Unit,
}

/// Loading and splitting of the data. Only training images are removed; a run reports how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Share of the training images that is used for validation where the source has no validation
    /// split; the same for each class.
    pub validation_fraction: f32,
    /// Share of the training images that is used, the same for each class; the others are removed.
    pub train_fraction: f32,
    /// Normalization of pixels. The key can also be written `normalization`.
    #[serde(rename = "normalisation", alias = "normalization")]
    pub normalization: NormalizationKind,
    /// Cuts the faces out of the pictures in image folders while they are loaded, as `moue data
    /// faces` does; without it a whole picture is one face. A picture with several faces gives an
    /// image for each, a picture without a face gives none.
    #[serde(skip_serializing_if = "is_false")]
    pub faces: bool,
    /// Restores FER2013's official split from the names of Kaggle's numbered files; otherwise their
    /// folders are used as they are. Other data keeps its own splits.
    pub official_split: bool,
    /// Whether data without an official split is an error. Not an option of the file.
    #[serde(skip)]
    pub requires_official_split: bool,
    /// Removes training images whose pixels are all equal.
    pub exclude_blank: bool,
    /// Removes training images that are near-duplicates of a validation or test image.
    pub exclude_leaks: bool,
    /// Where near-duplicate training images have different labels, keeps those with the most frequent
    /// label.
    pub exclude_conflicts: bool,
    /// Training images to remove, as text: rows (from 0) or paths in the source.
    pub exclude: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            validation_fraction: 0.1,
            train_fraction: 1.0,
            normalization: NormalizationKind::default(),
            faces: false,
            official_split: true,
            requires_official_split: false,
            exclude_blank: false,
            exclude_leaks: false,
            exclude_conflicts: false,
            exclude: Vec::new(),
        }
    }
}

impl DataOptions {
    /// Options that reproduce the images and the validation split of a model's training; `given` says
    /// whether the data is the user's.
    #[must_use]
    pub fn as_trained(provenance: &Provenance, given: bool) -> Self {
        let official_split = !(given && provenance.as_given);
        let mut options = Self { official_split, faces: given && provenance.faces, ..Self::default() };
        if provenance.validation_fraction > 0.0 {
            options.validation_fraction = provenance.validation_fraction;
        }
        options
    }

    /// The options with those of the command line: `official` restores FER2013's official split and
    /// requires that there is one, `as_given` uses folders as they are.
    #[must_use]
    pub fn with_split(mut self, official: bool, as_given: bool) -> Self {
        self.official_split = official || (self.official_split && !as_given);
        self.requires_official_split = official;
        self
    }

    /// The numeric options with their ranges.
    pub(super) fn bounded(&self) -> [Bounded; 2] {
        [
            Bounded::new("data.train_fraction", self.train_fraction, 1e-6, 1.0),
            Bounded::new("data.validation_fraction", self.validation_fraction, 0.01, 0.9),
        ]
    }
}
