//! Training: accuracy, bit-identical results, and resuming.

use moue::Classifier;
use moue::model::Model;
use moue_train::config::{CalibrationKind, Config};
use moue_train::data::DataSource;
use moue_train::data::{Dataset, ImageSpec, LabeledImage, Split, synthetic};
use moue_train::evaluate::{compute_metrics, cross_fit, predict_split};
use moue_train::train::{Ending, Event, Job, Outcome, RunFolder, TrainError, train};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A small network with all layers that use random numbers or keep state.
pub const TINY: &str = r#"
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
    { kind = "conv2d", filters = 8, padding = "same" },
  ] },
  { kind = "concatenate", branches = [
    [{ kind = "global_average_pooling2d" }],
    [{ kind = "global_max_pooling2d" }],
  ] },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
rotation = 10.0
translation = 0.1
random_erasing = 0.3
interpolation = "bicubic"
blur = 0.8
noise = 0.05
mixup = 0.4
[train]
progressive = [{ until = 0.4, image_size = [16, 20] }]
epochs = 3
batch_size = 32
optimizer = "adamw"
learning_rate = 0.01
weight_decay = 0.01
clip_norm = 1.0
schedule = "plateau"
ema_decay = 0.9
label_smoothing = 0.1
class_weights = "balanced"
"#;

pub fn config(text: &str) -> Config {
    Config::parse("test", text).unwrap()
}

pub fn faces(config: &Config, count: usize) -> Dataset {
    synthetic::dataset(count, ImageSpec::of_input(config.model.input), 0)
}

pub fn run(
    config: &Config,
    dataset: &Dataset,
    folder: &Path,
    resume: bool,
    stop_after: usize,
) -> Result<Outcome, TrainError> {
    let folder = RunFolder::existing(folder);
    let job = Job { resume, ..Job::new(config, dataset, DataSource::Synthetic, &folder) };
    let stop = AtomicBool::new(false);
    let mut steps = 0;
    train(&job, &stop, &mut |event| {
        if let Event::Step { .. } = event {
            steps += 1;
            stop.store(steps == stop_after, Ordering::Relaxed);
        }
    })
}

fn model_bytes(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn models_are_bit_identical_for_any_number_of_threads_and_interruptions() {
    let config = config(TINY);
    let dataset = faces(&config, 280);
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let with_threads = |threads: usize, name: &str, resume: bool, stop: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&config, &dataset, &folder(name), resume, stop).unwrap())
    };
    let outcome = with_threads(1, "one", false, 0);
    assert_eq!((outcome.ending, outcome.history.len()), (Ending::Finished, 3));
    let reference = model_bytes(&folder("one"));
    with_threads(2, "two", false, 0);
    assert_eq!(model_bytes(&folder("two")), reference, "two threads");
    with_threads(3, "three", false, 0);
    assert_eq!(model_bytes(&folder("three")), reference, "three threads");
    // 196 training images are 7 steps per epoch: stop within the first epoch, at the end of the
    // second, and within the third.
    for (stop, threads) in [(3, 2), (11, 1), (3, 3)] {
        let outcome = with_threads(threads, "broken", stop != 3 || threads != 2, stop);
        assert_eq!(outcome.ending, Ending::Interrupted);
    }
    assert_eq!(with_threads(2, "broken", true, 0).ending, Ending::Finished);
    assert_eq!(model_bytes(&folder("broken")), reference, "interrupted three times");
    // config.toml alone reproduces the run.
    let again = Config::parse("again", &fs::read_to_string(folder("one").join("config.toml")).unwrap()).unwrap();
    assert_eq!(again, config);
    let mut other = config.clone();
    other.train.seed = 1;
    run(&other, &dataset, &folder("other"), false, 0).unwrap();
    assert_ne!(model_bytes(&folder("other")), reference, "another seed");
}

#[test]
fn a_run_folder_is_used_by_one_training_at_a_time() {
    let mut config = config(TINY);
    config.train.epochs = 1;
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder::existing(place.path());
    let job = |resume| Job { resume, ..Job::new(&config, &dataset, DataSource::Synthetic, &folder) };
    let mut others = Vec::new();
    let outcome = train(&job(false), &AtomicBool::new(false), &mut |event| {
        if let Event::Step { .. } = event {
            others.push(train(&job(true), &AtomicBool::new(false), &mut |_| {}).err().expect("it is in use"));
        }
    });
    assert_eq!(outcome.unwrap().ending, Ending::Finished);
    assert!(!others.is_empty());
    for other in others {
        assert!(matches!(other, TrainError::InUse { .. }), "{other}");
        assert!(other.to_string().starts_with("another process is training in "), "{other}");
    }
    // The lock ends with the training.
    assert_eq!(run(&config, &dataset, place.path(), true, 0).unwrap().ending, Ending::Finished);
}

