//! An ONNX file. What opens can be written, and is the same when it is opened again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::model::{Model, onnx};

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| {
    let Ok(model) = Model::from_bytes(bytes, "fuzz.onnx") else { return };
    let written = onnx::to_onnx(&model).expect("a model that opens can be written");
    let again = Model::from_bytes(&written, "fuzz.onnx").expect("a written model opens");
    assert_eq!(onnx::to_onnx(&again).expect("it has been written before"), written);
});
