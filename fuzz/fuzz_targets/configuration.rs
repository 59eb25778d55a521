//! The text of an architecture file. What is valid can be written, and is the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_train::config::Config;

fuzz_target!(init: moue_fuzz::one_thread(), |text: &str| {
    if let Ok(config) = Config::parse("fuzz", text) {
        let written = config.to_toml().expect("a valid configuration can be written");
        let again = Config::parse("fuzz", &written).expect("a written configuration is valid");
        assert_eq!(again, config);
        assert_eq!(again.to_toml().expect("it has been written before"), written);
    }
});