#[test]
fn resuming_with_another_configuration_is_an_error() {
    let mut config = config(TINY);
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    assert!(
        run(&config, &dataset, place.path(), true, 0).err().unwrap().to_string().contains("cannot read the checkpoint")
    );
    run(&config, &dataset, place.path(), false, 5).unwrap();
    let error = run(&config, &faces(&config, 147), place.path(), true, 0).err().unwrap().to_string();
    assert!(error.contains("was written on other data"), "{error}");
    config.train.learning_rate = 0.02;
    let error = run(&config, &dataset, place.path(), true, 0).err().unwrap().to_string();
    assert!(error.contains("was written with another configuration"), "{error}");
    let checkpoint = place.path().join("checkpoints/last.safetensors");
    let bytes = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    config.train.learning_rate = 0.01;
    let error = run(&config, &dataset, place.path(), true, 0).err().unwrap().to_string();
    assert!(error.contains("is not valid"), "{error}");
}

#[test]
fn teachers_change_the_target_and_are_recorded() {
    let mut config = config(TINY);
    config.train.progressive.clear();
    let dataset = faces(&config, 280);
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    run(&config, &dataset, &folder("teacher"), false, 0).unwrap();
    let teacher = folder("teacher").join("model.safetensors");
    let alone = model_bytes(&folder("teacher"));
    // With a teacher weight of 0 the result equals that without teachers.
    config.train.teachers = vec![teacher.clone(), teacher.clone()];
    config.train.teacher_weight = 0.0;
    let weightless = run(&config, &dataset, &folder("weightless"), false, 0).unwrap().model.unwrap();
    let without = Model::load(&teacher).unwrap();
    let weights = |model: &Model| {
        let mut all = Vec::new();
        model.network().visit(|parameter| all.extend_from_slice(&parameter.value));
        all
    };
    assert_eq!(weights(&weightless), weights(&without));
    let taught = |weight: f32, name: &str| {
        let mut config = config.clone();
        config.train.teacher_weight = weight;
        run(&config, &dataset, &folder(name), false, 0).unwrap().model.unwrap()
    };
    let model = taught(0.7, "taught");
    assert_eq!(model.provenance().teachers.len(), 2);
    assert_eq!(model.provenance().teachers[0], sha256(&alone));
    assert_ne!(model_bytes(&folder("taught")), model_bytes(&folder("weightless")));
    let mut both_ways = config.clone();
    (both_ways.train.teacher_weight, both_ways.train.teacher_tta) = (0.7, true);
    let symmetric = run(&both_ways, &dataset, &folder("symmetric"), false, 0).unwrap().model.unwrap();
    assert_ne!(weights(&symmetric), weights(&model));
    // A resumed run requires the same teachers.
    let mut other = config.clone();
    other.train.teacher_weight = 0.7;
    run(&other, &dataset, &folder("resumed"), false, 4).unwrap();
    fs::copy(folder("taught").join("model.safetensors"), &teacher).unwrap();
    let error = run(&other, &dataset, &folder("resumed"), true, 0).err().unwrap().to_string();
    assert!(error.contains("was written with other teachers"), "{error}");
    // The images of a teacher must have the shape of the data.
    config.model.input = [20, 20, 1];
    let error = run(&config, &faces(&config, 140), &folder("small"), false, 0).err().unwrap().to_string();
    assert!(error.contains("takes images of shape [24, 24, 1]"), "{error}");
}

#[test]
fn progressive_resizing_requires_size_independent_weights() {
    let mut config = config(
        &TINY
            .replace("\"global_average_pooling2d\"", "\"flatten\"")
            .replace("[{ kind = \"global_max_pooling2d\" }],", "[{ kind = \"flatten\" }],"),
    );
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let error = run(&config, &dataset, place.path(), false, 0).err().unwrap().to_string();
    assert!(error.contains("global pooling"), "{error}");
    config.train.progressive.clear();
    assert!(run(&config, &dataset, place.path(), false, 1).is_ok());
}

