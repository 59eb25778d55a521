//! The tables and controls of the analysis of errors.

use crate::data::Split;
use crate::evaluate::{ErrorVotes, Errors, EvaluationView, ImageMap, Metrics, Property, Slice, VotedGroup};
use crate::report::evaluation::{p_text, p_value};
use crate::report::page::percent;
use maud::{Markup, html};

/// Number of pairs of classes.
const PAIRS: usize = 10;

/// A p-value below this is marked.
pub const LEVEL: f64 = 0.05;

/// The pairs of classes that are confused most often.
pub fn pairs(metrics: &Metrics) -> Markup {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (label, row) in metrics.confusion.iter().enumerate() {
        let others = row.iter().enumerate().filter(|(predicted, count)| *predicted != label && **count > 0);
        pairs.extend(others.map(|(predicted, &count)| (count, label, predicted)));
    }
    pairs.sort_by_key(|&(count, label, predicted)| (std::cmp::Reverse(count), label, predicted));
    let errors: usize = pairs.iter().map(|pair| pair.0).sum();
    pairs.truncate(PAIRS);
    let share = |part: usize, whole: usize| percent(part as f64 / whole.max(1) as f64);
    html! {
        h3 { "Most confused pairs" }
        @if pairs.is_empty() { p { "No image is misclassified." } }
        @else {
            div.scroll { table {
                thead { tr { th.text { "label" } th.text { "predicted" } th { "images" } th { "% of the label" } th { "% of all errors" } } }
                tbody { @for &(count, label, predicted) in &pairs {
                    tr {
                        td { (metrics.labels[label]) } td.text { (metrics.labels[predicted]) }
                        td { button data-cell=(format!("{label},{predicted}"))
                            aria-label=(format!("{count} images of {} predicted as {}", metrics.labels[label], metrics.labels[predicted])) { (count) } }
                        td { (share(count, metrics.per_class[label].support)) } td { (share(count, errors)) }
                    }
                } }
            } }
        }
    }
}

fn interval([low, high]: [f64; 2]) -> String {
    format!("{}–{}", percent(low), percent(high))
}

/// The votes on errors, compared with those on correct predictions.
pub fn error_votes(votes: &ErrorVotes) -> Markup {
    let row = |name: &str, of: &dyn Fn(&VotedGroup) -> (f64, [f64; 2])| {
        html! { tr {
            td { (name) }
            @for group in [&votes.errors, &votes.correct] {
                @let (share, ci) = of(group);
                td { (percent(share)) } td { (interval(ci)) }
            }
        } }
    };
    html! {
        div.scroll { table {
            thead { tr {
                th { "share of the images with votes, %" }
                th { "errors (n = " (votes.errors.n) ")" } th { "95 % interval" }
                th { "correct (n = " (votes.correct.n) ")" } th { "95 % interval" }
            } }
            tbody {
                (row("people disagree: nothing has more than half of the votes", &|group| (group.disagreement, group.disagreement_ci95)))
                (row("the predicted class has the most votes", &|group| (group.predicted_first, group.predicted_first_ci95)))
                (row("the label has the most votes", &|group| (group.label_first, group.label_first_ci95)))
            }
        } }
        p.soft {
            "Fisher's exact test that people disagree equally often on errors and on correct predictions: p "
            (p_text(votes.p_value))
            ". All votes count, those for “unknown” and “no face” as well; a tie for the most votes counts for no class."
        }
    }
}

/// Buttons that show the images on which two models disagree.
pub fn disagreements(report: &EvaluationView<'_>, errors: &Errors) -> Markup {
    let own = &report.model.architecture().name;
    html! {
        p { "Images that exactly one of two models predicts correctly; those first on which the other has the highest loss." }
        div.choices role="group" aria-label="Disagreements" {
            @for (number, found) in errors.disagreements.iter().enumerate() {
                button data-list=(2 * number) aria-pressed="false" {
                    "only " (own) " is correct, not " (found.model) " (" (found.only_this.of) ")"
                }
                button data-list=(2 * number + 1) aria-pressed="false" {
                    "only " (found.model) " is correct (" (found.only_other.of) ")"
                }
            }
        }
        div #disagreement.images {}
    }
}

/// The first and the last slice of a property.
fn ends(property: Property) -> [&'static str; 2] {
    match property {
        Property::Brightness => ["darkest", "brightest"],
        Property::Contrast => ["lowest contrast", "highest contrast"],
        Property::Sharpness => ["most blurred", "sharpest"],
        Property::Resolution => ["smallest", "largest"],
    }
}

