//! `moue tune`, and the options of `moue train` that measure first.

use crate::place::{Place, text};
use crate::schema::validate;
use moue_train::config::Config;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SPACE: &str = r#"
arch = "tiny.toml"
[space]
train.learning_rate = { min = 0.001, max = 0.1, log = true }
dropout.rate = { min = 0.0, max = 0.4 }
"#;

/// A folder with a network, a space and a data set.
fn prepared() -> Place {
    let place = Place::new();
    place.put("space.toml", SPACE);
    place.ok(&["data", "draw", "faces", "--count", "140", "--quiet"]);
    place
}

#[test]
fn the_best_configuration_is_an_architecture_file() {
    let place = prepared();
    let search =
        ["tune", "space.toml", "--data", "faces", "--trials", "4", "--seeds", "2", "--test", "--metric", "macro_f1"];
    let printed = place.ok(&search);
    for part in
        ["Best:   trial", "macro F1", "trained again with 2 other seeds", "Test:", "Config: runs/tune/best.toml"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    place.ok(&["train", "runs/tune/best.toml", "--data", "faces", "--epochs", "1", "--quiet"]);
    // The same search is shown again, another one gets a folder of its own.
    let again = text(&place.run(&search).stderr);
    assert!(again.contains("it has the same search") && !again.contains("trial   1"), "{again}");
    validate("tune", &place.json(&[&search[..], &["--json", "--quiet"]].concat()));
    place.ok(&["tune", "tiny.toml", "--data", "faces", "--trials", "2", "--seeds", "1", "--epochs", "1"]);
    assert!(place.path("runs/tune-2/report.html").exists());
}

#[test]
fn mistakes_are_explained() {
    let place = prepared();
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let (exit, error) = place.fails(&[&["tune"], arguments].concat());
        assert!(exit == code && error.contains(part), "{arguments:?}: {exit}: {error}");
    };
    fails(&["tutoral"], 1, "did you mean `tutorial`?");
    fails(&["faces"], 2, "faces is a folder");
    fails(&["--budget", "5"], 2, "90s, 30m or 2h");
    fails(&["--budget", "5m", "--trials", "3"], 2, "--trials");
    fails(&["space.toml", "--set", "train.epoch=3", "--trials", "1"], 2, "did you mean `epochs`?");
    place.put("wrong.toml", SPACE.replace("dropout.rate", "dropout.rat"));
    fails(&["wrong.toml"], 1, "wrong.toml: ");
    place.ok(&[
        "tune",
        "space.toml",
        "--data",
        "faces",
        "--trials",
        "1",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--out",
        "one",
    ]);
    fails(&["space.toml", "--data", "faces", "--trials", "2", "--out", "one"], 2, "one contains another search");
    fs::remove_dir_all(place.path("faces/test")).unwrap();
    fails(&["space.toml", "--data", "faces", "--trials", "1", "--test"], 2, "no test split");
}

#[test]
fn an_interrupted_search_says_how_to_continue() {
    let place = prepared();
    let search =
        ["tune", "space.toml", "--data", "faces", "--trials", "400", "--seeds", "1", "--epochs", "9", "--out", "found"];
    let child = place.command(&search).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("found/trials/0002/metrics.csv");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(interrupt.success() && output.status.code() == Some(130));
    assert!(text(&output.stdout).starts_with("Interrupted; checkpoints were saved. Repeat the command to continue."));
    assert!(place.path("found/report.html").exists() && !place.path("found/best").exists());
}

#[test]
fn a_training_fits_its_time_and_is_reproduced_without_it() {
    let place = prepared();
    let start = Instant::now();
    let time = Duration::from_secs(6);
    place.ok(&["train", "small", "--data", "faces", "--time", "6s", "--out", "run", "--quiet"]);
    // Other tests begin and end meanwhile.
    assert!(start.elapsed() < time * 2, "{:?}", start.elapsed());
    let config = Config::open(place.path("run/config.toml").to_str().unwrap()).unwrap();
    assert!((1..200).contains(&config.train.epochs), "{}", config.train.epochs);
    place.ok(&["train", "run/config.toml", "--data", "faces", "--out", "again", "--quiet"]);
    let model = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    assert_eq!(model("run"), model("again"));
}

#[test]
fn a_learning_rate_is_suggested_without_a_model() {
    let place = prepared();
    let found = place.json(&[
        "train",
        "small",
        "--data",
        "faces",
        "--batch-size",
        "16",
        "--find-learning-rate",
        "--out",
        "rates",
        "--json",
        "--quiet",
    ]);
    let (suggestion, lowest) = (found["suggestion"].as_f64().unwrap(), found["lowest"].as_f64().unwrap());
    assert!(1e-5 < suggestion && suggestion <= lowest && lowest < 10.0, "{suggestion} {lowest}");
    validate("train-find-learning-rate", &found);
    let page = fs::read_to_string(place.path("rates/learning-rate.html")).unwrap();
    assert!(page.contains("<polyline") && page.contains(&suggestion.to_string()));
    assert_eq!(fs::read_dir(place.path("rates")).unwrap().count(), 1);
}

#[test]
fn the_fastest_batch_size_is_recorded() {
    let place = prepared();
    let train = ["train", "tiny.toml", "--data", "faces", "--batch-size", "auto", "--memory", "4G", "--out", "run"];
    let output = place.run(&train);
    let log = text(&output.stderr);
    assert!(output.status.success() && log.contains("batch size  16:") && log.contains("MB"), "{log}");
    let config = Config::open(place.path("run/config.toml").to_str().unwrap()).unwrap();
    assert!(
        [16, 32, 64].contains(&config.train.batch_size)
            && log.contains(&format!("batch size {} is used", config.train.batch_size))
    );
    let (code, error) = place.fails(&["train", "--batch-size", "auto", "--memory", "4"]);
    assert!(code == 2 && error.contains("500M or 2G"), "{error}");
}
