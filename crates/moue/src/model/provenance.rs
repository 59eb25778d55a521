//! Where a model comes from, as its file records it.

use serde::{Deserialize, Serialize};

/// Where a model comes from; nothing in it depends on when or where it was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Seed of the run.
    pub seed: u64,
    /// `drawn` for faces drawn by the program, `given` for data of the user's.
    pub data: String,
    /// SHA-256 over pixels, labels and splits.
    pub data_hash: String,
    /// Images of each class that it learned from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub training_images: Vec<usize>,
    /// SHA-256 of each model whose predictions were part of the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<String>,
    /// SHA-256 of the model whose weights it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Share of the training images that was set aside where the source had no
    /// validation split.
    pub validation_fraction: f32,
    /// Whether the official split was rebuilt from file names.
    pub official_split: bool,
    /// Epoch whose weights these are, from 1.
    pub epoch: usize,
    /// Version of the program.
    pub moue_version: String,
    /// Instruction set it was trained with.
    pub isa: String,
}
