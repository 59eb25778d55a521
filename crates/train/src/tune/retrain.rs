//! Trains the best configuration again, with other seeds: the metric of the trial is the best of many, and therefore
//! optimistic.

use super::error::TuneError;
use super::results::{Best, BestSeed, Metric, TestScore};
use super::trial::Trial;
use crate::comparison::{Comparison, EpochMetrics, Run};
use crate::config::Config;
use crate::data::{DataSource, Dataset, Split};
use crate::evaluate::{EvaluateOptions, EvaluationError, evaluate, student};
use crate::experiment::{CompareError, Experiment, OpenData, RunOptions, compare};
use crate::train::{EpochRecord, Event, RunFolder};
use moue::Device;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The folder of these trainings.
const FOLDER: &str = "best";

/// Trains a configuration with the `seeds` seeds after its own, or reuses the trainings of an earlier call.
pub fn retrain(
    config: &Config,
    seeds: usize,
    source: &DataSource,
    device: &Device,
    open: &mut OpenData<'_>,
    out: &Path,
    halt: &AtomicBool,
    observe: &mut dyn FnMut(u64, Event<'_>),
) -> Result<Comparison, CompareError> {
    let experiment = |number: usize| {
        let mut config = config.clone();
        config.train.seed += number as u64;
        Experiment { name: config.model.name.clone(), config, run: None }
    };
    let experiments: Vec<Experiment> = (1..=seeds).map(experiment).collect();
    let seed = |number: usize| experiments[number].config.train.seed;
    let out = out.join(FOLDER);
    compare(&experiments, source, device, open, out, halt, &mut |number, event| observe(seed(number), event))
}

/// The results for the best trial; `trained` are its trainings with other seeds, if there was time for them.
pub fn best(trial: &Trial, trials: usize, metric: Metric, out: &Path, trained: Option<&Comparison>) -> Option<Best> {
    let selected_value = metric.of(trial.best_within(usize::MAX)?);
    let runs = trained.map_or(&[][..], |comparison| comparison.rows.first().map_or(&[][..], |row| &row.runs));
    let selected = |run: &Run| -> Option<EpochRecord> { run.history.get(run.best?.epoch.checked_sub(1)?).cloned() };
    let of = |value: &dyn Fn(&EpochRecord) -> f64| -> Vec<f64> {
        runs.iter().filter_map(selected).map(|record| value(&record)).collect()
    };
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let values = of(&|record| metric.of(record));
    Some(Best {
        trial: trial.number,
        selected_value,
        trials,
        values: trial.record.values.clone(),
        config: out.join("best.toml"),
        value: mean(&values),
        // A share is between 0 and 1.
        value_ci95: student(&values)
            .map(|bounds| if metric == Metric::Loss { bounds } else { bounds.map(|bound| bound.clamp(0.0, 1.0)) }),
        validation_accuracy: mean(&of(&|record| record.validation_accuracy)),
        gap: mean(&of(&|record| record.train_accuracy - record.validation_accuracy)),
        seeds: runs
            .iter()
            .map(|run| BestSeed {
                seed: run.seed,
                finished: run.finished,
                model: RunFolder::existing(&run.folder).model(),
                best: selected(run).as_ref().map(EpochMetrics::from),
                macro_f1: selected(run).and_then(|record| record.validation_macro_f1),
                error: run.error.clone(),
            })
            .collect(),
        test: None,
    })
}

/// Evaluates the models on the test split.
pub fn test(best: &Best, dataset: &Dataset, options: &RunOptions) -> Result<Option<TestScore>, TuneError> {
    let models = best.seeds.iter().filter(|seed| seed.best.is_some()).map(|seed| seed.model.clone());
    let evaluated: Result<Vec<_>, EvaluationError> = models
        .map(|model| {
            let options = EvaluateOptions {
                model,
                data: options.data.clone(),
                split: Some(Split::Test.name().to_owned()),
                official_split: options.official_split,
                as_given: options.as_given,
                ..EvaluateOptions::default()
            };
            Ok(evaluate(&options, &mut |_| {})?.result.metrics)
        })
        .collect();
    let evaluated = evaluated?;
    let Some(first) = evaluated.first() else { return Ok(None) };
    let count = evaluated.len() as f64;
    Ok(Some(TestScore {
        split: dataset.describe(Split::Test),
        images: first.n,
        accuracy: evaluated.iter().map(|metrics| metrics.accuracy).sum::<f64>() / count,
        macro_f1: evaluated.iter().map(|metrics| metrics.macro_f1).sum::<f64>() / count,
        accuracies: evaluated.iter().map(|metrics| metrics.accuracy).collect(),
    }))
}
