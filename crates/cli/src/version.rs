//! The version of the program, its features and the instruction set in use.

use moue::Isa;
use std::sync::LazyLock;

/// The version, as in `moue -V`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the optional features that this build has, in alphabetical order.
pub fn features() -> Vec<&'static str> {
    let all = [("gpu", cfg!(feature = "gpu")), ("mpi", cfg!(feature = "mpi")), ("parquet", cfg!(feature = "parquet"))];
    all.into_iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name).collect()
}

/// Returns the features as text: `mpi, parquet`, or `none`.
pub fn features_text() -> String {
    let features = features();
    if features.is_empty() { "none".to_owned() } else { features.join(", ") }
}

/// Returns the version, as in `moue --version`: `0.1.0 (avx512; features: parquet)`.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> =
        LazyLock::new(|| format!("{VERSION} ({}; features: {})", Isa::in_use().name(), features_text()));
    &LONG
}
