//! A model: a network with its weights, and what is needed to use it.

use super::architecture::Architecture;
use super::build::{ArchitectureError, build};
use super::calibration::Calibration;
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
    pub architecture: Architecture,
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// How pixels become inputs.
    pub normalization: Normalization,
    /// What is done to logits.
    pub calibration: Calibration,
    /// Predictions with a lower confidence are called uncertain; 0 for never.
    pub uncertain_below: f32,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The network and its weights.
    pub network: Network,
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
        document.calibration.check(document.classes.len())?;
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
