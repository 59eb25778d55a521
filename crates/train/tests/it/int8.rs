//! Models that predict with 8-bit integers: their ranges, files and exports.

use crate::training::{TINY, config, faces, run};
use moue::model::onnx::{from_onnx, to_onnx, to_onnx_int8};
use moue::model::{Int8, Model, RangeError, StoredPrecision};
use moue::precision::NoRanges;
use moue::{Classifier, Precision, Tta};
use moue_engine::inference::{RangeMethod, int8_layers, ranges};
use moue_engine::random::Stream;
use moue_engine::{Shape, Tensor};
use moue_train::config::{Config, PRESETS};
use moue_train::data::Split;
use moue_train::evaluate::{calibrate_int8, predict_split, verify};
use std::path::Path;

fn noise(model: &Model, images: usize) -> Tensor {
    let [height, width, channels] = model.input();
    let mut stream = Stream::new(5);
    let mut batch = Tensor::zeros(images, Shape::new(height, width, channels));
    batch.data_mut().iter_mut().for_each(|value| *value = stream.normal());
    batch
}

/// An untrained model with ranges for noise.
fn with_ranges(architecture: moue::model::Architecture) -> Model {
    let mut model = Model::untrained(architecture, ["up", "down", "strange"].map(str::to_owned).to_vec(), 3).unwrap();
    let batch = |number: usize| (number == 0).then(|| noise(&model, 8));
    let ranges = ranges(model.network(), RangeMethod::Percentile(1.0), &batch);
    model.set_int8(Some(Int8 { ranges, images: 8, accuracy: None })).unwrap();
    model
}

