//! Trainings that start from a model: frozen layers, and models of another architecture.

use crate::training::{TINY, config, faces, run};
use moue::model::Model;
use moue_train::config::Config;
use moue_train::data::{DataSource, Dataset};
use moue_train::train::{Ending, Event, Job, Outcome, RunFolder, TrainError, train};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Trains from a model, or resumes; stops after a number of steps, if it is not 0.
fn tune(
    config: &Config,
    dataset: &Dataset,
    init: Option<&Model>,
    folder: &Path,
    stop_after: usize,
) -> Result<Outcome, TrainError> {
    let folder = RunFolder::existing(folder);
    let job = Job { init, resume: init.is_none(), ..Job::new(config, dataset, DataSource::Synthetic, &folder) };
    let stop = AtomicBool::new(false);
    let mut steps = 0;
    train(&job, &stop, &mut |event| {
        if let Event::Step { .. } = event {
            steps += 1;
            stop.store(steps == stop_after, Ordering::Relaxed);
        }
    })
}

fn values(model: &Model) -> BTreeMap<String, Vec<f32>> {
    let mut values = BTreeMap::new();
    model.network().visit(|parameter| {
        values.insert(parameter.name.clone(), parameter.value.to_vec());
    });
    values
}

/// With weight decay, a penalty, a moving average, several image sizes and clipped gradients.
#[test]
fn frozen_layers_are_bit_identical_and_such_a_run_is_reproducible_and_resumable() {
    let mut config = config(&TINY.replace(
        "filters = 8, padding = \"same\", use_bias",
        "filters = 8, kernel_l2 = 0.01, padding = \"same\", use_bias",
    ));
    let dataset = faces(&config, 280);
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let base = run(&config, &dataset, &folder("base"), false, 0).unwrap().model.unwrap();
    config.train.freeze = 4;
    config.train.seed = 1;
    let tuned = tune(&config, &dataset, Some(&base), &folder("tuned"), 0).unwrap().model.unwrap();
    let (before, after) = (values(&base), values(&tuned));
    for (name, value) in &before {
        let layer = name.split('.').next().unwrap();
        let frozen = ["conv2d_1", "batch_normalization_1"].contains(&layer);
        assert_eq!(frozen, *value == after[name], "{name}");
    }
    let file = |name: &str| fs::read(folder(name).join("model.safetensors")).unwrap();
    tune(&config, &dataset, Some(&base), &folder("again"), 0).unwrap();
    assert_eq!(file("again"), file("tuned"), "the same run again");
    // Within the second epoch, which has another image size than the first.
    assert_eq!(tune(&config, &dataset, Some(&base), &folder("broken"), 9).unwrap().ending, Ending::Interrupted);
    assert_eq!(tune(&config, &dataset, None, &folder("broken"), 0).unwrap().ending, Ending::Finished);
    assert_eq!(values(&Model::load(folder("broken").join("model.safetensors")).unwrap()), after, "interrupted");
}

#[test]
fn layers_that_cannot_be_frozen_are_errors() {
    let mut config = config(TINY);
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let base = run(&config, &dataset, &place.path().join("base"), false, 0).unwrap().model.unwrap();
    let fails = |config: &Config| {
        let outcome = tune(config, &dataset, Some(&base), &place.path().join("tuned"), 0);
        outcome.err().expect("it fails").to_string()
    };
    config.train.freeze = 6;
    assert!(config.check("test").is_ok());
    let error = run(&config, &dataset, &place.path().join("random"), false, 0).err().expect("it fails").to_string();
    assert!(error.starts_with("train.freeze = 6 keeps the weights of a model") && error.contains("--init"), "{error}");
    let wide =
        TINY.replace("filters = 8, padding = \"same\", activation", "filters = 9, padding = \"same\", activation");
    config.model = Config::parse("test", &wide).unwrap().model;
    let error = fails(&config);
    assert_eq!(error, "the layer conv2d_2 is new and cannot be frozen; lower train.freeze");
    config.train.freeze = 7;
    assert!(config.check("test").unwrap_err().to_string().contains("less than the number of layers, 7"));
    let softmax = TINY.replace(", activation = \"softmax\" },\n]", " },\n  { kind = \"softmax\" },\n]");
    let mut config = Config::parse("test", &softmax).unwrap();
    config.train.freeze = 7;
    assert!(fails(&config).contains("freezes all layers that have weights"));
}

#[test]
fn a_model_of_another_architecture_is_an_error_that_names_the_new_layers() {
    let config = config(TINY);
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let base = run(&config, &dataset, &place.path().join("base"), false, 0).unwrap().model.unwrap();
    let wide = Config::parse("wide", &TINY.replace("filters = 8", "filters = 12")).unwrap();
    let error = tune(&wide, &dataset, Some(&base), &place.path().join("wide"), 0).err().expect("it fails").to_string();
    assert!(error.contains("the given model (tiny) has weights for only 0 of 5 layers"), "{error}");
    assert!(error.contains("conv2d_1, batch_normalization_1, conv2d_2, conv2d_3, dense_1"), "{error}");
}
