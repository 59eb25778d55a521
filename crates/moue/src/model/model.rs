//! A model: a network with its weights, and everything that a prediction needs.

use super::architecture::Architecture;
use super::build::{ArchitectureError, build};
use super::calibration::{Calibration, CalibrationError};
use super::int8::{Int8, RangeError};
use super::normalization::Normalization;
use super::provenance::Provenance;
use moue_engine::{Isa, Network};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the metadata format.
const FORMAT: u32 = 1;

/// A network with its weights, and everything that a prediction needs.
pub struct Model {
    /// The description of the network.
    pub(crate) architecture: Architecture,
    /// Names of the classes, in the order of the outputs.
    pub(crate) classes: Vec<String>,
    /// The normalization of pixels.
    pub(crate) normalization: Normalization,
    /// The calibration of probabilities.
    pub(crate) calibration: Calibration,
    /// Predictions with a lower confidence are marked as uncertain; 0 marks none.
    pub(crate) uncertain_below: f32,
    /// What predictions with 8-bit integers need.
    pub(crate) int8: Option<Int8>,
    /// The provenance of the model.
    pub(crate) provenance: Provenance,
    /// The network and its weights.
    pub(crate) network: Network,
}

impl Model {
    /// An untrained model: weights initialized from the seed, pixels divided by 255.
    ///
    /// # Errors
    /// When a network cannot be built from the architecture for this number of classes.
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
            int8: None,
            provenance,
            network,
        })
    }

    /// The description of the network.
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

    /// The normalization of pixels.
    #[must_use]
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// Sets the normalization of pixels.
    pub fn set_normalization(&mut self, normalization: Normalization) {
        self.normalization = normalization;
    }

    /// The calibration of probabilities.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Predictions with a lower confidence are marked as uncertain; 0 marks none.
    #[must_use]
    pub fn uncertain_below(&self) -> f32 {
        self.uncertain_below
    }

    /// Sets the calibration, and the confidence (0–1) below which predictions are marked as
    /// uncertain.
    ///
    /// # Errors
    /// When the calibration cannot be applied or inverted for this number of classes.
    pub fn set_calibration(&mut self, calibration: Calibration, uncertain_below: f32) -> Result<(), CalibrationError> {
        calibration.check(self.classes.len())?;
        self.calibration = calibration;
        self.uncertain_below = uncertain_below;
        Ok(())
    }

    /// What predictions with 8-bit integers need; `None` where the ranges of activations are not known.
    #[must_use]
    pub fn int8(&self) -> Option<&Int8> {
        self.int8.as_ref()
    }

    /// Sets what predictions with 8-bit integers need. It belongs to the current weights.
    ///
    /// # Errors
    /// When the ranges do not fit the network.
    pub fn set_int8(&mut self, int8: Option<Int8>) -> Result<(), RangeError> {
        int8.iter().try_for_each(|int8| int8.check(&self.network))?;
        self.int8 = int8;
        Ok(())
    }

    /// Sets the strength of the prior adjustment: fixed biases for rare classes that follow from the training targets. The
    /// fitted calibration is unchanged. Returns whether the provenance has the training targets, with all classes.
    pub fn set_prior_adjustment(&mut self, strength: f32) -> bool {
        let Some(prior) = self.provenance.prior().filter(|prior| prior.len() == self.classes.len()) else {
            return false;
        };
        self.architecture.prior_adjustment = strength;
        // The accuracies are those without it.
        self.int8.iter_mut().for_each(|int8| int8.accuracy = None);
        self.calibration = self.calibration.clone().with_prior(strength.into(), &prior);
        true
    }

    /// The provenance of the model.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The provenance of the model, set by the program that trains it.
    pub fn provenance_mut(&mut self) -> &mut Provenance {
        &mut self.provenance
    }

    /// The network and its weights.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network; its weights may be changed.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// Multiply-adds for one image.
    #[must_use]
    pub fn macs(&self) -> usize {
        moue_engine::Layer::macs(self.network.layers())
    }

    /// Number of parameters, including the running statistics of batch normalization.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let mut count = 0;
        self.network.visit(|parameter| count += parameter.value.len());
        count
    }
}

/// The metadata of a model file, as JSON with sorted keys.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    format: u32,
    pub(super) architecture: Architecture,
    pub(super) classes: Vec<String>,
    #[serde(rename = "normalisation", alias = "normalization")]
    normalization: Normalization,
    calibration: Calibration,
    uncertain_below: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) int8: Option<Int8>,
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
            int8: model.int8.clone(),
            provenance: model.provenance.clone(),
        }
    }

    /// The fields as a map, which keeps the keys sorted.
    pub(super) fn to_fields(&self) -> Result<Map<String, Value>, String> {
        match serde_json::to_value(self).map_err(|error| error.to_string())? {
            Value::Object(fields) => Ok(fields),
            other => Err(format!("the metadata is not a JSON object: {other}")),
        }
    }

    pub(super) fn from_fields(fields: Map<String, Value>) -> Result<Self, String> {
        let document: Self = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("it has format {}, but this version of moue reads format {FORMAT}", document.format));
        }
        let (mean, std) = (document.normalization.mean().to_vec(), document.normalization.std().to_vec());
        Normalization::new(mean, std).ok_or(Normalization::UNUSABLE)?;
        document.calibration.check(document.classes.len()).map_err(|error| error.to_string())?;
        Ok(document)
    }

    /// The model of a network.
    ///
    /// # Errors
    /// When the ranges of 8-bit integers do not fit it.
    pub(super) fn into_model(self, network: Network) -> Result<Model, RangeError> {
        self.int8.iter().try_for_each(|int8| int8.check(&network))?;
        Ok(Model {
            architecture: self.architecture,
            classes: self.classes,
            normalization: self.normalization,
            calibration: self.calibration,
            uncertain_below: self.uncertain_below,
            int8: self.int8,
            provenance: self.provenance,
            network,
        })
    }
}