/// Test accuracy of a model that is trained on synthetic faces.
fn test_accuracy(text: &str, count: usize) -> f64 {
    let config = config(text);
    let dataset = faces(&config, count);
    let place = tempfile::tempdir().unwrap();
    let model = run(&config, &dataset, place.path(), false, 0).unwrap().model.unwrap();
    let predictions =
        predict_split(&Classifier::new(model), &dataset, Split::Test, moue::Tta::None, &mut |_| {}).unwrap();
    compute_metrics(dataset.classes(), &predictions.labels, &predictions.probabilities).accuracy
}

#[test]
fn a_small_cnn_fits_synthetic_faces_and_a_linear_model_does_not() {
    let linear = test_accuracy(
        r#"
        model = { name = "linear", input = [48, 48, 1], layers = [{ kind = "flatten" }, { kind = "dense", units = "classes" }] }
        train = { epochs = 15, learning_rate = 0.001 }
        "#,
        4_200,
    );
    let cnn = test_accuracy(
        r#"
        [model]
        name = "cnn"
        input = [32, 32, 1]
        layers = [
          { kind = "conv2d", filters = 16, padding = "same" }, { kind = "batch_normalization", activation = "relu" },
          { kind = "max_pooling2d" },
          { kind = "conv2d", filters = 32, padding = "same" }, { kind = "batch_normalization", activation = "relu" },
          { kind = "max_pooling2d" },
          { kind = "conv2d", filters = 32, padding = "same" }, { kind = "batch_normalization", activation = "relu" },
          { kind = "max_pooling2d" },
          { kind = "flatten" },
          { kind = "dense", units = "classes" },
        ]
        [augment]
        flip = true
        translation = 0.08
        rotation = 10.0
        [train]
        epochs = 14
        batch_size = 32
        learning_rate = 0.003
        schedule = "cosine"
        "#,
        4_200,
    );
    assert!(linear < 0.35, "a linear model reaches {linear}");
    assert!(cnn > 0.5, "a small CNN reaches {cnn}");
}

#[test]
fn a_diverged_loss_is_an_error_with_advice() {
    let mut config = config(TINY);
    config.train.optimizer = moue_train::config::OptimizerName::Sgd;
    config.train.learning_rate = 1e3;
    config.train.clip_norm = 0.0;
    config.train.epochs = 200;
    let place = tempfile::tempdir().unwrap();
    let error = run(&config, &faces(&config, 140), place.path(), false, 0).err().expect("it diverges").to_string();
    assert!(error.contains("lower the learning rate"), "{error}");
}

#[test]
fn early_stopping_stops_after_its_patience() {
    let mut config = config(TINY);
    config.train.epochs = 50;
    config.train.learning_rate = 1e-12;
    config.train.early_stopping = 2;
    config.train.ema_decay = 0.0;
    // Frozen weights and moving statistics: the validation accuracy hardly changes.
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let outcome = run(&config, &dataset, place.path(), false, 0).unwrap();
    assert_eq!(outcome.ending, Ending::StoppedEarly);
    assert_eq!(outcome.history.len(), outcome.best_epoch + 2);
}

#[test]
fn fine_tuning_keeps_the_body_and_initializes_a_new_head() {
    let config = config(TINY);
    let place = tempfile::tempdir().unwrap();
    let base = faces(&config, 140);
    let model = run(&config, &base, &place.path().join("base"), false, 0).unwrap().model.unwrap();
    // The same images with three other classes.
    let images =
        (0..base.len()).map(|index| LabeledImage { label: base.labels()[index] % 3, ..base.labeled_image(index) });
    let base = Dataset::from_images(&["open", "shut", "wide"].map(str::to_owned), base.shape(), images).unwrap();
    let folder = RunFolder::existing(place.path().join("own"));
    let mut frozen = config.clone();
    frozen.train.learning_rate = 1e-12;
    frozen.train.epochs = 1;
    frozen.train.ema_decay = 0.0;
    frozen.train.weight_decay = 0.0;
    let job = Job { init: Some(&model), ..Job::new(&frozen, &base, DataSource::Given("own".into()), &folder) };
    let mut notes = Vec::new();
    let tuned = train(&job, &AtomicBool::new(false), &mut |event| {
        if let Event::Note(text) | Event::Warning(text) = event {
            notes.push(text);
        }
    });
    let tuned = tuned.unwrap().model.unwrap();
    assert_eq!(
        notes,
        [
            "the validation split has 21 images: with fewer than 50, its accuracy is uncertain by up to ±21 points",
            "the weights of 4 of 5 layers are those of the given model (tiny); new layers: dense_1"
        ]
    );
    assert_eq!(tuned.classes(), ["open", "shut", "wide"]);
    let file = fs::read(place.path().join("base/model.safetensors")).unwrap();
    assert_eq!(tuned.provenance().init, Some(sha256(&file)));
    let kernel = |model: &Model| {
        let mut found = Vec::new();
        model.network().visit(|p| {
            if p.name == "conv2d_1.kernel" {
                found = p.value.to_vec();
            }
        });
        found
    };
    let largest = kernel(&model).iter().zip(kernel(&tuned)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-6, "the body changed by {largest}");
}

