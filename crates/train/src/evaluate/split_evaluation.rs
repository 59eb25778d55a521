//! Predictions for a split with their metrics.

use super::calibration::{CrossFitted, as_predicted, cross_fit, raw_logits};
use super::metrics::{Metrics, compute_metrics};
use super::predictions::Predictions;
use crate::config::CalibrationKind;
use moue::model::Model;
use serde::Serialize;

/// A model's predictions and their metrics. The accuracy is that of the network's classes.
#[derive(Clone, Debug)]
pub struct SplitEvaluation {
    /// The predictions.
    pub predictions: Predictions,
    /// Their metrics.
    pub metrics: Metrics,
    /// Their cross-fitted calibration, by a temperature.
    pub fitted: CrossFitted,
    /// Whether predictions and metrics are cross-fitted.
    pub cross_fitted: bool,
    /// The metrics of a calibration that changes predicted classes; `None` for a temperature.
    pub vector: Option<VectorMetrics>,
    /// Logits of the network for the predictions, `[N, classes]`, minus the mean of their row.
    pub logits: Vec<f64>,
}

/// Metrics of a calibration with a factor or a bias for each class: of the classes that `predict`
/// gives with such a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VectorMetrics {
    /// Share of correct predictions.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// Mean F1 of the classes that have images.
    pub macro_f1: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// Whether each fifth of the images is evaluated with a fit on the other four fifths, as on the
    /// validation split, or with the model's calibration.
    pub cross_fitted: bool,
}

impl SplitEvaluation {
    /// The metrics of predictions. Where the model was calibrated on these images and labels, the
    /// probabilities are to be cross-fitted, so that NLL, ECE and selective accuracy are not
    /// optimistic.
    #[must_use]
    pub fn new(model: &Model, mut predictions: Predictions, cross_fitted: bool) -> Self {
        let logits = raw_logits(model, &predictions);
        let metrics = |probabilities: &[f32]| compute_metrics(model.classes(), &predictions.labels, probabilities);
        let vector = model.calibration().changes_classes().then(|| {
            let found = metrics(&if cross_fitted {
                cross_fit(model, &predictions, CalibrationKind::Vector).probabilities
            } else {
                as_predicted(model, &predictions)
            });
            let Metrics { accuracy, accuracy_ci95, macro_f1, nll, ece, .. } = found;
            VectorMetrics { accuracy, accuracy_ci95, macro_f1, nll, ece, cross_fitted }
        });
        let fitted = cross_fit(model, &predictions, CalibrationKind::Temperature);
        let metrics = metrics(if cross_fitted { &fitted.probabilities } else { &predictions.probabilities });
        if cross_fitted {
            predictions.probabilities.clone_from(&fitted.probabilities);
        }
        Self { predictions, metrics, fitted, cross_fitted, vector, logits }
    }
}
