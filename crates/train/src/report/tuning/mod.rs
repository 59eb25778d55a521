//! The report of a search: what it found, how the parameters matter, and what the trials show about overfitting.

mod parallel;

use super::chart::{Chart, Line};
use super::comparison::interval;
use super::page::{self, color, percent};
use super::plot::{Across, Plot, Point};
use crate::tune::{Best, Metric, ParameterResult, State, TrialResult, Tuning, value_text};
use maud::{Markup, Render, html};
use parallel::{parallel, short_name};

/// Number of parameters whose dependence is shown.
const MOST_DEPENDENCES: usize = 6;

/// Number of trials that are named next to the learning curves.
const MOST_NAMED: usize = 8;

/// Seconds from which times are shown in minutes.
const LONG: f64 = 300.0;

/// The report of a search as an HTML page.
#[must_use]
pub fn tuning(found: &Tuning) -> String {
    let title = format!("Search of {} on {}", found.space, found.data);
    page::page(
        &title,
        &html! {
            h1 { (title) }
            (headline(found))
            @if let Some(best) = &found.best { (configuration(found, best)) }
            h2 { "What the trials show about overfitting" }
            @if found.findings.is_empty() { p { "There are too few trials to compare." } }
            @else {
                ul { @for sentence in &found.findings { li { (sentence) } } }
                p.soft { "Observations on trials that the search has selected, not controlled experiments: several parameters differ between two groups." }
            }
            h2 { "The search" }
            section.timed { div.charts { (over_time(found)) } }
            p.soft { (saved_sentence(found)) }
            h2 { "Learning curves" }
            div.scroll { (curves(found)) }
            p.soft {
                "Accuracy on " (found.split) " after each epoch. Gray: trials that were stopped early, because others were "
                "better after as many epochs. Dashed, in the same color: training accuracy of the named trials, with dropout and augmentation."
            }
            h2 { "Parameters" }
            div.scroll { (parallel(found)) }
            p.soft { "One line for each trial, from pale (worst) to dark (best); the best is thick. A line is interrupted where a parameter is not active." }
            (importance(found))
            (dependences(found))
            h2 { "Accuracy, size and speed" }
            div.charts {
                div { (against_parameters(found)) }
                section.timed { (against_latency(found)) }
            }
            p.soft { "The line connects the trials that no other trial surpasses in both respects (the Pareto front)." }
            h2 { "Trials" }
            (table(found))
        },
    )
}

fn scored(found: &Tuning) -> usize {
    found.trials.iter().filter(|trial| trial.value.is_some()).count()
}

fn headline(found: &Tuning) -> Markup {
    let metric = found.metric;
    html! {
        @match &found.best {
            None => p.big { "No trial has finished an epoch." },
            Some(best) => {
                p.big { (metric.text(best.value.unwrap_or(best.selected_value))) }
                p {
                    "Validation " (metric.name()) " of the best of " (best.trials) " trials"
                    @if best.value.is_some() {
                        ", trained again with " (best.seeds.len()) " other seeds"
                        @if best.value_ci95.is_some() { " (95 % interval of the mean " (interval(best.value_ci95, |value| metric.text(value))) ")" }
                    }
                    ". Optimistic: configuration and epoch were selected on this split."
                    @if let Some(test) = &best.test {
                        " On " (test.split) " (n = " (test.images) "), which was used only for this: accuracy " (percent(test.accuracy))
                        " %, macro F1 " (percent(test.macro_f1)) " % (means of " (test.accuracies.len()) " trainings)."
                    }
                }
            }
        }
        p {
            (scored(found)) " configurations were trained for up to " (found.epochs) " epochs and validated on the "
            (found.validation_images) " images of " (found.split) ". Majority-class baseline (\"" (found.majority_class) "\"): "
            (percent(found.majority_accuracy)) " %."
        }
        @if !found.complete { p { b { "Not finished." } " Run the same command again to continue." } }
    }
}

