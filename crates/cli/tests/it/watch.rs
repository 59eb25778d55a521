//! `moue watch` and `moue train --watch` as programs: the page of runs, served and as a file.

use crate::place::{Place, text};
use crate::schema::validate;
use crate::serve::exchange;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Two epochs of a tiny network.
fn trained(runs: &[&str]) -> Place {
    let place = Place::new();
    place.ok(&["data", "draw", "faces", "--count", "140", "--quiet"]);
    for run in runs {
        place.ok(&["train", "tiny.toml", "--data", "faces", "--out", run, "--quiet"]);
    }
    place
}

/// The response to a request of a browser.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

fn document(address: &str, path: &str) -> Value {
    let reply = get(address, path);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{reply}");
    serde_json::from_str(body).unwrap()
}

fn end(mut program: Child, signal: &str) -> i32 {
    assert!(Command::new("kill").args([signal, &program.id().to_string()]).status().unwrap().success());
    program.wait().unwrap().code().unwrap()
}

#[test]
fn the_page_of_finished_runs_is_one_file() {
    let place = trained(&["runs/one", "runs/two"]);
    let written = place.json(&["watch", "runs", "--out", "page.html", "--json", "--quiet"]);
    validate("watch-out", &written);
    assert_eq!(written, json!({"page": "page.html", "runs": ["runs/one", "runs/two"]}));
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    let data = page.split("<script id=\"data\" type=\"application/json\">").nth(1).unwrap();
    let data: Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
    let metrics = fs::read_to_string(place.path("runs/two/metrics.jsonl")).unwrap();
    let history: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(data["runs"][1]["history"], json!(history));
    assert_eq!((&data["runs"][1]["epochs"], &data["runs"][1]["architecture"]), (&json!(2), &json!("nets/tiny")));
    let validation = fs::read(place.path("runs/two/validation.json")).unwrap();
    assert_eq!(data["runs"][1]["validation"], serde_json::from_slice::<Value>(&validation).unwrap());
    assert!(!page.contains("src=\"page.js\""));
    assert_eq!(place.ok(&["watch", "runs/one", "--out", "page.html"]), "Wrote the page to page.html\n");
}

#[test]
fn validation_json_is_the_last_epoch() {
    let place = trained(&["run"]);
    let validation: Value = serde_json::from_slice(&fs::read(place.path("run/validation.json")).unwrap()).unwrap();
    let metrics = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(validation["epoch"], last["epoch"]);
    let counts: Vec<Vec<u64>> = serde_json::from_value(validation["confusion"].clone()).unwrap();
    let (all, hits): (u64, u64) =
        (counts.iter().flatten().sum(), counts.iter().enumerate().map(|(class, row)| row[class]).sum());
    assert_eq!(last["validation_accuracy"].as_f64().unwrap(), hits as f64 / all as f64);
    let samples = validation["samples"].as_array().unwrap();
    assert_eq!(samples.len() as u64, all.min(16));
    for sample in samples {
        assert!(validation["labels"].as_array().unwrap().contains(&sample["predicted"]), "{sample}");
        assert!(sample["confidence"].as_f64().unwrap() > 1.0 / 7.0, "{sample}");
    }
}

#[test]
fn a_training_does_not_end_for_a_page() {
    let place = trained(&[]);
    // A file cannot replace a folder.
    fs::create_dir_all(place.path("run/validation.json")).unwrap();
    place.ok(&["train", "tiny.toml", "--data", "faces", "--out", "run", "--quiet"]);
    assert!(place.path("run/validation.json").is_dir() && place.path("run/report.html").exists());
    place.ok(&["watch", "run", "--out", "page.html"]);
}

