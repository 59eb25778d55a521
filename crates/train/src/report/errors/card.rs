//! The section of a model card about errors.

use super::tables::{LEVEL, end};
use crate::evaluate::{EvaluationView, Slice};
use crate::report::evaluation::p_text;
use crate::report::page::percent;
use std::fmt::Write as _;

/// What votes and slices say about errors; empty for few images.
#[must_use]
pub fn error_section(report: &EvaluationView<'_>) -> String {
    let mut text = String::new();
    if let Some(votes) = report.error_votes {
        let share =
            |share: f64, [low, high]: [f64; 2]| format!("{} % ({}–{} %)", percent(share), percent(low), percent(high));
        let (errors, correct) = (&votes.errors, &votes.correct);
        let _ = writeln!(
            text,
            "- Of the {} errors with votes, the predicted class has the most votes in {}, the label in {}.",
            errors.n,
            share(errors.predicted_first, errors.predicted_first_ci95),
            share(errors.label_first, errors.label_first_ci95)
        );
        let _ = writeln!(
            text,
            "- People disagree (nothing has more than half of the votes) on {} of the errors and on {} of the {} correct \
             predictions (Fisher's exact test: p {}).",
            share(errors.disagreement, errors.disagreement_ci95),
            share(correct.disagreement, correct.disagreement_ci95),
            correct.n,
            p_text(votes.p_value)
        );
    }
    let found: Vec<&Slice> = report.slices.iter().filter(|slice| slice.p_holm < LEVEL).collect();
    for slice in &found {
        let _ = writeln!(
            text,
            "- Accuracy on {}: {} % ({}–{} %, n = {}), on the rest {} % (p {} with Holm's correction for all {} fifths).",
            end(report.slices, slice),
            percent(slice.accuracy),
            percent(slice.accuracy_ci95[0]),
            percent(slice.accuracy_ci95[1]),
            slice.n,
            percent(slice.rest_accuracy),
            p_text(slice.p_holm),
            report.slices.len()
        );
    }
    let others = report.slices.len() - found.len();
    if others > 0 {
        let _ = writeln!(
            text,
            "- {} fifths by brightness, contrast, sharpness or resolution do not differ significantly from the rest (Fisher's exact \
             test).",
            if found.is_empty() { format!("The {others}") } else { format!("The other {others}") }
        );
    }
    if text.is_empty() { text } else { format!("## Error analysis\n\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Property;

    #[test]
    fn slices_are_named() {
        let slice = |part: usize| Slice {
            property: Property::Sharpness,
            from: part as f64,
            to: part as f64,
            n: 10,
            accuracy: 0.5,
            accuracy_ci95: [0.2, 0.8],
            rest_accuracy: 0.7,
            p_value: 0.01,
            p_holm: 0.02,
        };
        let slices: Vec<Slice> = (0..3).map(slice).collect();
        let names: Vec<String> = slices.iter().map(|slice| end(&slices, slice)).collect();
        assert_eq!(names, ["the most blurred part", "part 2 of 3 by sharpness", "the sharpest part"]);
        let fifths: Vec<Slice> = (0..5).map(slice).collect();
        assert_eq!(end(&fifths, &fifths[0]), "the most blurred fifth");
        assert_eq!((p_text(0.0001), p_text(0.25)), ("< 0.001".to_owned(), "= 0.250".to_owned()));
    }
}
