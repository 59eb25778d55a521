//! Searches: their trials do not depend on workers and interruptions, and they end in time.

use moue_train::config::Config;
use moue_train::data::{Dataset, ImageSpec, synthetic};
use moue_train::tune::{Limit, SamplerName, Space, State, TuneError, TuneEvent, TuneOptions, Tuning, tune};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SPACE: &str = r#"
[space]
blocks = { min = 1, max = 2 }
filters = { choices = [[4, 8], [6]] }
dropout = { min = 0.0, max = 0.4 }
train.learning_rate = { min = 0.001, max = 0.1, log = true }
train.optimizer = { choices = ["sgd", "adam"] }
train.momentum = { choices = [0.5, 0.9], when = { "train.optimizer" = "sgd" } }
data.train_fraction = { choices = [0.5, 1.0] }

[model]
name = "nets/searched"
input = [12, 12, 1]
layers = [
  { repeat = "$blocks", layers = [
    { kind = "conv2d", filters = "$filters", padding = "same", activation = "relu" },
    { kind = "max_pooling2d" },
    { kind = "dropout", rate = "$dropout" },
  ] },
  { kind = "flatten" },
  { kind = "dense", units = "classes", activation = "softmax" },
]

[train]
epochs = 4
batch_size = 32
"#;

fn space() -> Space {
    Space::parse("space.toml", SPACE, None).unwrap()
}

fn faces(config: &Config) -> Dataset {
    synthetic::dataset(280, ImageSpec::of_input(config.model.input), config.train.seed)
}

fn trials(count: usize) -> TuneOptions {
    TuneOptions { limit: Limit::Trials(count), seeds: 2, ..TuneOptions::default() }
}

/// Runs a search; `stop` is called with the number of events.
fn run(space: &Space, options: &TuneOptions, out: &Path, stop: &dyn Fn(usize) -> bool) -> Result<Tuning, TuneError> {
    let (flag, mut events) = (AtomicBool::new(false), 0);
    tune(space, options, Some(out), &mut |config| Ok(faces(config)), &flag, &mut |_| {
        events += 1;
        if stop(events) {
            flag.store(true, Ordering::Relaxed);
        }
    })
}

fn whole(space: &Space, options: &TuneOptions, out: &Path) -> Tuning {
    run(space, options, out, &|_| false).unwrap()
}

#[test]
fn the_table_of_trials_is_equal_for_any_workers_and_after_interruptions() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let options = trials(11);
    let first = whole(&space(), &options, &path("first"));
    let table = fs::read_to_string(path("first/trials.csv")).unwrap();
    assert_eq!((first.complete, first.trials.len(), table.lines().count()), (true, 11, 12));
    let workers = TuneOptions { workers: 3, ..options.clone() };
    whole(&space(), &workers, &path("workers"));
    assert_eq!(fs::read_to_string(path("workers/trials.csv")).unwrap(), table);
    // Stopped again and again, after more and more events.
    let mut calls = 0;
    let found = loop {
        calls += 1;
        let found = run(&space(), &workers, &path("stopped"), &|events| events > 25 * calls).unwrap();
        if found.complete {
            break found;
        }
        assert!(calls < 50);
    };
    assert!(calls > 3, "{calls}");
    assert_eq!(fs::read_to_string(path("stopped/trials.csv")).unwrap(), table);
    assert_eq!(fs::read(path("stopped/best.toml")).unwrap(), fs::read(path("first/best.toml")).unwrap());
    assert_eq!(found.best.unwrap().value, first.best.unwrap().value);
    // A finished search trains nothing.
    let mut trained = 0;
    tune(
        &space(),
        &options,
        Some(&path("first")),
        &mut |config| Ok(faces(config)),
        &AtomicBool::new(false),
        &mut |event| {
            trained += usize::from(matches!(event, TuneEvent::Images { .. } | TuneEvent::Trial { .. }));
        },
    )
    .unwrap();
    assert_eq!(trained, 0);
}

