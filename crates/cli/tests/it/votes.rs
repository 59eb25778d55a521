//! People's votes: datasets, trainings and evaluations with `--votes`.

use crate::place::{Place, text};
use std::fmt::Write;

/// Synthetic faces in folders, and votes on them by path: the label has seven of ten, contempt three.
fn voted() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "210", "--quiet"]);
    place.ok(&["data", "table", "faces", "--out", "table.csv", "--quiet"]);
    let table = std::fs::read_to_string(place.path("table.csv")).unwrap();
    let classes = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];
    let mut votes = format!("path,{},contempt\n", classes.join(","));
    for line in table.lines().skip(1) {
        let path = line.split(',').next().unwrap();
        let counts: Vec<&str> = classes.iter().map(|class| if path.contains(class) { "7" } else { "0" }).collect();
        writeln!(votes, "{path},{},3", counts.join(",")).unwrap();
    }
    place.put("votes.csv", votes);
    place
}

#[test]
fn votes_are_trained_on_and_evaluated_against() {
    let place = voted();
    let info = place.json(&["data", "info", "faces", "--votes", "votes.csv", "--json"]);
    let split = &info["votes"]["splits"][0];
    assert_eq!(
        (&split["split"], &split["agreement"], &split["n"]),
        (&"train".into(), &1.0.into(), &split["n_of_classes"])
    );
    assert!(place.ok(&["data", "info", "faces", "--votes", "votes.csv"]).contains("label is the majority, %"));

    let train = ["train", "tiny.toml", "--data", "faces", "--votes", "votes.csv", "--set", "data.contempt=true"];
    let output = place.run(&[&train[..], &["--out", "run"]].concat());
    let notes = text(&output.stderr);
    assert!(output.status.success() && notes.contains("note: targets are votes (crossentropy): "), "{notes}");
    assert!(text(&output.stdout).contains("validation (labels: majority of votes)"), "{}", text(&output.stdout));

    let evaluate = ["evaluate", "run", "--data", "faces", "--votes", "votes.csv"];
    let printed = place.ok(&[&evaluate[..], &["--tta=crops", "--corruptions=robust10", "--report", "out"]].concat());
    for part in ["by FER+'s protocol", "with test-time augmentation (crops)", "low contrast", "votes: accuracy"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let report = std::fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(report.contains("Labels and votes") && report.contains("Mean over the corruptions: accuracy"));
    let document = place.json(&[&evaluate[..], &["--tta", "--corruptions=robust10", "--json"]].concat());
    assert_eq!((&document["tta"], &document["tta_method"]), (&true.into(), &"flip".into()));
    assert_eq!(document["corruptions"].as_array().unwrap().len(), 10);
    let clean = document["votes"]["accuracy"].as_f64().unwrap();
    let (mean, ratio) =
        (&document["corruption_summary"]["votes_accuracy"], &document["corruption_summary"]["votes_ratio"]);
    assert!((mean.as_f64().unwrap() - clean * ratio.as_f64().unwrap()).abs() < 1e-9, "{mean} {ratio} {clean}");
    // The model has a threshold where some predictions are uncertain.
    assert_eq!(document.get("selective").is_some(), document["votes"].get("selective").is_some(), "{document}");
    let without = place.run(&evaluate[..4]);
    assert!(text(&without.stderr).contains("note: this model was trained on votes (crossentropy), not on labels"));
    place.ok(&[&evaluate[..], &["--card", "CARD.md"]].concat());
    let card = std::fs::read_to_string(place.path("CARD.md")).unwrap();
    assert!(
        card.contains("| training targets | votes (crossentropy) |") && card.contains("by FER+'s protocol"),
        "{card}"
    );
    // The votes are also those of the labels.
    assert_eq!(document["votes"]["label_agreement"], 1.0);
    assert_eq!(document["votes"]["of_classes"]["confusion"], document["confusion"]);
    let plain = place.json(&[&evaluate[..], &["--json"]].concat());
    assert_eq!((&plain["tta"], &plain["tta_method"]), (&false.into(), &serde_json::Value::Null));
}

/// The exported model predicts what the evaluation states for its strength, also from ONNX.
#[test]
fn a_prior_adjustment_is_exported() {
    let place = voted();
    // Half of the happy faces are removed, so that the classes are not equally frequent.
    let folder = place.path("faces/train/happy");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.iter().step_by(2).for_each(|file| std::fs::remove_file(file).unwrap());
    place.ok(&["train", "tiny.toml", "--data", "faces", "--out", "run", "--quiet"]);
    let evaluated = |model: &str| place.json(&["evaluate", model, "--data", "faces", "--json", "--quiet"]);
    let curve = evaluated("run")["logit_adjustment"].clone();
    let at = curve.as_array().unwrap().iter().find(|point| point["tau"] == 1.0).unwrap().clone();
    for file in ["adjusted.safetensors", "adjusted.onnx"] {
        place.ok(&["export", "run", file, "--prior-adjustment", "1", "--quiet"]);
        let adjusted = evaluated(file);
        assert_eq!(
            (&adjusted["accuracy"], &adjusted["macro_recall"]),
            (&at["accuracy"], &at["macro_recall"]),
            "{file}"
        );
        assert_eq!(adjusted["logit_adjustment"], curve, "{file}");
    }
}

#[test]
fn mistakes_with_votes_are_explained() {
    let place = voted();
    let refused = |args: &[&str], code: i32, part: &str| {
        let output = place.run(args);
        let errors = text(&output.stderr);
        assert!(output.status.code() == Some(code) && errors.contains(part), "{args:?}: {errors}");
    };
    refused(&["train", "tiny.toml", "--votes", "votes.csv"], 2, "--votes requires --data");
    refused(&["train", "tiny.toml", "--data", "faces", "--set", "data.targets=mixed"], 2, "requires a file of votes");
    refused(&["train", "tiny.toml", "--data", "faces", "--votes", "table.csv"], 1, "cannot use the votes table.csv: ");
    refused(&["train", "tiny.toml", "--data", "faces", "--votes", "no.csv"], 1, "cannot read no.csv");
    place.put("few.csv", "path,happy,sad\nx.png,1,2\n");
    refused(&["data", "info", "faces", "--votes", "few.csv"], 1, "it has votes for happy, sad, but not for angry");
    refused(&["evaluate", "tiny", "--data", "faces", "--tta=both"], 2, "[possible values: flip, crops]");
}
