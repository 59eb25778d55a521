//! An image file's bytes through decoder, detector, crop and network.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_train::config::Config;
use moue_train::data::{ImageSpec, synthetic};
use moue::Classifier;
use moue::model::Model;
use moue::predict::{Photo, Predictor};
use std::sync::OnceLock;

fn predictor() -> &'static Predictor {
    static PREDICTOR: OnceLock<Predictor> = OnceLock::new();
    PREDICTOR.get_or_init(|| {
        let config = Config::open("small").expect("the preset is there");
        let classes = synthetic::dataset(21, ImageSpec::of_input(config.model.input), 0).classes().to_vec();
        let model = Model::untrained(config.model, classes, 0).expect("the preset builds");
        Predictor::new(Classifier::new(model))
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(prediction) = predictor().predict(Photo::Bytes("fuzz", bytes)) {
        assert!(prediction.width > 0 && prediction.height > 0);
    }
});
