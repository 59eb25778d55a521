//! The report of a range test of the learning rate.

use super::page;
use super::plot::{Across, Plot, Point};
use crate::train::RangeTest;
use maud::html;

/// The report of a range test as an HTML page.
#[must_use]
pub fn learning_rate(title: &str, found: &RangeTest) -> String {
    let of = |value: fn(&crate::train::RangePoint) -> f64| -> Vec<(f64, f64)> {
        found.points.iter().map(|point| (point.learning_rate, value(point))).collect()
    };
    let mark = found.points.iter().find(|point| Some(point.learning_rate) == found.suggestion).map(|point| Point {
        x: point.learning_rate,
        y: point.smoothed,
        class: "b",
        about: format!("suggestion: {}", point.learning_rate),
    });
    let plot = Plot {
        title: "Training loss".into(),
        label: "learning rate".into(),
        across: Across::Log,
        points: mark.into_iter().collect(),
        lines: vec![("gray", of(|point| point.loss)), ("a", of(|point| point.smoothed))],
    };
    page::page(
        title,
        &html! {
            h1 { (title) }
            @match found.suggestion {
                Some(rate) => p.big { (rate) },
                None => p.big { "No suggestion" },
            }
            p {
                @if found.suggestion.is_some() { "The learning rate at which the loss decreases fastest. " }
                @else { "The loss did not decrease. " }
                @if let Some(lowest) = found.lowest { "It is lowest at " (format!("{lowest:.1e}")) "." }
                @if found.diverged { " Beyond that it increased, and the test ended." }
            }
            div.charts { (plot.svg()) }
            p.soft {
                "Range test (Smith 2017): the learning rate rises by the same factor at each step, on training images with the "
                "augmentation and the optimizer of the configuration. Gray: the loss of each batch; blue: smoothed."
            }
        },
    )
}
