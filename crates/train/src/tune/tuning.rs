//! A whole search: its folder, the trials, the trainings of the best configuration, and the files with the results.

use super::analysis;
use super::budget::Budget;
use super::error::TuneError;
use super::options::{Limit, TuneOptions};
use super::results::{ParameterResult, Saved, State, Tuning};
use super::retrain;
use super::search::{Observe, Search, TuneEvent, train_images};
use super::space::Space;
use super::{trial, workers};
use crate::bench::network_latency_ms;
use crate::comparison::Comparison;
use crate::config::Config;
use crate::data::{DataSource, Dataset, ImageSpec, Split};
use crate::experiment::{OpenData, RunConfig, RunOptions, numbered_folder, read_json};
use crate::report;
use crate::train::{Event, Job, RunFolder, epoch_seconds};
use moue::Device;
use moue::fs::write_atomically;
use moue_engine::random::{Stream, key};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The folder of a search for which none is named; others have a number after it.
const DEFAULT_FOLDER: &str = "runs/tune";

/// The file that identifies a search.
const PLAN: &str = "search.json";

/// Number of configurations that are drawn to estimate the cost of the space.
const DRAWN: usize = 16;

/// Longest measurement of an epoch, as a share of the budget, and in seconds.
const MEASURED: (f64, f64) = (0.02, 60.0);

/// Time of the measurement of a network's latency.
const LATENCY: Duration = Duration::from_millis(30);

/// Searches a space, trains the best configuration again with other seeds, and writes `trials.csv`, `tune.json`,
/// `best.toml` and `report.html` into `out`: by default the first of `runs/tune`, `runs/tune-2`, … that is free or
/// contains the same search, which is then resumed. Stops early, with the results so far, when `stop` is set.
///
/// # Errors
/// When the space has no valid configuration, the data cannot be opened, or a file cannot be written.
pub fn tune(
    space: &Space,
    options: &TuneOptions,
    out: Option<&Path>,
    open: &mut OpenData<'_>,
    stop: &AtomicBool,
    observe: &mut Observe<'_>,
) -> Result<Tuning, TuneError> {
    let source = options.run.data.clone().map_or(DataSource::Synthetic, DataSource::Given);
    let drawn = drawn(space, options)?;
    let config = &drawn[0];
    let dataset = open(config)?;
    if options.test && dataset.indices(Split::Test).is_empty() {
        let splits = Split::ALL.into_iter().filter(|split| !dataset.indices(*split).is_empty());
        return Err(TuneError::NoTest(splits.map(|split| dataset.describe(split)).collect::<Vec<_>>().join(", ")));
    }
    let plan = json!({"digest": digest(space, options, config, &dataset), "space": space.name});
    let out = folder(out, &plan, observe)?;
    let saved = read_json(&out.join(PLAN));
    let before = earlier_seconds(&out)?;
    let classes = dataset.classes.len();
    let limit = match options.limit {
        Limit::Trials(_) => None,
        Limit::Budget(limit) => Some(limit),
    };
    let planned = |what: &str| saved[what].as_u64().and_then(|number| usize::try_from(number).ok());
    let mut budget = Budget::new(options.started, before, limit, planned("seeds").unwrap_or(options.seeds));
    let epochs = match (planned("epochs").or(options.epochs), limit) {
        (Some(epochs), None) => epochs,
        (None, None) => config.train.epochs,
        (known, Some(limit)) => {
            let (seconds, work) = measured(&drawn, classes, &dataset, &source, &options.device, limit, open, observe)?;
            budget.measured(seconds, work);
            known.unwrap_or_else(|| budget.plan(work, config.train.epochs))
        }
    };
    let mut plan = plan;
    plan["epochs"] = json!(epochs);
    plan["seeds"] = json!(budget.planned_seeds());
    plan["searched"] = json!(saved["searched"] == true);
    write(&out, PLAN, &format!("{plan:#}\n"))?;
    let pools = workers::pools(options.workers.max(1), rayon::current_num_threads()).map_err(TuneError::Threads)?;
    let form = ImageSpec::of_input(config.model.input);
    let mut search = Search {
        space,
        options,
        source: &source,
        out: &out,
        pools: &pools,
        stop,
        open,
        observe,
        epochs,
        seed: config.train.seed,
        budget,
        searched: plan["searched"] == true,
        classes,
        train_images: train_images(&dataset),
        trials: Vec::new(),
        data: vec![(form, config.data.clone(), Arc::new(dataset))],
        halt: Arc::new(AtomicBool::new(false)),
        images: 0,
    };
    let dataset = Arc::clone(&search.data[0].2);
    let is_done = search.run()?;
    if is_done {
        // No trial is continued after the search.
        search.trials.iter().for_each(trial::Trial::remove_checkpoint);
    }
    // Trials that never began are not part of the results. Their records remain, because a repeated search needs the
    // whole bracket.
    search.trials.retain(|trial| !trial.record.history.is_empty() || trial.record.error.is_some());
    if is_done {
        plan["searched"] = json!(true);
        write(&out, PLAN, &format!("{plan:#}\n"))?;
        measure_latencies(&mut search)?;
    }
    let comparison = if is_done { train_best(&mut search)? } else { None };
    let mut found = results(&search, &dataset, comparison.as_ref());
    if let (Some(best), true) = (&mut found.best, options.test && found.complete) {
        best.test = retrain::test(best, &dataset, &options.run)?;
    }
    analysis::analyze(&mut found);
    found.seconds = search.budget.seconds();
    write_results(&found, &search)?;
    Ok(found)
}

