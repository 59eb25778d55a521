//! What the reports of an evaluation and of a training share: headline, tables, charts, misclassified images.

use super::chart::{self, Chart, Line};
use super::classes::per_class;
use super::page::percent;
use super::votes as voted;
use crate::evaluate::{
    EvaluationView, Metrics, Other, VectorMetrics, VoteMetrics, corruptions, most_confident_first, reliability,
    risk_coverage,
};
use maud::{Markup, html};
use moue::render::image_url;
use moue::{Precision, Tta};
use moue_engine::loss::argmax;

/// Maximum number of misclassified images.
const MISTAKES: usize = 40;

/// The accuracy, and the split it was measured on; `epochs` is the selected epoch and the number of
/// epochs.
pub fn headline(report: &EvaluationView<'_>, epochs: Option<(usize, usize)>) -> Markup {
    let f = report.metrics;
    let [low, high] = f.accuracy_ci95;
    let most = f.per_class.iter().map(|class| class.support).max().unwrap_or(0) as f64 / f.n.max(1) as f64;
    html! {
        p.big { "Accuracy " (percent(f.accuracy)) " %" }
        p {
            "on " (f.n) " images of the split " (report.split)
            @if report.selection { " (selection split, optimistic)" }
            @if report.split_is_training() { " (training images)" }
            @if report.tta.is_on() { ", " (tta_text(report.tta)) }
            "; 95 % confidence interval " (percent(low)) "–" (percent(high)) " %. Macro F1 "
            (format!("{:.3}", f.macro_f1)) ", macro recall " (format!("{:.3}", f.macro_recall)) ", NLL " (format!("{:.3}", f.nll)) ", expected calibration error "
            (format!("{:.3}", f.ece)) "."
        }
        p.soft {
            "Majority-class baseline: " (percent(most)) " %."
            @if report.precision != Precision::F32 { " Computed in " (report.precision.name()) "." }
            @if let Some((best, all)) = epochs {
                " Weights of epoch " (best) " of " (all)
                " (optimistic: the epoch was selected on this split)."
            }
        }
        @for warning in report.warnings() { p { b { "Warning: " } (warning) "." } }
        @if let Some(vector) = report.vector { p { (vector_line(vector)) } }
    }
}

/// The wrong predictions with the highest confidence.
pub fn mistakes(report: &EvaluationView<'_>) -> Markup {
    let classes = &report.metrics.labels;
    let predictions = report.predictions;
    let mut wrong = Vec::new();
    for (at, confidence) in most_confident_first(&predictions.probabilities, classes.len()) {
        let predicted = argmax(&predictions.probabilities[at * classes.len()..(at + 1) * classes.len()]);
        let label = predictions.labels[at] as usize;
        if predicted != label && wrong.len() < MISTAKES {
            wrong.push((predictions.images[at], label, predicted, confidence));
        }
    }
    html! {
        @if wrong.is_empty() { p { "No image is misclassified." } }
        div.faces {
            @for (image, label, predicted, confidence) in wrong {
                figure {
                    @if let Some(source) = data_url(report, image) {
                        img src=(source) alt=(format!("image {}", report.dataset.ids[image]));
                    }
                    figcaption {
                        b { (classes[predicted]) } " " (percent(f64::from(confidence))) " %" br;
                        "true: " (classes[label]) br;
                        span.soft { (short(&report.dataset.ids[image])) }
                    }
                }
            }
        }
    }
}

