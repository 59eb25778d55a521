//! `moue data audit`, and the fixes that come from it.

use crate::place::{Place, text};
use crate::schema::validate;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// A network that is trained in a second.
const NET: &str = r#"
[model]
name = "nets/audit"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 16, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "conv2d", filters = 32, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "flatten" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = false
[train]
epochs = 6
batch_size = 16
learning_rate = 0.003
"#;

/// The pictures of [`prepared`], and those with a wrong label.
const IMAGES: usize = 240;
const WRONG: usize = 10;

/// Noisy pictures that are brighter at the left, at the right, or at the top, without splits. Some that are brighter at the
/// left are in the folder of the right; their paths.
fn prepared() -> (Place, Vec<String>) {
    let place = Place::new();
    place.put("net.toml", NET);
    let mut state = 7u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32 - 128.0
    };
    let mut wrong = Vec::new();
    for number in 0..IMAGES {
        let side = ["left", "right", "top"][number % 3];
        let is_wrong = number % 3 == 0 && number < 3 * WRONG;
        let folder = if is_wrong { "right" } else { side };
        let light = |x: u32, y: u32| match side {
            "left" => 12.0 - x as f32,
            "right" => x as f32 - 12.0,
            _ => 12.0 - y as f32,
        };
        let picture =
            image::GrayImage::from_fn(24, 24, |x, y| image::Luma([(128.0 + 4.0 * light(x, y) + 0.4 * noise()) as u8]));
        let name = format!("{folder}/picture-{number:03}.png");
        picture.save(place.put(&format!("pictures/{name}"), "")).unwrap();
        if is_wrong {
            wrong.push(name);
        }
    }
    (place, wrong)
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let mut table = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    table.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn wrong_labels_are_found_first() {
    let (place, wrong) = prepared();
    let audit = ["data", "audit", "pictures", "--arch", "net.toml", "--folds", "3", "--out", "audit"];
    let printed = place.ok(&audit);
    for part in ["labels are probably wrong", "audit/issues.csv", "right", "--fixes fixes.csv"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let issues = rows(&place.path("audit/issues.csv"));
    assert_eq!(issues[0], ["file", "given", "suggested", "score", "kinds"]);
    let labels: Vec<&Vec<String>> = issues[1..].iter().filter(|row| row[4].starts_with("label")).collect();
    assert!(labels.windows(2).all(|pair| pair[0][3] <= pair[1][3]), "worst first");
    assert!(labels.len() == issues[1..].iter().take_while(|row| row[4].starts_with("label")).count());
    let is_wrong = |row: &&&Vec<String>| wrong.contains(&row[0]) && row[1..3] == ["right", "left"];
    let found = labels.iter().filter(is_wrong).count();
    assert!(found >= 3 && labels.len() <= found + 1, "{labels:?}");
    let scores = rows(&place.path("audit/scores.csv"));
    assert_eq!(scores.len(), IMAGES + 1);
    assert_eq!(scores[0].last().unwrap(), "p_top");
    let mut worst: Vec<&Vec<String>> = scores[1..].iter().collect();
    worst.sort_by(|a, b| a[6].cmp(&b[6]));
    let first = worst.iter().take(WRONG).filter(|row| wrong.contains(&row[0])).count();
    assert!(first + 1 >= WRONG, "{first} of {WRONG}: {:?}", &worst[..WRONG]);
    // Without splits, all images are training images.
    let audited = scores[1..].iter().filter(|row| !row[5].is_empty()).count();
    let document: Value = serde_json::from_slice(&fs::read(place.path("audit/audit.json")).unwrap()).unwrap();
    validate("data-audit", &document);
    assert_eq!(document["audited"], audited);
    assert!(audited == IMAGES && document["images"] == IMAGES && document["folds"] == 3);
    let page = fs::read_to_string(place.path("audit/audit.html")).unwrap();
    assert!(page.contains("right → left") && page.contains("data:image/png;base64,"));
    // The same audit is shown again, another one is refused.
    let again = place.run(&audit);
    assert!(again.status.success() && !text(&again.stderr).contains("fold 1"), "{}", text(&again.stderr));
    assert_eq!(rows(&place.path("audit/issues.csv")), issues);
    let (code, error) = place.fails(&[&audit[..], &["--epochs", "3"]].concat());
    assert!(code == 2 && error.contains("audit contains another audit"), "{error}");
}

#[test]
fn a_killed_audit_continues_with_equal_results() {
    let audit = ["data", "audit", "pictures", "--arch", "net.toml", "--folds", "3", "--epochs", "4", "--out", "audit"];
    let (whole, _) = prepared();
    whole.ok(&audit);
    let (place, _) = prepared();
    for file in ["audit/folds/1/checkpoints/last.safetensors", "audit/folds/2/metrics.csv"] {
        let mut child = place.command(&audit).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        place.wait_for(file);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let log = text(&place.run(&audit).stderr);
    assert!(log.contains("Continuing the audit") && !log.contains("fold 1/3"), "{log}");
    for file in ["issues.csv", "scores.csv", "audit.json", "audit.html"] {
        let read = |place: &Place| fs::read(place.path("audit").join(file)).unwrap();
        assert!(read(&whole) == read(&place), "{file} differs");
    }
    assert_eq!(
        fs::read_dir(place.path("audit/folds")).unwrap().count(),
        3,
        "only the predictions of the folds are kept"
    );
}

#[test]
fn an_interrupted_audit_says_how_to_continue() {
    let (place, _) = prepared();
    let audit = ["data", "audit", "pictures", "--arch", "net.toml", "--epochs", "400", "--out", "audit"];
    let child = place.command(&audit).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("audit/folds/1/metrics.csv");
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).starts_with("Interrupted;"));
    assert!(!place.path("audit/audit.json").exists());
}

