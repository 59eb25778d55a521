//! JSON output matches the schemas of the reference (`docs/reference/schemas`), and has no fields besides theirs.

use crate::place::{Place, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Checks a document with the schema of this name.
pub fn validate(name: &str, document: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/schemas");
    let schema = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let mut schema = serde_json::from_str(&schema).unwrap();
    close(&mut schema);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors = validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path()));
    let errors: Vec<String> = errors.collect();
    assert!(errors.is_empty(), "{name}: {}\n{document:#}", errors.join("\n"));
}

/// Makes a schema reject fields that it does not describe. Users must accept them, as later versions may add some.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks every line of a text.
fn validate_lines(name: &str, lines: &str) {
    assert!(!lines.is_empty(), "{name}");
    lines.lines().for_each(|line| validate(name, &serde_json::from_str(line).unwrap()));
}

#[test]
fn commands_that_report_the_machine_match_their_schemas() {
    let place = Place::new();
    validate("doctor", &place.json(&["doctor", "--json"]));
    validate("man", &place.json(&["man", "man1", "--json"]));
    validate("serve-export", &place.json(&["serve", "--export", "page", "--json"]));
}

#[test]
fn files_of_runs_match_their_schemas() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    place.ok(&["compare", "tiny.toml", "--data", "faces", "--epochs", "2", "--out", "side", "--quiet"]);
    let comparison: Value =
        serde_json::from_slice(&std::fs::read(place.path("side/comparison.json")).unwrap()).unwrap();
    validate("compare", &comparison);
    let tune = ["tune", "tiny.toml", "--data", "faces", "--epochs", "2", "--trials", "9", "--seeds", "2"];
    validate("tune", &place.json(&[&tune[..], &["--out", "found", "--json", "--quiet"]].concat()));
    let folder = comparison["rows"][0]["runs"][0]["folder"].as_str().unwrap();
    let run = place.path(folder);
    validate_lines("metrics", &std::fs::read_to_string(run.join("metrics.jsonl")).unwrap());
    validate("validation", &serde_json::from_slice(&std::fs::read(run.join("validation.json")).unwrap()).unwrap());
    let model = run.join("model.safetensors").display().to_string();
    place.ok(&["evaluate", &model, "--data", "faces", "--report", "out", "--quiet"]);
    let evaluation = std::fs::read(place.path("out/evaluation.json")).unwrap();
    validate("evaluate", &serde_json::from_slice(&evaluation).unwrap());
}

#[test]
fn predictions_match_their_schemas() {
    let place = Place::new();
    place.put("text.png", "no picture");
    let failed = place.run(&["predict", "--model", "tiny", "text.png", "--json", "--quiet"]);
    validate_lines("predict", &text(&failed.stdout));
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("SKIPPED: ffmpeg is not installed");
        return;
    }
    let camera =
        ["predict", "--model", "tiny", "--device-format", "lavfi", "testsrc=d=0.2:r=10:s=96x96", "--no-detect"];
    validate_lines("predict-video", &place.ok(&[&camera[..], &["--json", "--quiet"]].concat()));
}

#[test]
#[should_panic(expected = "extra")]
fn a_field_without_a_description_is_an_error() {
    validate("serve", &json!({"address": "127.0.0.1:8080", "extra": 1}));
}