fn configuration(found: &Tuning, best: &Best) -> Markup {
    html! {
        h2 { "The best configuration" }
        p { "Trial " (best.trial) "; best.toml is its architecture file: " code { "moue train best.toml" } " trains it." }
        div.scroll { table { tbody {
            @for own in &found.parameters {
                @if let Some(value) = best.values.get(&own.name) { tr { td { (own.name) } td { (value_text(value)) } } }
            }
        } } }
        @if !best.seeds.is_empty() {
            div.scroll { table.experiments {
                thead { tr { th { "seed" } th { "validation %" } th { "macro F1 %" } th { "train %" } th { "gap" } th { "best epoch" } } }
                tbody { @for seed in &best.seeds { tr {
                    td { "seed " (seed.seed) @if !seed.finished { " (not finished)" } }
                    @if let Some(epoch) = seed.best {
                        (cell("validation %", percent(epoch.validation_accuracy)))
                        (cell("macro F1 %", seed.macro_f1.map(percent).unwrap_or_default()))
                        (cell("train %", percent(epoch.train_accuracy)))
                        (cell("gap", percent(epoch.train_accuracy - epoch.validation_accuracy)))
                        (cell("best epoch", epoch.epoch.to_string()))
                    } @else {
                        td.text colspan="5" { (seed.error.as_deref().unwrap_or("–")) }
                    }
                } } }
            } }
        }
    }
}

/// A cell of a table whose rows are blocks on a narrow screen.
fn cell(name: &str, content: impl Render) -> Markup {
    html! { td data-name=(name) { (content) } }
}

/// A value of the metric for an axis: in percent, except for a loss.
fn shown(metric: Metric, value: f64) -> f64 {
    if metric == Metric::Loss { value } else { value * 100.0 }
}

fn axis(metric: Metric) -> String {
    match metric {
        Metric::Loss => "validation loss".into(),
        other => format!("validation {}, %", other.name()),
    }
}

fn over_time(found: &Tuning) -> Markup {
    let metric = found.metric;
    let longest = found.progress.iter().map(|point| point.seconds).fold(0.0, f64::max);
    let (unit, length) = if longest > LONG { ("minutes", 60.0) } else { ("seconds", 1.0) };
    let state = |number: usize| found.trials.iter().find(|trial| trial.number == number).map(|trial| trial.state);
    let points = found.progress.iter().filter_map(|point| {
        Some(Point {
            x: point.seconds / length,
            y: shown(metric, point.value?),
            class: if state(point.trial) == Some(State::Stopped) { "gray" } else { "a" },
            about: format!("trial {}, {} epochs: {}", point.trial, point.epochs, metric.text(point.value?)),
        })
    });
    let mut best: Option<f64> = None;
    let mut line = Vec::new();
    for point in &found.progress {
        let Some(value) = point.value else { continue };
        let at = point.seconds / length;
        if let Some(best) = best {
            line.push((at, shown(metric, best)));
        }
        let is_better = best.is_none_or(|best| metric.score(value) > metric.score(best));
        if is_better {
            best = Some(value);
            line.push((at, shown(metric, value)));
        }
    }
    let title = format!("Best {} so far", axis(metric));
    Plot {
        title,
        label: format!("{unit} since the start"),
        across: Across::Linear,
        points: points.collect(),
        lines: vec![("b", line)],
    }
    .svg()
}

fn saved_sentence(found: &Tuning) -> Markup {
    let saved = &found.saved;
    html! {
        @if !found.early_stopping { "No trial was stopped early." }
        @else {
            (saved.trials) " of " (found.trials.len()) " trials were stopped early, which saved " (saved.epochs) " epochs"
            span class="timed" { " (about " (duration(saved.seconds)) ")" } "."
        }
    }
}

fn duration(seconds: f64) -> String {
    if seconds > LONG { format!("{:.0} minutes", seconds / 60.0) } else { format!("{seconds:.0} seconds") }
}

