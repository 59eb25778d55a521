//! A data set in a zip, tar or gzip archive, which is recognized from its first bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_fuzz::Source;
use std::sync::LazyLock;

static SOURCE: LazyLock<Source> = LazyLock::new(|| Source::new("archive"));

/// Sets the checksums of tar headers, which no mutation would meet.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for header in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| SOURCE.check(&with_checksums(bytes)));
