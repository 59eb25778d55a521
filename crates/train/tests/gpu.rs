//! Trainings and every preset on a GPU, compared with the CPU.
#![cfg(feature = "gpu")]

use moue::device::gpus;
use moue::model::Model;
use moue::{Classifier, Device, DeviceChoice, PrecisionChoice};
use moue_engine::Tensor;
use moue_engine::random::Stream;
use moue_train::config::{Config, PRESETS, PrecisionName};
use moue_train::data::{DataSource, Dataset, ImageSpec, synthetic};
use moue_train::train::{Ending, Event, Job, Outcome, RunFolder, TrainError, range_test, train};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Images of a batch; more than one, so that they could be mixed up.
const IMAGES: usize = 2;

/// A network with the layers of most presets, and a training with everything that a GPU computes.
const NETWORK: &str = r#"
[model]
name = "tiny"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 8, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "dropout", rate = 0.1 },
  { kind = "residual", activation = "relu", layers = [
    { kind = "conv2d", filters = 8, padding = "same", activation = "silu" },
    { kind = "squeeze_excite", units = 4 },
  ] },
  { kind = "concatenate", branches = [
    [{ kind = "global_average_pooling2d" }],
    [{ kind = "global_max_pooling2d" }],
  ] },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
mixup = 0.4
[train]
progressive = [{ until = 0.4, image_size = [16, 20] }]
epochs = 3
batch_size = 32
optimizer = "adamw"
learning_rate = 0.01
weight_decay = 0.01
clip_norm = 1.0
ema_decay = 0.9
label_smoothing = 0.1
logit_adjustment = 0.5
"#;

fn gpu() -> Option<Device> {
    if gpus().is_empty() {
        println!("SKIPPED: no adapter; Debian's package mesa-vulkan-drivers has one in software");
        return None;
    }
    Some(Device::open(DeviceChoice::Gpu(None)).unwrap())
}

fn config() -> Config {
    Config::parse("test", NETWORK).unwrap()
}

fn faces(config: &Config) -> Dataset {
    synthetic::dataset(280, ImageSpec::of_input(config.model.input), 0)
}

/// Trains in a folder, or resumes, and stops after a number of steps, or never for 0.
fn run(
    config: &Config,
    folder: &Path,
    device: &Device,
    (resume, stop_after): (bool, usize),
) -> Result<Outcome, TrainError> {
    let (folder, dataset) = (RunFolder::existing(folder), faces(config));
    let job = Job { resume, device: device.clone(), ..Job::new(config, &dataset, DataSource::Synthetic, &folder) };
    let (stop, mut steps) = (AtomicBool::new(false), 0);
    train(&job, &stop, &mut |event| {
        if let Event::Step { loss, .. } = event {
            assert!(loss.is_finite() && loss > 0.0, "{loss}");
            steps += 1;
            stop.store(steps == stop_after, Ordering::Relaxed);
        }
    })
}

fn model(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn trainings_are_those_of_the_cpu_up_to_rounding() {
    let Some(device) = gpu() else { return };
    let config = config();
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let cpu = run(&config, &folder("cpu"), &Device::default(), (false, 0)).unwrap();
    let gpu = run(&config, &folder("gpu"), &device, (false, 0)).unwrap();
    assert_eq!(device.error(), None);
    for (own, other) in gpu.history.iter().zip(&cpu.history) {
        let near = |one: f64, two: f64, most: f64| assert!((one - two).abs() < most, "{own:?} is not {other:?}");
        near(own.train_loss, other.train_loss, 0.02 * other.train_loss);
        near(own.validation_loss, other.validation_loss, 0.05 * other.validation_loss);
        near(own.train_accuracy, other.train_accuracy, 0.05);
    }
    let provenance = |outcome: &Outcome| outcome.model.as_ref().unwrap().provenance().device.clone();
    assert_eq!([provenance(&cpu), provenance(&gpu)], [None, Some(device.to_string())]);

    run(&config, &folder("again"), &device, (false, 0)).unwrap();
    assert_eq!(model(&folder("again")), model(&folder("gpu")), "bit-identical when repeated");
    let stopped = run(&config, &folder("stopped"), &device, (false, 10)).unwrap();
    assert_eq!(stopped.ending, Ending::Interrupted);
    run(&config, &folder("stopped"), &device, (true, 0)).unwrap();
    assert_eq!(model(&folder("stopped")), model(&folder("gpu")), "bit-identical when interrupted");
}

#[test]
fn a_training_is_resumed_on_another_device() {
    let Some(device) = gpu() else { return };
    let config = config();
    for (first, second) in [(Device::default(), device.clone()), (device, Device::default())] {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(run(&config, place.path(), &first, (false, 9)).unwrap().ending, Ending::Interrupted);
        let outcome = run(&config, place.path(), &second, (true, 0)).unwrap();
        assert_eq!((outcome.ending, outcome.history.len()), (Ending::Finished, 3));
    }
}

#[test]
fn what_a_gpu_cannot_train_is_an_error() {
    let Some(device) = gpu() else { return };
    let refused = |edit: &dyn Fn(&mut Config)| {
        let mut config = config();
        edit(&mut config);
        let place = tempfile::tempdir().unwrap();
        moue::with_causes(&run(&config, place.path(), &device, (false, 0)).err().unwrap())
    };
    let error = refused(&|config| config.train.precision = PrecisionName::Bf16);
    assert_eq!(error, "cannot prepare the training: a GPU computes in f32, not in bf16; use the precision f32");
    let error = refused(&|config| config.train.learning_rate = 1e30);
    assert!(error.contains("lower the learning rate"), "{error}");
}

#[test]
fn learning_rates_are_tested() {
    let Some(device) = gpu() else { return };
    let mut config = config();
    config.train.progressive.clear();
    let (folder, dataset) = (RunFolder::existing(""), faces(&config));
    let on = |device: &Device| {
        let job = Job { device: device.clone(), ..Job::new(&config, &dataset, DataSource::Synthetic, &folder) };
        range_test(&job, &AtomicBool::new(false), &mut |_| {}).unwrap()
    };
    let (gpu, cpu) = (on(&device), on(&Device::default()));
    // Later losses depend on the rounding of earlier ones.
    for (own, other) in gpu.points.iter().zip(&cpu.points).take(20) {
        assert!((own.loss - other.loss).abs() < 0.01 * other.loss, "{own:?} is not {other:?}");
    }
}

#[test]
fn presets_predict_as_on_the_cpu() {
    let Some(device) = gpu() else { return };
    for preset in PRESETS {
        let config = Config::open(preset.name).unwrap();
        let classes: Vec<String> = (0..7).map(|class| class.to_string()).collect();
        let untrained = || Model::untrained(config.model.clone(), classes.clone(), 3).unwrap();
        let cpu = Classifier::new(untrained());
        let gpu = Classifier::prepare(untrained(), PrecisionChoice::Auto, &device).unwrap();
        let mut images = Tensor::zeros(IMAGES, cpu.input_shape());
        let mut stream = Stream::new(5);
        images.data_mut().iter_mut().for_each(|value| *value = stream.normal());
        let (expected, found) = (cpu.logits(&images), gpu.logits(&images));
        assert_eq!(device.error(), None, "{}", preset.name);
        let largest = expected.iter().fold(0.0, |max: f32, logit| max.max(logit.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * largest, "{}: {found} is not {expected}", preset.name);
        }
    }
}
