//! Logit adjustment for rare classes (Menon et al. 2021): accuracy against macro recall for several strengths.

use super::metrics::compute_metrics;
use super::predictions::Predictions;
use super::votes::vote_accuracy;
use crate::data::{Dataset, ImageVotes};
use moue::model::{Calibration, Model};
use serde::Serialize;

/// Strengths of the curve.
const STRENGTHS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Ratio of the most to the least frequent class from which an adjustment is of interest.
const UNEQUAL: f64 = 1.5;

/// Metrics of a model with a prior adjustment of this strength.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdjustmentPoint {
    /// Strength τ, as in `[model] prior_adjustment`.
    pub tau: f64,
    /// Share of correct predictions.
    pub accuracy: f64,
    /// Mean recall of the classes that have images.
    pub macro_recall: f64,
    /// Accuracy by FER+'s protocol; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_accuracy: Option<f64>,
    /// Mean recall of the classes against the majority of the votes; only with votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes_macro_recall: Option<f64>,
}

/// The curve over the strength. `logits` are those of the network for the predictions. Empty where the training targets
/// of the model are not known or its classes are nearly equally frequent.
#[must_use]
pub fn adjustment_curve(
    model: &Model,
    predictions: &Predictions,
    logits: &[f64],
    dataset: &Dataset,
    votes: Option<&ImageVotes>,
) -> Vec<AdjustmentPoint> {
    let Some(prior) = model.provenance().prior().filter(|prior| prior.len() == model.classes().len()) else {
        return Vec::new();
    };
    let (least, most) = prior.iter().fold((1.0f64, 0.0f64), |(low, high), &share| (low.min(share), high.max(share)));
    if most < UNEQUAL * least {
        return Vec::new();
    }
    STRENGTHS
        .into_iter()
        .map(|tau| {
            let mut rows: Vec<f32> = logits.iter().map(|&logit| logit as f32).collect();
            Calibration::default().with_prior(tau, &prior).apply(&mut rows, prior.len());
            let metrics = compute_metrics(model.classes(), &predictions.labels, &rows);
            let adjusted = Predictions { probabilities: rows, ..predictions.clone() };
            let voted = votes.map(|votes| vote_accuracy(&adjusted, dataset, votes));
            AdjustmentPoint {
                tau,
                accuracy: metrics.accuracy,
                macro_recall: metrics.macro_recall,
                votes_accuracy: voted.map(|(accuracy, _)| accuracy),
                votes_macro_recall: voted.map(|(_, recall)| recall),
            }
        })
        .collect()
}
