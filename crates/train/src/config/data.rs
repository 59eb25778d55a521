//! The `[data]` section of an architecture file.

use super::range::Bounded;
use moue::model::Provenance;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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

/// The targets of training images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// The labels of the data set.
    #[default]
    Labels,
    /// The votes. Images whose votes give no target are left out. The labels of validation and test
    /// images are the majority of their votes, and those without a majority are left out.
    Votes,
    /// The weighted mean of votes and label, or the label alone where the votes give no target. Images
    /// that most people saw no face in are left out. Validation and test images keep their labels.
    Mixed,
}

impl TargetKind {
    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Votes => "votes",
            Self::Mixed => "mixed",
        }
    }
}

/// How the votes on an image become its target, by FER+'s protocol (Barsoum et al. 2016), which first
/// removes the classes with a single vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum VoteMode {
    /// The class with more than half of the votes; images without one give no target.
    Majority,
    /// In each epoch, one class that is sampled from the distribution of `crossentropy`.
    Probability,
    /// The distribution of the votes over the most frequent classes, up to three, which must have more
    /// than half of the votes.
    #[default]
    CrossEntropy,
}

impl VoteMode {
    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Probability => "probability",
            Self::CrossEntropy => "crossentropy",
        }
    }
}

/// Loading and splitting of the data. Except for `fixes`, only training images are removed; a run reports how many.
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
    /// CSV of corrections, as the page of `moue data audit` exports them: images of any split to keep, relabel or drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<PathBuf>,
    /// CSV of people's votes on the images: FER+'s `fer2013new.csv`, or a column of votes for each class
    /// and one of row numbers or file names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<PathBuf>,
    /// Targets of training images; by default `votes` where there is a file of votes, else `labels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetKind>,
    /// How votes become targets.
    #[serde(skip_serializing_if = "is_crossentropy")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = "crossentropy")))]
    pub vote_mode: VoteMode,
    /// For `targets = "mixed"`: share of the votes in the target.
    #[serde(skip_serializing_if = "is_half")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = 0.5)))]
    pub vote_weight: f32,
    /// Whether the classes include FER+'s eighth, contempt, which FER2013's labels do not have.
    #[serde(skip_serializing_if = "is_false")]
    pub contempt: bool,
}

/// Default of `vote_weight`.
const HALF: f32 = 0.5;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_crossentropy(mode: &VoteMode) -> bool {
    *mode == VoteMode::CrossEntropy
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_half(weight: &f32) -> bool {
    *weight == HALF
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
            fixes: None,
            votes: None,
            targets: None,
            vote_mode: VoteMode::default(),
            vote_weight: HALF,
            contempt: false,
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

    /// The targets of training images, with the default where none are given.
    #[must_use]
    pub fn target_kind(&self) -> TargetKind {
        let default = if self.votes.is_some() { TargetKind::Votes } else { TargetKind::Labels };
        self.targets.unwrap_or(default)
    }

    /// The targets in the provenance of a model; `None` for labels.
    #[must_use]
    pub fn describe_targets(&self) -> Option<String> {
        let mode = self.vote_mode.name();
        match self.target_kind() {
            TargetKind::Labels => None,
            TargetKind::Votes => Some(format!("votes ({mode})")),
            TargetKind::Mixed => Some(format!("mixed ({mode}, weight {})", self.vote_weight)),
        }
    }

    /// Votes that are the targets need a file, and contempt needs votes. A configuration file may leave the file of votes
    /// to the command line.
    pub(crate) fn check_votes(&self) -> Result<(), String> {
        let kind = self.target_kind();
        if kind != TargetKind::Labels && self.votes.is_none() {
            let name = kind.name();
            return Err(format!("data.targets = \"{name}\" requires a file of votes: data.votes, or --votes FILE"));
        }
        if self.contempt && kind == TargetKind::Labels {
            return Err("data.contempt requires votes as targets: data.targets = \"votes\" or \"mixed\"".to_owned());
        }
        Ok(())
    }

    /// The numeric options with their ranges.
    pub(super) fn bounded(&self) -> [Bounded; 3] {
        [
            Bounded::new("data.train_fraction", self.train_fraction, 1e-6, 1.0),
            Bounded::new("data.validation_fraction", self.validation_fraction, 0.01, 0.9),
            Bounded::new("data.vote_weight", self.vote_weight, 0.0, 1.0),
        ]
    }
}
