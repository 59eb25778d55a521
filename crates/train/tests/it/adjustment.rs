//! Logit adjustment for rare classes, in predictions and in the loss.

use crate::training::{config, run};
use crate::votes::NET;
use moue::Classifier;
use moue_engine::loss::argmax;
use moue_train::config::Config;
use moue_train::data::{Dataset, ImageSpec, Split, synthetic};
use moue_train::evaluate::{EvaluateOptions, evaluate_split};

/// Synthetic faces, of which one in four angry, disgusted and fearful ones is a training image.
fn rare_faces(keep: impl Fn(usize) -> bool) -> Dataset {
    let faces = synthetic::dataset(840, ImageSpec { size: Some([24, 24]), channels: 1 }, 0);
    let kept = (0..faces.len()).filter(|&index| {
        let image = faces.labeled_image(index);
        image.split != Split::Train || image.label > 2 || keep(index)
    });
    Dataset::from_images(faces.classes(), faces.shape(), kept.map(|index| faces.labeled_image(index))).unwrap()
}

fn net(change: impl FnOnce(&mut Config)) -> Config {
    let mut net = config(NET);
    (net.train.logit_adjustment, net.train.epochs) = (0.0, 4);
    net.train.class_weights = moue_train::config::ClassWeights::None;
    change(&mut net);
    net
}

#[test]
fn a_prior_adjustment_is_part_of_every_prediction() {
    let place = tempfile::tempdir().unwrap();
    let dataset = rare_faces(|index| index % 4 == 0);
    let adjusted = net(|net| net.model.prior_adjustment = 1.0);
    let outcome = run(&adjusted, &dataset, &place.path().join("run"), false, 0).unwrap();
    let classifier = Classifier::open(place.path().join("run")).unwrap();
    let bias = classifier.model().calibration().prior_adjustment.clone().unwrap();
    let counts = &classifier.model().provenance().training_images;
    assert!(bias.iter().sum::<f32>().abs() < 1e-5 && bias[0] > 0.5 && bias[4] < 0.0, "{bias:?} {counts:?}");
    assert!((bias[0] - bias[4] - (counts[4] as f32 / counts[0] as f32).ln()).abs() < 1e-5);
    // The validation during training, the evaluation and a prediction agree on every class.
    let evaluated = evaluate_split(&classifier, &dataset, Split::Validation, moue::Tta::None, &mut |_| {}).unwrap();
    let best = &outcome.history[outcome.best_epoch - 1];
    assert_eq!(best.validation_accuracy, evaluated.metrics.accuracy);
    let pixels: Vec<u8> =
        evaluated.predictions.images.iter().flat_map(|&image| dataset.image(image)).copied().collect();
    let predicted = classifier.face_probabilities(&pixels).unwrap();
    let classes = |rows: &[f32]| rows.chunks_exact(7).map(argmax).collect::<Vec<_>>();
    assert_eq!(classes(&predicted), classes(&evaluated.predictions.probabilities));
    // It can be removed from the model and set again.
    let mut model = Classifier::open(place.path().join("run")).unwrap().into_model();
    let calibration = model.calibration().clone();
    assert!(model.set_prior_adjustment(0.0));
    assert_eq!(model.calibration(), &moue::model::Calibration { prior_adjustment: None, ..calibration.clone() });
    assert!(model.set_prior_adjustment(1.0));
    assert_eq!((model.calibration(), model.architecture().prior_adjustment), (&calibration, 1.0));
    // Rare classes are predicted more often than without it.
    let logits: Vec<f32> = evaluated.logits.iter().map(|&logit| logit as f32).collect();
    let rare = |rows: &[f32]| classes(rows).into_iter().filter(|&class| class < 3).count();
    let (with, without) = (rare(&predicted), rare(&logits));
    assert!(with > without, "{with} {without}");
}

#[test]
fn the_curve_begins_without_an_adjustment_and_contains_the_model() {
    let place = tempfile::tempdir().unwrap();
    let dataset = rare_faces(|index| index % 4 == 0);
    let folder = place.path().join("faces");
    // The same faces as files, so that the model can be evaluated by its path.
    for index in 0..dataset.len() {
        let image = dataset.labeled_image(index);
        let name = folder.join(image.split.name()).join(&dataset.classes()[image.label as usize]);
        std::fs::create_dir_all(&name).unwrap();
        let picture = image::GrayImage::from_raw(24, 24, image.pixels).unwrap();
        picture.save(name.join(format!("{index}.png"))).unwrap();
    }
    let adjusted = net(|net| net.model.prior_adjustment = 0.5);
    run(&adjusted, &dataset, &place.path().join("run"), false, 0).unwrap();
    let options = EvaluateOptions { model: place.path().join("run"), data: Some(folder), ..EvaluateOptions::default() };
    let found = moue_train::evaluate::evaluate(&options, &mut |_| {}).unwrap();
    let at = |tau: f64| found.adjustments.iter().find(|point| point.tau == tau).unwrap();
    let metrics = &found.result.metrics;
    assert_eq!((at(0.5).accuracy, at(0.5).macro_recall), (metrics.accuracy, metrics.macro_recall));
    assert_ne!(at(0.0).macro_recall, at(1.0).macro_recall);
}

#[test]
fn the_adjusted_loss_raises_the_recall_of_rare_classes() {
    let place = tempfile::tempdir().unwrap();
    let dataset = rare_faces(|index| index % 4 == 0);
    let recall = |strength: f32| {
        let net = net(|net| net.train.logit_adjustment = strength);
        let folder = place.path().join(strength.to_string());
        let model = run(&net, &dataset, &folder, false, 0).unwrap().model.unwrap();
        let evaluated =
            evaluate_split(&Classifier::new(model), &dataset, Split::Test, moue::Tta::None, &mut |_| {}).unwrap();
        evaluated.metrics.per_class[..3].iter().map(|class| class.recall).sum::<f64>()
    };
    let (plain, adjusted) = (recall(0.0), recall(1.0));
    assert!(adjusted > plain, "{plain} {adjusted}");
}

#[test]
fn a_class_without_training_images_has_no_prior() {
    let place = tempfile::tempdir().unwrap();
    let dataset = rare_faces(|_| false);
    for (in_model, in_loss) in [(0.5, 0.0), (0.0, 0.5)] {
        let net = net(|net| (net.model.prior_adjustment, net.train.logit_adjustment) = (in_model, in_loss));
        let error = run(&net, &dataset, &place.path().join("run"), false, 0).err().unwrap().to_string();
        assert!(error.contains("but the class `angry` has none"), "{error}");
    }
    let both = NET.replace("name = ", "prior_adjustment = 0.5\nname = ");
    let error = Config::parse("net.toml", &both).unwrap_err().to_string();
    assert!(error.contains("both remove the prior"), "{error}");
}
