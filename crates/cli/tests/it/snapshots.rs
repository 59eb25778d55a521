//! The exact output of the command: help, JSON and errors. After an intended change,
//! `INSTA_UPDATE=always cargo test -p moue-cli --test it snapshots` updates the snapshots.

use crate::place::{Place, first_file, text};
use crate::schema::validate;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// The command independent of the machine: fixed terminal width and instruction set.
fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(args);
    command.env("COLUMNS", "100").env("MOUE_ISA", "scalar").env_remove("MOUE_TOKEN");
    command
}

fn run(place: &Place, args: &[&str]) -> Output {
    command(place, args).output().unwrap()
}

/// Compares with the snapshot of this name, wherever this test is.
fn compare(name: &str, printed: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, printed);
    });
}

/// Faces in class folders, and a model that was trained on them.
fn trained() -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "42", "--quiet"]);
    let train = ["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "run", "--quiet"];
    assert!(run(&place, &train).status.success());
    place
}

#[test]
fn help() {
    let place = Place::new();
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&place, &args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        let help = text(&output.stdout);
        let short = text(&run(&place, &[&args[..args.len() - 1], &["-h"]].concat()).stdout);
        assert!(short.lines().count() <= help.lines().count() && !short.contains("Example"), "{args:?}: {short}");
        for name in subcommands(&help) {
            waiting.push(path.iter().cloned().chain([name.to_owned()]).collect());
        }
        let name: String = path.iter().map(|part| format!("-{part}")).collect();
        compare(&format!("help{name}"), &help);
    }
}

/// The commands that a help text lists, up to an empty line; their names are indented by two spaces.
fn subcommands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").collect()
}