fn curves(found: &Tuning) -> Markup {
    let points = |trial: &TrialResult, of: fn(&crate::comparison::EpochMetrics) -> f64| -> Vec<(f64, f64)> {
        trial.history.iter().map(|epoch| (epoch.epoch as f64, of(epoch) * 100.0)).collect()
    };
    let mut named: Vec<&TrialResult> =
        found.trials.iter().filter(|trial| trial.state != State::Stopped && trial.value.is_some()).collect();
    named.sort_by(|a, b| {
        b.score(found.metric).unwrap_or(f64::NAN).total_cmp(&a.score(found.metric).unwrap_or(f64::NAN))
    });
    let (named, others) = named.split_at(named.len().min(MOST_NAMED));
    let stopped = found.trials.iter().filter(|trial| trial.state == State::Stopped);
    let mut lines: Vec<Line> = stopped
        .chain(others.iter().copied())
        .map(|trial| Line {
            name: String::new(),
            class: "gray".into(),
            points: points(trial, |epoch| epoch.validation_accuracy),
        })
        .collect();
    for (number, trial) in named.iter().enumerate() {
        let train = points(trial, |epoch| epoch.train_accuracy);
        lines.push(Line { name: String::new(), class: format!("{} dashed", color(number)), points: train });
        let name = format!(
            "trial {}: {}",
            trial.number,
            trial.value.map(|value| found.metric.text(value)).unwrap_or_default()
        );
        lines.push(Line { name, class: color(number), points: points(trial, |epoch| epoch.validation_accuracy) });
    }
    let level = (found.majority_accuracy * 100.0, format!("baseline \"{}\"", found.majority_class));
    Chart {
        title: "Accuracy, %",
        across: "epoch",
        lines,
        bands: Vec::new(),
        mark: None,
        level: Some(level),
        wide: true,
    }
    .svg()
}

fn importance(found: &Tuning) -> Markup {
    let mut rows: Vec<(&str, f64)> =
        found.parameters.iter().filter_map(|own| Some((own.name.as_str(), own.importance?))).collect();
    rows.extend(found.epochs_importance.map(|importance| ("epochs of the trial", importance)));
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    html! {
        h3 { "Importance" }
        @if rows.is_empty() { p { "There are too few trials to estimate it." } }
        @else {
            div.scroll { table { tbody { @for (name, importance) in rows { tr {
                td { (name) } td { (percent(importance)) " %" }
                td.text { span class="gap a" style=(format!("width:{:.2}rem", 9.0 * importance)) {} }
            } } } } }
            p.soft {
                "Permutation importance (Breiman 2001): the increase of a random forest's error when the values of a parameter are "
                "exchanged among the trials, as a share of the sum. The forest explains "
                (percent(found.explained.unwrap_or(0.0).max(0.0))) " % of the variance on trials that it was not fitted to; "
                "where that is little, the order is uncertain."
            }
        }
    }
}

fn dependences(found: &Tuning) -> Markup {
    let mut own: Vec<&ParameterResult> = found.parameters.iter().filter(|own| own.dependence.len() > 1).collect();
    own.sort_by(|a, b| b.importance.unwrap_or(0.0).total_cmp(&a.importance.unwrap_or(0.0)));
    own.truncate(MOST_DEPENDENCES);
    html! {
        @if !own.is_empty() {
            h3 { "Partial dependence" }
            div.charts { @for own in own { (dependence(found.metric, own)) } }
            p.soft {
                "The forest's prediction of the " (axis(found.metric)) " after " (found.epochs) " epochs, for each value of a parameter: a mean over "
                "the other parameters of all trials (Friedman 2001)."
            }
        }
    }
}

