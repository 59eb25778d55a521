//! Explains the results of a search: which parameters matter, how the metric depends on each of them, and what the
//! trials show about overfitting.
//!
//! A random forest is fitted to the metric of all trials at the ends of their rungs. Importance is permutation importance
//! (Breiman: "Random Forests", Machine Learning 2001), dependence is partial dependence (Friedman: "Greedy Function
//! Approximation: A Gradient Boosting Machine", Annals of Statistics 2001).

use super::forest::{Column, Forest, Rows};
use super::parameter::Parameter;
use super::results::{Dependence, State, TrialResult, Tuning, value_text};
use crate::comparison::EpochMetrics;
use crate::evaluate::mean_and_deviation;
use toml::Value;

/// Minimum number of trials for the forest.
const LEAST_TRIALS: usize = 8;

/// Minimum number of trials on each side of a comparison.
const LEAST_IN_GROUP: usize = 3;

/// Number of values of a range for which the dependence is computed.
const POINTS: usize = 9;

/// Number of permutations of a column.
const PERMUTATIONS: u64 = 5;

/// Maximum number of sentences about parameters.
const MOST_SENTENCES: usize = 3;

/// Adds importances, dependences and findings.
pub fn analyze(found: &mut Tuning) {
    explain(found);
    found.findings = findings(found);
}

/// The number of a value in the forest's table: the index of a choice, or the position in a range.
fn encoded(parameter: &Parameter, value: &Value) -> f64 {
    let position = parameter.position(value);
    match parameter.count().filter(|_| parameter.is_categorical()) {
        Some(count) => (position * count as f64).floor(),
        None => position,
    }
}

/// The best epoch of the first `epochs`.
fn best_within(history: &[EpochMetrics], epochs: usize) -> Option<&EpochMetrics> {
    let epochs = history.iter().take(epochs);
    epochs.reduce(|best, next| if next.validation_accuracy > best.validation_accuracy { next } else { best })
}

fn explain(found: &mut Tuning) {
    let parameters: Vec<Parameter> = found.parameters.iter().map(|own| own.parameter.clone()).collect();
    let row = |trial: &TrialResult, epochs: usize| -> Vec<f64> {
        let value = |parameter: &Parameter| {
            trial.values.get(&parameter.name).map_or(f64::NAN, |value| encoded(parameter, value))
        };
        parameters.iter().map(value).chain([epochs as f64]).collect()
    };
    let points: Vec<(&TrialResult, usize, f64)> = found
        .progress
        .iter()
        .filter_map(|point| {
            let trial = found.trials.iter().find(|trial| trial.number == point.trial)?;
            Some((trial, point.epochs, point.value?))
        })
        .collect();
    // In the order of the trials, so that the result does not depend on the order in which workers finished.
    let mut points = points;
    points.sort_by_key(|(trial, epochs, _)| (trial.number, *epochs));
    let mut trials: Vec<usize> = points.iter().map(|(trial, ..)| trial.number).collect();
    trials.dedup();
    if trials.len() < LEAST_TRIALS {
        return;
    }
    let columns = parameters.iter().map(|parameter| Column { is_categorical: parameter.is_categorical() });
    let rows = Rows {
        columns: columns.chain([Column { is_categorical: false }]).collect(),
        rows: points.iter().map(|(trial, epochs, _)| row(trial, *epochs)).collect(),
        targets: points.iter().map(|(.., value)| *value).collect(),
    };
    let mean = rows.targets.iter().sum::<f64>() / rows.targets.len() as f64;
    let variance =
        rows.targets.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / rows.targets.len() as f64;
    if variance <= 0.0 {
        return;
    }
    let forest = Forest::fit(&rows, found.seed);
    let error = forest.error(&rows);
    let lost = |column: usize| {
        let permuted: f64 = (0..PERMUTATIONS).map(|seed| forest.permuted_error(&rows, column, seed)).sum();
        (permuted / PERMUTATIONS as f64 - error).max(0.0)
    };
    let lost: Vec<f64> = (0..=parameters.len()).map(lost).collect();
    let sum = lost.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let whole: Vec<Vec<f64>> = found.trials.iter().map(|trial| row(trial, found.epochs)).collect();
    found.explained = Some(1.0 - error / variance);
    found.epochs_importance = lost.last().map(|lost| lost / sum);
    for (column, own) in found.parameters.iter_mut().enumerate() {
        own.importance = Some(lost[column] / sum);
        let active: Vec<&Vec<f64>> = whole.iter().filter(|row| !row[column].is_nan()).collect();
        if active.is_empty() {
            continue;
        }
        own.dependence = grid(&own.parameter)
            .into_iter()
            .map(|value| {
                let at = encoded(&own.parameter, &value);
                let predicted = active.iter().map(|row| {
                    let mut row = (*row).clone();
                    row[column] = at;
                    forest.predict(&row)
                });
                Dependence { predicted: predicted.sum::<f64>() / active.len() as f64, value }
            })
            .collect();
    }
}

