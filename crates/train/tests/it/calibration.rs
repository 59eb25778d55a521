//! Calibration: one accuracy for each model, and NLL and ECE that are not optimistic.

use crate::training::{TINY, config, faces, run};
use moue::Classifier;
use moue_train::config::CalibrationKind;
use moue_train::data::{DataSource, Dataset, Split, TrainingImages};
use moue_train::evaluate::{Predictions, compute_metrics, evaluate_split, predict_split};
use moue_train::experiment::conclude;
use moue_train::train::{Job, RunFolder, train};
use std::fs;
use std::sync::atomic::AtomicBool;

#[test]
fn a_trained_model_is_calibrated_on_the_validation_split() {
    let mut config = config(TINY);
    (config.train.epochs, config.train.label_smoothing) = (30, 0.0);
    let dataset = faces(&config, 700);
    let place = tempfile::tempdir().unwrap();
    let outcome = run(&config, &dataset, place.path(), false, 0).unwrap();
    let (model, validation) = (outcome.model.unwrap(), outcome.validation.unwrap());
    assert_ne!(model.calibration().temperature, 1.0);
    let nll = |predictions: &Predictions| {
        compute_metrics(dataset.classes(), &predictions.labels, &predictions.probabilities).nll
    };
    let predicted = |classifier: &Classifier| {
        predict_split(classifier, &dataset, Split::Validation, moue::Tta::None, &mut |_| {}).unwrap()
    };
    let mut saved = Classifier::open(place.path().join("model.safetensors")).unwrap();
    let again = predicted(&saved);
    assert_eq!(again.probabilities, validation.probabilities, "the calibration is stored and applied");
    let images = &saved.model().provenance().training_images;
    assert_eq!(images.iter().sum::<usize>(), dataset.indices(Split::Train).len());
    saved.set_calibration(moue::model::Calibration::default(), 0.0).unwrap();
    assert!(nll(&predicted(&saved)) > nll(&validation));
}

/// Accuracy of the classes that `predict` gives for the validation images.
fn predicted_accuracy(classifier: &Classifier, dataset: &Dataset) -> f64 {
    let images = dataset.indices(Split::Validation);
    let right = images.iter().filter(|&&index| {
        let row = classifier.face_probabilities(dataset.image(index)).unwrap();
        moue_engine::loss::argmax(&row) == dataset.labels()[index] as usize
    });
    right.count() as f64 / images.len() as f64
}

#[test]
fn the_headline_counts_the_class_that_predict_gives() {
    let mut config = config(TINY);
    config.train.epochs = 4;
    let dataset = faces(&config, 420);
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder::existing(place.path());
    let job = Job::new(&config, &dataset, DataSource::Synthetic, &folder);
    let outcome = train(&job, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let logged = outcome.history[outcome.best_epoch - 1].validation_accuracy;
    let best = conclude(&outcome, &job).unwrap().best.unwrap();
    let classifier = Classifier::open(folder.model()).unwrap();
    let evaluated = evaluate_split(&classifier, &dataset, Split::Validation, moue::Tta::None, &mut |_| {}).unwrap();
    assert_eq!((best.metrics.accuracy, predicted_accuracy(&classifier, &dataset)), (logged, logged));
    assert_eq!(evaluated.metrics, best.metrics, "also NLL and ECE");
    assert_eq!((evaluated.metrics.nll, evaluated.metrics.ece), (evaluated.fitted.nll, evaluated.fitted.ece));
    assert!(evaluated.vector.is_none() && !classifier.model().calibration().changes_classes());
    let page = fs::read_to_string(folder.report()).unwrap();
    assert!(page.contains(&format!("Accuracy {:.1} %", logged * 100.0)));
    // The file next to the model tells that images of a split are training images.
    let known = TrainingImages::find(&folder.model(), &dataset.hash()).unwrap();
    let count = |split| known.count(&dataset, &dataset.indices(split));
    assert_eq!((count(Split::Train), count(Split::Test)), (dataset.indices(Split::Train).len(), 0));
}

#[test]
fn vector_scaling_is_a_line_of_its_own_and_requires_images() {
    let mut config = config(TINY);
    (config.train.epochs, config.train.calibration) = (2, CalibrationKind::Vector);
    config.train.progressive.clear();
    let place = tempfile::tempdir().unwrap();
    let few = run(&config, &faces(&config, 700), &place.path().join("few"), false, 0).err().unwrap().to_string();
    assert!(few.contains("requires 1000 validation images, but this data has 105"), "{few}");
    let dataset = faces(&config, 7_000);
    let outcome = run(&config, &dataset, place.path(), false, 0).unwrap();
    let logged = outcome.history[outcome.best_epoch - 1].validation_accuracy;
    let classifier = Classifier::open(place.path().join("model.safetensors")).unwrap();
    assert!(classifier.model().calibration().changes_classes());
    let of = |split| evaluate_split(&classifier, &dataset, split, moue::Tta::None, &mut |_| {}).unwrap();
    let validation = of(Split::Validation);
    let vector = validation.vector.unwrap();
    assert_eq!(validation.metrics.accuracy, logged, "the headline is that of the log");
    let fitted = predicted_accuracy(&classifier, &dataset);
    assert!(vector.cross_fitted && vector.accuracy <= fitted + 0.005 && fitted != logged, "{vector:?} {fitted}");
    let test = of(Split::Test);
    assert!(!test.vector.as_ref().unwrap().cross_fitted && test.vector.unwrap().accuracy != test.metrics.accuracy);
}
