//! Votes and prior adjustments in reports and in the output of the command.

use super::chart::{Chart, Line};
use super::classes::confusion;
use super::page::{color, percent};
use crate::evaluate::{AdjustmentPoint, EvaluationView, Metrics, VoteMetrics};
use maud::{Markup, html};

/// Sentences about a model's agreement with people's votes.
#[must_use]
pub fn vote_lines(votes: &VoteMetrics) -> Vec<String> {
    let of = &votes.of_classes;
    let mut lines =
        vec![format!("Accuracy {} by FER+'s protocol", interval(votes.accuracy, votes.accuracy_ci95, votes.n))];
    if of.n < votes.n {
        lines.push(format!(
            "Accuracy {} without the {} images of classes that the model does not have",
            interval(of.accuracy, of.accuracy_ci95, of.n),
            votes.n - of.n
        ));
    }
    lines.push(format!("Macro recall {:.3}   macro F1 {:.3}", of.macro_recall, of.macro_f1));
    lines.push(format!(
        "Cross-entropy to the votes {:.3} (their entropy: {:.3}), ECE against the votes {:.3}, against the majority {:.3}",
        votes.cross_entropy, votes.entropy, votes.ece, of.ece
    ));
    if let Some(selective) = &votes.selective {
        lines.push(format!(
            "Not uncertain (confidence of at least {}): {} % of the predictions, accuracy {} %",
            selective.uncertain_below,
            percent(selective.coverage),
            percent(selective.accuracy)
        ));
    }
    lines.push(format!(
        "The majority agrees with one person in {} % of the votes, with the label in {} % of the images",
        percent(votes.agreement_of_one),
        percent(votes.label_agreement)
    ));
    let left_out = [
        (votes.no_majority, "without a majority"),
        (votes.unknown, "unknown"),
        (votes.not_a_face, "not a face"),
        (votes.no_votes, "without votes"),
    ];
    let left_out: Vec<String> =
        left_out.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !left_out.is_empty() {
        lines.push(format!("Images left out: {}", left_out.join(", ")));
    }
    lines
}

fn interval(accuracy: f64, [low, high]: [f64; 2], n: usize) -> String {
    format!("{} % (95 % interval {}–{} %, n = {n})", percent(accuracy), percent(low), percent(high))
}

/// Labels and votes next to each other.
pub fn votes(report: &EvaluationView<'_>, votes: &VoteMetrics) -> Markup {
    let row = |name: &str, metrics: &Metrics, accuracy: f64, n: usize| {
        html! { tr {
            td { (name) } td { (percent(accuracy)) } td { (n) } td { (format!("{:.3}", metrics.macro_recall)) }
            td { (format!("{:.3}", metrics.macro_f1)) }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr { th { "predictions compared with" } th { "accuracy %" } th { "images" } th { "macro recall" } th { "macro F1" } } }
            tbody {
                (row("labels of the data set", report.metrics, report.metrics.accuracy, report.metrics.n))
                (row("majority of the votes, FER+'s protocol", &votes.of_classes, votes.accuracy, votes.n))
                @if votes.of_classes.n < votes.n {
                    (row("majority, classes of the model only", &votes.of_classes, votes.of_classes.accuracy, votes.of_classes.n))
                }
            }
        } }
        @for line in vote_lines(votes).iter().skip(1).filter(|line| !line.starts_with("Accuracy") && !line.starts_with("Macro")) {
            p { (line) "." }
        }
        h3 { "Recall by class" }
        (recalls(report.metrics, &votes.of_classes))
        h3 { "Confusion matrix of majority and prediction" }
        (confusion(&votes.of_classes))
    }
}

/// Recall of each class for labels and for votes.
fn recalls(labels: &Metrics, votes: &Metrics) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "class" } th { "labels: recall %" } th { "images" } th { "votes: recall %" } th { "images" } } }
            tbody {
                @for (number, (label, vote)) in labels.per_class.iter().zip(&votes.per_class).enumerate() {
                    tr {
                        td { span class={ "key " (color(number)) } {} (label.label) }
                        td { (percent(label.recall)) } td { (label.support) } td { (percent(vote.recall)) } td { (vote.support) }
                    }
                }
            }
        } }
    }
}

/// Accuracy against macro recall over the strength of a prior adjustment.
pub fn adjustments(points: &[AdjustmentPoint]) -> Markup {
    let voted = points.iter().all(|point| point.votes_accuracy.is_some());
    let line = |name: &str, class, of: &dyn Fn(&AdjustmentPoint) -> [f64; 2]| Line {
        name: name.to_owned(),
        class,
        points: points.iter().map(of).map(|[recall, accuracy]| (recall * 100.0, accuracy * 100.0)).collect(),
    };
    let mut lines = vec![line("labels", "a".into(), &|point| [point.macro_recall, point.accuracy])];
    if voted {
        let of = |point: &AdjustmentPoint| {
            [point.votes_macro_recall.unwrap_or_default(), point.votes_accuracy.unwrap_or_default()]
        };
        lines.push(line("votes", "b".into(), &of));
    }
    let chart = Chart {
        title: "Accuracy, %",
        across: "macro recall, %",
        lines,
        bands: Vec::new(),
        mark: None,
        level: None,
        wide: false,
    };
    html! {
        p {
            "τ times the logarithm of each class's share in the training targets is subtracted from its logit (logit "
            "adjustment). A larger τ predicts rare classes more often. Setting τ by these values is a selection on this split; "
            code { "[model] prior_adjustment" } " stores τ in a model."
        }
        div.charts {
            div.scroll { table {
                thead { tr {
                    th { "τ" } th { "accuracy %" } th { "macro recall" }
                    @if voted { th { "votes: accuracy %" } th { "macro recall" } }
                } }
                tbody {
                    @for point in points {
                        tr {
                            td { (point.tau) } td { (percent(point.accuracy)) } td { (format!("{:.3}", point.macro_recall)) }
                            @if let (Some(accuracy), Some(recall)) = (point.votes_accuracy, point.votes_macro_recall) {
                                td { (percent(accuracy)) } td { (format!("{recall:.3}")) }
                            }
                        }
                    }
                }
            } }
            (chart.svg())
        }
    }
}
