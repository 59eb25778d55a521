//! A model card in Markdown (Mitchell et al. 2019), made from an evaluation.

use super::evaluation::{applied, p_value, points};
use super::page::percent;
use crate::data::Split;
use crate::evaluate::{EvaluationView, Metrics, risk_coverage, wilson};
use std::fmt::Write as _;

/// What a card tells beyond the evaluation.
pub struct Card<'a> {
    /// Of single images, on the split that is named in it.
    pub evaluation: EvaluationView<'a>,
    /// The metrics when each image is averaged with its mirror image.
    pub mirrored: &'a Metrics,
    /// How many recipes were compared on this split, where somebody counted.
    pub recipes: Option<usize>,
    /// Bytes of the model's file.
    pub bytes: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Median time for one image, in milliseconds, and what it was measured on.
    pub latency_ms: f64,
    /// Instruction set and threads of that measurement.
    pub machine: &'a str,
}

/// The card.
#[must_use]
pub fn card(card: &Card<'_>) -> String {
    let sections =
        [summary(card), uses(), data(card), compute_metrics(card), classes(card), calibration(card), worse(card)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Training images of each class: as the model tells, or else as they are here.
fn learned_from(card: &Card<'_>) -> Vec<usize> {
    let (stated, dataset) = (&card.evaluation.model.provenance().training_images, card.evaluation.dataset);
    if stated.is_empty() { dataset.per_class(&dataset.indices(Split::Train)) } else { stated.clone() }
}

fn interval(metrics: &Metrics) -> String {
    let [low, high] = metrics.accuracy_ci95;
    format!("{} % ({}–{} %)", percent(metrics.accuracy), percent(low), percent(high))
}

/// What is said of a split that models are chosen by.
fn caveat(card: &Card<'_>) -> String {
    match (card.evaluation.selection, card.recipes) {
        (false, _) => String::new(),
        (true, None) => " (selection split, optimistic)".to_owned(),
        (true, Some(recipes)) => format!(" (selection split, optimistic: {recipes} recipes were compared on it)"),
    }
}

/// The split that nothing was chosen by.
fn test_name(card: &Card<'_>) -> &'static str {
    let own = &card.evaluation.dataset.split_names[Split::Validation as usize];
    if own.as_deref() == Some("PublicTest") { "PrivateTest" } else { "test split" }
}

fn summary(card: &Card<'_>) -> String {
    let EvaluationView { model, metrics, split, .. } = &card.evaluation;
    let mut text = format!("# {}\n\n", model.architecture().name);
    if card.evaluation.selection {
        let _ = writeln!(text, "**{}: pending.**", test_name(card));
    }
    let _ = writeln!(
        text,
        "**{split}: {}**, n = {}{}; each image averaged with its mirror image, {}.\n",
        interval(metrics),
        metrics.n,
        caveat(card),
        interval(card.mirrored)
    );
    let rows = [
        ("classes", model.classes().join(", ")),
        ("input", format!("{:?}: height, width, channels", model.architecture().input)),
        ("parameters", model.parameters().to_string()),
        ("multiply-adds", format!("{:.1} million", card.macs as f64 / 1e6)),
        ("file", format!("{:.0} KB", card.bytes as f64 / 1000.0)),
        ("one image", format!("{:.2} ms ({})", card.latency_ms, card.machine)),
        (
            "made by",
            format!(
                "`moue train {}` (moue {}, seed {}), the weights of epoch {}",
                model.architecture().name,
                model.provenance().moue_version,
                model.provenance().seed,
                model.provenance().epoch
            ),
        ),
        ("data", format!("SHA-256 `{}`", model.provenance().data_hash)),
    ];
    text += "| | |\n|---|---|\n";
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    if let Some(hash) = &model.provenance().init {
        let _ = writeln!(text, "| started from | `{}` (start of the model's SHA-256) |", &hash[..12]);
    }
    if !model.provenance().teachers.is_empty() {
        let teachers: Vec<String> =
            model.provenance().teachers.iter().map(|hash| format!("`{}`", &hash[..12])).collect();
        let _ = writeln!(text, "| taught by | {} (start of each model's SHA-256) |", teachers.join(", "));
    }
    text
}

fn uses() -> String {
    "## What it is for, and what not\n\n\
     It tells what the expression in a picture of a face looks like to people who labelled such pictures. An expression \
     is an appearance: it does not determine what a person feels. It is for studying classifiers, sorting one's own \
     pictures, art and play.\n\n\
     It must not be used to judge people: not for hiring, grading, policing, lending, insurance or diagnosis. The EU AI \
     Act bans inferring emotions at work and in education (with exceptions for medical and safety reasons).\n"
        .to_owned()
}

fn data(card: &Card<'_>) -> String {
    let dataset = card.evaluation.dataset;
    let counts = learned_from(card);
    let listed: Vec<String> =
        dataset.classes.iter().zip(&counts).map(|(class, count)| format!("{class} {count}")).collect();
    let mut text = format!("## Data\n\n{} training images: {}.\n", counts.iter().sum::<usize>(), listed.join(", "));
    let available = dataset.indices(Split::Train).len();
    if available != counts.iter().sum::<usize>() {
        let _ = writeln!(text, "Of {available} in the source; what was left out, and why, is in its preset.");
    }
    if test_name(card) == "PrivateTest" {
        text += "\nThe images are FER2013's (Goodfellow et al., \"Challenges in Representation Learning\", 2013): faces found \
                 on the web by Pierre-Luc Carrier and Aaron Courville, given out for research, without a licence for the \
                 single images and without the consent of those who are shown. Its labels are noisy: people agree with \
                 them in 65 ± 5 %. Who is shown is not recorded, so how the model fares for groups of people was not \
                 measured.\n";
    }
    text
}

fn compute_metrics(card: &Card<'_>) -> String {
    let EvaluationView { model, metrics, split, others, .. } = &card.evaluation;
    let mut text = format!(
        "## Figures\n\nOn {split}{}. \"TTA\": each image averaged with its mirror image.\n\n\
         | | accuracy (95 % interval) | macro F1 | NLL | ECE |\n|---|---|---|---|---|\n",
        caveat(card)
    );
    let mut row = |name: &str, metrics: &Metrics| {
        let _ = writeln!(
            text,
            "| {name} | {} | {:.3} | {:.3} | {:.3} |",
            interval(metrics),
            metrics.macro_f1,
            metrics.nll,
            metrics.ece
        );
    };
    row(&model.architecture().name, metrics);
    row(&format!("{}, TTA", model.architecture().name), card.mirrored);
    others.iter().for_each(|other| row(&other.model, &other.metrics));
    for other in *others {
        let paired = &other.paired;
        let _ = writeln!(
            text,
            "\n{} against {}: {} points ({} to {}), p = {} (McNemar's exact test; {} images only the one has right, {} \
             only the other).",
            model.architecture().name,
            other.model,
            points(paired.difference),
            points(paired.difference_ci95[0]),
            points(paired.difference_ci95[1]),
            p_value(paired.p_value),
            paired.only_first,
            paired.only_second
        );
    }
    text
}

fn classes(card: &Card<'_>) -> String {
    let metrics = card.evaluation.metrics;
    let mut text =
        "## Classes\n\n| class | precision % | recall % | F1 % | images |\n|---|---|---|---|---|\n".to_owned();
    for class in &metrics.per_class {
        let [precision, recall, f1] = [class.precision, class.recall, class.f1].map(percent);
        let _ = writeln!(text, "| {} | {precision} | {recall} | {f1} | {} |", class.label, class.support);
    }
    let _ = writeln!(text, "\nRows are the true class, columns the answer:\n\n| | {} |", metrics.labels.join(" | "));
    text += &"|---".repeat(metrics.labels.len() + 1);
    text += "|\n";
    for (label, row) in metrics.labels.iter().zip(&metrics.confusion) {
        let counts: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| {label} | {} |", counts.join(" | "));
    }
    text + &weaknesses(card)
}

/// The class that is found least, the pairs that are mixed up most, the rarest
/// class in training.
fn weaknesses(card: &Card<'_>) -> String {
    let metrics = card.evaluation.metrics;
    let mut text = "\n### Known weaknesses\n\n".to_owned();
    let seen = metrics.per_class.iter().filter(|class| class.support > 0);
    if let Some(worst) = seen.min_by(|a, b| a.recall.total_cmp(&b.recall)) {
        let hits = (worst.recall * worst.support as f64).round() as usize;
        let [low, high] = wilson(hits, worst.support);
        let _ = writeln!(
            text,
            "- Of the pictures labelled {}, {} % are found ({}–{} %).",
            worst.label,
            percent(worst.recall),
            percent(low),
            percent(high)
        );
    }
    let mut mixed = Vec::new();
    for (truth, row) in metrics.confusion.iter().enumerate() {
        let total = row.iter().sum::<usize>().max(1) as f64;
        mixed.extend(
            row.iter()
                .enumerate()
                .filter(|(answer, _)| *answer != truth)
                .map(|(answer, &count)| (count as f64 / total, truth, answer)),
        );
    }
    mixed.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (share, truth, answer) in mixed.into_iter().take(3) {
        let (truth, answer) = (&metrics.labels[truth], &metrics.labels[answer]);
        let _ = writeln!(text, "- {} % of the pictures labelled {truth} are taken for {answer}.", percent(share));
    }
    let counts = learned_from(card);
    if let Some((class, count)) = metrics.labels.iter().zip(&counts).min_by_key(|(_, count)| **count) {
        let _ = writeln!(text, "- It learned {class} from {count} images only.");
    }
    text
}

fn calibration(card: &Card<'_>) -> String {
    let EvaluationView { model, metrics, fitted, predictions, .. } = &card.evaluation;
    let mut text = format!(
        "## Calibration\n\n{} Expected calibration error over 15 bins: {:.3}; cross-fitted (fitted on four fifths of these \
         images, judged on the last, in turn): **{:.3}**.\n",
        applied(model.calibration()),
        metrics.ece,
        fitted.ece
    );
    let curve = risk_coverage(&predictions.labels, &predictions.probabilities, metrics.labels.len());
    let at = |share: f64| curve.iter().find(|kept| kept.coverage >= share);
    text += "\n| the surest answers kept | right among them | from confidence |\n|---|---|---|\n";
    for share in [0.25, 0.5, 0.75, 0.9, 1.0] {
        let Some(kept) = at(share) else { continue };
        let _ =
            writeln!(text, "| {} % | {} % | {:.2} |", percent(kept.coverage), percent(kept.accuracy), kept.confidence);
    }
    let certain = curve.iter().rev().find(|kept| kept.confidence >= model.uncertain_below());
    if let (Some(kept), true) = (certain, model.uncertain_below() > 0.0) {
        let _ = writeln!(
            text,
            "\nAnswers of less than {:.2} are called *uncertain*: {} % of them. Of the others {} % are right.",
            model.uncertain_below(),
            percent(1.0 - kept.coverage),
            percent(kept.accuracy)
        );
    }
    text
}

fn worse(card: &Card<'_>) -> String {
    let rows = card.evaluation.corruptions;
    if rows.is_empty() {
        return String::new();
    }
    let mut text =
        "## On worse pictures\n\n| what is done | how much | accuracy % | lost, points |\n|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.corruption,
            row.strength,
            percent(row.accuracy),
            percent(row.loss)
        );
    }
    text
}
