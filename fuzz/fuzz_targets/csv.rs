//! A data set as CSV.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_fuzz::Source;
use std::sync::LazyLock;

static SOURCE: LazyLock<Source> = LazyLock::new(|| Source::new("faces.csv"));

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| SOURCE.check(bytes));