#[test]
fn the_page_is_served_and_follows_the_files() {
    let place = trained(&["runs/one"]);
    let mut watch = place.command(&["watch", "runs", "--json", "--quiet"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let printed: Value = serde_json::from_str(&line).unwrap();
    validate("watch", &printed);
    let address = printed["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert!(get(address, "/").contains("<script src=\"page.js\"></script>"));
    assert!(get(address, "/page.js").contains("\"use strict\""));
    let runs = document(address, "/runs.json");
    assert_eq!((&runs["ended"], runs["runs"].as_array().unwrap().len()), (&json!(false), 1));
    assert_eq!(document(address, "/runs/0.json")["epoch"], 2);
    assert_eq!(document(address, "/runs/1.json"), Value::Null);
    // An epoch, and another run.
    let mut metrics = fs::OpenOptions::new().append(true).open(place.path("runs/one/metrics.jsonl")).unwrap();
    writeln!(metrics, "{{\"epoch\":3}}").unwrap();
    place.put("runs/two/metrics.jsonl", "{\"epoch\":1}\n");
    let runs = document(address, "/runs.json");
    assert_eq!(runs["runs"][0]["history"][2], json!({"epoch": 3}));
    assert_eq!((&runs["runs"][1]["name"], &runs["runs"][1]["history"]), (&json!("runs/two"), &json!([{"epoch": 1}])));
    // The request names another host.
    assert!(exchange(address, "GET", "/runs.json", b"").starts_with("HTTP/1.1 403"));
    assert_eq!(end(watch, "-INT"), 0);
}

#[test]
fn a_training_serves_its_page_until_it_ends() {
    let place = trained(&[]);
    let train = ["train", "tiny.toml", "--data", "faces", "--out", "run", "--epochs", "100000", "--watch"];
    let mut train = place.command(&train).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(train.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix("Live page: http://").map(str::to_owned)).unwrap();
    // The rest is read so that the training can print.
    std::thread::spawn(move || lines.count());
    while document(&address, "/runs.json")["runs"][0]["history"].as_array().is_none_or(|epochs| epochs.len() < 2) {
        sleep(Duration::from_millis(5));
    }
    let runs = document(&address, "/runs.json");
    assert_eq!((&runs["runs"][0]["epochs"], &runs["runs"][0]["name"]), (&json!(100_000), &json!("run")));
    assert!(document(&address, "/runs/0.json")["epoch"].as_u64().unwrap() >= 2);
    assert_eq!(end(train, "-INT"), 130);
    assert!(TcpStream::connect(&address).is_err());
    // The port of an address can be taken, which is known before there is a folder.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, error) =
        place.fails(&["train", "tiny.toml", "--data", "faces", "--out", "new", &format!("--watch={port}")]);
    assert!(code == 1 && error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
    assert!(!place.path("new").exists());
}

#[test]
fn folders_without_runs_and_damaged_ones_are_named() {
    let place = trained(&["runs/one"]);
    let error = |arguments: &[&str]| place.fails(&[&["watch"], arguments].concat());
    let (code, message) = error(&["faces"]);
    assert!(code == 1 && message.contains("faces contains no run"), "{message}");
    let (code, message) = error(&["run"]);
    assert!(code == 1 && message.contains("did you mean `runs`"), "{message}");
    assert_eq!(error(&["runs", "--addr", "0.0.0.0:80"]).0, 2);
    assert_eq!(error(&["runs", "--addr", "80", "--out", "page.html"]).0, 2);
    assert_eq!(error(&[]).0, 2);
    // An unfinished line is left out.
    let metrics = fs::read_to_string(place.path("runs/one/metrics.jsonl")).unwrap();
    let out = ["watch", "runs/one", "--out", "page.html"];
    place.put("runs/one/metrics.jsonl", &metrics[..metrics.len() - 10]);
    place.ok(&out);
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("\"epoch\":1,") && !page.contains("\"epoch\":2,\"images"), "{page}");
    place.put("runs/one/metrics.jsonl", format!("{metrics}nonsense\n"));
    let (code, message) = error(&["runs/one", "--out", "page.html"]);
    assert!(
        code == 1 && message.contains("line 3 of runs/one/metrics.jsonl is not the metrics of an epoch"),
        "{message}"
    );
}

#[test]
fn runs_of_searches_and_comparisons_are_found() {
    let place = trained(&[]);
    let compare =
        ["compare", "tiny.toml", "--data", "faces", "--epochs", "1", "--seeds", "2", "--out", "all/compare", "--quiet"];
    place.ok(&compare);
    let tune =
        ["tune", "tiny.toml", "--data", "faces", "--epochs", "1", "--trials", "2", "--seeds", "1", "--out", "all/tune"];
    place.ok(&[&tune[..], &["--quiet"]].concat());
    let written = place.json(&["watch", "all", "--out", "page.html", "--json"]);
    let runs: Vec<&str> = written["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
    let in_folder = |folder: &str| runs.iter().filter(|run| run.starts_with(folder)).count();
    let found = ["all/compare/runs/", "all/tune/best/runs/", "all/tune/trials/"].map(in_folder);
    assert_eq!((found, runs.len()), ([2, 1, 2], 5), "{runs:?}");
    assert!(text(&fs::read(place.path("page.html")).unwrap()).contains("data:image/png"));
}
