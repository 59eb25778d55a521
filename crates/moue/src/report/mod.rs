//! What came out, for people who would rather look than read: one
//! self-contained HTML page with charts drawn as SVG, a PNG, or a model card in
//! Markdown. Nothing in a page is loaded from elsewhere.

mod annotation;
mod canvas;
mod card;
mod chart;
mod comparison;
mod evaluation;
mod page;
pub mod preview;
mod timeline;

pub use annotation::{annotated, enlarged, explain_faces, explained, overlaid};
pub use card::{Card, card};
pub use comparison::comparison;
pub use evaluation::points;
pub use page::{document, image_url, percent};
pub use timeline::Timeline;

use crate::data::{Dataset, Split};
use crate::evaluate::corruptions;
use crate::evaluate::{self, Answers, CrossFitted, EvaluateError, Figures, Paired};
use crate::model::{Model, write_atomically};
use crate::train::{DataSource, Ending, EpochRecord, Job, Outcome, TrainError};
use chart::{Chart, Line};
use image::RgbImage;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Writes a picture, whole or not at all; JPEG or PNG by the path's ending.
///
/// # Errors
/// When it cannot be written.
pub fn save_picture(path: &Path, picture: &RgbImage) -> std::io::Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    let coded = if path.extension().is_some_and(|own| own == "png") {
        picture.write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes))
    } else {
        picture.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90))
    };
    coded.map_err(std::io::Error::other)?;
    write_atomically(path, bytes.get_ref())
}

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
    /// What the best epoch's model does on `evaluation.split`.
    pub evaluation: Evaluation<'a>,
}

/// What an evaluation's page shows.
pub struct Evaluation<'a> {
    /// Heading.
    pub title: &'a str,
    /// What was judged.
    pub model: &'a Model,
    /// Of the model.
    pub figures: &'a Figures,
    /// How well calibrated the answers are when fitted anew.
    pub fitted: &'a CrossFitted,
    /// What they were computed from.
    pub answers: &'a Answers,
    /// Where the images are.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
    /// Whether models are chosen by this split.
    pub selection: bool,
    /// Whether mirror images were averaged in.
    pub tta: bool,
    /// Other models on the same images.
    pub others: &'a [Other],
    /// The model on altered images; empty where that was not asked for.
    pub corruptions: &'a [corruptions::Row],
}

/// Another model beside the one that is judged.
#[derive(Clone, Debug, Serialize)]
pub struct Other {
    /// As it was named.
    pub model: String,
    /// Numbers stored in it.
    pub parameters: usize,
    /// On the same images.
    #[serde(flatten)]
    pub figures: Figures,
    /// The judged model first, this one second.
    pub paired: Paired,
}

/// The page of a training.
#[must_use]
pub fn training(report: &Training<'_>) -> String {
    page::page(
        report.title,
        &html! {
            h1 { (report.title) }
            (evaluation::headline(&report.evaluation, Some((report.best_epoch, report.history.len()))))
            h2 { "Learning curves" }
            div.charts { (curves(report)) }
            p.soft {
                "Training figures are means over an epoch's steps, with augmentation, dropout and label smoothing, if any; "
                "validation figures are taken after the epoch without them. The dotted line is the epoch that was kept."
            }
            (evaluation::sections(&report.evaluation))
            h2 { "Configuration" }
            p { "Resolved: with the same data, program and instruction set it gives the same model to the byte." }
            pre { (report.config) }
        },
    )
}

impl Evaluation<'_> {
    /// What was found out, as `moue evaluate --json` prints it; `model` and
    /// `source` as they were named.
    #[must_use]
    pub fn document(&self, model: &Path, source: &DataSource, split: Split) -> Value {
        let mut document = json!({
            "model": model, "data": source.path_text(), "split": split, "tta": self.tta,
            "source_split": self.dataset.split_names[split as usize],
            "selection_split": self.selection, "ece_cross_fitted": self.fitted.ece,
        });
        let figures = serde_json::to_value(self.figures);
        if let (Some(all), Ok(Value::Object(figures))) = (document.as_object_mut(), figures) {
            all.extend(figures);
        }
        if !self.others.is_empty() {
            document["compare"] = json!(self.others);
        }
        if !self.corruptions.is_empty() {
            document["corruptions"] = json!(self.corruptions);
        }
        document
    }
}

