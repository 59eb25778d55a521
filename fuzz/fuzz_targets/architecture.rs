//! The text of an architecture file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_train::config::Config;

fuzz_target!(|text: &str| {
    let _ = Config::parse("fuzz", text);
});