/// The last part of a path.
fn short(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// An image of the data set as a PNG in a data URL.
fn data_url(report: &EvaluationView<'_>, index: usize) -> Option<String> {
    let dataset = report.dataset;
    image_url(dataset.image(index), dataset.shape())
}

/// The sections below the headline, with a confusion matrix and further sections.
pub fn sections(report: &EvaluationView<'_>, confusion: &Markup, further: &Markup) -> Markup {
    html! {
        h2 { "Metrics by class" }
        (per_class(report.metrics))
        h2 { "Confusion matrix" }
        p { "Rows are the true class, columns the predicted class. The shade is the share of the row." }
        (confusion)
        @if let Some(votes) = report.votes {
            h2 { "Labels and votes" }
            (voted::votes(report, votes))
        }
        @if !report.adjustments.is_empty() {
            h2 { "Rare classes" }
            (voted::adjustments(report.adjustments))
        }
        @if !report.others.is_empty() {
            h2 { "Comparison with other models" }
            (others(report))
        }
        h2 { "Calibration" }
        (calibration(report))
        @if !report.corruptions.is_empty() {
            h2 { "Corrupted images" }
            (corruptions_table(report.corruptions))
        }
        (further)
        h2 { "Most confident misclassifications" }
        (mistakes(report))
    }
}

fn calibration(report: &EvaluationView<'_>) -> Markup {
    let (labels, probabilities) = (&report.predictions.labels, &report.predictions.probabilities);
    let classes = report.metrics.labels.len();
    let curve = risk_coverage(labels, probabilities, classes);
    // A few hundred points give the same line as thousands.
    let points = curve.iter().step_by(curve.len().div_ceil(300).max(1)).chain(curve.last());
    let chart = Chart {
        title: "Selective accuracy, %",
        across: "coverage, %",
        lines: vec![Line {
            name: String::new(),
            class: "a".into(),
            points: points.map(|kept| (kept.coverage * 100.0, kept.accuracy * 100.0)).collect(),
        }],
        bands: Vec::new(),
        mark: curve
            .iter()
            .rev()
            .find(|kept| report.model.uncertain_below() > 0.0 && kept.confidence >= report.model.uncertain_below())
            .map(|kept| kept.coverage * 100.0),
        level: None,
        wide: false,
    };
    html! {
        p {
            "In a calibrated model the bars reach the diagonal. The expected calibration error is their mean distance "
            "from it, weighted by the number of predictions. " (calibration_text(report))
        }
        div.charts { (chart::reliability(&reliability(labels, probabilities, classes))) (chart.svg()) }
        @if report.model.uncertain_below() > 0.0 {
            p.soft {
                "Predictions with a confidence below " (percent(f64::from(report.model.uncertain_below())))
                " % are marked as uncertain (dotted line)."
            }
        }
    }
}

/// Sentences that describe the model's calibration and its error.
pub fn calibration_text(report: &EvaluationView<'_>) -> String {
    let calibration = report.model.calibration();
    let each = match (&calibration.scale, &calibration.bias) {
        (Some(_), _) => ", with a factor and a bias for each class (vector scaling)",
        (None, Some(_)) => ", with a bias for each class",
        (None, None) => "",
    };
    let error = if report.cross_fitted {
        format!(
            "Expected calibration error over 15 bins, cross-fitted (fitted on four fifths of these images, evaluated on \
             the last, in turn): {:.3}.",
            report.fitted.ece
        )
    } else {
        format!(
            "Expected calibration error over 15 bins: {:.3}; with a temperature cross-fitted on these images: {:.3}.",
            report.metrics.ece, report.fitted.ece
        )
    };
    let adjusted = match calibration.prior_adjustment {
        Some(_) => format!(
            "A fixed bias for each class adjusts the logits for rare classes (τ = {}). ",
            report.model.architecture().prior_adjustment
        ),
        None => String::new(),
    };
    format!("{adjusted}The model's logits are divided by {:.3}{each}. {error}", calibration.temperature)
}

/// What predictions are averaged over.
pub fn tta_text(tta: Tta) -> &'static str {
    match tta {
        Tta::None => "",
        Tta::Flip => "each prediction is averaged over the image and its mirror image",
        Tta::Crops => "each prediction is averaged over five crops and their mirror images",
    }
}

/// A sentence with the metrics of a calibration that changes predicted classes.
#[must_use]
pub fn vector_line(vector: &VectorMetrics) -> String {
    let [low, high] = vector.accuracy_ci95.map(percent);
    format!(
        "With the calibration's factors and biases of classes, as `predict` applies them{}: accuracy {} % ({low}–{high} %), \
         macro F1 {:.3}, NLL {:.3}, ECE {:.3}.",
        if vector.cross_fitted { " (cross-fitted)" } else { "" },
        percent(vector.accuracy),
        vector.macro_f1,
        vector.nll,
        vector.ece
    )
}

