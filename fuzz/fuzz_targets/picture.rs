//! An image file's bytes through decoder, detector, crop and network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::config::Config;
use moue::data::{ImageForm, drawn};
use moue::model::Model;
use moue::predict::{PredictOptions, Predictor};
use std::sync::OnceLock;

fn predictor() -> &'static Predictor {
    static PREDICTOR: OnceLock<Predictor> = OnceLock::new();
    PREDICTOR.get_or_init(|| {
        let config = Config::open("small").expect("the preset is there");
        let classes = drawn::dataset(21, ImageForm::of_input(config.model.input), 0).classes;
        let model = Model::untrained(config.model, classes, 0).expect("the preset builds");
        Predictor::new(&model, PredictOptions::default())
    })
}

fuzz_target!(|bytes: &[u8]| {
    let answer = predictor().predict_bytes("fuzz".into(), bytes.to_vec());
    assert!(answer.error.is_some() || answer.width > 0);
});
