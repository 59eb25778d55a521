//! Numbers that must be true: one accuracy for each model, training images in an evaluation, splits, and comparisons.

use crate::docs::fixtures;
use crate::place::{Place, text};
use serde_json::Value;
use std::fs;

/// Class folders with synthetic faces, and the run `runs/tiny-1` that was trained on them.
fn trained() -> (Place, Value) {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "420", "--quiet"]);
    let summary = place.json(&["train", "tiny.toml", "--data", "faces", "--epochs", "3", "--json", "--quiet"]);
    (place, summary)
}

const MODEL: &str = "runs/tiny-1/model.safetensors";

#[test]
fn a_model_has_one_accuracy() {
    let (place, summary) = trained();
    let accuracy = summary["figures"]["accuracy"].as_f64().unwrap();
    let split = ["--data", "faces", "--split", "validation"];
    let evaluated = place.json(&[&["evaluate", MODEL, "--json"], &split[..]].concat());
    for key in ["accuracy", "accuracy_ci95", "nll", "ece", "confusion"] {
        assert_eq!(evaluated[key], summary["figures"][key], "{key}");
    }
    assert_eq!(
        (&evaluated["ece"], &evaluated["nll"]),
        (&evaluated["ece_cross_fitted"], &evaluated["nll_cross_fitted"])
    );
    let compared = place.json(&["compare", "tiny.toml", "--data", "faces", "--epochs", "3", "--json", "--quiet"]);
    assert_eq!(compared["rows"][0]["best_validation_accuracy"].as_f64(), Some(accuracy));
    let metrics = fs::read_to_string(place.path("runs/tiny-1/metrics.csv")).unwrap();
    assert!(metrics.contains(&format!(",{accuracy:.6},")), "the log: {metrics}");
    let shown = format!("Accuracy {:.1} %", accuracy * 100.0);
    assert!(place.ok(&[&["evaluate", MODEL], &split[..]].concat()).contains(&shown));
    assert!(fs::read_to_string(place.path("runs/tiny-1/report.html")).unwrap().contains(&shown));
    // What `predict` says about the same images.
    let lines = place.ok(&["predict", "--model", MODEL, "--no-detect", "--json", "-r", "faces/validation"]);
    let right = lines.lines().filter(|line| {
        let prediction: Value = serde_json::from_str(line).unwrap();
        let label = prediction["faces"][0]["label"].as_str().unwrap();
        prediction["input"].as_str().unwrap().contains(&format!("/{label}/"))
    });
    assert_eq!(right.count() as f64 / lines.lines().count() as f64, accuracy);
}

#[test]
fn training_images_in_an_evaluation_are_counted() {
    let (place, _) = trained();
    place.put("elsewhere/model.safetensors", fs::read(place.path(MODEL)).unwrap());
    let evaluate = |args: &[&str]| {
        let output = place.run(&[&["evaluate", MODEL, "--data", "faces", "-q"], args].concat());
        (text(&output.stdout), text(&output.stderr))
    };
    let (printed, warned) = evaluate(&["--split", "train", "--report", "out", "--card", "card.md"]);
    assert!(printed.contains("(optimistic: these are training images)"), "{printed}");
    assert!(
        warned.starts_with("warning: 294 of the 294 images (100.0 %) are training images of nets/tiny"),
        "{warned}"
    );
    assert!(warned.contains("--split"), "{warned}");
    for page in ["out/report.html", "card.md"] {
        assert!(fs::read_to_string(place.path(page)).unwrap().contains("294 of the 294 images (100.0 %)"), "{page}");
    }
    let (printed, _) = evaluate(&["--split", "train", "--json", "--compare", "elsewhere/model.safetensors"]);
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&found["training_overlap"], &found["compare"][0]["training_overlap"]), (&294.into(), &Value::Null));
    let (printed, warned) = evaluate(&["--json"]);
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&found["split"], &found["training_overlap"], warned.as_str()), (&"test".into(), &0.into(), ""));
}