fn others(report: &EvaluationView<'_>) -> Markup {
    let row = |name: &str, parameters: usize, metrics: &Metrics, votes: Option<&VoteMetrics>, other: Option<&Other>| {
        html! { tr {
            td { (name) } td { (parameters) }
            td {
                (percent(metrics.accuracy)) " (" (percent(metrics.accuracy_ci95[0])) "–"
                (percent(metrics.accuracy_ci95[1])) ")"
            }
            td { (format!("{:.3}", metrics.macro_f1)) } td { (format!("{:.3}", metrics.ece)) }
            @if let Some(votes) = votes { td { (percent(votes.accuracy)) } }
            @if let Some(Other { paired, .. }) = other {
                td {
                    (points(paired.difference)) " (" (points(paired.difference_ci95[0])) " to "
                    (points(paired.difference_ci95[1])) ")"
                }
                td { (paired.only_first) " / " (paired.only_second) }
                td { (p_value(paired.p_value)) }
            } @else { td {} td {} td {} }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "model" } th { "parameters" } th { "accuracy %" } th { "macro F1" } th { "ECE" }
                @if report.votes.is_some() { th { "votes: accuracy %" } }
                th { "difference" } th { "only one correct" } th { "p" }
            } }
            tbody {
                (row(report.title, report.model.parameters(), report.metrics, report.votes, None))
                @for other in report.others {
                    (row(&other.model, other.parameters, &other.metrics, other.votes.as_ref(), Some(other)))
                }
            }
        } }
        p.soft {
            "In parentheses: 95 % confidence intervals. Difference: the first model minus this one, in percentage points, "
            "on the same images. Only one correct: images that only the first model, and only this model, predicts "
            "correctly. p: McNemar's exact test."
        }
    }
}

/// A share as signed percentage points.
#[must_use]
pub fn points(share: f64) -> String {
    // Adding 0 turns -0 into 0.
    format!("{:+.1}", share * 100.0 + 0.0)
}

/// A p-value with significant digits.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A p-value after "p", with its sign.
pub fn p_text(p: f64) -> String {
    if p < 0.001 { p_value(p) } else { format!("= {}", p_value(p)) }
}

fn corruptions_table(rows: &[corruptions::Row]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "corruption" } th { "severity" } th { "accuracy %" } th { "decrease, points" }
                @if rows.iter().any(|row| row.votes_accuracy.is_some()) { th { "votes: accuracy %" } th { "decrease, points" } }
            } }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.corruption) } td { (row.strength) } td { (percent(row.accuracy)) } td { (percent(row.loss)) }
                        @if let (Some(accuracy), Some(loss)) = (row.votes_accuracy, row.votes_loss) {
                            td { (percent(accuracy)) } td { (percent(loss)) }
                        }
                    }
                }
            }
        } }
        p { (corruption_line(rows)) "." }
    }
}

/// A sentence with the mean over corruptions; empty without any.
#[must_use]
pub fn corruption_line(rows: &[corruptions::Row]) -> String {
    let Some(mean) = corruptions::summary(rows) else { return String::new() };
    let line = |accuracy, ratio, recall: f64, recall_ratio| {
        format!(
            "accuracy {} % ({} % of that on clean images), macro recall {recall:.3} ({} %)",
            percent(accuracy),
            percent(ratio),
            percent(recall_ratio)
        )
    };
    let votes =
        mean.votes_accuracy.zip(mean.votes_ratio).zip(mean.votes_macro_recall.zip(mean.votes_macro_recall_ratio));
    format!(
        "Mean over the corruptions: {}{}",
        line(mean.accuracy, mean.ratio, mean.macro_recall, mean.macro_recall_ratio),
        votes.map(|((a, b), (c, d))| format!("; votes: {}", line(a, b, c, d))).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_p_values_are_not_zero() {
        assert_eq!(
            (p_value(0.000_99), p_value(0.001), p_value(0.25)),
            ("< 0.001".into(), "0.001".into(), "0.250".into())
        );
    }
}
