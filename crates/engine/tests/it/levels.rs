//! Results are bit-identical for any number of threads, and instruction sets agree: this
//! program starts itself at other levels and with other numbers of threads.

use crate::nets;
use moue_engine::{InferenceNetwork, Isa};
use std::process::Command;

/// Set for a child process that only prints its results.
const PRINT: &str = "MOUE_TEST_PRINT";

/// The bits of all weights after a few steps, in hexadecimal, and predictions.
fn computed() -> (String, Vec<f32>) {
    let mut training = nets::Training::new(9);
    (0..4).for_each(|step| training.step(&nets::images(9, step)));
    let mut bits = String::new();
    training.network.visit(|parameter| {
        let sum = parameter.value.iter().fold(0u64, |sum, v| sum.rotate_left(5) ^ u64::from(v.to_bits()));
        bits.push_str(&format!("{sum:016x} "));
    });
    let mut ready = InferenceNetwork::new(&training.network);
    let logits = ready.run(&nets::images(5, 100)).data().to_vec();
    (bits, logits)
}

/// The results of this program with other settings.
fn computed_with(isa: Isa, threads: usize) -> (String, Vec<f32>) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "levels::a_run_prints_what_it_computes", "--nocapture", "--test-threads=1"])
        .env(PRINT, "1")
        .env("MOUE_ISA", isa.name())
        .env("RAYON_NUM_THREADS", threads.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let find = |word: &str| {
        let at = said.find(word).unwrap_or_else(|| panic!("no {word} in {said}"));
        said[at + word.len()..].lines().next().unwrap().to_owned()
    };
    assert_eq!(find("isa: "), isa.name());
    let logits = find("logits: ").split_whitespace().map(|bits| f32::from_bits(bits.parse().unwrap())).collect();
    (find("weights: "), logits)
}

#[test]
fn a_run_prints_what_it_computes() {
    if std::env::var_os(PRINT).is_none() {
        return;
    }
    let (weights, logits) = computed();
    let logits: Vec<String> = logits.iter().map(|v| v.to_bits().to_string()).collect();
    println!("\nisa: {}\nweights: {weights}\nlogits: {}", Isa::in_use().name(), logits.join(" "));
}

#[test]
fn results_are_bit_identical_for_any_number_of_threads() {
    for isa in Isa::available() {
        let one = computed_with(isa, 1);
        assert_eq!(one.1.len(), 5 * nets::CLASSES);
        for threads in [2, 3, 8] {
            assert!(computed_with(isa, threads) == one, "{} with {threads} threads", isa.name());
        }
    }
}

#[test]
fn instruction_set_levels_agree() {
    let best = computed_with(Isa::available().next().unwrap(), 2);
    for isa in Isa::available() {
        let (weights, logits) = computed_with(isa, 2);
        // Levels with fused multiply-add compute the same sums.
        if ![Isa::Scalar, Isa::Simd128].contains(&isa) {
            assert_eq!(weights, best.0, "{}", isa.name());
        }
        for (a, b) in logits.iter().zip(&best.1) {
            assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()), "{}: {a} and {b}", isa.name());
        }
    }
}
