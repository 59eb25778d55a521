//! Mistakes that people make at first, and what the command suggests.

use crate::place::{Place, text};
use std::fs;

/// A folder with faces, a model, and photos outside class folders.
fn place() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    place.ok(&["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "runs/first", "--quiet"]);
    let happy = crate::place::first_file(&place.path("faces/train/happy"));
    for name in ["face.png", "photos/one.png", "photos/two.png"] {
        place.put(name, fs::read(&happy).unwrap());
    }
    place.put("archive.zip", "PK");
    place.put("compared/comparison.json", "{}");
    place.put("wrong.toml", crate::place::TINY.replace("epochs = 2", "epoch = 2"));
    place.put("elsewhere.toml", crate::place::TINY.replace("[augment]\n", "[augment]\nbatch_size = 2\n"));
    place.put("kind.toml", crate::place::TINY.replace("\"conv2d\"", "\"conv2\""));
    place
}

#[test]
fn mistakes_get_suggestions() {
    let place = place();
    let cases: &[(&[&str], &str)] = &[
        // Presets and architecture files.
        (&["train", "smal"], "did you mean `small`?"),
        (&["train", "model-6x"], "did you mean `seed/model-6`?"),
        (&["train", "tiny.tml"], "did you mean `tiny.toml`?"),
        (&["train", "runs/frist/config.toml"], "did you mean `runs/first`?"),
        (&["arch", "show", "defualt"], "did you mean `default`?"),
        (&["train", "archive.zip"], "archive.zip is a dataset, not an architecture file; use --data archive.zip"),
        (&["train", "faces"], "faces is a folder, not an architecture file; if it is a dataset: --data faces"),
        (&["compare", "faces"], "faces is a folder, not an architecture file; if it is a dataset: --data faces"),
        (
            &["train", "runs/first"],
            "its configuration is runs/first/config.toml; to resume the run: moue train --resume runs/first",
        ),
        (&["compare", "compared"], "compared is the folder of a comparison, not an architecture file"),
        // These commands have neither --data nor --resume.
        (&["arch", "show", "."], ". is a folder, not an architecture file\n"),
        (&["bench", "faces"], "faces is a folder, not an architecture file\n"),
        (&["arch", "show", "runs/first/"], "not an architecture file; its configuration is runs/first/config.toml\n"),
        // Models.
        (
            &["predict", "face.png", "--model", "tny"],
            "the bundled models are default, fer2013, tiny; did you mean `tiny`?",
        ),
        (&["evaluate", "runs/frist"], "did you mean `runs/first`?"),
        (&["evaluate", "runs/frist/model.safetensors"], "did you mean `runs/first`?"),
        (&["evaluate", "faces"], "this folder has no model.safetensors; if it is a dataset: --data faces"),
        (&["evaluate", "archive.zip"], "if it is a dataset: --data archive.zip"),
        // Keys and values.
        (&["train", "wrong.toml"], "did you mean `epochs`?"),
        (&["train", "elsewhere.toml"], "did you mean `train.batch_size`?"),
        (&["train", "kind.toml"], "did you mean `conv2d`?"),
        (&["train", "tiny.toml", "--set", "batch_size=32"], "did you mean `train.batch_size`?"),
        (&["train", "tiny.toml", "--set", "train.epoch=3"], "did you mean `epochs`?"),
        (&["train", "tiny.toml", "--set", "trian.epochs=3"], "did you mean `train.epochs`?"),
        (&["train", "tiny.toml", "--set", "train.optimizer=addam"], "did you mean `adam`?"),
        (&["train", "tiny.toml", "--set", "train.epochs=many"], "expected a whole number, 0 or more"),
        (&["train", "tiny.toml", "--set", "train.learning_rate=fast"], "expected a number"),
        (&["compare", "tiny.toml", "--vary", "batch_size=16,32"], "did you mean `train.batch_size`?"),
        (&["compare", "tiny.toml", "--vary", "drop_out.rate=0.1"], "did you mean `dropout.rate`?"),
        (&["compare", "tiny.toml", "--vary", "dropout.rat=0.1"], "did you mean `rate`?"),
        // Data and splits.
        (&["train", "tiny.toml", "--data", "face"], "did you mean `faces`?"),
        (
            &["data", "info", "photos"],
            "2 images that are not in folders named after their classes.\nExpected images in",
        ),
        (&["data", "faces", "photo", "--out", "cut"], "did you mean `photos`?"),
        (&["evaluate", "runs/first", "--data", "faces", "--split", "validtion"], "did you mean `validation`?"),
        // Commands, options and files.
        (&["pedict", "face.png"], "a similar subcommand exists: 'predict'"),
        (&["data", "inof", "faces"], "a similar subcommand exists: 'info'"),
        (&["train", "--output", "x"], "a similar argument exists: '--out'"),
        (&["predict", "face.png", "--output", "x"], "a similar argument exists: '--out'"),
        (&["train", "--resume", "runs/frist"], "did you mean `runs/first`?"),
        (&["predict", "face.png", "--out", "none/x.csv"], "cannot write none/x.csv: the folder none does not exist"),
        (&["predict", "fase.png"], "fase.png: No such file or directory; did you mean `face.png`?"),
    ];
    for (args, says) in cases {
        let output = place.run(args);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(says), "{args:?}: {error}");
        assert!(!error.contains("os error") && !error.contains("face.png: face.png"), "{args:?}: {error}");
    }
}

