//! Models in other programs: ONNX Runtime compared with `moue predict`, a graph that another
//! program edited, and a run folder in TensorBoard. These tests need Python with
//! `tests/python/requirements.txt`; MOUE_PYTHON names the interpreter.

use crate::place::{Place, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A script with the interpreter, where that has the packages.
fn python(script: &Path, packages: &[&str]) -> Option<Command> {
    let interpreter = std::env::var("MOUE_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = format!("import {}", packages.join(", "));
    let there = Command::new(&interpreter).args(["-c", &import]).output();
    if there.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new(interpreter);
        command.arg(script);
        return Some(command);
    }
    eprintln!("SKIPPED: {interpreter} lacks some of {packages:?} (MOUE_PYTHON names another one)");
    None
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn other_runtimes_give_the_same_predictions() {
    let mut runtimes = vec!["onnxruntime"];
    let script = here("../../bench/parity.py");
    let packages = ["onnx", "onnxruntime", "PIL"];
    let Some(mut command) = python(&script, &packages) else { return };
    runtimes.extend(python(&script, &["torch", "safetensors"]).map(|_| "torch"));
    runtimes.extend(python(&script, &["jax", "keras", "safetensors"]).map(|_| "keras"));
    let everything = here("../train/tests/it/nets/everything.toml");
    command.args(["--moue", env!("CARGO_BIN_EXE_moue"), "--faces", "64", "--models", "default", "tiny", "small"]);
    command.arg(everything).arg("--runtimes").args(&runtimes);
    let printed = printed(command);
    assert_eq!(printed.lines().count(), 4, "{printed}");
}

#[test]
fn an_onnx_file_predicts_with_its_own_weights() {
    let Some(mut edit) = python(&here("tests/python/edit.py"), &["onnx"]) else { return };
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "70"]);
    place.ok(&["export", "tiny", "tiny.onnx"]);
    edit.args(["tiny.onnx", "edited.onnx", "dense_7.bias"]).current_dir(place.path(""));
    printed(edit);
    let labels = |model: &str| -> Vec<String> {
        let lines = place.ok(&["predict", "faces", "-r", "--no-detect", "--json", "--model", model]);
        let label = |line: &str| {
            let prediction: Value = serde_json::from_str(line).unwrap();
            prediction["faces"][0]["label"].as_str().unwrap().to_owned()
        };
        lines.lines().map(label).collect()
    };
    assert_eq!(labels("tiny.onnx"), labels("tiny"));
    assert!(labels("tiny").iter().any(|label| label != "surprise"));
    assert!(labels("edited.onnx").iter().all(|label| label == "surprise"));
}

#[test]
fn unsupported_exports_and_files_are_errors() {
    let place = Place::new();
    let (code, message) = place.fails(&["export", "tiny", "tiny.onnx", "--precision", "f16"]);
    assert_eq!(
        (code, message.as_str()),
        (2, "moue: --precision f16 applies to .safetensors files; an ONNX file is f32 or int8\n")
    );
    let (code, message) = place.fails(&["export", "tiny", "tiny.pt"]);
    assert_eq!((code, message.as_str()), (2, "moue: tiny.pt: the file name must end in .safetensors or .onnx\n"));
    place.put("other.onnx", "{}");
    let (code, message) = place.fails(&["predict", "--model", "other.onnx", "face.png"]);
    assert_eq!(code, 1);
    assert!(message.contains("other.onnx is not a model file: it is damaged or not an ONNX file"), "{message}");
}

#[test]
fn tensorboard_reads_a_run() {
    let Some(mut events) = python(&here("tests/python/events.py"), &["tensorboard"]) else { return };
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "3", "--out", "run", "--quiet"]);
    events.arg(place.path("run"));
    let found: Value = serde_json::from_str(&printed(events)).unwrap();
    let lines = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (tag, field) in [("loss/train", "train_loss"), ("accuracy/validation", "validation_accuracy")] {
        let scalars = found[tag].as_array().unwrap();
        assert_eq!(scalars.len(), 3, "{tag}");
        for (scalar, epoch) in scalars.iter().zip(&epochs) {
            assert_eq!(scalar[0], epoch["epoch"], "{tag}");
            let difference = scalar[1].as_f64().unwrap() - epoch[field].as_f64().unwrap();
            assert!(difference.abs() < 1e-6, "{tag} {difference}");
        }
    }
}