#[test]
fn weak_trials_are_stopped_and_their_checkpoints_removed() {
    let place = tempfile::tempdir().unwrap();
    let found = whole(&space(), &trials(5), place.path());
    // Hyperband of four epochs: three trials with one epoch, of which one continues, and two with all of them.
    let stopped = found.trials.iter().filter(|trial| trial.state == State::Stopped).count();
    assert!(stopped >= 2 && found.saved.trials == stopped && found.saved.epochs > 0, "{:?}", found.saved);
    for trial in &found.trials {
        let folder = place.path().join(format!("trials/{:04}", trial.number));
        assert!(folder.join("metrics.csv").exists() && !folder.join("checkpoints").exists());
        assert_eq!(trial.epochs == 4, trial.state == State::Finished);
    }
    let best = found.best.unwrap();
    assert_eq!((best.trials, best.seeds.len()), (5, 2));
    assert!(best.seeds.iter().all(|seed| seed.finished && seed.model.exists()), "{:?}", best.seeds);
    assert!(best.seeds[0].seed == 1 && best.value_ci95.is_some());
    let chosen = found.trials.iter().map(|trial| trial.value.unwrap()).fold(0.0, f64::max);
    assert_eq!(best.selected_value, chosen);
    let config = Config::open(best.config.to_str().unwrap()).unwrap();
    assert_eq!((config.train.epochs, config.train.seed), (4, 0));
}

#[test]
fn a_configuration_that_cannot_be_trained_is_a_failed_trial() {
    let place = tempfile::tempdir().unwrap();
    let text = SPACE
        .replace("min = 0.001, max = 0.1, log = true", "choices = [0.01, 1000.0]")
        .replace(r#"["sgd", "adam"]"#, r#"["sgd"]"#);
    let space = Space::parse("space.toml", &text, None).unwrap();
    let options = TuneOptions { sampler: SamplerName::Random, early_stopping: false, ..trials(8) };
    let found = whole(&space, &options, place.path());
    let failed: Vec<_> = found.trials.iter().filter(|trial| trial.state == State::Failed).collect();
    assert!(!failed.is_empty() && failed.len() < 8);
    assert!(
        failed.iter().all(|trial| trial.value.is_none() && trial.error.as_ref().unwrap().contains("the loss became"))
    );
    assert!(found.complete && found.best.unwrap().values["train.learning_rate"].as_float() == Some(0.01));
    let table = fs::read_to_string(place.path().join("trials.csv")).unwrap();
    assert_eq!(table.matches("failed").count(), failed.len(), "{table}");
}

#[test]
fn a_search_with_a_budget_ends_with_the_best_configuration_and_the_report() {
    let place = tempfile::tempdir().unwrap();
    let budget = Duration::from_secs(6);
    let options = TuneOptions { limit: Limit::Budget(budget), epochs: Some(4), ..TuneOptions::default() };
    let found = whole(&space(), &options, place.path());
    assert!(found.complete && !found.trials.is_empty() && place.path().join("report.html").exists());
    // A repeated command shows the results again.
    let again = TuneOptions { started: Instant::now(), ..options };
    let repeated = whole(&space(), &again, place.path());
    assert_eq!(repeated.trials_csv(), found.trials_csv());
}

#[test]
fn a_repeated_search_shows_an_incomplete_bracket_again() {
    let place = tempfile::tempdir().unwrap();
    let began = std::cell::Cell::new(0);
    let stop = AtomicBool::new(false);
    let mut open = |config: &Config| Ok(faces(config));
    tune(&space(), &trials(3), Some(place.path()), &mut open, &stop, &mut |event| {
        began.set(began.get() + usize::from(matches!(event, TuneEvent::Trial { .. })));
        stop.store(began.get() == 2, Ordering::Relaxed);
    })
    .unwrap();
    // As if the time had ended there.
    let plan = place.path().join("search.json");
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, text.replace("\"searched\": false", "\"searched\": true")).unwrap();
    let tables = [(); 2].map(|()| whole(&space(), &trials(3), place.path()).trials_csv());
    assert_eq!(tables[0].lines().count(), 3, "{}", tables[0]);
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn another_search_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    whole(&space(), &TuneOptions { epochs: Some(1), ..trials(2) }, place.path());
    let other = run(&space(), &TuneOptions { epochs: Some(1), ..trials(3) }, place.path(), &|_| false);
    assert!(matches!(other, Err(TuneError::OtherSearch(_))));
}

#[test]
fn a_small_space_is_searched_completely() {
    let place = tempfile::tempdir().unwrap();
    let text =
        "arch = \"tiny\"\n[space]\ntrain.batch_size = { choices = [32, 64] }\nimage_size = { choices = [\"24x24\"] }";
    let space = Space::parse("space.toml", text, None).unwrap();
    let mut options = TuneOptions { epochs: Some(1), seeds: 1, ..trials(10) };
    options.run.no_teachers = true;
    options.run.set = vec![("data.train_fraction".into(), "0.2".into())];
    let found = whole(&space, &options, place.path());
    assert_eq!((found.trials.len(), found.complete), (2, true));
}