/// All values of a parameter, or some of a range.
fn grid(parameter: &Parameter) -> Vec<Value> {
    let points =
        parameter.count().map_or(POINTS, |count| if parameter.is_categorical() { count } else { count.min(POINTS) });
    let mut values: Vec<Value> = (0..points).map(|i| parameter.at((i as f64 + 0.5) / points as f64)).collect();
    values.dedup();
    values
}

/// A trial after the number of epochs at which trials are compared.
struct Compared<'a> {
    trial: &'a TrialResult,
    gap: f64,
    accuracy: f64,
}

/// Sentences about overfitting, from the trials that were trained for the same number of epochs.
fn findings(found: &Tuning) -> Vec<String> {
    let mut sentences = Vec::new();
    let lengths = |trial: &TrialResult| if trial.error.is_some() { 0 } else { trial.epochs };
    let mut epochs: Vec<usize> = found.progress.iter().map(|point| point.epochs).filter(|epochs| *epochs > 0).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let reached = |epochs: usize| found.trials.iter().filter(|trial| lengths(trial) >= epochs).count();
    let Some(&epochs) = epochs.iter().rev().find(|&&epochs| reached(epochs) >= 2 * LEAST_IN_GROUP) else {
        return sentences;
    };
    let compared = |trial: &'_ TrialResult| -> Option<(f64, f64)> {
        let last = trial.history.get(epochs - 1)?;
        let best = best_within(&trial.history, epochs)?;
        Some((last.train_accuracy - last.validation_accuracy, best.validation_accuracy))
    };
    let trials: Vec<Compared<'_>> = found
        .trials
        .iter()
        .filter(|trial| lengths(trial) >= epochs)
        .filter_map(|trial| compared(trial).map(|(gap, accuracy)| Compared { trial, gap, accuracy }))
        .collect();
    let gaps: Vec<f64> = trials.iter().map(|trial| trial.gap).collect();
    let (mean, _) = mean_and_deviation(&gaps).unwrap_or_default();
    let edge = |start: f64, of: fn(f64, f64) -> f64| gaps.iter().copied().fold(start, of);
    sentences.push(format!(
        "After {epochs} epochs, training minus validation accuracy (the gap) was {} points on average over {} trials, from {} to {}. \
         Training accuracy is measured with dropout and augmentation, which lower it.",
        points(mean),
        trials.len(),
        points(edge(f64::INFINITY, f64::min)),
        points(edge(f64::NEG_INFINITY, f64::max)),
    ));
    let mut differences: Vec<(f64, String)> =
        found.parameters.iter().filter_map(|own| difference(&own.parameter, &trials)).collect();
    differences.sort_by(|a, b| b.0.total_cmp(&a.0));
    if differences.is_empty() {
        sentences.push("No parameter changed the gap by more than chance would, with so few trials.".into());
    }
    sentences.extend(differences.into_iter().take(MOST_SENTENCES).map(|(_, sentence)| sentence));
    sentences.extend(late(found));
    sentences.extend(optimism(found));
    sentences
}

