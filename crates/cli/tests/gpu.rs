//! `--device` in a build with the feature `gpu`, on the adapters of this machine.

#[path = "it/docs/mod.rs"]
mod docs;
#[path = "it/place/mod.rs"]
mod place;

use docs::fixtures::{self, FEW};
use place::{Place, text};
use serde_json::Value;
use std::process::Output;

/// The files of the book, and whether there is an adapter.
fn files() -> Option<Place> {
    let files = fixtures::files();
    let report = document(&files.command(&["doctor", "--json"]).output().unwrap());
    assert_eq!(report["features"].as_array().unwrap().first().unwrap(), "gpu");
    let gpus = report["gpus"].as_array().unwrap();
    if gpus.is_empty() {
        println!("SKIPPED: no adapter; Debian's package mesa-vulkan-drivers has one in software");
        return None;
    }
    for (index, gpu) in gpus.iter().enumerate() {
        assert_eq!(gpu["index"], index);
        assert!(["discrete", "integrated", "virtual", "other", "software"].contains(&gpu["kind"].as_str().unwrap()));
        assert!(["vulkan", "metal", "dx12"].contains(&gpu["backend"].as_str().unwrap()), "{gpu}");
    }
    Some(files)
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether all numbers of two documents are almost equal, and everything else is equal.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap());
            (one - other).abs() <= 1e-3 * one.abs().max(1.0)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.into_iter().all(|((a, one), (b, other))| a == b && alike(one, other))
        }
        _ => one == other,
    }
}

#[test]
fn predictions_agree_with_the_cpu() {
    let Some(files) = files() else { return };
    for arguments in [
        &["predict", "photo.jpg", "--json"][..],
        &["predict", "photo.jpg", "--no-detect", "--tta", "--model", "tiny", "--json"],
        &["evaluate", "tiny", "--data", FEW, "--json"],
    ] {
        let run = |device: &str| files.command(arguments).args(["--device", device]).output().unwrap();
        let (cpu, gpu) = (run("cpu"), run("gpu"));
        assert!(text(&gpu.stderr).contains("device: "), "{}", text(&gpu.stderr));
        assert!(!text(&cpu.stderr).contains("device: "), "{}", text(&cpu.stderr));
        assert!(!text(&gpu.stderr).contains("computed on the CPU"), "{}", text(&gpu.stderr));
        let (cpu, gpu) = (document(&cpu), document(&gpu));
        assert!(alike(&cpu, &gpu), "{cpu}\n{gpu}");
        assert_eq!(document(&run("gpu:0")), gpu, "bit-identical when repeated");
    }
}

#[test]
fn the_device_is_chosen_by_the_environment_and_the_option() {
    let Some(files) = files() else { return };
    let run = |device: &str, arguments: &[&str]| {
        let mut command = files.command(&["predict", "photo.jpg"]);
        command.args(arguments).env("MOUE_DEVICE", device).output().unwrap()
    };
    let printed = |device: &str, arguments: &[&str]| text(&run(device, arguments).stderr);
    assert!(printed("gpu", &[]).contains("device: "));
    assert!(printed("auto", &[]).contains("device: "));
    assert!(!printed("gpu", &["--quiet"]).contains("device: "));
    assert!(!printed("gpu", &["--device", "cpu"]).contains("device: "));

    let missing = run("gpu:99", &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there is no adapter 99; found: 0: "), "{}", text(&missing.stderr));
    let unknown = run("cuda", &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("there is no device `cuda`"), "{}", text(&unknown.stderr));
    let precision = run("gpu", &["--precision", "bf16"]);
    assert_eq!(precision.status.code(), Some(1));
    assert!(text(&precision.stderr).contains("a GPU computes in f32, not in bf16"), "{}", text(&precision.stderr));
}

#[test]
fn a_benchmark_names_the_device() {
    let Some(files) = files() else { return };
    let run = |arguments: &[&str]| {
        let mut command = files.command(&["bench", "tiny", "--seconds", "0.01", "--batch-size", "2"]);
        command.args(arguments).output().unwrap()
    };
    let measured = document(&run(&["--device", "gpu", "--json"]));
    assert_ne!(measured["device"], "cpu");
    assert!(measured["predict_images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(document(&run(&["--json"]))["device"], "cpu");
    assert_eq!(run(&["--device", "gpu", "--layers"]).status.code(), Some(2));
}

#[test]
fn commands_of_the_book_that_need_a_gpu_work() {
    let needs = docs::Needs::found(&["gpu"]);
    let Some(repository) = docs::blocks::repository() else { return };
    let files = fixtures::files();
    let pages = docs::blocks::pages(&repository);
    let with_gpu = |page: &&Vec<docs::blocks::Block>| page.iter().any(|block| block.is("sh", "gpu"));
    let pages: Vec<_> = pages.iter().filter(with_gpu).collect();
    assert!(!pages.is_empty(), "no page has a block for a GPU");
    let failures: Vec<String> =
        pages.iter().flat_map(|page| docs::execute(page, &files, &repository, &needs)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