#[test]
fn kaggles_numbered_files_have_the_official_split_unless_used_as_given() {
    let place = Place::new();
    fixtures::kaggle(&place);
    let stderr = |args: &[&str]| text(&place.run(args).stderr);
    let note = stderr(&["data", "info", "archive.zip"]);
    let notes: Vec<&str> = note.lines().filter(|line| line.starts_with("note: ")).collect();
    assert!(notes.len() == 1 && notes[0].contains("official split is used"), "{note}");
    assert!(notes[0].contains("--as-given"), "{note}");
    assert!(stderr(&["data", "info", "archive.zip", "--as-given"]).contains("--official-split restores"));
    place.ok(&["train", "tiny.toml", "--data", "archive.zip", "--quiet"]);
    assert!(fs::read_to_string(place.path("runs/tiny-1/config.toml")).unwrap().contains("official_split = true"));
    let evaluated = place.json(&["evaluate", MODEL, "--data", "archive.zip", "--json", "-q"]);
    assert_eq!((&evaluated["source_split"], &evaluated["training_overlap"]), (&"PrivateTest".into(), &0.into()));
    // In the folders as given, training images are among the validation images.
    let as_given = place.run(&["evaluate", MODEL, "--data", "archive.zip", "--as-given", "-q"]);
    let warned = text(&as_given.stderr);
    assert!(warned.contains("are training images of nets/tiny") && warned.contains("--official-split"), "{warned}");
    // A comparison in which copies of validation images are trained on.
    for (from, to) in [("train", "copy/train"), ("train", "copy/validation")] {
        fixtures::copy(&place.path("few").join(from), &place.path(to));
    }
    let compared = place.run(&["compare", "tiny.toml", "--data", "copy", "--epochs", "1", "--json", "-q"]);
    let (found, warned): (Value, _) = (serde_json::from_slice(&compared.stdout).unwrap(), text(&compared.stderr));
    assert_eq!(found["rows"][0]["training_overlap"], found["validation_images"]);
    assert!(warned.starts_with("warning: ") && warned.contains("training images of nets/tiny"), "{warned}");
    assert!(fs::read_to_string(place.path("runs/compare/report.html")).unwrap().contains("Warning: "));
    // A model that was trained on the folders is evaluated on them.
    place.ok(&["train", "tiny.toml", "--data", "archive.zip", "--as-given", "--quiet"]);
    let evaluated = place.json(&["evaluate", "runs/tiny-2/model.safetensors", "--data", "archive.zip", "--json", "-q"]);
    assert_eq!((&evaluated["source_split"], &evaluated["training_overlap"]), (&"validation".into(), &0.into()));
    for (args, says) in [
        (&["train", "--as-given"][..], "--as-given requires --data"),
        (&["data", "info", "archive.zip", "--as-given", "--official-split"], "cannot be used with"),
    ] {
        let (code, error) = place.fails(args);
        assert!(code == 2 && error.contains(says), "{error}");
    }
}

#[test]
fn a_failed_experiment_says_why_and_shows_no_zeros() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "140", "--quiet"]);
    let vary = ["--vary", "train.teachers=[],[\"nowhere.safetensors\"]", "--data", "faces", "--epochs", "1", "-q"];
    let args = [&["compare", "tiny.toml", "--out", "side"], &vary[..]].concat();
    let output = place.run(&args);
    let printed = text(&output.stdout);
    let row = printed.lines().find(|line| line.contains("nowhere")).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(row.contains("–") && row.contains("failed: ") && !row.contains(" 0.0"), "{printed}");
    let output = place.run(&[&args[..], &["--json"]].concat());
    let found: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert!(found["rows"][1]["failed"].as_str().unwrap().contains("nowhere.safetensors"), "{found}");
    assert!(found["rows"][1]["gap"].is_null() && found["rows"][0]["failed"].is_null());
}

