//! Results are bit-identical for any number of threads and for all kernels of bf16, and instruction sets agree: this
//! program starts itself at other levels, with other kernels and other numbers of threads.

use crate::nets;
use moue_engine::inference::{RangeMethod, ranges};
use moue_engine::{InferenceNetwork, Isa, Kernels, Precision};
use std::process::Command;

/// Set for a child process that only prints its results.
const PRINT: &str = "MOUE_TEST_PRINT";

/// The bits of all weights after a few steps, in hexadecimal, and predictions.
fn computed(precision: Precision) -> (String, Vec<f32>) {
    let mut training = nets::Training::new(9);
    training.network.set_precision(precision);
    (0..4).for_each(|step| training.step(&nets::images(9, step)));
    let mut bits = String::new();
    training.network.visit(|parameter| {
        let sum = parameter.value.iter().fold(0u64, |sum, v| sum.rotate_left(5) ^ u64::from(v.to_bits()));
        bits.push_str(&format!("{sum:016x} "));
    });
    let mut ready = InferenceNetwork::with_precision(&training.network, precision);
    let logits = ready.run(&nets::images(5, 100)).data().to_vec();
    (bits, logits)
}

/// The predictions of the same network in f32 and with 8-bit integers.
fn computed_with_int8() -> Vec<f32> {
    let mut training = nets::Training::new(9);
    (0..4).for_each(|step| training.step(&nets::images(9, step)));
    let batch = |number: usize| (number == 0).then(|| nets::images(20, 50));
    let ranges = ranges(&training.network, RangeMethod::Percentile(1.0), &batch);
    // Enough images for Winograd's method.
    InferenceNetwork::with_int8(&training.network, &ranges).run(&nets::images(20, 100)).data().to_vec()
}

/// The results of this program with other settings.
#[derive(PartialEq)]
struct Results {
    /// The bits of the weights, in f32 and in bf16.
    weights: [String; 2],
    /// Those of f32, bf16 and int8.
    logits: [Vec<f32>; 3],
}

fn computed_with(isa: Isa, kernels: Kernels, threads: usize) -> Results {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "levels::a_run_prints_what_it_computes", "--nocapture", "--test-threads=1"])
        .env(PRINT, "1")
        .env("MOUE_ISA", isa.name())
        .env("MOUE_KERNELS", kernels.name())
        .env("RAYON_NUM_THREADS", threads.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let find = |word: &str| {
        let at = said.find(word).unwrap_or_else(|| panic!("no {word} in {said}"));
        said[at + word.len()..].lines().next().unwrap().to_owned()
    };
    assert_eq!(find("in use: "), format!("{} {}", isa.name(), kernels.name()));
    let logits = |name: &str| find(name).split_whitespace().map(|bits| f32::from_bits(bits.parse().unwrap())).collect();
    Results {
        weights: ["f32 weights: ", "bf16 weights: "].map(find),
        logits: ["f32 logits: ", "bf16 logits: ", "int8 logits: "].map(logits),
    }
}

#[test]
fn a_run_prints_what_it_computes() {
    if std::env::var_os(PRINT).is_none() {
        return;
    }
    println!("\nin use: {} {}", Isa::in_use().name(), Kernels::in_use().name());
    for precision in [Precision::F32, Precision::Bf16] {
        let (weights, logits) = computed(precision);
        let logits: Vec<String> = logits.iter().map(|v| v.to_bits().to_string()).collect();
        println!("{precision} weights: {weights}\n{precision} logits: {}", logits.join(" "));
    }
    let logits: Vec<String> = computed_with_int8().iter().map(|v| v.to_bits().to_string()).collect();
    println!("int8 logits: {}", logits.join(" "));
}

#[test]
fn results_are_bit_identical_for_any_number_of_threads() {
    for isa in Isa::available() {
        let one = computed_with(isa, Kernels::Portable, 1);
        assert!(one.logits.iter().zip([5, 5, 20]).all(|(logits, images)| logits.len() == images * nets::CLASSES));
        assert_ne!(one.weights[0], one.weights[1], "bf16 computes in f32");
        // Without an instruction for fused multiply-add, bf16 takes a second for each run.
        let others: &[usize] = if isa == Isa::Scalar { &[3] } else { &[2, 3, 8] };
        for &threads in others {
            assert!(computed_with(isa, Kernels::Portable, threads) == one, "{} with {threads} threads", isa.name());
        }
    }
}

#[test]
fn instruction_set_levels_agree() {
    let best = computed_with(Isa::available().next().unwrap(), Kernels::Portable, 2);
    for isa in Isa::available() {
        let Results { weights, logits } = computed_with(isa, Kernels::Portable, 2);
        // Levels with fused multiply-add compute the same sums.
        if ![Isa::Scalar, Isa::Simd128].contains(&isa) {
            assert!(weights == best.weights, "{}", isa.name());
            assert!(logits == best.logits, "{}", isa.name());
        }
        // Where a sum differs in the last place, its value in bf16 may be another one.
        for ((logits, best), tolerance) in logits.iter().zip(&best.logits).zip([1e-4, 0.1, 0.1]) {
            for (a, b) in logits.iter().zip(best) {
                assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{}: {a} and {b}", isa.name());
            }
        }
    }
}

#[test]
fn kernels_of_bf16_are_bit_identical() {
    let isa = Isa::available().next().unwrap();
    let others: Vec<Kernels> = Kernels::available().filter(|kernels| *kernels != Kernels::Portable).collect();
    if others.is_empty() {
        eprintln!("SKIPPED: this processor or system does not support AMX");
    }
    for kernels in others {
        for threads in [1, 2] {
            let portable = computed_with(isa, Kernels::Portable, threads);
            assert!(computed_with(isa, kernels, threads) == portable, "{} with {threads} threads", kernels.name());
        }
    }
}
