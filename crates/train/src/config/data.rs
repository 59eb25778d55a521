//! The `[data]` section of an architecture file.

use super::range::within;
use moue::model::Provenance;
use serde::{Deserialize, Serialize};

/// Normalization of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationKind {
    /// To mean 0 and standard deviation 1, measured on the training images.
    #[default]
    Standard,
    /// To the range 0–1.
    Unit,
}

/// The `[data]` section of an architecture file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Share of the training images that is used for validation where the source has no validation
    /// split; stratified by class.
    pub validation_fraction: f32,
    /// Share of the training images that is used, stratified by class; the other images are
    /// removed.
    pub train_fraction: f32,
    /// Normalization of pixels.
    #[serde(rename = "normalisation", alias = "normalization")]
    pub normalization: NormalizationKind,
    /// Restores FER2013's official split for Kaggle's numbered files; otherwise their folders are
    /// used as they are. Other data keeps its own splits.
    pub official_split: bool,
    /// Whether data without an official split is an error. Not an option of the file.
    #[serde(skip)]
    pub requires_official_split: bool,
    /// Removes training images whose pixels are all equal.
    pub exclude_blank: bool,
    /// Removes training images that are near-duplicates of a validation or test image.
    pub exclude_leaks: bool,
    /// Removes training images whose label differs from that of the majority of their
    /// near-duplicates.
    pub exclude_conflicts: bool,
    /// Training images to remove: rows (from 0) or paths in the source.
    pub exclude: Vec<String>,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            validation_fraction: 0.1,
            train_fraction: 1.0,
            normalization: NormalizationKind::default(),
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
    /// Options that reproduce the validation split of a model's training; `given` says whether the
    /// data is the user's.
    #[must_use]
    pub fn as_trained(provenance: &Provenance, given: bool) -> Self {
        let mut options = Self { official_split: !(given && provenance.as_given), ..Self::default() };
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

    pub(crate) fn check(&self) -> Result<(), String> {
        within("data.train_fraction", self.train_fraction, 1e-6, 1.0)?;
        within("data.validation_fraction", self.validation_fraction, 0.01, 0.9)
    }
}