/// Two groups of trials by the value of a parameter, if their gaps differ by more than two standard errors: the
/// difference, and a sentence.
fn difference(parameter: &Parameter, trials: &[Compared<'_>]) -> Option<(f64, String)> {
    let with = |trial: &Compared<'_>| trial.trial.values.get(&parameter.name).map(|value| parameter.position(value));
    let mut positions: Vec<f64> = trials.iter().filter_map(with).collect();
    positions.sort_by(f64::total_cmp);
    positions.dedup();
    let groups = |is_first: &dyn Fn(f64) -> bool| {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for trial in trials {
            match with(trial) {
                Some(at) if is_first(at) => first.push(trial),
                Some(_) => second.push(trial),
                None => {}
            }
        }
        (first, second)
    };
    let mut best: Option<(f64, String)> = None;
    let ends: Vec<f64> = match parameter.is_categorical() {
        true => positions.clone(),
        // The value in the middle divides the trials.
        false => positions.get(positions.len() / 2).copied().into_iter().collect(),
    };
    for at in ends {
        let is_first = |own: f64| if parameter.is_categorical() { own == at } else { own >= at };
        let (first, second) = groups(&is_first);
        let Some((gap, error)) = contrast(&first, &second) else { continue };
        let size = gap.abs() / error.max(1e-9);
        if gap.abs() <= 2.0 * error || best.as_ref().is_some_and(|(known, _)| *known >= gap.abs()) || size.is_nan() {
            continue;
        }
        let value = value_text(&parameter.at(at));
        let which = if parameter.is_categorical() { format!("= {value}") } else { format!("of {value} or more") };
        let mean = |group: &[&Compared<'_>], of: fn(&Compared<'_>) -> f64| {
            group.iter().map(|one| of(one)).sum::<f64>() / group.len() as f64
        };
        best = Some((
            gap.abs(),
            format!(
                "Trials with {} {which} had a gap of {} points ({} trials), the others of {} ({} trials); their validation \
                 accuracies were {} % and {} %.",
                parameter.name,
                points(mean(&first, |one| one.gap)),
                first.len(),
                points(mean(&second, |one| one.gap)),
                second.len(),
                points(mean(&first, |one| one.accuracy)),
                points(mean(&second, |one| one.accuracy)),
            ),
        ));
    }
    best
}

/// The difference of the mean gaps of two groups, and its standard error (Welch).
fn contrast(first: &[&Compared<'_>], second: &[&Compared<'_>]) -> Option<(f64, f64)> {
    if first.len() < LEAST_IN_GROUP || second.len() < LEAST_IN_GROUP {
        return None;
    }
    let of = |group: &[&Compared<'_>]| mean_and_deviation(&group.iter().map(|one| one.gap).collect::<Vec<_>>());
    let ((one, a), (other, b)) = (of(first)?, of(second)?);
    Some((one - other, (a * a / first.len() as f64 + b * b / second.len() as f64).sqrt()))
}

/// How many whole trainings were best long before their end.
fn late(found: &Tuning) -> Option<String> {
    let whole: Vec<&TrialResult> = found.trials.iter().filter(|trial| trial.state == State::Finished).collect();
    let is_early = |trial: &&&TrialResult| trial.best.is_some_and(|best| 3 * best.epoch <= 2 * trial.epochs);
    let early = whole.iter().filter(is_early).count();
    (!whole.is_empty() && found.epochs >= 3).then(|| {
        format!(
            "{early} of {} whole trainings had their best validation accuracy in the first two thirds of their epochs: \
             after it, only training accuracy rose.",
            whole.len()
        )
    })
}

/// What the selection of the best trial adds to its metric.
fn optimism(found: &Tuning) -> Option<String> {
    let best = found.best.as_ref()?;
    let again = best.value?;
    let metric = found.metric;
    let difference = metric.score(best.selected_value) - metric.score(again);
    let seeds = best.seeds.iter().filter(|seed| seed.best.is_some()).count();
    let verdict =
        if difference > 0.0 { "lower, as expected: the best of many trials is also the luckiest" } else { "no lower" };
    Some(format!(
        "The best of {} trials had a validation {} of {}. With {seeds} other seed{}, the same configuration has {}: {verdict}.",
        best.trials,
        metric.name(),
        metric.text(best.selected_value),
        if seeds == 1 { "" } else { "s" },
        metric.text(again),
    ))
}

/// A share in percent or points.
fn points(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