#[test]
fn seeds_have_an_interval_a_paired_difference_and_a_row_each() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "140", "--quiet"]);
    let seeds = ["--seeds", "3", "--vary", "dropout.rate=0.1,0.6", "--set", "train.epochs=1", "--data", "faces", "-q"];
    let printed = place.ok(&[&["compare", "tiny.toml", "--out", "side"], &seeds[..]].concat());
    assert!(printed.contains("95 % interval") && printed.contains("the first experiment minus this one"), "{printed}");
    let found: Value = serde_json::from_slice(&fs::read(place.path("side/comparison.json")).unwrap()).unwrap();
    let row = &found["rows"][1];
    let best = |row: &Value| -> Vec<f64> {
        let runs = row["runs"].as_array().unwrap().iter();
        runs.map(|run| run["best"]["validation_accuracy"].as_f64().unwrap()).collect()
    };
    let pairs = best(&found["rows"][0]).into_iter().zip(best(row));
    let mean = pairs.map(|(first, this)| first - this).sum::<f64>() / 3.0;
    assert!((row["paired"]["difference"].as_f64().unwrap() - mean).abs() < 1e-9, "{row}");
    assert_eq!((&row["epochs"], &row["paired"]["seeds"]), (&1.into(), &3.into()), "--set applies");
    assert!(printed.contains(&format!("{:+.1} (", mean * 100.0 + 0.0)), "the same sign in the table: {printed}");
    let runs = fs::read_to_string(place.path("side/runs.csv")).unwrap();
    assert_eq!(runs.lines().count(), 7, "{runs}");
    let page = fs::read_to_string(place.path("side/report.html")).unwrap();
    assert_eq!(page.matches("<polygon").count(), 2, "a band for each network");
}

#[test]
fn a_comparison_is_never_overwritten() {
    let (place, _) = trained();
    let compare =
        |args: &[&str]| place.ok(&[&["compare", "tiny.toml", "--data", "faces", "--epochs", "1"], args].concat());
    let first = compare(&[]);
    assert!(first.contains("runs/compare/report.html"), "{first}");
    let saved = fs::read(place.path("runs/compare/comparison.json")).unwrap();
    let other = compare(&["--seed", "4"]);
    assert!(other.contains("runs/compare-2/report.html"), "{other}");
    assert_eq!(fs::read(place.path("runs/compare/comparison.json")).unwrap(), saved);
    // The same command continues, here with nothing to do.
    assert!(compare(&[]).contains("runs/compare/report.html"));
    assert_eq!(fs::read_dir(place.path("runs/compare/runs")).unwrap().count(), 1);
    // An experiment that is finished in another comparison is not trained again.
    let both =
        place.json(&["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "--seeds", "2", "--json", "-q"]);
    let runs = &both["rows"][0]["runs"];
    assert!(runs[0]["folder"].as_str().unwrap().starts_with("runs/compare/runs/tiny-"), "{runs}");
    assert!(runs[1]["folder"].as_str().unwrap().starts_with("runs/compare-3/runs/tiny-"), "{runs}");
    // A finished run, on its own data.
    let model = fs::read(place.path(MODEL)).unwrap();
    let found = place.json(&["compare", "runs/tiny-1", "tiny.toml", "--epochs", "1", "--json", "-q"]);
    assert_eq!((&found["rows"][0]["name"], &found["data"]), (&"runs/tiny-1".into(), &"faces".into()));
    assert_eq!(
        (&found["out"], &found["rows"][0]["runs"][0]["folder"]),
        (&"runs/compare-4".into(), &"runs/tiny-1".into())
    );
    assert_eq!(fs::read(place.path(MODEL)).unwrap(), model);
    let (code, error) = place.fails(&["compare", "faces"]);
    assert!(code == 2 && error.contains("if it is a dataset: --data faces"), "{error}");
}
