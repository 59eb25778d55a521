//! The `moue` command end to end.

use crate::place::{Place, TINY, first_file, text};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn from_nothing_to_a_prediction() {
    let place = Place::new();
    let printed = place.ok(&["train", "tiny.toml"]);
    assert!(
        printed.contains("Accuracy")
            && printed.contains("95 % interval")
            && printed.contains("runs/tiny-1/report.html"),
        "{printed}"
    );
    for file in [
        "config.toml",
        "metrics.csv",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "checkpoints/last.safetensors",
    ] {
        assert!(place.path("runs/tiny-1").join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let csv = fs::read_to_string(place.path("runs/tiny-1/metrics.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,"));

    // The same configuration, written out by the run, gives the same model.
    let again = place.json(&["train", "runs/tiny-1/config.toml", "--json", "--threads", "1"]);
    assert_eq!(again["ending"], "finished");
    assert_eq!(again["run"], "runs/tiny-2");
    let model = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    assert_eq!(model("runs/tiny-1"), model("runs/tiny-2"));
    place.ok(&["train", "tiny.toml", "--seed", "5", "--out", "other"]);
    assert_ne!(model("runs/tiny-1"), model("other"));

    let evaluated = place.json(&["evaluate", "runs/tiny-1/model.safetensors", "--json", "--tta", "--report", "out"]);
    for key in [
        "model",
        "data",
        "split",
        "n",
        "accuracy",
        "accuracy_ci95",
        "macro_f1",
        "nll",
        "ece",
        "per_class",
        "labels",
        "confusion",
        "tta",
    ] {
        assert!(!evaluated[key].is_null(), "{key}");
    }
    assert_eq!((&evaluated["split"], &evaluated["n"], &evaluated["tta"]), (&"test".into(), &840.into(), &true.into()));
    let sum: u64 = evaluated["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|r| r.as_array().unwrap())
        .map(|v| v.as_u64().unwrap())
        .sum();
    assert_eq!(sum, 840);
    assert_eq!(
        serde_json::from_str::<Value>(&fs::read_to_string(place.path("out/evaluation.json")).unwrap()).unwrap(),
        evaluated
    );
    assert!(place.path("out/report.html").exists());
    let validation = place.json(&["evaluate", "runs/tiny-1/model.safetensors", "--split", "validation", "--json"]);
    assert_eq!(validation["accuracy"], again["figures"]["accuracy"]);
    assert_eq!((&validation["selection_split"], &evaluated["selection_split"]), (&true.into(), &false.into()));
    evaluated_with_all_options(&place, &evaluated);
    exported_with_lower_precision(&place);

    place.ok(&["data", "draw", "faces", "--count", "140"]);
    let face = place.path("faces/test").read_dir().unwrap().next().unwrap().unwrap().path();
    let prediction = place.json(&[
        "predict",
        "--no-detect",
        "--model",
        "runs/tiny-1/model.safetensors",
        "--json",
        &first_file(&face),
    ]);
    assert_eq!(
        (&prediction["width"], &prediction["error"], &prediction["faces"][0]["score"]),
        (&48.into(), &Value::Null, &Value::Null)
    );
    assert_eq!(prediction["faces"][0]["box"], serde_json::json!({"x": 0, "y": 0, "width": 48, "height": 48}));
    let probabilities = prediction["faces"][0]["probabilities"].as_object().unwrap();
    assert_eq!(
        probabilities.keys().collect::<Vec<_>>(),
        ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    );
    let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5);
    // Its folders are a dataset like any other.
    let given = place.json(&["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--json"]);
    assert_eq!(given["figures"]["n"], 21);
    let (code, error) = place.fails(&["evaluate", "runs/tiny-3/model.safetensors"]);
    assert!(code == 2 && error.contains("--data"), "{error}");
}

/// Compared with another model, on corrupted images, with a model card.
fn evaluated_with_all_options(place: &Place, alone: &Value) {
    let evaluate_split = ["evaluate", "runs/tiny-1/model.safetensors", "--tta", "--compare", "other/model.safetensors"];
    let more = ["--corruptions", "--card", "cards/tiny.md", "--recipes", "3", "--report", "more"];
    let all = place.json(&[&evaluate_split[..], &more[..], &["--json"]].concat());
    assert_eq!(all["accuracy"], alone["accuracy"]);
    let other = &all["compare"][0];
    let difference = all["accuracy"].as_f64().unwrap() - other["accuracy"].as_f64().unwrap();
    assert!((other["paired"]["difference"].as_f64().unwrap() - difference).abs() < 1e-9);
    assert!((0.0..=1.0).contains(&other["paired"]["p_value"].as_f64().unwrap()));
    let itself = place.json(&["evaluate", evaluate_split[1], "--compare", evaluate_split[1], "--json"]);
    assert_eq!(itself["compare"][0]["paired"]["p_value"], 1.0);
    assert_eq!(all["corruptions"].as_array().unwrap().len(), 18);
    let page = place.page("more/report.html");
    assert!(page.contains("McNemar") && page.contains("low light") && !page.contains("NaN"));
    let card = fs::read_to_string(place.path("cards/tiny.md")).unwrap();
    for part in ["# nets/tiny\n", "**test: ", "must not be used", "| low light |", "cross-fitted", "Known weaknesses"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(!card.contains("selection split"), "{card}");
    place.ok(&[&evaluate_split[..2], &["--split", "validation", "--card", "chosen.md", "--recipes", "3"]].concat());
    let card = fs::read_to_string(place.path("chosen.md")).unwrap();
    assert!(
        card.contains("test split: pending") && card.contains("optimistic: 3 recipes were compared on it"),
        "{card}"
    );
    let text = place.ok(&[&evaluate_split[..], &["--corruptions"]].concat());
    assert!(text.contains("McNemar") && text.contains("σ = 16"), "{text}");
}

fn exported_with_lower_precision(place: &Place) {
    for precision in ["f16", "i8"] {
        let file = format!("{precision}.safetensors");
        let printed =
            place.json(&["export", "runs/tiny-1/model.safetensors", &file, "--precision", precision, "--json"]);
        assert_eq!(printed["bytes"], place.path(&file).metadata().unwrap().len());
        let evaluated = place.json(&["evaluate", &file, "--json", "--compare", "runs/tiny-1/model.safetensors"]);
        assert!(evaluated["compare"][0]["paired"]["difference"].as_f64().unwrap().abs() < 0.02, "{evaluated}");
    }
    let (code, error) = place.fails(&["export", "runs/tiny-1/model.safetensors", "x.pt"]);
    assert!(code == 2 && error.contains(".safetensors"), "{error}");
}

#[test]
fn wrong_usage_and_failures_have_different_exit_codes() {
    let place = Place::new();
    place.put("notes.txt", "hello");
    for (args, expected_code, part) in [
        (&["train", "nonsense"][..], 1, "presets are small, default, fer2013, ferplus, tiny, seed"),
        (&["train", "--epochs", "0"], 2, "`train.epochs` is 0"),
        (&["train", "--image-size", "48"], 2, "48x48"),
        (&["train", "--data", "notes.txt"], 1, "contains no data set"),
        (&["train", "--data", "missing.zip"], 1, "missing.zip"),
        (&["train", "--resume", "nowhere"], 1, "cannot read the checkpoint"),
        (&["train", "--resume", "x", "--epochs", "3"], 2, "cannot be used with"),
        (&["train", "--official-split"], 2, "--official-split requires --data"),
        (&["predict", "x.png", "--out", "x.csv"], 1, "x.png: No such file"),
        (&["predict", "--model", "missing", "x.png"], 1, "no model file or bundled model `missing`"),
        (&["predict", "--no-detect", "--min-face", "30", "x.png"], 2, "cannot be used with"),
        (&["predict", "--min-score", "0", "x.png"], 2, "0.001 to 1"),
        (&["predict", "--model", "notes.txt", "x.png"], 1, "not a model file"),
        (&["evaluate"], 2, "pass the data to evaluate it on with --data"),
        (&["data", "draw", ".", "--count", "21"], 1, "not empty"),
        (&["arch", "show", "tiny.tom"], 1, "no preset or file"),
        (&["--threads", "0", "arch", "list"], 2, "--threads"),
    ] {
        let (code, error) = place.fails(args);
        assert_eq!(code, expected_code, "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    assert!(!place.path("runs").exists(), "a run that cannot start leaves no files behind");
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--out", "run"]);
    let (code, error) = place.fails(&["train", "tiny.toml", "--out", "run"]);
    assert!(code == 1 && error.contains("already contains a run"), "{error}");
}

#[test]
fn data_info_counts() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "140"]);
    insta::assert_snapshot!(place.ok(&["data", "info", "faces", "--quiet"]));
    let info = place.json(&["data", "info", "faces", "--json"]);
    assert_eq!(info["splits"][0]["per_class"], serde_json::json!([14, 14, 14, 14, 14, 14, 14]));
}

#[test]
fn architectures_are_shown_layer_by_layer() {
    let place = Place::new();
    insta::assert_snapshot!(place.ok(&["arch", "show", "seed/kaggle-notebook"]));
    insta::assert_snapshot!("list", place.ok(&["arch", "list"]));
    let shown = place.json(&["arch", "show", "seed/kaggle-notebook", "--json"]);
    assert_eq!(shown["parameters"], 4_232_199);
    assert_eq!(shown["input"], serde_json::json!([48, 48, 1]));
    assert_eq!(shown["layers"][0]["output_shape"], serde_json::json!([46, 46, 128]));
    // The TOML that is printed is an architecture file.
    let toml = place.ok(&["arch", "show", "tiny.toml", "--toml"]);
    place.put("printed.toml", toml);
    assert_eq!(place.ok(&["arch", "show", "printed.toml"]), place.ok(&["arch", "show", "tiny.toml"]));
}

#[test]
fn licenses_are_printed() {
    let printed = Place::new().ok(&["licenses"]);
    assert!(printed.contains("YuNet (MIT)") && printed.contains("Copyright (c) 2020 Shiqi Yu"));
    assert!(printed.contains("clap 4") && printed.contains("Permission is hereby granted"));
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    for command in [
        &["train"][..],
        &["evaluate"],
        &["export"],
        &["predict"],
        &["data", "info"],
        &["data", "draw"],
        &["arch", "list"],
        &["arch", "show"],
        &["completions"],
        &["man"],
        &["doctor"],
        &["licenses"],
    ] {
        let help = place.ok(&[command, &["--help"]].concat());
        assert!(help.contains(&format!("  moue {}", command.join(" "))), "{help}");
        assert!(["--json", "--quiet", "--threads", "--seed"].iter().all(|flag| help.contains(flag)), "{help}");
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[cfg(unix)]
#[test]
fn a_killed_or_interrupted_run_resumes_bit_identically() {
    let place = Place::new();
    let train = |out: &str| place.command(&["train", "tiny.toml", "--epochs", "8", "--out", out]);
    assert!(train("whole").output().unwrap().status.success());
    let whole = bytes(&place.path("whole/model.safetensors"));

    // kill -9 in the first epoch, and after it, at whatever moment that is.
    for (out, file) in [("early", "config.toml"), ("killed", "metrics.csv")] {
        let mut child = train(out).stderr(Stdio::null()).spawn().unwrap();
        place.wait_for(&format!("{out}/{file}"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!place.path(out).join("model.safetensors").exists(), "it was killed before its end");
        let starts_over = !place.path(out).join("metrics.csv").exists();
        let resumed = place.run(&["train", "--resume", out]);
        let said = text(&resumed.stderr);
        assert!(resumed.status.success(), "{said}");
        let note = "the run was stopped before its first epoch was saved: it starts over";
        assert_eq!(said.lines().any(|line| line == note), starts_over, "{said}");
        assert_eq!(bytes(&place.path(out).join("model.safetensors")), whole);
    }

    // Ctrl-C saves a checkpoint and the model of the best epoch.
    let mut child = train("stopped").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("stopped/metrics.csv");
    send("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut printed = String::new();
    child.stdout.unwrap().read_to_string(&mut printed).unwrap();
    assert!(printed.contains("moue train --resume stopped") && printed.contains("a checkpoint was saved"), "{printed}");
    assert!(place.path("stopped/model.safetensors").exists() && place.path("stopped/report.html").exists());
    place.ok(&["train", "--resume", "stopped"]);
    assert_eq!(bytes(&place.path("stopped/model.safetensors")), whole);
    // Resuming a finished run changes nothing.
    place.ok(&["train", "--resume", "stopped", "--quiet"]);
    assert_eq!(bytes(&place.path("stopped/model.safetensors")), whole);
    let leftovers = fs::read_dir(place.path("stopped/checkpoints")).unwrap().count();
    assert_eq!(leftovers, 1, "no temporary files are left");
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_second_signal_stops_a_run_immediately() {
    let place = Place::new();
    // One step takes seconds.
    let slow = ["train", "seed/model-9", "--batch-size", "128", "--threads", "1", "--out", "slow", "--quiet"];
    let mut child = place.command(&slow).stdout(Stdio::null()).spawn().unwrap();
    place.wait_for("slow/config.toml");
    let begun = bytes(&place.path("slow/checkpoints/last.safetensors"));
    send("-TERM", &child);
    std::thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "the first signal lets the step finish");
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(bytes(&place.path("slow/checkpoints/last.safetensors")), begun, "it stopped immediately");
}

/// SIGTERM saves a checkpoint, as Ctrl-C does. Under `nohup`, a closed terminal stops nothing.
#[cfg(unix)]
#[test]
fn sigterm_saves_and_sighup_is_ignored_under_nohup() {
    let place = Place::new();
    let run = format!("trap '' HUP; exec {} train tiny.toml --epochs 40 --out", env!("CARGO_BIN_EXE_moue"));
    for (signal, out, code) in [("-TERM", "ended", 130), ("-HUP", "closed", 0)] {
        let mut command = place.program("bash");
        let mut child = command.args(["-c", &format!("{run} {out} --quiet")]).stdout(Stdio::null()).spawn().unwrap();
        place.wait_for(&format!("{out}/metrics.csv"));
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert!(place.path(out).join("model.safetensors").exists(), "{signal}");
    }
}

#[test]
fn a_comparison_is_a_grid_and_resumes() {
    let place = Place::new();
    let args =
        ["compare", "tiny.toml", "--vary", "train.epochs=1,2", "--vary", "dropout.rate=0.1,0.3", "--out", "side"];
    let printed = place.ok(&args);
    assert!(
        printed.contains("nets/tiny train.epochs=2 dropout.rate=0.3") && printed.contains("side/report.html"),
        "{printed}"
    );
    let again = place.json(&[&args[..], &["--json"]].concat());
    assert_eq!(again["complete"], true);
    let row = &again["rows"][3];
    for key in [
        "name",
        "parameters",
        "macs",
        "epochs",
        "seconds",
        "best_train_accuracy",
        "best_validation_accuracy",
        "gap",
        "last_train_accuracy",
        "last_validation_accuracy",
        "last_gap",
        "runs",
    ] {
        assert!(!row[key].is_null(), "{key}");
    }
    assert!(row["runs"][0]["folder"].as_str().unwrap().starts_with("side/runs/tiny-train.epochs=2-dropout.rate=0.3-"));
    assert_eq!(fs::read_dir(place.path("side/runs")).unwrap().count(), 4, "no run was trained twice");
    for file in ["comparison.csv", "comparison.json", "report.html"] {
        assert!(place.path("side").join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let (code, error) = place.fails(&["compare", "tiny.toml", "--vary", "dropout.rat=0.1"]);
    assert!(code == 2 && error.contains("dropout.rat=0.1") && error.contains("unknown field `rat`"), "{error}");
    let (code, error) = place.fails(&["compare", "tiny.toml", "--vary", "epochs"]);
    assert!(code == 2 && error.contains("write key=a,b,c"), "{error}");
    assert_eq!(place.fails(&["compare"]).0, 2);
}

#[test]
fn a_table_and_a_preview_of_a_dataset() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "140"]);
    let printed = place.ok(&["data", "table", "faces", "--out", "tables/faces.csv"]);
    assert!(printed.contains("Wrote 140 rows to tables/faces.csv"), "{printed}");
    let csv = fs::read_to_string(place.path("tables/faces.csv")).unwrap();
    assert!(csv.starts_with("id,label,split,height,width,mean,deviation,hash,near_duplicates\n"), "{csv}");
    assert_eq!(csv.lines().count(), 141);
    let row: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    assert!(row[0].starts_with("test/angry/") && row[1..5] == ["angry", "test", "48", "48"], "{row:?}");
    place.ok(&["data", "preview", "faces", "--out", "preview.png"]);
    assert!(fs::read(place.path("preview.png")).unwrap().starts_with(b"\x89PNG"));
    place.ok(&["data", "preview", "faces", "--out", "preview.html", "--arch", "tiny.toml"]);
    let page = place.page("preview.html");
    assert!(page.contains("Augmentation: flip.") && page.contains("mean of sad") && !page.contains("http"));
    let again = place.json(&["data", "preview", "--out", "drawn.png", "--json"]);
    assert_eq!(again["images"], 5600);
    let (code, error) = place.fails(&["data", "preview", "faces", "--out", "preview.gif"]);
    assert!(code == 2 && error.contains("must end in .png or .html"), "{error}");
    let (code, error) = place.fails(&["data", "table", "faces", "--out", "table.xlsx"]);
    assert!(code == 2 && error.contains("must end in .csv or .parquet"), "{error}");
}

#[test]
fn speed_is_measured() {
    let place = Place::new();
    let found =
        place.json(&["bench", "tiny.toml", "--batch-size", "8", "--seconds", "0.05", "--threads", "2", "--json"]);
    assert_eq!((&found["arch"], &found["threads"], &found["batch_size"]), (&"nets/tiny".into(), &2.into(), &8.into()));
    for key in ["train_images_per_second", "predict_images_per_second", "latency_ms_p50"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let held =
        place.command(&["bench", "tiny.toml", "--seconds", "0", "--json"]).env("MOUE_ISA", "scalar").output().unwrap();
    let held: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!(held["isa"], "scalar");
    let printed = place.ok(&["bench", "tiny.toml", "--batch-size", "4", "--seconds", "0", "--layers"]);
    assert!(printed.contains("GFLOP/s") && printed.contains("conv2d_1") && printed.contains("gemm"), "{printed}");
    let wrong = place.command(&["bench"]).env("MOUE_ISA", "avx1024").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("MOUE_ISA=avx1024 is not available on this machine"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn missing_teachers_are_an_error_with_a_remedy() {
    let place = Place::new();
    let (code, error) = place.fails(&["train", "fer2013"]);
    assert_eq!(code, 2);
    assert!(error.contains("runs/stage-4/f16.safetensors") && error.contains("--no-teachers"), "{error}");
    assert!(!place.path("runs").exists());
    place.put("taught.toml", format!("{TINY}teachers = [\"nowhere.safetensors\"]\n"));
    let settings = ["--set", "train.teachers=[]", "--set", "dropout.rate=0.25", "--set", "augment.rotation = 5"];
    place.ok(&[&["train", "taught.toml", "--epochs", "1", "--out", "alone"][..], &settings[..]].concat());
    let config = fs::read_to_string(place.path("alone/config.toml")).unwrap();
    for set in ["teachers = []", "rate = 0.25", "rotation = 5.0"] {
        assert!(config.contains(set), "{set}: {config}");
    }
    // They are not used, with a note, where the weights come from a model, or where teachers are not wanted.
    for (number, more) in [&["--init", "alone"][..], &["--no-teachers"]].iter().enumerate() {
        let out = format!("untaught-{number}");
        let output = place.run(&[&["train", "taught.toml", "--epochs", "1", "--out", &out], *more].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("note: teachers of nets/tiny that are not used: nowhere.safetensors"), "{said}");
    }
    place.ok(&["compare", "taught.toml", "--no-teachers", "--epochs", "1", "--out", "side", "--quiet"]);
    for (setting, says) in [("nothing", "KEY=VALUE"), ("train.nothing=1", "nothing"), ("train.epochs=many", "epochs")] {
        let (code, error) = place.fails(&["train", "tiny.toml", "--set", setting]);
        assert!(code == 2 && error.contains(says), "{setting}: {error}");
    }
}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_mpi_several_processes_are_an_error() {
    let place = Place::new();
    let output = place.command(&["train", "tiny.toml"]).env("OMPI_COMM_WORLD_SIZE", "3").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("built without MPI") && error.contains("--features mpi"), "{error}");
    assert!(!place.path("runs").exists());
}
