//! The results of an evaluation as reports and `moue evaluate --json` take them.

use super::adjustment::AdjustmentPoint;
use super::calibration::CrossFitted;
use super::corruptions;
use super::error_votes::ErrorVotes;
use super::mcnemar::Paired;
use super::metrics::Metrics;
use super::overlap::TrainingOverlap;
use super::predictions::Predictions;
use super::selective::Selective;
use super::slices::Slice;
use super::split_evaluation::VectorMetrics;
use super::votes::VoteMetrics;
use crate::data::{DataSource, Dataset, Split};
use moue::model::Model;
use moue::{Precision, Tta};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;

/// Results of an evaluation, for reports.
pub struct EvaluationView<'a> {
    /// Heading.
    pub title: &'a str,
    /// The model that was evaluated.
    pub model: &'a Model,
    /// Metrics of the model.
    pub metrics: &'a Metrics,
    /// The cross-fitted calibration of the predictions, by a temperature.
    pub fitted: &'a CrossFitted,
    /// Whether predictions and metrics are cross-fitted.
    pub cross_fitted: bool,
    /// The metrics of a calibration that changes predicted classes; `None` for a temperature.
    pub vector: Option<&'a VectorMetrics>,
    /// The model's training images among these; `None` where they are not known.
    pub overlap: Option<TrainingOverlap>,
    /// The predictions from which the metrics are computed.
    pub predictions: &'a Predictions,
    /// The data set.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
    /// Whether this split is used for selection.
    pub selection: bool,
    /// Whether this is the training split.
    pub on_training: bool,
    /// The views over which predictions are averaged.
    pub tta: Tta,
    /// Precision of the predictions.
    pub precision: Precision,
    /// Other models on the same images.
    pub others: &'a [Other],
    /// The model on corrupted images; empty unless requested.
    pub corruptions: &'a [corruptions::Row],
    /// The predictions compared with votes, where they are given.
    pub votes: Option<&'a VoteMetrics>,
    /// Metrics with prior adjustments; empty where the classes of the training are nearly equally frequent or not known.
    pub adjustments: &'a [AdjustmentPoint],
    /// Parts of the split, compared with the rest.
    pub slices: &'a [Slice],
    /// The votes on errors, where votes are given.
    pub error_votes: Option<&'a ErrorVotes>,
}

/// Another model, compared with the evaluated one.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Other {
    /// Name of the model as given.
    pub model: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Metrics on the same images.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The metrics of a calibration that changes predicted classes, if the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorMetrics>,
    /// Number of these images that the model was trained on, or of copies of them; null where its
    /// training images are not known.
    #[serde(serialize_with = "count")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<usize>"))]
    pub training_overlap: Option<TrainingOverlap>,
    /// The predictions compared with votes; only with `--votes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<VoteMetrics>,
    /// McNemar's test of the evaluated model (first) and this one (second).
    pub paired: Paired,
}

/// The results of an evaluation, as `moue evaluate --json` prints them.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EvaluationDocument<'a> {
    /// The model, as given.
    model: Cow<'a, str>,
    /// The data, as given; `drawn` for synthetic faces.
    data: String,
    /// The split that was evaluated.
    split: Split,
    /// The source's own name of the split; null if it has none.
    source_split: Option<&'a str>,
    /// Whether each prediction is the mean over several views of the image (test-time augmentation).
    tta: bool,
    /// The views: `flip` for the image and its mirror image, `crops` for ten crops; null without test-time augmentation.
    tta_method: Option<&'static str>,
    /// Precision of the predictions: `f32` or `bf16`.
    precision: &'static str,
    /// Whether the epoch of the model was selected on this split; its metrics are then optimistic.
    selection_split: bool,
    /// Expected calibration error where each prediction is calibrated by a fit on other images of the split.
    ece_cross_fitted: f64,
    /// Negative log-likelihood, cross-fitted likewise.
    nll_cross_fitted: f64,
    /// Number of these images that the model was trained on, or of copies of them; null where its training images
    /// are not known.
    training_overlap: Option<usize>,
    #[serde(flatten)]
    metrics: &'a Metrics,
    /// The predictions that are not uncertain; absent for a model without a threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    selective: Option<Selective>,
    /// The metrics of a calibration that changes predicted classes; only if the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a VectorMetrics>,
    /// Other models on the same images; only with `--compare`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compare: &'a [Other],
    /// The model on corrupted images; only with `--corruptions`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    corruptions: &'a [corruptions::Row],
    /// The mean over these corruptions; only with `--corruptions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    corruption_summary: Option<corruptions::Summary>,
    /// The predictions compared with people's votes; only with `--votes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<&'a VoteMetrics>,
    /// Metrics with prior adjustments of several strengths, in place of the model's own; absent where the classes of the
    /// training are nearly equally frequent or not known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logit_adjustment: &'a [AdjustmentPoint],
    /// Fifths of the split by brightness, contrast, sharpness and resolution, each compared with the other images; none of a
    /// property that all images have in common.
    slices: &'a [Slice],
    /// The votes on misclassified images, compared with those on the others; only with `--votes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_votes: Option<&'a ErrorVotes>,
}

fn count<S: serde::Serializer>(overlap: &Option<TrainingOverlap>, serializer: S) -> Result<S::Ok, S::Error> {
    overlap.map(|overlap| overlap.images).serialize(serializer)
}

impl EvaluationView<'_> {
    /// Whether the split is the training split, and may contain the model's training images.
    #[must_use]
    pub fn split_is_training(&self) -> bool {
        self.on_training && self.overlap.is_none_or(|overlap| overlap.images > 0)
    }

    /// A warning for each model that was trained on some of these images.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let own = self.overlap.and_then(|overlap| overlap.warning(&self.model.architecture().name));
        let others = self.others.iter().filter_map(|other| other.training_overlap?.warning(&other.model));
        own.into_iter().chain(others).collect()
    }

    /// The predictions that are not uncertain; `None` for a model without a threshold.
    #[must_use]
    pub fn selective(&self) -> Option<Selective> {
        let Predictions { labels, probabilities, .. } = self.predictions;
        Selective::new(self.model.uncertain_below(), &self.metrics.labels, labels, probabilities)
    }

    /// The results as `moue evaluate --json` prints them; `model` and `source` as given.
    #[must_use]
    pub fn document(&self, model: impl AsRef<Path>, source: &DataSource, split: Split) -> Value {
        let document = EvaluationDocument {
            model: model.as_ref().to_string_lossy(),
            data: source.path_text(),
            split,
            source_split: self.dataset.split_names[split as usize].as_deref(),
            tta: self.tta.is_on(),
            tta_method: self.tta.name(),
            precision: self.precision.name(),
            selection_split: self.selection,
            ece_cross_fitted: self.fitted.ece,
            nll_cross_fitted: self.fitted.nll,
            training_overlap: self.overlap.map(|overlap| overlap.images),
            vector: self.vector,
            metrics: self.metrics,
            selective: self.selective(),
            compare: self.others,
            corruptions: self.corruptions,
            corruption_summary: corruptions::summary(self.corruptions),
            votes: self.votes,
            logit_adjustment: self.adjustments,
            slices: self.slices,
            error_votes: self.error_votes,
        };
        // Texts, numbers and lists can always be represented.
        serde_json::to_value(&document).unwrap_or_default()
    }
}
