//! A model: a network with its weights, and what is needed to use it.

use super::architecture::Architecture;
use super::build::{ArchitectureError, build};
use super::calibration::{Calibration, CalibrationError};
use super::normalization::Normalization;
use super::provenance::Provenance;
use moue_engine::{Isa, Network};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the document's form.
const FORMAT: u32 = 1;

/// A network with all that is needed to use it.
pub struct Model {
    /// The network as it is written down.
    pub(crate) architecture: Architecture,
    /// Names of the classes, in the order of the outputs.
    pub(crate) classes: Vec<String>,
    /// How pixels become inputs.
    pub(crate) normalization: Normalization,
    /// What is done to logits.
    pub(crate) calibration: Calibration,
    /// Predictions with a lower confidence are called uncertain; 0 for never.
    pub(crate) uncertain_below: f32,
    /// Where it comes from.
    pub(crate) provenance: Provenance,
    /// The network and its weights.
    pub(crate) network: Network,
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
            normalization: Normalization::unit(),
            calibration: Calibration::default(),
            uncertain_below: 0.0,
            provenance,
            network,
        })
    }

    /// The network as it is written down.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Names of the classes, in the order of the outputs.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// `[height, width, channels]` of the images that the network takes.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.architecture.input
    }

    /// How pixels become network inputs.
    #[must_use]
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// Changes how pixels become network inputs.
    pub fn set_normalization(&mut self, normalization: Normalization) {
        self.normalization = normalization;
    }

    /// What is done to logits.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Predictions with a lower confidence are called uncertain; 0 for never.
    #[must_use]
    pub fn uncertain_below(&self) -> f32 {
        self.uncertain_below
    }

    /// Changes what is done to logits, and the confidence (0–1) below which predictions are
    /// called uncertain.
    ///
    /// # Errors
    /// When the calibration cannot be applied, or undone, for this many classes.
    pub fn set_calibration(&mut self, calibration: Calibration, uncertain_below: f32) -> Result<(), CalibrationError> {
        calibration.check(self.classes.len())?;
        self.calibration = calibration;
        self.uncertain_below = uncertain_below;
        Ok(())
    }

    /// Where it comes from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Where it comes from, to be filled in by who trains it.
    pub fn provenance_mut(&mut self) -> &mut Provenance {
        &mut self.provenance
    }

    /// The network and its weights.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, whose weights may be changed.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
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

/// What a model file says beside its numbers, as JSON with its keys sorted.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    format: u32,
    pub(super) architecture: Architecture,
    pub(super) classes: Vec<String>,
    #[serde(rename = "normalisation", alias = "normalization")]
    normalization: Normalization,
    calibration: Calibration,
    uncertain_below: f32,
    provenance: Provenance,
}

impl Document {
    pub(super) fn of(model: &Model) -> Self {
        Self {
            format: FORMAT,
            architecture: model.architecture.clone(),
            classes: model.classes.clone(),
            normalization: model.normalization.clone(),
            calibration: model.calibration.clone(),
            uncertain_below: model.uncertain_below,
            provenance: model.provenance.clone(),
        }
    }

    /// Its fields; a map keeps its keys sorted.
    pub(super) fn to_fields(&self) -> Result<Map<String, Value>, String> {
        match serde_json::to_value(self).map_err(|error| error.to_string())? {
            Value::Object(fields) => Ok(fields),
            other => Err(format!("a document came out as {other}")),
        }
    }

    pub(super) fn from_fields(fields: Map<String, Value>) -> Result<Self, String> {
        let document: Self = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("it has format {}, this version reads format {FORMAT}", document.format));
        }
        let (mean, std) = (document.normalization.mean().to_vec(), document.normalization.std().to_vec());
        Normalization::new(mean, std).ok_or(Normalization::UNUSABLE)?;
        document.calibration.check(document.classes.len()).map_err(|error| error.to_string())?;
        Ok(document)
    }

    pub(super) fn into_model(self, network: Network) -> Model {
        Model {
            architecture: self.architecture,
            classes: self.classes,
            normalization: self.normalization,
            calibration: self.calibration,
            uncertain_below: self.uncertain_below,
            provenance: self.provenance,
            network,
        }
    }
}