#[test]
fn json() {
    let place = trained();
    let face = first_file(&place.path("faces/train/happy"));
    place.put("face.png", std::fs::read(face).unwrap());
    let model = "run/model.safetensors";
    let cases: [(&str, &[&str]); 14] = [
        ("train", &["train", "tiny.toml", "--data", "faces", "--epochs", "1", "--out", "again"]),
        ("evaluate", &["evaluate", model, "--data", "faces"]),
        ("evaluate-all", &["evaluate", model, "--data", "faces", "--tta", "--compare", model, "--corruptions"]),
        ("predict", &["predict", "--model", model, "--no-detect", "face.png"]),
        ("compare", &["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "--seeds", "2", "--out", "side"]),
        ("data-info", &["data", "info", "faces"]),
        (
            "data-audit",
            &["data", "audit", "faces", "--arch", "tiny.toml", "--folds", "2", "--epochs", "1", "--out", "audit"],
        ),
        ("data-preview", &["data", "preview", "faces", "--out", "preview.png"]),
        ("data-table", &["data", "table", "faces", "--out", "table.csv"]),
        ("data-draw", &["data", "draw", "drawn", "--count", "21"]),
        ("arch-list", &["arch", "list"]),
        ("arch-show", &["arch", "show", "tiny.toml"]),
        ("export", &["export", model, "exported.safetensors", "--precision", "f16"]),
        ("bench", &["bench", "tiny.toml", "--batch-size", "4", "--seconds", "0.05", "--threads", "1", "--layers"]),
    ];
    for (name, args) in cases {
        let output = run(&place, &[args, &["--json", "--quiet"]].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.lines().all(|line| line.starts_with("warning: ")), "{args:?}: {said}");
        let printed = text(&output.stdout);
        let schema = name.trim_end_matches("-all");
        printed.lines().for_each(|line| validate(schema, &serde_json::from_str(line).unwrap()));
        compare(&format!("json-{name}"), &documents(&printed));
    }
    let serve = ["serve", "--addr", "127.0.0.1:0", "--model", model, "--json", "--quiet"];
    let mut service = command(&place, &serve).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(service.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    validate("serve", &serde_json::from_str(&line).unwrap());
    compare("json-serve", &documents(&line));
}

/// The document of each line, pretty-printed, without the values that differ between runs.
fn documents(lines: &str) -> String {
    let document = |line| serde_json::to_string_pretty(&redacted(serde_json::from_str(line).unwrap())).unwrap();
    lines.lines().map(document).collect::<Vec<_>>().join("\n")
}

/// Replaces fractions, which are measured or computed, by their type, and shortens lists to
/// two elements.
fn redacted(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!("[fraction]"),
        Value::Array(mut elements) => {
            let more = elements.len().saturating_sub(2);
            if more > 1 {
                elements.truncate(2);
            }
            let mut shown: Vec<Value> = elements.into_iter().map(redacted).collect();
            if more > 1 {
                shown.push(json!(format!("[{more} more]")));
            }
            shown.into()
        }
        Value::Object(fields) => {
            let field = |(key, value): (String, Value)| {
                let value = match key.as_str() {
                    "address" => json!("[address]"),
                    "folder" => json!("[path]"),
                    // Not every system reports memory usage.
                    "peak_rss_bytes" => json!("[integer or null]"),
                    "bytes" => json!("[integer]"),
                    _ => redacted(value),
                };
                (key, value)
            };
            fields.into_iter().map(field).collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

#[test]
fn errors() {
    let place = trained();
    let face = first_file(&place.path("faces/train/happy"));
    place.put("face.png", std::fs::read(face).unwrap());
    place.put("broken.csv", "emotion,pixels,Usage\n0,1 2 3,Training\nx,1 2,Training\n");
    place.put("notes.txt", "hello");
    place.put("text.png", "no picture");
    let layers = "  { kind = \"flatten\" },\n  { kind = \"conv2d\", filters = 8 },\n";
    place.put("layer.toml", format!("[model]\nname = \"x\"\ninput = [24, 24, 1]\nlayers = [\n{layers}]\n"));
    place.put("syntax.toml", "[model]\nname = \"x\"\ninput = [24, 24\n");
    let model = "run/model.safetensors";
    let cases: [&[&str]; 27] = [
        // Clap's own.
        &["trian"],
        &["predict"],
        &["train", "--epoch", "3"],
        &["train", "--epochs", "many"],
        &["train", "--resume", "run", "--epochs", "3"],
        &["predict", "--no-detect", "--min-face", "30", "face.png"],
        &["predict", "--no-detect", "--explain-method", "occlusion", "face.png"],
        // Names and files that do not exist.
        &["train", "nonsense"],
        &["train", "nonsense", "--json"],
        &["train", "tiny.toml", "--data", "missing.csv"],
        &["train", "--resume", "nowhere"],
        &["predict", "--model", "nonsense", "face.png"],
        &["evaluate", model, "--data", "faces", "--split", "nonsense", "--quiet"],
        // Malformed files.
        &["train", "tiny.toml", "--data", "broken.csv"],
        &["train", "tiny.toml", "--data", "notes.txt"],
        &["train", "layer.toml"],
        &["train", "syntax.toml"],
        &["predict", "--model", "notes.txt", "face.png"],
        // Invalid options and combinations.
        &["train", "--official-split"],
        &["train", "tiny.toml", "--set", "train.nothing=1"],
        &["compare", "tiny.toml", "--vary", "epochs"],
        &["compare", "tiny.toml", "--vary", "dropout.rat=0.1"],
        &["evaluate", model],
        &["export", model, "model.pt"],
        // An existing run.
        &["train", "tiny.toml", "--out", "run"],
        // Unreadable images.
        &["predict", "--model", model, "text.png", "--quiet"],
        &["predict", "--model", model, "text.png", "missing.png", "--json", "--quiet"],
    ];
    let transcript = cases.map(|args| {
        let output = run(&place, args);
        let (printed, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(!errors.contains("panicked"), "{args:?}: {errors}");
        format!("$ moue {}\n{printed}{errors}exit code {}\n", args.join(" "), output.status.code().unwrap())
    });
    compare("errors", &transcript.join("\n"));
    // One input of several: the others are predicted, and the exit code says so.
    let some = run(&place, &["predict", "--model", model, "--no-detect", "--quiet", "text.png", "face.png"]);
    assert_eq!(some.status.code(), Some(3));
    compare("errors-some-inputs", &text(&some.stderr));
}
