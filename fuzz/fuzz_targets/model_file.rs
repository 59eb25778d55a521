//! The bytes of a model file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue::model::Model;

fuzz_target!(|bytes: &[u8]| {
    let _ = Model::from_bytes(bytes, "fuzz");
});
