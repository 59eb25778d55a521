//! `--precision` and `MOUE_KERNELS`: what the commands print, record and resume.

use crate::place::{Place, text};
use serde_json::{Value, json};
use std::fs;

/// What a command prints on stderr in bf16.
const BF16: &str = "precision: bf16, portable kernels";

/// Stdout, and the lines of stderr that name a precision. The kernels do not depend on the machine.
fn run(place: &Place, args: &[&str]) -> (String, Vec<String>) {
    let output = place.command(args).env("MOUE_KERNELS", "portable").output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    let lines = said.lines().filter(|line| line.starts_with("precision: ")).map(str::to_owned);
    (text(&output.stdout), lines.collect())
}

fn json_of(place: &Place, args: &[&str]) -> Value {
    serde_json::from_str(&run(place, args).0).unwrap()
}

/// A folder with class folders of faces.
fn with_faces() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    place
}

/// Trains `arch` for one epoch, and returns the lines about the precision.
fn train(place: &Place, arch: &str, out: &str, more: &[&str]) -> Vec<String> {
    run(place, &[&["train", arch, "--data", "faces", "--epochs", "1", "--out", out], more].concat()).1
}

#[test]
fn a_training_prints_and_records_its_precision() {
    let place = with_faces();
    let nothing = [""; 0];
    assert_eq!(train(&place, "tiny.toml", "plain", &[]), nothing);
    assert_eq!(train(&place, "tiny.toml", "f32", &["--precision", "fp32"]), nothing);
    assert_eq!(train(&place, "tiny.toml", "auto", &["--precision", "auto"]), ["precision: f32"]);
    assert_eq!(train(&place, "tiny.toml", "bf16", &["--precision", "bf16"]), [BF16]);
    assert_eq!(train(&place, "tiny.toml", "set", &["--set", "train.precision=bf16"]), [BF16]);
    assert_eq!(train(&place, "tiny.toml", "quiet", &["--precision", "bf16", "--quiet"]), nothing);

    let model = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    let config = |run: &str| fs::read_to_string(place.path(run).join("config.toml")).unwrap();
    let contains = |bytes: &[u8], part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    for out in ["f32", "auto"] {
        assert!(model(out) == model("plain") && config(out) == config("plain"), "{out}");
    }
    assert!(!contains(&model("plain"), "precision") && !config("plain").contains("precision"));
    for out in ["set", "quiet"] {
        assert!(model(out) == model("bf16") && config(out) == config("bf16"), "{out}");
    }
    assert!(contains(&model("bf16"), r#"\"precision\":\"bf16\""#));
    assert!(config("bf16").contains("\nprecision = \"bf16\"\n"), "{}", config("bf16"));

    // The configuration of the run reproduces it; the option has priority.
    assert_eq!(train(&place, "bf16/config.toml", "again", &[]), [BF16]);
    assert_eq!(model("again"), model("bf16"));
    assert_eq!(train(&place, "bf16/config.toml", "back", &["--precision", "f32"]), nothing);
    assert_eq!(model("back"), model("plain"));

    // A resumed run keeps its precision.
    let (code, error) = place.fails(&["train", "--resume", "bf16", "--precision", "f32"]);
    assert!(code == 2 && error.contains("'--precision <PRECISION>'"), "{error}");
    assert_eq!(run(&place, &["train", "--resume", "bf16"]).1, [BF16]);
    assert_eq!(model("bf16"), model("again"));
}

#[test]
fn a_comparison_trains_every_network_in_the_precision() {
    let place = with_faces();
    let compare = |out: &str, more: &[&str]| {
        run(&place, &[&["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", out], more].concat()).1
    };
    let configs = |out: &str| -> Vec<bool> {
        let runs = fs::read_dir(place.path(out).join("runs")).unwrap();
        let config = |run: &std::path::Path| fs::read_to_string(run.join("config.toml")).unwrap();
        let mut found: Vec<bool> =
            runs.map(|run| config(&run.unwrap().path()).contains("precision = \"bf16\"")).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(compare("both", &["--seeds", "2", "--precision", "bf16"]), [BF16, BF16]);
    assert_eq!(configs("both"), [true, true]);
    // Runs of another precision are other runs.
    compare("both", &["--seeds", "2"]);
    assert_eq!(configs("both"), [false, false, true, true]);
    assert_eq!(compare("varied", &["--vary", "train.precision=f32,bf16"]), [BF16]);
    assert_eq!(configs("varied"), [false, true]);
}

#[test]
fn evaluations_and_predictions_are_f32_unless_asked() {
    let place = with_faces();
    train(&place, "tiny.toml", "run", &["--precision", "bf16"]);
    let model = "run/model.safetensors";
    let evaluate = ["evaluate", model, "--data", "faces", "--json"];
    assert_eq!(json_of(&place, &evaluate)["precision"], "f32");
    let more = ["--precision", "bf16", "--card", "card.md", "--report", "report"];
    let (printed, lines) = run(&place, &[&evaluate[..], &more[..]].concat());
    assert_eq!(lines, [BF16]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["precision"], "bf16");
    let card = fs::read_to_string(place.path("card.md")).unwrap();
    for part in ["seed 0, bf16), weights of epoch", "| evaluated in | bf16 |", ", bf16, portable kernels)"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(fs::read_to_string(place.path("report/report.html")).unwrap().contains("Computed in bf16."));

    let face = crate::place::first_file(&place.path("faces/train/happy"));
    let predict = ["predict", "--model", model, "--no-detect", &face];
    let (plain, lines) = run(&place, &predict);
    assert!(lines.is_empty(), "{lines:?}");
    // Where the processor has instructions for it, and the model loses little accuracy, `auto` is int8.
    let (printed, lines) = run(&place, &[&predict[..], &["--precision", "auto"]].concat());
    assert!(
        lines == ["precision: f32"] && printed == plain || lines == ["precision: int8, avx512-vnni kernels"],
        "{lines:?}"
    );
    assert_eq!(run(&place, &[&predict[..], &["--precision", "bf16"]].concat()).1, [BF16]);
    assert!(run(&place, &[&predict[..], &["--precision", "bf16", "--quiet"]].concat()).1.is_empty());
}

/// What the commands print with 8-bit integers, without the instructions.
fn is_int8(lines: &[String]) -> bool {
    matches!(lines, [line] if line.starts_with("precision: int8, ") && line.ends_with(" kernels"))
}

#[test]
fn predictions_with_8_bit_integers_are_close_to_f32() {
    let place = with_faces();
    let more = r#"  { kind = "conv2d", filters = 12, padding = "same", activation = "relu" },
  { kind = "dropout", rate = 0.1 },"#;
    place.put("net.toml", crate::place::TINY.replace(r#"  { kind = "dropout", rate = 0.1 },"#, more));
    train(&place, "net.toml", "run", &[]);
    let evaluate = ["evaluate", "run", "--data", "faces", "--split", "validation", "--json"];
    let exact = json_of(&place, &evaluate);
    let (printed, lines) = run(&place, &[&evaluate[..], &["--precision", "int8"]].concat());
    let rounded: Value = serde_json::from_str(&printed).unwrap();
    assert!(is_int8(&lines), "{lines:?}");
    assert_eq!((&exact["precision"], &rounded["precision"]), (&json!("f32"), &json!("int8")));
    let difference = exact["nll"].as_f64().unwrap() - rounded["nll"].as_f64().unwrap();
    assert!(difference != 0.0 && difference.abs() < 0.1, "{difference}");

    let predict = |model: &str, precision: &str| {
        let args = ["predict", "faces", "-r", "--no-detect", "--json", "--model", model, "--precision", precision];
        let lines = run(&place, &args).0;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let (exact, rounded) = (predict("run", "f32"), predict("run", "int8"));
    assert!(exact != rounded && exact.len() == 42);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        let confidence = |of: &Value| of["faces"][0]["confidence"].as_f64().unwrap();
        assert!((confidence(exact) - confidence(rounded)).abs() < 0.1, "{exact} {rounded}");
    }

    // A model without ranges.
    let old = "old.safetensors";
    place.ok(&["export", "run", old, "--verify", "0"]);
    let bytes = fs::read(place.path(old)).unwrap();
    let start = bytes.windows(10).position(|window| window == br#"\"int8\":{"#).unwrap();
    // JSON ignores spaces.
    let mut depth = 0;
    let end = start
        + bytes[start..]
            .iter()
            .position(|byte| {
                depth += match byte {
                    b'{' => 1,
                    b'}' => -1,
                    _ => 0,
                };
                *byte == b'}' && depth == 0
            })
            .unwrap();
    let mut without = bytes;
    without[start..end + 2].fill(b' ');
    place.put(old, without);
    let face = crate::place::first_file(&place.path("faces/train/happy"));
    let (code, error) = place.fails(&["predict", "--model", old, "--precision", "int8", "--no-detect", &face]);
    assert!(code == 1 && error.starts_with("moue: old.safetensors: the model has no ranges of activations"), "{error}");
    let (code, error) = place.fails(&["evaluate", old, "--data", "faces", "--precision", "int8"]);
    assert!(code == 1 && error.contains("old.safetensors") && error.contains("moue export MODEL"), "{error}");
    let (code, error) = place.fails(&["export", old, "old.onnx", "--precision", "int8"]);
    assert!(code == 1 && error.contains("no ranges") && !place.path("old.onnx").exists(), "{error}");
    assert_eq!(
        run(&place, &["predict", "--model", old, "--precision", "auto", "--no-detect", &face]).1,
        ["precision: f32"]
    );

    // An export with data adds them, and verifies the file.
    for (file, precision) in [("new.safetensors", "f32"), ("small.safetensors", "int8"), ("small.onnx", "int8")] {
        let export = json_of(&place, &["export", old, file, "--precision", precision, "--data", "faces", "--json"]);
        let verified = &export["verification"];
        assert_eq!((&export["precision"], &verified["split"]), (&json!(precision), &json!("validation")), "{export}");
        assert!(verified["equal_classes"].as_f64().unwrap() > 0.7, "{export}");
        assert_eq!(verified["accuracies"].as_array().unwrap().len(), 2);
        assert_eq!(predict(file, "int8").len(), 42);
    }
    let (printed, _) = run(&place, &["export", "run", "again.safetensors", "--verify", "20"]);
    let verified = "Verified with 20 synthetic faces: the largest difference of a probability is 0.0000, 100.0 % of the \
        predicted classes are equal";
    assert_eq!(printed.lines().nth(1), Some(verified), "{printed}");
    let (code, error) = place.fails(&["export", "run", "f16.onnx", "--precision", "f16"]);
    assert!(code == 2 && error.contains("an ONNX file is f32 or int8"), "{error}");
}

#[test]
fn a_benchmark_names_precision_and_kernels() {
    let place = Place::new();
    let bench = ["bench", "tiny.toml", "--batch-size", "4", "--seconds", "0", "--layers"];
    let found = |more: &[&str]| json_of(&place, &[&bench[..], &["--json"], more].concat());
    let plain = found(&[]);
    assert_eq!((&plain["precision"], &plain["kernels"]), (&json!("f32"), &Value::Null));
    assert!(plain.as_object().unwrap().contains_key("kernels"), "{plain}");
    let bf16 = found(&["--precision", "bf16"]);
    assert_eq!((&bf16["precision"], &bf16["kernels"]), (&json!("bf16"), &json!("portable")));
    let int8 = found(&["--precision", "int8"]);
    assert_eq!(int8["precision"], "int8");
    assert!(["avx512-vnni", "avx2", "portable"].contains(&int8["kernels"].as_str().unwrap()), "{int8}");
    assert_eq!(bf16["isa"], plain["isa"]);
    assert_eq!(bf16["layers"].as_array().unwrap().len(), plain["layers"].as_array().unwrap().len());
    assert!(run(&place, &bench).0.lines().next().unwrap().ends_with(", f32"));
    let printed = run(&place, &[&bench[..], &["--precision", "bf16"]].concat()).0;
    assert!(printed.lines().next().unwrap().ends_with(", bf16, portable kernels"), "{printed}");
    // The architecture file's own precision.
    let with_precision = crate::place::TINY.replace("epochs = 2", "precision = \"bf16\"");
    place.put("own.toml", with_precision);
    let own = json_of(&place, &["bench", "own.toml", "--batch-size", "4", "--seconds", "0", "--json"]);
    assert_eq!(own["precision"], "bf16");
}

#[test]
fn unknown_kernels_and_precisions_are_wrong_usage() {
    let place = Place::new();
    let output = place.command(&["arch", "list"]).env("MOUE_KERNELS", "avx1024").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.starts_with("moue: there are no kernels MOUE_KERNELS=avx1024; use amx or portable"), "{said}");
    assert!(said.trim_end().ends_with("portable"), "{said}");
    let (code, error) = place.fails(&["train", "tiny.toml", "--precision", "f64"]);
    assert!(code == 2 && error.contains("[possible values: f32, bf16, auto]"), "{error}");
    // `auto` depends on the machine, so a configuration file cannot contain it.
    let (code, error) = place.fails(&["train", "tiny.toml", "--set", "train.precision=auto"]);
    assert!(code == 2 && error.contains("`f32`") && error.contains("`bf16`"), "{error}");
}
