//! The report of a training: metrics, learning curves, configuration.

use super::chart::{Chart, Line};
use super::classes::confusion;
use super::{evaluation, page};
use crate::evaluate::EvaluationView;
use crate::train::EpochRecord;
use maud::{Markup, html};

/// Content of the report of a training.
pub struct Training<'a> {
    /// Heading.
    pub title: &'a str,
    /// The resolved configuration, as TOML.
    pub config: &'a str,
    /// All epochs.
    pub history: &'a [EpochRecord],
    /// The selected epoch, from 1.
    pub best_epoch: usize,
    /// Metrics of the selected epoch's model on `evaluation.split`.
    pub evaluation: EvaluationView<'a>,
}

/// The report of a training as an HTML page.
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
                "Training metrics are means over an epoch's steps, with augmentation, dropout and label smoothing, if "
                "any; validation metrics are computed after the epoch without them. The dotted line marks the selected "
                "epoch."
            }
            (evaluation::sections(&report.evaluation, &confusion(report.evaluation.metrics), &html! {}))
            h2 { "Configuration" }
            p {
                "The resolved configuration. With the same data, binary and instruction set, training gives a "
                "bit-identical model."
            }
            pre { (report.config) }
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
        bands: Vec::new(),
        mark: Some(report.best_epoch as f64),
        level: None,
        wide: false,
    };
    let accuracy = chart("Accuracy, %", |r| r.train_accuracy * 100.0, |r| r.validation_accuracy * 100.0);
    let loss = chart("Loss", |r| r.train_loss, |r| r.validation_loss);
    html! { (accuracy.svg()) (loss.svg()) }
}
