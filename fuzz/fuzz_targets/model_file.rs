//! A model file. What opens can be written, is the same when it is opened again, and predicts.
//!
//! The input is the file's header, a zero byte, and the arrays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::Classifier;
use moue::model::Model;

/// Networks with more multiply-adds are not run.
const MACS: usize = 1 << 20;

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| {
    let Ok(model) = Model::from_bytes(&moue_fuzz::safetensors(bytes), "fuzz") else { return };
    let written = model.to_bytes().expect("a model that opens can be written");
    let again = Model::from_bytes(&written, "fuzz").expect("a written model opens");
    assert_eq!(again.to_bytes().expect("it has been written before"), written);
    if model.macs() <= MACS {
        let classes = model.classes().len();
        let classifier = Classifier::new(model);
        let [height, width, channels] = classifier.input();
        let pixels = vec![100u8; height * width * channels];
        let probabilities = classifier.face_probabilities(&pixels).expect("the pixels have the input's shape");
        assert_eq!(probabilities.len(), classes);
    }
});
