//! The provenance of a model, as recorded in its file.

use serde::{Deserialize, Serialize};

/// Correct predictions on the validation split, before a later change of precision. They are optimistic: the weights
/// were selected on this split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationCount {
    /// Number of images whose class is predicted.
    pub correct: usize,
    /// Number of images.
    pub images: usize,
}

impl ValidationCount {
    /// The share of correct predictions.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
}

impl Provenance {
    /// Whether the labels of the training and validation were the majority of people's votes, so that the model is
    /// calibrated on them.
    #[must_use]
    pub fn labels_are_votes(&self) -> bool {
        self.targets.as_deref().is_some_and(|targets| targets.starts_with("votes"))
    }

    /// The share of each class in the training targets; `None` in files of earlier versions, and where a class has none.
    #[must_use]
    pub fn prior(&self) -> Option<Vec<f64>> {
        let counts = || self.training_images.iter().map(|&count| count as f64).collect();
        let mass: Vec<f64> = if self.target_mass.is_empty() { counts() } else { self.target_mass.clone() };
        let sum: f64 = mass.iter().sum();
        let is_known = !mass.is_empty() && mass.iter().all(|&of_class| of_class > 0.0);
        is_known.then(|| mass.into_iter().map(|of_class| of_class / sum).collect())
    }
}

/// The provenance of a model. It does not depend on when or where the model was trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Seed of the run.
    pub seed: u64,
    /// `drawn` for synthetic faces, `given` for the user's data.
    pub data: String,
    /// SHA-256 over pixels, labels and splits.
    pub data_hash: String,
    /// Number of training images of each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub training_images: Vec<usize>,
    /// The training targets where they are not the labels: `votes (crossentropy)`, `mixed (crossentropy, weight 0.5)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Sum of the training targets of each class, where targets are not labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_mass: Vec<f64>,
    /// SHA-256 of each teacher of a distilled model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<String>,
    /// SHA-256 of the model whose weights initialized the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Share of the training images that was used for validation where the source has no validation
    /// split.
    pub validation_fraction: f32,
    /// Whether the official split was restored from file names.
    pub official_split: bool,
    /// Whether Kaggle's numbered files were used in their folders, which are a random split.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_given: bool,
    /// Whether the faces were cut out of the pictures while they were loaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub faces: bool,
    /// SHA-256 of the fixes that were applied to labels and images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixes: Option<String>,
    /// Epoch whose weights were selected, from 1.
    pub epoch: usize,
    /// The predictions for the validation split; `None` in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationCount>,
    /// Version of moue.
    pub moue_version: String,
    /// Instruction set of the training.
    pub isa: String,
    /// Precision of the training; `None` for f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// The GPU that trained, with its API and kind; `None` for the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}