#[test]
fn model_files_round_trip_and_damaged_files_are_errors() {
    let config = config(TINY);
    let place = tempfile::tempdir().unwrap();
    let model = run(&config, &faces(&config, 140), place.path(), false, 0).unwrap().model.unwrap();
    let path = place.path().join("model.safetensors");
    let read = Model::load(&path).unwrap();
    assert_eq!(read.to_bytes().unwrap(), fs::read(&path).unwrap());
    let images = moue_engine::Tensor::from_slice(2, moue_engine::Shape::new(24, 24, 1), &[0.3; 2 * 576]);
    assert_eq!(read.provenance().data, "drawn");
    assert!(read.provenance().epoch >= 1 && !read.provenance().isa.is_empty());
    let [read, trained] = [read, model].map(Classifier::new);
    assert_eq!(read.input_probabilities(&images), trained.input_probabilities(&images));

    let bytes = fs::read(&path).unwrap();
    let fails = |bytes: &[u8]| Model::from_bytes(bytes, Path::new("m")).err().expect("it is damaged").to_string();
    assert!(fails(&bytes[..bytes.len() - 9]).starts_with("m is not a model file"));
    assert!(fails(b"hello").starts_with("m is not a model file"));
    for (from, to, expected) in [
        ("conv2d_1.kernel", "conv2d_9.kernel", "missing"),
        ("\\\"format\\\":1", "\\\"format\\\":7", "format 7"),
        ("[24,24,1]", "[24,24,3]", "shape"),
    ] {
        let text: Vec<u8> = replace(&bytes, from.as_bytes(), to.as_bytes());
        let error = fails(&text);
        assert!(error.contains(expected), "{from}: {error}");
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    base16ct::lower::encode_string(&sha2::Sha256::digest(bytes))
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the text is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn reports_contain_the_metrics_and_escape_names() {
    let config = config(TINY);
    let dataset = faces(&config, 140);
    let images = (0..dataset.len()).map(|index| match index {
        0 => LabeledImage { id: "<script>alert(1)</script>".into(), ..dataset.labeled_image(0) },
        _ => dataset.labeled_image(index),
    });
    let dataset = Dataset::from_images(dataset.classes(), dataset.shape(), images).unwrap();
    let place = tempfile::tempdir().unwrap();
    let outcome = run(&config, &dataset, place.path(), false, 0).unwrap();
    let classifier = Classifier::new(outcome.model.unwrap());
    let predictions = predict_split(&classifier, &dataset, Split::Validation, moue::Tta::Flip, &mut |_| {}).unwrap();
    let metrics = compute_metrics(classifier.classes(), &predictions.labels, &predictions.probabilities);
    let page = moue_train::report::training(&moue_train::report::Training {
        title: "<b>tiny</b>",
        config: "x = \"<i>\"",
        history: &outcome.history,
        best_epoch: outcome.best_epoch,
        evaluation: moue_train::evaluate::EvaluationView {
            title: "tiny",
            model: classifier.model(),
            metrics: &metrics,
            fitted: &cross_fit(classifier.model(), &predictions, CalibrationKind::Temperature),
            cross_fitted: true,
            vector: None,
            overlap: None,
            on_training: false,
            predictions: &predictions,
            dataset: &dataset,
            split: "validation",
            selection: true,
            tta: moue::Tta::Flip,
            precision: classifier.precision(),
            others: &[],
            corruptions: &[],
            votes: None,
            adjustments: &[],
            slices: &[],
            error_votes: None,
        },
    });
    assert!(page.contains("&lt;b&gt;tiny") && !page.contains("<b>tiny") && !page.contains("<i>"));
    assert!(!page.contains("NaN"));
    assert!(page.contains("mirror image") && page.contains("data:image/png;base64,"));
    let loads = ["http://", "https://", "src=\"/", "<link", "<script"];
    assert!(loads.iter().all(|text| !page.contains(text)), "a report loads no external resources");
}
