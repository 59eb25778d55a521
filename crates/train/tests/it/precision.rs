//! The precision of a training: recorded, reproduced, resumed.

use crate::training::{TINY, config, faces, run, sha256};
use moue::model::{Model, weights};
use moue_train::config::{Config, PrecisionName};
use moue_train::train::Ending;
use std::fs;

#[test]
fn model_files_in_f32_have_the_bytes_that_they_had_before_precisions() {
    let classes = ["happy", "sad"].map(str::to_owned).to_vec();
    let mut model = Model::untrained(config(TINY).model, classes, 7).unwrap();
    model.network_mut().visit_mut(|parameter| parameter.value.fill(0.5));
    let provenance = model.provenance_mut();
    (provenance.isa, provenance.moue_version) = ("avx2".into(), "0.1.0".into());
    (provenance.data, provenance.training_images, provenance.epoch) = ("drawn".into(), vec![3, 4], 2);
    let expected = "3bea1b1e95df39b658cbe286a3a3a9981441a90f5ff8c3b532e4851ce412e178";
    assert_eq!(sha256(&model.to_bytes().unwrap()), expected);
}

#[test]
fn a_training_in_bf16_is_recorded_and_resumed_bit_identically() {
    let plain = config(TINY);
    let mut config = plain.clone();
    config.train.precision = PrecisionName::Bf16;
    let dataset = faces(&config, 140);
    let place = tempfile::tempdir().unwrap();
    let folder = |name: &str| place.path().join(name);
    let whole = run(&config, &dataset, &folder("whole"), false, 0).unwrap().model.unwrap();
    assert_eq!(whole.provenance().precision.as_deref(), Some("bf16"));
    let recorded = fs::read_to_string(folder("whole").join("config.toml")).unwrap();
    assert_eq!(Config::parse("recorded", &recorded).unwrap(), config);
    // It is interrupted in the second epoch.
    assert_eq!(run(&config, &dataset, &folder("broken"), false, 6).unwrap().ending, Ending::Interrupted);
    let error = run(&plain, &dataset, &folder("broken"), true, 0).err().expect("it is another precision").to_string();
    assert!(error.contains("with another configuration"), "{error}");
    assert_eq!(run(&config, &dataset, &folder("broken"), true, 0).unwrap().ending, Ending::Finished);
    let bytes = |name: &str| fs::read(folder(name).join("model.safetensors")).unwrap();
    assert!(bytes("broken") == bytes("whole"));
    // The file says so, too, and a training in f32 records nothing.
    let read = Model::load(folder("whole").join("model.safetensors")).unwrap();
    assert_eq!(read.provenance(), whole.provenance());
    let exact = run(&plain, &dataset, &folder("f32"), false, 0).unwrap().model.unwrap();
    assert_eq!(exact.provenance().precision, None);
    assert!(weights::snapshot(exact.network()) != weights::snapshot(whole.network()), "bf16 computes in f32");
}

#[test]
fn names_of_precisions_are_those_of_the_engine() {
    for precision in [moue_engine::Precision::F32, moue_engine::Precision::Bf16] {
        let name = PrecisionName::from(precision);
        assert_eq!(moue_engine::Precision::from(name), precision);
        assert_eq!(moue::Precision::from(name).name(), precision.name());
        assert_eq!(serde_json::to_value(name).unwrap(), precision.name());
    }
}