fn int8(model: Model) -> Classifier {
    Classifier::with_precision(model, Precision::Int8).unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_trained_model_predicts_with_8_bit_integers() {
    let config = config(TINY);
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let model = run(&config, &dataset, place.path(), false, 0).unwrap().model.unwrap();
    let found = model.int8().expect("training computes ranges").clone();
    assert_eq!(found.ranges.keys().collect::<Vec<_>>(), ["conv2d_2", "conv2d_3"]);
    assert_eq!(found.images, dataset.indices(Split::Train).len().min(512));
    let accuracy = found.accuracy.clone().expect("there is a validation split");
    assert_eq!((accuracy.split.as_str(), accuracy.n), ("validation", dataset.indices(Split::Validation).len()));

    // The file has them, and gives the accuracies that it states.
    let read = || Model::open(place.path().join("model.safetensors")).unwrap();
    assert_eq!(read().int8(), Some(&found));
    let share = |classifier: &Classifier| {
        let predictions = predict_split(classifier, &dataset, Split::Validation, Tta::None, &mut |_| {}).unwrap();
        let rows = predictions.probabilities.chunks_exact(dataset.classes().len());
        let hits = rows.zip(&predictions.labels).filter(|(row, label)| {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            best == **label as usize
        });
        hits.count() as f64 / accuracy.n as f64
    };
    let float = Classifier::new(read());
    assert!((share(&float) - accuracy.f32).abs() < 1e-9 && (share(&int8(read())) - accuracy.int8).abs() < 1e-9);
    let verified = verify(&float, &int8(read()), Some(&dataset), 10).unwrap();
    assert_eq!((verified.images, verified.split.as_deref()), (10, Some("validation")));
    assert!(verified.largest_difference > 0.0 && verified.largest_difference < 0.2, "{verified:?}");
    assert!(verified.accuracies.is_some());
    let drawn = verify(&float, &int8(read()), None, 20).unwrap();
    assert_eq!((drawn.images, drawn.split, drawn.accuracies), (20, None, None));

    // Calibration is repeatable, and a model without ranges is an error.
    let mut again = read();
    again.set_int8(None).unwrap();
    assert_eq!(Classifier::with_precision(again, Precision::Int8).err(), Some(NoRanges));
    let mut again = read();
    again.set_int8(None).unwrap();
    assert_eq!(calibrate_int8(again, &dataset, None).unwrap().int8(), Some(&found));
    // Other weights have other ranges.
    let mut changed = int8(read());
    changed.set_weights(&moue::model::weights::snapshot(changed.model().network()));
    assert!(changed.model().int8().is_none() && changed.precision() == Precision::F32);
}

#[test]
fn files_with_8_bit_weights_predict_as_the_model_does() {
    let model = with_ranges(config(TINY).model);
    let x = noise(&model, 40);
    let bytes = model.to_bytes_with(StoredPrecision::I8).unwrap();
    let read = Model::from_bytes(&bytes, "it.safetensors").unwrap();
    assert_eq!(read.int8(), model.int8());
    // The weights of both are the same bytes.
    let distance = distance(&int8(read).input_probabilities(&x), &int8(model).input_probabilities(&x));
    assert!(distance < 1e-5, "{distance}");
}

#[test]
fn ranges_that_do_not_fit_the_network_are_errors() {
    let mut model = with_ranges(config(TINY).model);
    let of = |layer: &str, range: [f32; 2]| {
        Some(Int8 { ranges: [(layer.to_owned(), range)].into(), images: 1, accuracy: None })
    };
    assert_eq!(model.set_int8(of("conv2d_1", [0.0, 1.0])), Err(RangeError::Layer("conv2d_1".into())));
    for range in [[1.0, 0.0], [0.0, f32::INFINITY], [f32::NAN, 1.0]] {
        assert!(matches!(model.set_int8(of("conv2d_2", range)), Err(RangeError::Range { .. })));
    }
    // In a file, too: `conv2d_2` becomes the first layer.
    let bytes = model.to_bytes().unwrap();
    let at = bytes.windows(13).position(|window| window == br#"conv2d_2\":[0"#).unwrap();
    let mut damaged = bytes.clone();
    damaged[at + 7] = b'1';
    let error = Model::from_bytes(&damaged, "it.safetensors").err().unwrap().to_string();
    assert!(error.contains("the int8 ranges name `conv2d_1`"), "{error}");
}

#[test]
fn every_preset_survives_an_int8_onnx_round_trip() {
    let everything = Config::parse("everything", include_str!("nets/everything.toml")).unwrap();
    let presets = PRESETS.iter().map(|preset| Config::open(preset.name).unwrap());
    for config in presets.chain([everything]) {
        let model = with_ranges(config.model);
        let name = model.architecture().name.clone();
        let bytes = to_onnx_int8(&model).unwrap();
        let back = from_onnx(&bytes, Path::new("it.onnx")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(int8_layers(back.network()).len(), int8_layers(model.network()).len(), "{name}");
        assert!(bytes.len() < to_onnx(&model).unwrap().len() / 2, "{name}");
        // Biases are rounded to integers.
        let x = noise(&model, 4);
        let distance = distance(&int8(back).input_probabilities(&x), &int8(model).input_probabilities(&x));
        assert!(distance < 0.03, "{name}: {distance}");
    }
}

#[test]
fn biases_of_filters_without_weights_survive_an_int8_onnx_file() {
    let mut model = with_ranges(config(TINY).model);
    model.network_mut().visit_mut(|parameter| match parameter.name.as_str() {
        "conv2d_3.kernel" => parameter.value.iter_mut().step_by(8).for_each(|weight| *weight = 0.0),
        "conv2d_3.bias" => parameter.value.fill(0.37),
        _ => {}
    });
    let back = from_onnx(&to_onnx_int8(&model).unwrap(), Path::new("it.onnx")).unwrap();
    let mut found = 0;
    back.network().visit(|parameter| {
        if parameter.name == "conv2d_3.bias" {
            found += 1;
            assert!(parameter.value.iter().all(|bias| (bias - 0.37).abs() < 1e-3), "{:?}", parameter.value);
        }
    });
    assert_eq!(found, 1);
}

#[test]
fn a_changed_zero_point_of_an_onnx_file_is_an_error() {
    let model = with_ranges(config(TINY).model);
    let bytes = to_onnx_int8(&model).unwrap();
    let name = b"conv2d_2.kernel.zero_point";
    // The array follows its name: a tag, its length, then its bytes.
    let mut places = bytes.windows(name.len()).enumerate().filter(|(_, window)| window == name).map(|(at, _)| at);
    let at = places.next_back().unwrap() + name.len() + 2;
    let mut damaged = bytes.clone();
    assert_eq!(damaged[at], 0);
    damaged[at] = 3;
    let error = from_onnx(&damaged, Path::new("it.onnx")).err().unwrap().to_string();
    assert!(error.contains("its array conv2d_2.kernel.zero_point is not the one"), "{error}");
}
