//! A data set as Parquet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_fuzz::Source;
use std::sync::LazyLock;

static SOURCE: LazyLock<Source> = LazyLock::new(|| Source::new("train.parquet"));

/// The reader catches panics of the crate `parquet`; all others are findings.
fn init() {
    moue_fuzz::one_thread();
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains("/parquet-")) {
            abort(panic);
        }
    }));
}

fuzz_target!(init: init(), |bytes: &[u8]| SOURCE.check(bytes));
