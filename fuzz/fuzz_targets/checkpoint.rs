//! A checkpoint: read, and resumed by a training of one epoch. What resumes leaves a checkpoint that opens.
//!
//! The input is the file's header, a zero byte, and the arrays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_fuzz::training::Run;
use std::sync::LazyLock;

static RUN: LazyLock<Run> = LazyLock::new(Run::new);

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| RUN.resume(&moue_fuzz::safetensors(bytes)));