/// A slice among others, in words.
pub fn end(slices: &[Slice], slice: &Slice) -> String {
    let of: Vec<&Slice> = slices.iter().filter(|other| other.property == slice.property).collect();
    let at = of.iter().position(|other| *other == slice).unwrap_or(0);
    let part = if of.len() == 5 { "fifth" } else { "part" };
    match (at, slice.property) {
        (0, Property::Contrast) => format!("the {part} of the lowest contrast"),
        (at, Property::Contrast) if at + 1 == of.len() => format!("the {part} of the highest contrast"),
        (0, property) => format!("the {} {part}", ends(property)[0]),
        (at, property) if at + 1 == of.len() => format!("the {} {part}", ends(property)[1]),
        (at, property) => format!("{part} {} of {} by {}", at + 1, of.len(), property.name()),
    }
}

/// Accuracy on each slice.
pub fn slices(report: &EvaluationView<'_>) -> Markup {
    let ranges = |slice: &Slice| match slice.property {
        Property::Sharpness => format!("{:.2}–{:.2}", slice.from, slice.to),
        _ => format!("{:.0}–{:.0}", slice.from, slice.to),
    };
    let name = |of: &[&Slice], at: usize| match at {
        0 => ends(of[0].property)[0].to_owned(),
        at if at + 1 == of.len() => ends(of[0].property)[1].to_owned(),
        at => (at + 1).to_string(),
    };
    let missing: Vec<&str> = Property::ALL
        .into_iter()
        .filter(|property| report.slices.iter().all(|slice| slice.property != *property))
        .map(Property::name)
        .collect();
    html! {
        p {
            "Fifths of the split by what is measured of each image: brightness (mean luma), contrast (difference of the 99th and the 1st "
            "percentile), sharpness (standard deviation of the Laplacian relative to that of the luma; low where an image is blurred), and "
            "resolution in the source (√(height × width))."
            @if !missing.is_empty() { " All images have the same " (missing.join(" and ")) "." }
        }
        div.scroll { table {
            thead { tr {
                th { "slice" } th { "values" } th { "n" } th { "accuracy %" } th { "95 % interval" } th { "rest %" } th { "p" } th { "p, Holm" }
            } }
            @for property in Property::ALL {
                @let of: Vec<&Slice> = report.slices.iter().filter(|slice| slice.property == property).collect();
                @if !of.is_empty() { tbody {
                    tr { th.text colspan="8" scope="rowgroup" { (property.name()) } }
                    @for (at, slice) in of.iter().enumerate() {
                        tr.found[slice.p_holm < LEVEL] {
                            td { (name(&of, at)) } td { (ranges(slice)) } td { (slice.n) }
                            td { (percent(slice.accuracy)) } td { (interval(slice.accuracy_ci95)) } td { (percent(slice.rest_accuracy)) }
                            td { (p_value(slice.p_value)) } td { (p_value(slice.p_holm)) }
                        }
                    }
                } }
            }
        } }
        p.soft {
            "Wilson's intervals. p: two-sided Fisher's exact test of the slice and the rest of the split. With Holm's correction "
            "(Holm 1979) for the " (report.slices.len()) " slices shown, the probability of any false finding is below 5 % where p, Holm is "
            "below 0.05 (bold)."
        }
    }
}

/// The controls and the canvas of the map.
pub fn map(report: &EvaluationView<'_>, map: &ImageMap) -> Markup {
    let training = map.images.len() - map.of_split;
    let [first, second] = map.embedding.variance.map(percent);
    let [pca, tsne] = map.embedding.kept.map(percent);
    html! {
        p {
            "Each point is an image; near points have similar features (the " (map.features) " values before the last layer). "
            (map.of_split) " of the " (report.metrics.n) " images of the split"
            @if map.of_split < report.metrics.n { " (a random sample)" }
            @if training > 0 {
                " and " (training) " of the " (report.dataset.indices(Split::Train).len()) " training images"
            }
            " are on the map. The first two principal components have " (first) " and " (second) " % of the variance. Of an image's ten "
            "nearest neighbors by features, " (pca) " % are among the ten nearest on the map by PCA, " (tsne) " % by t-SNE. Distances between "
            "groups and sizes of groups mean little on a map by t-SNE."
        }
        div.choices {
            label { "Method " select #method { option value="tsne" { "t-SNE" } option value="pca" { "PCA" } } }
            label { "Color " select #color {
                option value="label" { "label" } option value="predicted" { "prediction" } option value="error" { "error" }
                @if training > 0 { option value="split" { "split" } }
            } }
        }
        p #map-help.soft {
            "Point at an image to see it, click to list the images around it, or draw a line around images (lasso). Keyboard: arrow "
            "keys move the circle, " kbd { "+" } " and " kbd { "−" } " change its size, Enter lists the images inside."
        }
        div.map {
            canvas #map tabindex="0" role="application" aria-label="Map of the images" aria-describedby="map-help" {}
            div #tip.tip hidden {}
        }
        div #legend.legend {}
        p #near.soft aria-live="polite" {}
        div #lasso.images {}
    }
}