fn dependence(metric: Metric, own: &ParameterResult) -> Markup {
    let number = |value: &toml::Value| value.as_float().or(value.as_integer().map(|value| value as f64));
    let numbers: Option<Vec<f64>> = own.dependence.iter().map(|point| number(&point.value)).collect();
    let is_named = own.parameter.count().is_some_and(|count| count == own.dependence.len());
    let (across, places) = match (numbers, own.min) {
        (Some(numbers), Some(_)) if !is_named => (if own.log { Across::Log } else { Across::Linear }, numbers),
        _ => {
            let names = own.dependence.iter().map(|point| value_text(&point.value)).collect();
            (Across::Names(names), (0..own.dependence.len()).map(|place| place as f64).collect())
        }
    };
    let at: Vec<(f64, f64)> =
        places.into_iter().zip(&own.dependence).map(|(x, point)| (x, shown(metric, point.predicted))).collect();
    let points = at.iter().zip(&own.dependence).map(|(&(x, y), point)| Point {
        x,
        y,
        class: "a",
        about: format!("{}: {}", value_text(&point.value), metric.text(point.predicted)),
    });
    let lines = if own.min.is_some() { vec![("a", at.clone())] } else { Vec::new() };
    let label = own.name.clone();
    Plot {
        title: format!("{}: {}", short_name(&own.name), axis(metric)),
        label,
        points: points.collect(),
        across,
        lines,
    }
    .svg()
}

fn against(found: &Tuning, title: &str, label: &str, of: impl Fn(&TrialResult) -> Option<f64>) -> Markup {
    let metric = found.metric;
    let mut measured: Vec<(f64, f64, &TrialResult)> =
        found.trials.iter().filter_map(|trial| Some((of(trial)?, trial.value?, trial))).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(metric.score(b.1).total_cmp(&metric.score(a.1))));
    let mut front = Vec::new();
    let mut best = f64::NEG_INFINITY;
    for &(x, value, _) in &measured {
        if metric.score(value) > best {
            best = metric.score(value);
            front.push((x, shown(metric, value)));
        }
    }
    let points = measured.iter().map(|&(x, value, trial)| Point {
        x,
        y: shown(metric, value),
        class: if trial.state == State::Stopped { "gray" } else { "a" },
        about: format!("trial {}: {}", trial.number, metric.text(value)),
    });
    let title = format!("{title} and {}", axis(metric));
    Plot { title, label: label.into(), points: points.collect(), across: Across::Log, lines: vec![("b", front)] }.svg()
}

fn against_parameters(found: &Tuning) -> Markup {
    against(found, "Size", "number of parameters", |trial| Some(trial.parameters as f64))
}

fn against_latency(found: &Tuning) -> Markup {
    against(found, "Latency", "milliseconds for one image on this machine", |trial| trial.latency_ms)
}

fn table(found: &Tuning) -> Markup {
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), percent);
    let mut trials: Vec<&TrialResult> = found.trials.iter().collect();
    let score = |trial: &TrialResult| trial.score(found.metric).unwrap_or(f64::NEG_INFINITY);
    trials.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.number.cmp(&b.number)));
    html! {
        div.scroll { table.experiments.trials {
            thead { tr {
                th { "trial" } th { "validation %" } th { "macro F1 %" } th { "train %" } th { "gap" } th { "epochs" } th { "" }
                th { "parameters" } th { "latency ms" } th { "seconds" }
            } }
            tbody { @for trial in trials { tr {
                td {
                    b { (trial.number) } " "
                    span.small { @for (name, value) in &trial.values { (short_name(name)) "=" wbr; (value_text(value)) " " } }
                    @if let Some(error) = &trial.error { br; span.soft.small { "failed: " (error) } }
                }
                (cell("validation %", share(trial.best.map(|best| best.validation_accuracy))))
                (cell("macro F1 %", share(trial.macro_f1)))
                (cell("train %", share(trial.best.map(|best| best.train_accuracy))))
                (cell("gap", share(trial.gap)))
                (cell("epochs", trial.epochs.to_string()))
                (cell("state", trial.state.name().to_owned()))
                (cell("parameters", trial.parameters.to_string()))
                (cell("latency ms", trial.latency_ms.map_or_else(|| "–".to_owned(), |latency| format!("{latency:.2}"))))
                (cell("seconds", format!("{:.0}", trial.seconds)))
            } } }
        } }
    }
}