/// What a training came to, as `moue train --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Its folder.
    pub run: PathBuf,
    /// How it ended.
    pub ending: Ending,
    /// Epochs that were finished.
    pub epochs: usize,
    /// The one whose model was kept, from 1; 0 when none was finished.
    pub best_epoch: usize,
    /// What else there is after a finished epoch.
    #[serde(flatten)]
    pub best: Option<BestEpoch>,
}

/// The model of a run.
#[derive(Clone, Debug, Serialize)]
pub struct BestEpoch {
    /// The split that it was judged on.
    pub split: Split,
    /// On that split.
    pub figures: Figures,
    /// Its file.
    pub model: PathBuf,
    /// The run's page.
    pub report: PathBuf,
}

/// Writes the page of a training that has ended and sums it up.
///
/// # Errors
/// When the model does not fit the data or the page cannot be written.
pub fn conclude(outcome: &mut Outcome, job: &Job<'_>) -> Result<RunSummary, TrainError> {
    let best = match of_run(outcome, job)? {
        None => None,
        Some((page, figures)) => {
            job.folder.write_report(&page)?;
            let (model, report) = (job.folder.model(), job.folder.report());
            Some(BestEpoch { split: Split::Validation, figures, model, report })
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

/// Judges the best epoch's model on the validation split: the page of the
/// training and the figures, or nothing where no epoch was finished.
fn of_run(outcome: &mut Outcome, job: &Job<'_>) -> Result<Option<(String, Figures)>, EvaluateError> {
    let Some(model) = &mut outcome.model else { return Ok(None) };
    let answers = evaluate::answer(model, job.dataset, Split::Validation, false, &mut |_| {})?;
    let figures = evaluate::figures(&model.classes, &answers.labels, &answers.probabilities);
    let title = format!("{} on {}", job.config.model.name, job.source);
    let page = training(&Training {
        title: &title,
        config: &job.config.to_toml().unwrap_or_default(),
        history: &outcome.history,
        best_epoch: outcome.best_epoch,
        evaluation: Evaluation {
            title: &title,
            model,
            figures: &figures,
            fitted: &evaluate::cross_fit(model, &answers),
            answers: &answers,
            dataset: job.dataset,
            split: &job.dataset.describe(Split::Validation),
            selection: true,
            tta: false,
            others: &[],
            corruptions: &[],
        },
    });
    Ok(Some((page, figures)))
}

/// The page of an evaluation.
#[must_use]
pub fn evaluation(report: &Evaluation<'_>) -> String {
    page::page(
        report.title,
        &html! {
            h1 { (report.title) }
            (evaluation::headline(report, None))
            (evaluation::sections(report))
        },
    )
}

fn curves(report: &Training<'_>) -> Markup {
    let series = |of: fn(&EpochRecord) -> f64| report.history.iter().map(|r| (r.epoch as f64, of(r))).collect();
    let chart = |title, train: fn(&EpochRecord) -> f64, validation: fn(&EpochRecord) -> f64| Chart {
        title,
        across: "epoch",
        lines: vec![
            Line { name: "training".into(), class: "a".into(), points: series(train) },
            Line { name: "validation".into(), class: "b".into(), points: series(validation) },
        ],
        mark: Some(report.best_epoch as f64),
        level: None,
        wide: false,
    };
    let accuracy = chart("Accuracy, %", |r| r.train_accuracy * 100.0, |r| r.validation_accuracy * 100.0);
    let loss = chart("Loss", |r| r.train_loss, |r| r.validation_loss);
    html! { (accuracy.svg()) (loss.svg()) }
}
