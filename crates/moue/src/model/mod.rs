//! Models: an architecture, its weights, and what is needed to use them.
//!
//! A model file is one safetensors file that is complete by itself; see
//! [`Model::save`] for its layout. Two are part of the program ([`EMBEDDED`]).
//! Training is elsewhere.

pub mod architecture;
mod blocks;
mod build;
mod calibration;
mod embedded;
mod file;
#[cfg(feature = "onnx")]
mod fold;
#[cfg(feature = "onnx")]
pub mod onnx;
mod tensors;

pub use architecture::Architecture;
pub use build::{ArchitectureError, LayerSummary, build, build_blank, summary};
pub use calibration::Calibration;
pub use embedded::{EMBEDDED, Embedded, stored};
pub use file::{ModelFileError, write_atomically};
pub use tensors::{Precision, read_tensors, write_tensors};

use moue_engine::{InferenceNetwork, Isa, Network, Tensor};
use serde::{Deserialize, Serialize};

/// How pixels become network inputs: `(pixel / 255 − mean) / std`, one number
/// for each channel or one for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// On the scale 0–1.
    pub mean: Vec<f32>,
    /// On the scale 0–1; positive.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Pixels divided by 255 and nothing else.
    #[must_use]
    pub fn unit() -> Self {
        Self { mean: vec![0.0], std: vec![1.0] }
    }

    /// For channel `c`, the factor and offset that take a pixel (0–255) to an input.
    #[must_use]
    pub fn factor_and_offset(&self, c: usize) -> (f32, f32) {
        let of = |values: &[f32], missing: f32| values.get(c).or(values.first()).copied().unwrap_or(missing);
        let (mean, std) = (of(&self.mean, 0.0), of(&self.std, 1.0));
        (1.0 / (255.0 * std), -mean / std)
    }
}

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
    /// SHA-256 of each model whose answers were part of the target.
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

/// A network with all that is needed to use it.
pub struct Model {
    /// The network as it is written down.
    pub architecture: Architecture,
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// How pixels become inputs.
    pub normalisation: Normalisation,
    /// What is done to logits.
    pub calibration: Calibration,
    /// Answers with a lower confidence are called uncertain; 0 for never.
    pub uncertain_below: f32,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The weights. Changes made after the first answer do not show in later ones.
    pub network: Network,
    /// The network made ready, from the first answer on.
    pub(crate) ready: Option<InferenceNetwork>,
}

impl Model {
    /// A model that has not learned anything: weights drawn from the seed, pixels
    /// divided by 255.
    ///
    /// # Errors
    /// When the architecture is no network for this many classes.
    pub fn untrained(architecture: Architecture, classes: Vec<String>, seed: u64) -> Result<Self, ArchitectureError> {
        let network = build(&architecture, classes.len(), seed)?;
        let provenance = Provenance {
            seed,
            moue_version: env!("CARGO_PKG_VERSION").to_owned(),
            isa: Isa::in_use().name().to_owned(),
            ..Provenance::default()
        };
        Ok(Self {
            architecture,
            classes,
            normalisation: Normalisation::unit(),
            calibration: Calibration::default(),
            uncertain_below: 0.0,
            provenance,
            network,
            ready: None,
        })
    }

    /// Probabilities `[N, classes]` of a batch of normalised images `[N, H, W, C]`.
    pub fn probabilities(&mut self, images: &Tensor) -> Vec<f32> {
        let ready = self.ready.get_or_insert_with(|| InferenceNetwork::new(&self.network));
        let mut rows = ready.run(images).data().to_vec();
        self.calibration.apply(&mut rows, self.classes.len());
        rows
    }

    /// Gives the network other weights: an array for each parameter, in its order.
    pub(crate) fn set_weights(&mut self, weights: &[Vec<f32>]) {
        set_weights(&mut self.network, weights);
        self.ready = None;
    }

    /// Multiply-adds for one image.
    #[must_use]
    pub fn macs(&self) -> usize {
        moue_engine::Layer::macs(self.network.layers())
    }

    /// Numbers in the network, those of batch normalization's running
    /// statistics included.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let mut count = 0;
        self.network.visit(|parameter| count += parameter.value.len());
        count
    }
}

/// Sets all parameters; `weights` must come from a network of the same form.
pub(crate) fn set_weights(network: &mut Network, weights: &[Vec<f32>]) {
    let mut weights = weights.iter();
    network.visit_mut(|parameter| {
        if let Some(values) = weights.next() {
            parameter.value.copy_from_slice(values);
        }
    });
}

/// Copies the values of parameters that have the same name and shape, and
/// returns the names of those in `to` that were not found in `from`.
pub fn transfer(from: &Network, to: &mut Network) -> Vec<String> {
    let mut values = std::collections::HashMap::new();
    from.visit(|parameter| {
        values.insert(parameter.name.clone(), (parameter.shape.clone(), parameter.value.to_vec()));
    });
    let mut fresh = Vec::new();
    to.visit_mut(|parameter| match values.get(&parameter.name) {
        Some((shape, value)) if *shape == parameter.shape => parameter.value.copy_from_slice(value),
        _ => fresh.push(parameter.name.clone()),
    });
    fresh
}