/// Valid configurations at random.
fn drawn(space: &Space, options: &TuneOptions) -> Result<Vec<Config>, TuneError> {
    let mut stream = Stream::new(key(&[options.run.seed.unwrap_or(0), u64::from_le_bytes(*b"drawn\0\0\0")]));
    let (mut found, mut fault) = (Vec::new(), None);
    for _ in 0..20 * DRAWN {
        match space.config(&space.draw(&mut stream)).map_err(TuneError::from) {
            Ok(config) => found.push(RunConfig::with_options(config, &options.run)?.config),
            Err(error) => fault = Some(error),
        }
        if found.len() == DRAWN {
            break;
        }
    }
    match fault {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// A hash of everything that the trials depend on.
fn digest(space: &Space, options: &TuneOptions, config: &Config, dataset: &Dataset) -> String {
    let TuneOptions { limit, metric, sampler, early_stopping, epochs, seeds, run, .. } = options;
    // The hash of the data stands for its path.
    let run = RunOptions { data: None, ..run.clone() };
    let mut hasher = Sha256::new();
    hasher.update(format!("{space:?} {limit:?} {metric:?} {sampler:?} {early_stopping} {epochs:?} {seeds} {run:?}"));
    hasher.update(config.to_toml().unwrap_or_default());
    hasher.update(dataset.hash());
    base16ct::lower::encode_string(&hasher.finalize())
}

/// The folder of the search, with its plan.
fn folder(out: Option<&Path>, plan: &Value, observe: &mut Observe<'_>) -> Result<PathBuf, TuneError> {
    let Some(out) = out else {
        let base = Path::new(DEFAULT_FOLDER);
        let found = numbered_folder(base, PLAN, plan, "tune.json")
            .map_err(|source| TuneError::Write { path: base.to_owned(), source })?;
        if found.resumed || found.path != base {
            let why = if found.resumed { "it has the same search" } else { "others have other searches" };
            observe(TuneEvent::Note(format!("the folder of this search is {}: {why}", found.path.display())));
        }
        return Ok(found.path);
    };
    let known = read_json(&out.join(PLAN));
    if known.is_object() && known["digest"] != plan["digest"] {
        return Err(TuneError::OtherSearch(out.to_owned()));
    }
    std::fs::create_dir_all(out).map_err(|source| TuneError::Write { path: out.to_owned(), source })?;
    Ok(out.to_owned())
}

/// The seconds of earlier calls: until the last trial that they trained.
fn earlier_seconds(out: &Path) -> Result<f64, TuneError> {
    let mut seconds = 0.0;
    for number in 1.. {
        let Some(record) = trial::read(out, number)? else { break };
        seconds = record.reached.iter().map(|reached| reached.seconds).fold(seconds, f64::max);
    }
    Ok(seconds)
}

/// Measures an epoch of a configuration that is cheaper than most: its seconds and its work.
fn measured(
    drawn: &[Config],
    classes: usize,
    dataset: &Dataset,
    source: &DataSource,
    device: &Device,
    limit: Duration,
    open: &mut OpenData<'_>,
    observe: &mut Observe<'_>,
) -> Result<(f64, usize), TuneError> {
    let mut by_cost: Vec<(usize, &Config)> =
        drawn.iter().map(|config| (trial::work(config, classes), config)).collect();
    by_cost.sort_by_key(|(work, _)| *work);
    let (work, config) = by_cost[by_cost.len() / 4];
    observe(TuneEvent::Note("measuring an epoch to plan the search".into()));
    let other = if config.data == drawn[0].data && config.model.input == drawn[0].model.input {
        None
    } else {
        Some(open(config)?)
    };
    let folder = RunFolder::existing("");
    let job =
        Job { device: device.clone(), ..Job::new(config, other.as_ref().unwrap_or(dataset), source.clone(), &folder) };
    let time = Duration::from_secs_f64((MEASURED.0 * limit.as_secs_f64()).min(MEASURED.1));
    let seconds = epoch_seconds(&job, time).map_err(|source| TuneError::Train { trial: 0, source })?;
    Ok((seconds, work))
}

fn measure_latencies(search: &mut Search<'_, '_>) -> Result<(), TuneError> {
    for trial in search.trials.iter_mut().filter(|trial| trial.record.latency_ms.is_none()) {
        trial.record.latency_ms = network_latency_ms(&trial.config, LATENCY).ok();
        trial.save()?;
    }
    Ok(())
}

/// Trains the best configuration again.
fn train_best(search: &mut Search<'_, '_>) -> Result<Option<Comparison>, TuneError> {
    search.halt.store(false, Ordering::Relaxed);
    let Some(best) = search.best() else { return Ok(None) };
    let (config, seeds) = (best.config.clone(), search.budget.seeds(best, search.epochs));
    let wanted = search.options.seeds;
    if seeds < wanted {
        (search.observe)(TuneEvent::Note(format!(
            "the budget allows {seeds} of {wanted} trainings of the best configuration"
        )));
    }
    let (halt, stop, budget, observe) = (&search.halt, search.stop, &search.budget, &mut *search.observe);
    let found = retrain::retrain(
        &config,
        seeds,
        search.source,
        &search.options.device,
        search.open,
        search.out,
        halt,
        &mut |seed, event: Event<'_>| {
            if stop.load(Ordering::Relaxed) || budget.is_exhausted() {
                halt.store(true, Ordering::Relaxed);
            }
            observe(TuneEvent::Best { seed, seeds, event });
        },
    )?;
    Ok(Some(found))
}

fn results(search: &Search<'_, '_>, dataset: &Dataset, comparison: Option<&Comparison>) -> Tuning {
    let options = search.options;
    let validation = dataset.indices(Split::Validation);
    let counts = dataset.per_class(&validation);
    let most = (0..counts.len()).rev().max_by_key(|&class| counts[class]).unwrap_or(0);
    let trials: Vec<_> = search.trials.iter().map(|trial| trial.result(options.metric)).collect();
    let scored = trials.iter().filter(|trial| trial.value.is_some()).count();
    let best = search.best().and_then(|best| retrain::best(best, scored, options.metric, search.out, comparison));
    let stopped = || search.trials.iter().filter(|trial| trial.state == State::Stopped);
    let left = |trial: &trial::Trial| search.epochs - trial.record.history.len();
    Tuning {
        out: search.out.to_owned(),
        space: search.space.name.clone(),
        data: search.source.to_string(),
        split: dataset.describe(Split::Validation),
        validation_images: validation.len(),
        majority_class: dataset.classes.get(most).cloned().unwrap_or_default(),
        majority_accuracy: counts.get(most).map_or(0.0, |&n| n as f64 / validation.len().max(1) as f64),
        metric: options.metric,
        sampler: options.sampler,
        early_stopping: options.early_stopping,
        seed: search.seed,
        epochs: search.epochs,
        budget_seconds: match options.limit {
            Limit::Trials(_) => None,
            Limit::Budget(limit) => Some(limit.as_secs_f64()),
        },
        seconds: 0.0,
        complete: comparison.is_some_and(|comparison| comparison.complete),
        parameters: search.space.parameters.iter().map(ParameterResult::new).collect(),
        epochs_importance: None,
        explained: None,
        progress: search.progress(),
        saved: Saved {
            trials: stopped().count(),
            epochs: stopped().map(left).sum(),
            // A sum of nothing would be -0.
            seconds: stopped().fold(0.0, |sum, trial| sum + trial.epoch_seconds().unwrap_or(0.0) * left(trial) as f64),
        },
        trials,
        best,
        findings: Vec::new(),
    }
}

fn write(out: &Path, name: &str, text: &str) -> Result<(), TuneError> {
    let path = out.join(name);
    write_atomically(&path, text.as_bytes()).map_err(|source| TuneError::Write { path, source })
}

fn write_results(found: &Tuning, search: &Search<'_, '_>) -> Result<(), TuneError> {
    write(&found.out, "trials.csv", &found.trials_csv())?;
    if let (Some(best), Some(of)) = (search.best(), &found.best) {
        let about = format!(
            "# Trial {}, the best of {} trials of the space {} on {}: validation {} {} (optimistic).\n",
            best.number,
            of.trials,
            found.space,
            found.data,
            found.metric.name(),
            found.metric.text(of.selected_value)
        );
        write(&found.out, "best.toml", &(about + &best.config.to_toml()?))?;
    }
    write(&found.out, "report.html", &report::tuning(found))?;
    // The last one, because it says that everything is complete.
    write(&found.out, "tune.json", &(serde_json::to_string_pretty(found)? + "\n"))
}
