//! Finishes a training: its report and its summary.

use crate::data::{Split, TrainingImages};
use crate::evaluate::{EvaluationView, Metrics, SplitEvaluation, TrainingOverlap, VectorMetrics};
use crate::report;
use crate::train::{Ending, Job, Outcome, TrainError};
use moue::Tta;
use serde::Serialize;
use std::path::PathBuf;

/// The result of a training, as `moue train --json` prints it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunSummary {
    /// The run folder.
    pub run: PathBuf,
    /// How it ended.
    pub ending: Ending,
    /// Number of finished epochs.
    pub epochs: usize,
    /// The selected epoch, from 1; 0 when none is finished.
    pub best_epoch: usize,
    /// The model; `None` when no epoch is finished.
    #[serde(flatten)]
    pub best: Option<BestEpoch>,
}

/// The model of a run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BestEpoch {
    /// The validation split.
    pub split: Split,
    /// Metrics on that split; optimistic: the epoch was selected on this split.
    #[serde(rename = "figures")]
    pub metrics: Metrics,
    /// The metrics of a calibration that changes predicted classes, cross-fitted; absent for a
    /// temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorMetrics>,
    /// The model file.
    pub model: PathBuf,
    /// The report.
    pub report: PathBuf,
}

/// Writes the report of a finished or stopped training and returns its summary.
///
/// # Errors
/// When the report cannot be written.
pub fn conclude(outcome: &Outcome, job: &Job<'_>) -> Result<RunSummary, TrainError> {
    let best = match page(outcome, job) {
        None => None,
        Some((page, SplitEvaluation { metrics, vector, .. })) => {
            job.folder.write_report(&page)?;
            let (model, report) = (job.folder.model(), job.folder.report());
            Some(BestEpoch { split: Split::Validation, metrics, vector, model, report })
        }
    };
    Ok(RunSummary {
        run: job.folder.path().to_owned(),
        ending: outcome.ending,
        epochs: outcome.history.len(),
        best_epoch: outcome.best_epoch,
        best,
    })
}

/// The report of a training and the metrics of its model on the validation split; `None` when no
/// epoch is finished.
fn page(outcome: &Outcome, job: &Job<'_>) -> Option<(String, SplitEvaluation)> {
    let (model, predictions) = (outcome.model.as_ref()?, outcome.validation.as_ref()?);
    let evaluated = SplitEvaluation::new(model, predictions.clone(), true);
    let title = format!("{} on {}", job.config.model.name, job.source);
    let page = report::training(&report::Training {
        title: &title,
        config: &job.config.to_toml().unwrap_or_default(),
        history: &outcome.history,
        best_epoch: outcome.best_epoch,
        evaluation: EvaluationView {
            title: &title,
            model,
            metrics: &evaluated.metrics,
            fitted: &evaluated.fitted,
            cross_fitted: true,
            vector: evaluated.vector.as_ref(),
            overlap: Some(TrainingOverlap::new(&TrainingImages::of(job.dataset), job.dataset, Split::Validation)),
            predictions: &evaluated.predictions,
            dataset: job.dataset,
            split: &job.dataset.describe(Split::Validation),
            selection: true,
            on_training: false,
            tta: Tta::None,
            precision: job.config.train.precision.into(),
            others: &[],
            corruptions: &[],
            votes: None,
            adjustments: &[],
            slices: &[],
            error_votes: None,
        },
    });
    Some((page, evaluated))
}
