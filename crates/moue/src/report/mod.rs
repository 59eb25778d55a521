//! What came out, for people who would rather look than read: one
//! self-contained HTML page with charts drawn as SVG. Nothing here computes a
//! figure; nothing in a page is loaded from elsewhere.

mod chart;
mod page;

use crate::data::Dataset;
use crate::evaluate::{Answers, Figures, reliability};
use crate::train::EpochRecord;
use chart::{Chart, Line};
use maud::{Markup, html};

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
    /// Of the model.
    pub figures: &'a Figures,
    /// What they were computed from.
    pub answers: &'a Answers,
    /// Where the images are.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
    /// Whether mirror images were averaged in.
    pub tta: bool,
}

/// The page of a training.
#[must_use]
pub fn training(report: &Training<'_>) -> String {
    page::page(
        report.title,
        &html! {
            h1 { (report.title) }
            (page::headline(&report.evaluation, Some((report.best_epoch, report.history.len()))))
            h2 { "Learning curves" }
            div.charts { (curves(report)) }
            p.soft {
                "Training figures are means over an epoch's steps, with augmentation, dropout and label smoothing, if any; "
                "validation figures are taken after the epoch without them. The dotted line is the epoch that was kept."
            }
            (sections(&report.evaluation))
            h2 { "Configuration" }
            p { "Resolved: with the same data, program and instruction set it gives the same model to the byte." }
            pre { (report.config) }
        },
    )
}

/// The page of an evaluation.
#[must_use]
pub fn evaluation(report: &Evaluation<'_>) -> String {
    page::page(
        report.title,
        &html! {
            h1 { (report.title) }
            (page::headline(report, None))
            (sections(report))
        },
    )
}

fn sections(report: &Evaluation<'_>) -> Markup {
    let bins = reliability(&report.answers.labels, &report.answers.probabilities, report.figures.labels.len());
    html! {
        h2 { "Per class" }
        (page::per_class(report.figures))
        h2 { "Confusion" }
        p { "Rows are the true class, columns the answer; shades are shares of a row." }
        (page::confusion(report.figures))
        h2 { "Calibration" }
        p { "Does a confidence mean what it says? Bars that reach the line do; the expected calibration error is the "
            "mean gap, weighted by the number of answers." }
        div.charts { (chart::reliability(&bins)) }
        h2 { "Most confident mistakes" }
        (page::mistakes(report))
    }
}

fn curves(report: &Training<'_>) -> Markup {
    let series = |of: fn(&EpochRecord) -> f64| report.history.iter().map(|r| (r.epoch as f64, of(r))).collect();
    let pair = |train: fn(&EpochRecord) -> f64, validation: fn(&EpochRecord) -> f64| {
        vec![
            Line { name: "training", class: "a", points: series(train) },
            Line { name: "validation", class: "b", points: series(validation) },
        ]
    };
    let accuracy = Chart {
        title: "Accuracy, %",
        lines: pair(|r| r.train_accuracy * 100.0, |r| r.validation_accuracy * 100.0),
        mark: report.best_epoch as f64,
    };
    let loss =
        Chart { title: "Loss", lines: pair(|r| r.train_loss, |r| r.validation_loss), mark: report.best_epoch as f64 };
    html! { (accuracy.svg()) (loss.svg()) }
}