#[test]
fn a_refused_training_leaves_no_folder() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    let base = ["train", "tiny.toml", "--data", "faces", "--out", "refused"];
    for (more, says) in [
        (["--set", "train.freeze=1"], "train.freeze = 1 keeps the weights of a model, but none is given; add --init"),
        (["--init", "tiny"], "the given model (tiny) has weights for only"),
    ] {
        let (code, error) = place.fails(&[&base[..], &more].concat());
        assert!(code == 1 && error.contains(says), "{error}");
        assert!(!place.path("refused").exists());
    }
    let frozen = ["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "--set", "train.freeze=1", "-q"];
    let output = place.run(&frozen);
    assert!(output.status.code() == Some(1) && text(&output.stdout).contains("add --init MODEL"));
}

#[test]
fn small_data_is_warned_about_once() {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    let warnings = |args: &[&str]| {
        let output = place.run(&[args, &["--data", "faces", "--epochs", "1"]].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let count = |says: &str| said.lines().filter(|line| line.starts_with(says)).count();
        (count("warning: classes with fewer than 20"), count("warning: the validation split has"))
    };
    assert_eq!(warnings(&["train", "tiny.toml", "-q"]), (1, 1));
    assert_eq!(warnings(&["compare", "tiny.toml", "--vary", "train.batch_size=8,16"]), (1, 1));
}

/// The same inputs give the same output as with the model's file.
#[test]
fn a_run_folder_is_a_model() {
    let place = place();
    let predict = |model: &str| place.ok(&["predict", "--no-detect", "face.png", "--json", "--model", model]);
    assert_eq!(predict("runs/first"), predict("runs/first/model.safetensors"));
    let evaluated = place.json(&["evaluate", "runs/first", "--data", "faces", "--split", "train", "--json", "-q"]);
    assert_eq!(evaluated["training_overlap"], evaluated["n"]);
    place.ok(&["export", "runs/first", "first.onnx", "--quiet"]);
}

#[test]
fn a_video_that_cannot_be_read_is_named_once() {
    let place = Place::new();
    place.put("broken.mp4", "no video");
    for name in ["broken.mp4", "missing.mp4"] {
        let output = place.run(&["predict", name, "--model", "tiny"]);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(1) && error.matches(name).count() == 1, "{error}");
        let row = place.run(&["predict", name, "--model", "tiny", "--json", "-q"]);
        let row: serde_json::Value = serde_json::from_slice(&row.stdout).unwrap();
        assert!(row["input"] == name && !row["error"].as_str().unwrap().contains(name), "{row}");
    }
}
