//! Parallel coordinates: one axis for each parameter and one for the metric, one line for each trial.

use crate::report::chart::Scale;
use crate::tune::{ParameterResult, State, TrialResult, Tuning, value_text};
use maud::{Markup, html};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
const SIDE: f64 = 60.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 30.0;

/// Most choices that are named at an axis.
const MOST_NAMED: usize = 7;

/// Characters of the longest name at an axis.
const LONGEST_NAME: usize = 12;

/// The chart; empty without trials.
pub fn parallel(found: &Tuning) -> Markup {
    let scored: Vec<(&TrialResult, f64)> =
        found.trials.iter().filter_map(|trial| Some((trial, trial.score(found.metric)?))).collect();
    let fold = |start: f64, of: fn(f64, f64) -> f64| scored.iter().map(|(_, score)| *score).fold(start, of);
    let (low, high) = (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max));
    if scored.is_empty() {
        return html! {};
    }
    let axes = found.parameters.len() + 1;
    let x = |axis: usize| SIDE + (WIDTH - 2.0 * SIDE) * axis as f64 / (axes - 1).max(1) as f64;
    let y = Scale { low: 0.0, high: 1.0, from: HEIGHT - BOTTOM, to: TOP };
    let share = |score: f64| if high > low { (score - low) / (high - low) } else { 0.5 };
    let best = found.best.as_ref().map(|best| best.trial);
    let mut sorted = scored;
    // The best trials are drawn over the others.
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    html! {
        svg.wide.parallel viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Parallel coordinates of all trials" {
            text.title x="8" y="16" { "All trials: parameters and " (found.metric.name()) }
            @for (trial, score) in &sorted {
                @let places = places(found, trial, share(*score));
                @let class = if Some(trial.number) == best { "best" } else if trial.state == State::Stopped { "stopped" } else { "" };
                @for stretch in places.split(Option::is_none) {
                    @let points = stretch.iter().flatten().map(|(axis, at)| format!("{:.1},{:.1}", x(*axis), y.at(*at)));
                    polyline class={ "trial " (class) } points=(points.collect::<Vec<_>>().join(" "))
                        style=(format!("--share:{:.0}%", 100.0 * share(*score))) {
                        title { "trial " (trial.number) ": " (found.metric.text(trial.value.unwrap_or(f64::NAN))) }
                    }
                }
            }
            @for axis in 0..axes {
                line.axis x1=(format!("{:.1}", x(axis))) x2=(format!("{:.1}", x(axis))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                @let name = found.parameters.get(axis).map_or(found.metric.name(), |own| short_name(&own.name));
                text.axis-name transform=(format!("translate({:.1} {}) rotate(-25)", x(axis), TOP - 10.0)) { (name) }
                @for (at, text) in labels(found, axis, low, high) {
                    text.tick x=(format!("{:.1}", x(axis) + 5.0)) y=(format!("{:.1}", y.at(at) + 4.0)) { (text) }
                }
            }
        }
    }
}

/// The last part of an option's key.
pub fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Axis and position of each value; none where a parameter is not active.
fn places(found: &Tuning, trial: &TrialResult, share: f64) -> Vec<Option<(usize, f64)>> {
    let own = found.parameters.iter().enumerate().map(|(axis, own)| {
        let value = trial.values.get(&own.name)?;
        Some((axis, own.parameter.position(value)))
    });
    own.chain([Some((found.parameters.len(), share))]).collect()
}

fn labels(found: &Tuning, axis: usize, low: f64, high: f64) -> Vec<(f64, String)> {
    let Some(own) = found.parameters.get(axis) else {
        let text = |score: f64| found.metric.text(found.metric.score(score));
        return if high > low { vec![(0.0, text(low)), (1.0, text(high))] } else { vec![(0.5, text(low))] };
    };
    named(own).into_iter().map(|value| (own.parameter.position(&value), shortened(&value_text(&value)))).collect()
}

/// The values that are named at an axis.
fn named(own: &ParameterResult) -> Vec<toml::Value> {
    match &own.choices {
        Some(choices) if choices.len() <= MOST_NAMED => choices.clone(),
        _ => vec![own.parameter.at(0.0), own.parameter.at(1.0)],
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST_NAME {
        return text.to_owned();
    }
    text.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}
