//! Charts and pages.
use crate::data::Dataset;
use crate::evaluate::{Answers, Figures};
use crate::train::EpochRecord;

/// What a training's page shows.
pub struct Training<'a> {
    /// Heading.
    pub title: &'a str,
    /// The resolved configuration, as TOML.
    pub config: &'a str,
    /// All epochs.
    pub history: &'a [EpochRecord],
    /// From 1.
    pub best_epoch: usize,
    /// Of the best epoch's model.
    pub figures: &'a Figures,
    /// What they were computed from.
    pub answers: &'a Answers,
    /// Where the images are.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
}

/// What an evaluation's page shows.
pub struct Evaluation<'a> {
    /// Heading.
    pub title: &'a str,
    /// Of the model.
    pub figures: &'a Figures,
    /// What they were computed from.
    pub answers: &'a Answers,
    /// Where the images are.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
    /// Whether mirror images were averaged in.
    pub tta: bool,
}

/// A.
#[must_use]
pub fn training(_report: &Training<'_>) -> String {
    String::new()
}

/// B.
#[must_use]
pub fn evaluation(_report: &Evaluation<'_>) -> String {
    String::new()
}