#[test]
fn a_model_predicts_and_a_known_one_is_warned_about() {
    let (place, _) = prepared();
    place.ok(&["train", "net.toml", "--data", "pictures", "--epochs", "2", "--out", "run", "--quiet"]);
    let audit =
        place.run(&["data", "audit", "pictures", "--model", "run/model.safetensors", "--out", "audit", "--json"]);
    let warning = text(&audit.stderr);
    assert!(audit.status.success() && warning.contains("the model was trained on"), "{warning}");
    let document: Value = serde_json::from_slice(&audit.stdout).unwrap();
    validate("data-audit", &document);
    assert!(document["training_overlap"].as_u64().unwrap() > 200 && document["folds"].is_null());
    let (code, error) = place.fails(&["data", "audit", "pictures", "--model", "default", "--folds", "3"]);
    assert!(code == 2 && error.contains("--folds"), "{error}");
}

#[test]
fn fixes_change_training_and_evaluation() {
    let (place, wrong) = prepared();
    let mut fixes = "file,action,label\n".to_owned();
    wrong.iter().skip(1).for_each(|name| fixes += &format!("{name},relabel,left\n"));
    fixes += &format!("{},drop,\n", wrong[0]);
    place.put("fixes.csv", fixes);
    let fixed = ["--data", "pictures", "--fixes", "fixes.csv"];
    let train = place.run(&[&["train", "net.toml", "--epochs", "1", "--out", "fixed"], &fixed[..]].concat());
    let log = text(&train.stderr);
    assert!(train.status.success() && log.contains("fixes: 9 labels changed, 1 images left out"), "{log}");
    let evaluate = |run: &str, more: &[&str]| {
        let model = format!("{run}/model.safetensors");
        text(&place.run(&[&["evaluate", &model, "--data", "pictures"], more].concat()).stderr)
    };
    assert!(evaluate("fixed", &[]).contains("trained with fixes of labels and images, but is evaluated without them"));
    assert!(!evaluate("fixed", &fixed[2..]).contains("warning: the model was trained with"));
    place.ok(&["train", "net.toml", "--data", "pictures", "--epochs", "1", "--out", "plain", "--quiet"]);
    assert!(evaluate("plain", &fixed[2..]).contains("trained without the fixes"));
    // The same option in an architecture file.
    place.put("fixed.toml", NET.replace("[augment]", "[data]\nfixes = \"fixes.csv\"\n[augment]"));
    place.ok(&["train", "fixed.toml", "--data", "pictures", "--epochs", "1", "--out", "other", "--quiet"]);
    let model = |run: &str| fs::read(place.path(run).join("model.safetensors")).unwrap();
    assert_eq!(model("fixed"), model("other"));
    // An audit after them shows what was fixed.
    place.ok(&[
        "data",
        "audit",
        "pictures",
        "--arch",
        "net.toml",
        "--folds",
        "2",
        "--epochs",
        "1",
        "--fixes",
        "fixes.csv",
        "--out",
        "audit",
        "--quiet",
    ]);
    let page = fs::read_to_string(place.path("audit/audit.html")).unwrap();
    assert!(page.contains("Fixes are applied already: 9 labels changed, 1 images left out"));
    let mistakes = [
        ("file,action,label\nright/none.png,drop,\n", "none of its rows"),
        ("file,action\nright/none.png,remove\n", "the action `remove`"),
    ];
    for (content, part) in mistakes {
        place.put("fixes.csv", content);
        let (code, error) = place.fails(&[&["train", "net.toml", "--out", "none"], &fixed[..]].concat());
        assert!(code == 1 && error.contains("fixes.csv") && error.contains(part), "{error}");
    }
    let (code, error) = place.fails(&["train", "net.toml", "--fixes", "fixes.csv"]);
    assert!(code == 2 && error.contains("--fixes requires --data"), "{error}");
}

#[test]
fn mistakes_are_explained() {
    let (place, _) = prepared();
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let (exit, error) = place.fails(&[&["data", "audit"], arguments].concat());
        assert!(exit == code && error.contains(part), "{arguments:?}: {exit}: {error}");
    };
    fails(&["nothing"], 1, "nothing");
    fails(&["pictures", "--folds", "1"], 2, "--folds");
    fails(&["pictures", "--arch", "smal"], 1, "did you mean `small`?");
    fails(&["pictures", "--split", "traim"], 2, "did you mean `train`?");
    fails(&["pictures", "--split", "validation"], 2, "this data has no split `validation`");
    place.ok(&["data", "draw", "faces", "--count", "140", "--quiet"]);
    fails(&["faces", "--arch", "net.toml", "--split", "validation", "--folds", "20"], 2, "use fewer folds");
    place.put("other/file.txt", "");
    fails(&["pictures", "--out", "other"], 2, "other contains another audit or other files");
}
