//! A model card in Markdown (Mitchell et al. 2019), made from an evaluation.

use super::errors::error_section;
use super::evaluation::{calibration_text, corruption_line, p_value, points, tta_text, vector_line};
use super::page::percent;
use super::votes::vote_lines;
use crate::data::Split;
use crate::evaluate::{ClassMetrics, EvaluationView, Metrics, Selective, VoteMetrics, risk_coverage, wilson};
use moue::{Precision, Tta};
use std::fmt::Write as _;

/// Values of a model card in addition to the evaluation.
pub struct Card<'a> {
    /// The evaluation of single images, on the split that it names.
    pub evaluation: EvaluationView<'a>,
    /// The metrics with test-time augmentation.
    pub augmented: &'a Metrics,
    /// The views of the test-time augmentation.
    pub method: Tta,
    /// Number of recipes that were compared on this split, where known.
    pub recipes: Option<usize>,
    /// Size of the model file in bytes.
    pub bytes: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Median latency for one image, in milliseconds.
    pub latency_ms: f64,
    /// Computer, instruction set, precision and threads of that measurement.
    pub machine: &'a str,
}

/// Renders a model card.
#[must_use]
pub fn card(card: &Card<'_>) -> String {
    let sections = [
        summary(card),
        uses(),
        data(card),
        metrics_section(card),
        classes(card),
        error_section(&card.evaluation),
        calibration(card),
        adjustments(card),
        corruptions(card),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Training images of each class: as recorded in the model, or else of this data set.
fn training_images(card: &Card<'_>) -> Vec<usize> {
    let (stated, dataset) = (&card.evaluation.model.provenance().training_images, card.evaluation.dataset);
    if stated.is_empty() { dataset.per_class(&dataset.indices(Split::Train)) } else { stated.clone() }
}

fn interval(metrics: &Metrics) -> String {
    let [low, high] = metrics.accuracy_ci95;
    format!("{} % ({}–{} %)", percent(metrics.accuracy), percent(low), percent(high))
}

/// A note on a split that is used for selection.
fn caveat(card: &Card<'_>) -> String {
    match (card.evaluation.selection, card.recipes) {
        (false, _) => String::new(),
        (true, None) => " (selection split, optimistic)".to_owned(),
        (true, Some(recipes)) => format!(" (selection split, optimistic: {recipes} recipes were compared on it)"),
    }
}

/// Name of the split that is not used for selection.
fn test_name(card: &Card<'_>) -> &'static str {
    let own = &card.evaluation.dataset.split_names[Split::Validation as usize];
    if own.as_deref() == Some("PublicTest") { "PrivateTest" } else { "test split" }
}

fn summary(card: &Card<'_>) -> String {
    let EvaluationView { model, metrics, split, precision, .. } = &card.evaluation;
    let mut text = format!("# {}\n\n", model.architecture().name);
    if card.evaluation.selection {
        let _ = writeln!(text, "**{}: pending.**", test_name(card));
    }
    let _ = writeln!(
        text,
        "**{split}: {}**, n = {}{}; with test-time augmentation ({}): {}.\n",
        interval(metrics),
        metrics.n,
        caveat(card),
        if card.method == Tta::Crops { "ten crops" } else { "mirror image" },
        interval(card.augmented)
    );
    if let Some(votes) = card.evaluation.votes {
        let [low, high] = votes.accuracy_ci95.map(percent);
        let _ = writeln!(
            text,
            "**Majority of people's votes on {split}: {} % ({low}–{high} %)** by FER+'s protocol, n = {}{}; **macro recall {:.3}**.\n",
            percent(votes.accuracy),
            votes.n,
            caveat(card),
            votes.of_classes.macro_recall
        );
    }
    for warning in card.evaluation.warnings() {
        let _ = writeln!(text, "**Warning:** {warning}.\n");
    }
    let rows = [
        ("classes", model.classes().join(", ")),
        ("input", format!("{:?}: height, width, channels", model.architecture().input)),
        ("parameters", model.parameters().to_string()),
        ("multiply-adds", format!("{:.1} million", card.macs as f64 / 1e6)),
        ("file", format!("{:.0} KB", card.bytes as f64 / 1000.0)),
        ("latency, one image", format!("{:.2} ms ({})", card.latency_ms, card.machine)),
        (
            "trained with",
            format!(
                "`moue train {}` (moue {}, seed {}{}), weights of epoch {}",
                model.architecture().name,
                model.provenance().moue_version,
                model.provenance().seed,
                model.provenance().precision.as_ref().map(|precision| format!(", {precision}")).unwrap_or_default(),
                model.provenance().epoch
            ),
        ),
        ("data", format!("SHA-256 `{}`", model.provenance().data_hash)),
    ];
    text += "| | |\n|---|---|\n";
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    if *precision != Precision::F32 {
        let _ = writeln!(text, "| evaluated in | {precision} |");
    }
    if let Some(targets) = &model.provenance().targets {
        let _ = writeln!(text, "| training targets | {targets} |");
    }
    if model.calibration().prior_adjustment.is_some() {
        let _ = writeln!(text, "| prior adjustment | τ = {} |", model.architecture().prior_adjustment);
    }
    if let Some(hash) = &model.provenance().init {
        let _ = writeln!(text, "| initialized from | `{}` (start of the model's SHA-256) |", &hash[..12]);
    }
    if !model.provenance().teachers.is_empty() {
        let teachers: Vec<String> =
            model.provenance().teachers.iter().map(|hash| format!("`{}`", &hash[..12])).collect();
        let _ = writeln!(text, "| distilled from | {} (start of each model's SHA-256) |", teachers.join(", "));
    }
    text
}

fn uses() -> String {
    "## Intended use\n\n\
     The model predicts the facial expression in a picture of a face, as people labeled such pictures. An expression is \
     an appearance: it does not determine what a person feels. Intended uses are the study of classifiers, sorting \
     one's own pictures, and art.\n\n\
     ## Out-of-scope use\n\n\
     The model must not be used to assess people: not for hiring, grading, policing, lending, insurance or diagnosis. The \
     EU AI Act bans inferring emotions at work and in education (with exceptions for medical and safety reasons).\n"
        .to_owned()
}

fn data(card: &Card<'_>) -> String {
    let dataset = card.evaluation.dataset;
    let counts = training_images(card);
    let listed: Vec<String> =
        dataset.classes.iter().zip(&counts).map(|(class, count)| format!("{class} {count}")).collect();
    let mut text = format!("## Data\n\n{} training images: {}.\n", counts.iter().sum::<usize>(), listed.join(", "));
    let available = dataset.indices(Split::Train).len();
    if available != counts.iter().sum::<usize>() {
        let _ = writeln!(text, "The source has {available}; the preset states which images are removed, and why.");
    }
    if test_name(card) == "PrivateTest" {
        text += "\nThe images are FER2013's (Goodfellow et al., \"Challenges in Representation Learning\", 2013): faces \
                 collected from the web by Pierre-Luc Carrier and Aaron Courville and released for research, without a \
                 license for the single images and without the consent of the people shown. The labels are noisy: \
                 human accuracy is 65 ± 5 %. Demographic attributes are not recorded, so the accuracy for groups of \
                 people was not measured.\n";
    }
    text
}

fn metrics_section(card: &Card<'_>) -> String {
    let EvaluationView { model, metrics, split, others, .. } = &card.evaluation;
    let mut text = format!(
        "## Metrics\n\nOn {split}{}. TTA: {}.\n\n\
         | | accuracy (95 % confidence interval) | macro F1 | NLL | ECE |\n|---|---|---|---|---|\n",
        caveat(card),
        tta_text(card.method)
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
    row(&format!("{}, TTA", model.architecture().name), card.augmented);
    others.iter().for_each(|other| row(&other.model, &other.metrics));
    if let Some(vector) = card.evaluation.vector {
        let _ = writeln!(text, "\n{}", vector_line(vector));
    }
    if let Some(votes) = card.evaluation.votes {
        let _ = writeln!(text, "\nCompared with people's votes (FER+'s protocol):\n");
        for line in vote_lines(votes) {
            let _ = writeln!(text, "- {line}.");
        }
    }
    for other in *others {
        let paired = &other.paired;
        let _ = writeln!(
            text,
            "\n{} compared with {}: {} points ({} to {}), p = {} (McNemar's exact test; {} images are predicted \
             correctly only by the first, {} only by the second).",
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

/// Whether the model was trained to reproduce people's votes, and is compared with them.
fn votes_of<'a>(card: &Card<'a>) -> Option<&'a VoteMetrics> {
    card.evaluation.votes.filter(|_| card.evaluation.model.provenance().targets.is_some())
}

fn classes(card: &Card<'_>) -> String {
    let mut text = format!("## Classes\n\n{}", class_tables(card.evaluation.metrics, "the label"));
    if let Some(votes) = card.evaluation.votes {
        let _ = write!(
            text,
            "\n### Compared with the majority of the votes\n\n{}",
            class_tables(&votes.of_classes, "the majority")
        );
    }
    text + &weaknesses(card)
}

/// The 95 % confidence interval of a recall, in percent.
fn recall_interval(class: &ClassMetrics) -> [String; 2] {
    wilson((class.recall * class.support as f64).round() as usize, class.support).map(percent)
}

/// Metrics by class with the interval of the recall, and the confusion matrix.
fn class_tables(metrics: &Metrics, truth: &str) -> String {
    let mut text =
        "| class | precision % | recall % (95 % interval) | F1 % | images |\n|---|---|---|---|---|\n".to_owned();
    for class in &metrics.per_class {
        let [precision, recall, f1] = [class.precision, class.recall, class.f1].map(percent);
        let [low, high] = recall_interval(class);
        let _ =
            writeln!(text, "| {} | {precision} | {recall} ({low}–{high}) | {f1} | {} |", class.label, class.support);
    }
    let labels = metrics.labels.join(" | ");
    let _ = writeln!(text, "\nRows are {truth}, columns the predicted class:\n\n| | {labels} |");
    text += &"|---".repeat(metrics.labels.len() + 1);
    text += "|\n";
    for (label, row) in metrics.labels.iter().zip(&metrics.confusion) {
        let counts: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| {label} | {} |", counts.join(" | "));
    }
    text
}

/// The class with the lowest recall, the most frequent confusions, and the class with the fewest
/// training images.
fn weaknesses(card: &Card<'_>) -> String {
    let (metrics, labeled) = match votes_of(card) {
        Some(votes) => (&votes.of_classes, "that most people call"),
        None => (card.evaluation.metrics, "labeled"),
    };
    let mut text = "\n### Known weaknesses\n\n".to_owned();
    let seen = metrics.per_class.iter().filter(|class| class.support > 0);
    if let Some(worst) = seen.min_by(|a, b| a.recall.total_cmp(&b.recall)) {
        let [low, high] = recall_interval(worst);
        let _ = writeln!(
            text,
            "- The class {} has the lowest recall: {} % ({}–{} %).",
            worst.label,
            percent(worst.recall),
            low,
            high
        );
    }
    let mut mixed = Vec::new();
    for (truth, row) in metrics.confusion.iter().enumerate() {
        let total = row.iter().sum::<usize>().max(1) as f64;
        mixed.extend(
            row.iter()
                .enumerate()
                .filter(|(predicted, _)| *predicted != truth)
                .map(|(predicted, &count)| (count as f64 / total, truth, predicted)),
        );
    }
    mixed.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (share, truth, predicted) in mixed.into_iter().take(3) {
        let (truth, predicted) = (&metrics.labels[truth], &metrics.labels[predicted]);
        let _ = writeln!(
            text,
            "- {} % of the pictures {labeled} {truth} are misclassified as {predicted}.",
            percent(share)
        );
    }
    let counts = training_images(card);
    if let Some((class, count)) = metrics.labels.iter().zip(&counts).min_by_key(|(_, count)| **count) {
        let _ = writeln!(text, "- {class} has the fewest training images: {count}.");
    }
    text
}

fn calibration(card: &Card<'_>) -> String {
    let EvaluationView { metrics, predictions, .. } = &card.evaluation;
    let mut text = format!("## Calibration\n\n{}\n", calibration_text(&card.evaluation));
    let curve = risk_coverage(&predictions.labels, &predictions.probabilities, metrics.labels.len());
    let at = |share: f64| curve.iter().find(|kept| kept.coverage >= share);
    text += "\n| coverage | selective accuracy | minimum confidence |\n|---|---|---|\n";
    for share in [0.25, 0.5, 0.75, 0.9, 1.0] {
        let Some(kept) = at(share) else { continue };
        let _ =
            writeln!(text, "| {} % | {} % | {:.2} |", percent(kept.coverage), percent(kept.accuracy), kept.confidence);
    }
    if let Some(labels) = card.evaluation.selective() {
        text += &selective(&labels, card.evaluation.votes.and_then(|votes| votes.selective.as_ref()));
    }
    text
}

/// The predictions that are not uncertain, for labels and votes, and by class.
fn selective(labels: &Selective, votes: Option<&Selective>) -> String {
    let line = |of: &Selective, truth: &str| {
        let [low, high] = of.accuracy_ci95.map(percent);
        format!(
            "{} % of the predictions are not uncertain; {} % of these ({low}–{high} %) are {truth}.",
            percent(of.coverage),
            percent(of.accuracy)
        )
    };
    let mut text = format!(
        "\nPredictions with a confidence below {:.2} are marked as uncertain. {}{}\n\n",
        labels.uncertain_below,
        line(labels, "the label"),
        votes
            .map(|votes| format!(" Of the images with a majority, {}", line(votes, "the majority")))
            .unwrap_or_default()
    );
    let columns = [Some(("label", labels)), votes.map(|votes| ("majority", votes))];
    let columns = || columns.into_iter().flatten();
    text += "| class";
    for (truth, _) in columns() {
        let _ = write!(text, " | {truth}: coverage % | {truth}: selective accuracy %");
    }
    let _ = writeln!(text, " |\n|---{}|", "|---|---".repeat(columns().count()));
    for (class, row) in labels.per_class.iter().enumerate() {
        let _ = write!(text, "| {}", row.label);
        for (_, of) in columns() {
            let row = &of.per_class[class];
            let accuracy = row.accuracy.map_or_else(|| "–".to_owned(), percent);
            let _ = write!(text, " | {} | {accuracy}", percent(row.coverage));
        }
        text += " |\n";
    }
    text
}

/// Accuracy and macro recall over the strength of a prior adjustment.
fn adjustments(card: &Card<'_>) -> String {
    let points = card.evaluation.adjustments;
    if points.is_empty() {
        return String::new();
    }
    let own = card.evaluation.model.architecture().prior_adjustment;
    let mut text = format!(
        "## Rare classes\n\nτ times the logarithm of each class's share in the training targets is subtracted from its \
         logit (logit adjustment, Menon et al. 2021). τ of this model: {own}. A larger τ predicts rare classes more often.\n\n\
         | τ | accuracy % | macro recall | votes: accuracy % | votes: macro recall |\n|---|---|---|---|---|\n"
    );
    for point in points {
        let votes = point.votes_accuracy.zip(point.votes_macro_recall);
        let [accuracy, recall] = votes.map_or_else(
            || ["–".to_owned(), "–".to_owned()],
            |(accuracy, recall)| [percent(accuracy), format!("{recall:.3}")],
        );
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} | {accuracy} | {recall} |",
            point.tau,
            percent(point.accuracy),
            point.macro_recall
        );
    }
    text
}

fn corruptions(card: &Card<'_>) -> String {
    let rows = card.evaluation.corruptions;
    if rows.is_empty() {
        return String::new();
    }
    let voted = rows.iter().any(|row| row.votes_accuracy.is_some());
    let mut text = "## Corrupted images\n\n| corruption | severity | accuracy % | decrease, points".to_owned();
    text += if voted { " | votes: accuracy % | macro recall |\n|---|---" } else { " |\n" };
    text += "|---|---|---|---|\n";
    for row in rows {
        let [accuracy, loss] = [row.accuracy, row.loss].map(percent);
        let _ = write!(text, "| {} | {} | {accuracy} | {loss}", row.corruption, row.strength);
        if let Some((accuracy, recall)) = row.votes_accuracy.zip(row.votes_macro_recall) {
            let _ = write!(text, " | {} | {recall:.3}", percent(accuracy));
        }
        text += " |\n";
    }
    text + &format!("\n{}.\n", corruption_line(rows))
}
