//! ONNX files: export, import and errors. `crates/cli/tests/it/onnx.rs` compares with ONNX Runtime.

use moue::model::onnx::{from_onnx, to_onnx};
use moue::model::{Calibration, Model, Normalization};
use moue_engine::random::{Stream, key};
use moue_engine::{InferenceNetwork, Shape, Tensor};
use moue_train::config::{Config, PRESETS};
use moue_train::data::{ImageSpec, synthetic};
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;

/// Every kind of layer, every activation, strides, borders and oblong windows.
const EVERYTHING: &str = include_str!("nets/everything.toml");

const CLASSES: [&str; 3] = ["up", "down", "strange"];

fn model(architecture: moue::model::Architecture) -> Model {
    let classes = CLASSES.map(str::to_owned).to_vec();
    let mut model = Model::untrained(architecture, classes, 3).unwrap();
    let mut stream = Stream::new(key(&[7]));
    // Statistics and offsets that are not the identity.
    model.network_mut().visit_mut(|parameter| {
        let around = if parameter.name.ends_with("gamma") || parameter.name.ends_with("variance") { 1.0 } else { 0.0 };
        if parameter.shape.len() == 1 {
            parameter.value.iter_mut().for_each(|value| *value = around + 0.2 * (stream.uniform() - 0.5));
        }
    });
    model.set_normalization(Normalization::new(vec![0.5], vec![0.25]).unwrap());
    let calibration = Calibration {
        prior_adjustment: Some(vec![0.5, -0.2, -0.3]),
        temperature: 0.8,
        scale: Some(vec![0.9, 1.2, 0.9]),
        bias: Some(vec![0.1, -0.2, 0.3]),
    };
    model.set_calibration(calibration, 0.4).unwrap();
    model
}

fn everything() -> Model {
    model(Config::parse("everything", EVERYTHING).unwrap().model)
}

fn predictions(model: &Model) -> Vec<f32> {
    let [height, width, channels] = model.architecture().input;
    let faces = synthetic::dataset(4, ImageSpec::of_input(model.architecture().input), 1);
    let mut images = Tensor::zeros(faces.len(), Shape::new(height, width, channels));
    let pixels = (0..faces.len()).flat_map(|i| faces.image(i).to_vec());
    images.data_mut().iter_mut().zip(pixels).for_each(|(x, pixel)| *x = (f32::from(pixel) / 255.0 - 0.5) / 0.25);
    let mut rows = InferenceNetwork::new(model.network()).run(&images).data().to_vec();
    model.calibration().apply(&mut rows, model.classes().len());
    rows
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn read(bytes: &[u8]) -> Result<Model, String> {
    from_onnx(bytes, Path::new("it.onnx")).map_err(|error| error.to_string())
}

#[test]
fn every_preset_survives_an_onnx_round_trip_with_its_predictions() {
    let presets = PRESETS.iter().map(|preset| model(Config::open(preset.name).unwrap().model));
    for model in presets.chain([everything()]) {
        let name = model.architecture().name.clone();
        let bytes = to_onnx(&model).unwrap();
        let back = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let distance = distance(&predictions(&model), &predictions(&back));
        assert!(distance < 1e-5, "{name}: {distance}");
        assert_eq!((back.classes(), back.uncertain_below()), (model.classes(), model.uncertain_below()));
        assert_eq!(back.provenance(), model.provenance());
        assert_eq!(to_onnx(&back).unwrap(), bytes, "{name}: the second export differs");
    }
}

#[test]
fn normalization_is_folded_where_a_convolution_precedes_it() {
    let kinds = |model: &Model| {
        let rows = moue::model::summary(model.network());
        ["conv2d", "batch_normalization", "dropout"].map(|kind| rows.iter().filter(|row| row.kind == kind).count())
    };
    let default = model(Config::open("default").unwrap().model);
    let [convolutions, normalizations, dropouts] = kinds(&default);
    assert!(normalizations > 0 && dropouts > 0);
    assert_eq!(kinds(&default.folded().unwrap()), [convolutions, 0, 0]);
}

#[test]
fn errors_name_the_unsupported_part_of_a_graph() {
    let model = everything();
    let bytes = to_onnx(&model).unwrap();
    // Names of the same length, so that the file stays valid.
    let with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        read(&bytes).err().unwrap()
    };
    insta::assert_snapshot!(
        [
            with("Tanh", "Cosh"),
            with("uncertain_below", "uncertain_above"),
            with("channels_last", "channels_lost"),
            with("conv2d_1.kernel", "conv2d_9.kernel"),
            with("kernel_shape", "kernel_shade"),
            read(&bytes[..bytes.len() / 2]).err().unwrap(),
            read(b"").err().unwrap(),
            read(b"{}").err().unwrap(),
            read(&model.to_bytes().unwrap()).err().unwrap(),
        ]
        .join("\n")
    );
}

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| to_onnx(&everything()).unwrap());

proptest! {
    #[test]
    fn no_damage_makes_the_reader_panic(place in 0.0f64..1.0, value: u8, end in 0.0f64..1.0) {
        let mut bytes = BYTES.clone();
        let at = (place * bytes.len() as f64) as usize;
        bytes[at] = value;
        let _ = read(&bytes);
        bytes.truncate((end * bytes.len() as f64) as usize);
        let _ = read(&bytes);
    }
}
