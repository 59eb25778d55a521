//! The files that a command has written: whether each of them is complete, and what two runs of a command have in
//! common.

use moue::fs::is_temporary;
use moue::model::{Model, read_tensors};
use moue_train::config::Config;
use moue_train::train::SavedRun;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Fields and columns with measured times, which differ from run to run.
const TIMES: [&str; 4] = ["seconds", "images_per_second", "wall_time", "latency_ms"];

/// The files below a folder, without temporary ones, by their paths.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = listed(folder).into_iter().map(|(path, ..)| path).filter(|path| !is_temporary(path));
    let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    paths.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// All files below a folder, temporary ones included, with their lengths and times.
pub fn listed(folder: &Path) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for path in fs::read_dir(current).into_iter().flatten().flatten().map(|entry| entry.path()) {
            // Temporary files disappear at any time.
            let Ok(about) = path.metadata() else { continue };
            if about.is_dir() {
                folders.push(path);
            } else {
                found.push((path, about.len(), about.modified().ok()));
            }
        }
    }
    found.sort();
    found
}

/// The files without measured times.
pub fn without_times(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, bytes)| (name.clone(), timeless(name, bytes))).collect()
}

/// Panics if a file with its final name is incomplete; `complete` has those that never change.
pub fn check(folder: &Path, complete: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files(folder) {
        let extension = name.rsplit('.').next().unwrap();
        let text = || String::from_utf8(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_complete = match extension {
            "safetensors" if name.contains("checkpoints/") => SavedRun::open(folder.join(&name)).is_ok(),
            "safetensors" if Path::new(&name).parent().is_some_and(|folder| folder.ends_with("folds")) => {
                read_tensors(&bytes, "moue-audit-fold").is_ok()
            }
            "safetensors" | "onnx" => Model::from_bytes(&bytes, &name).is_ok(),
            "toml" => Config::parse(&name, &text()).is_ok(),
            // This table grows row by row.
            "csv" if name.ends_with("faces.csv") => rows(&bytes[..=bytes.iter().rposition(|&b| b == b'\n').unwrap()]),
            "csv" => bytes.ends_with(b"\n") && rows(&bytes),
            "json" => serde_json::from_slice::<Value>(&bytes).is_ok(),
            "jsonl" => text().ends_with('\n') && text().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "html" => text().trim_end().ends_with("</html>"),
            "png" | "jpg" => image::load_from_memory(&bytes).is_ok(),
            "moue" => !records(&bytes).is_empty(),
            "mp4" | "dataset" | "bin" => complete.get(&name).is_none_or(|complete| *complete == bytes),
            _ => panic!("unexpected file {name}"),
        };
        assert!(is_complete, "{name} is incomplete: {} bytes", bytes.len());
    }
}

/// Whether all rows have the columns of the header.
fn rows(bytes: &[u8]) -> bool {
    csv::Reader::from_reader(bytes).records().all(|row| row.is_ok())
}

fn timeless(name: &str, bytes: &[u8]) -> Vec<u8> {
    let extension = name.rsplit('.').next().unwrap();
    match extension {
        "json" => timeless_json(bytes),
        "jsonl" => bytes.split_inclusive(|&byte| byte == b'\n').flat_map(timeless_json).collect(),
        "csv" => timeless_csv(bytes),
        "safetensors" if name.contains("checkpoints/") => timeless_checkpoint(bytes),
        // The time of each record, and the images per second, which are its last value.
        "moue" => {
            records(bytes).iter().flat_map(|record| record[9..].strip_suffix(speed(record)).unwrap().to_vec()).collect()
        }
        "html" => timeless_page(bytes),
        _ => bytes.to_vec(),
    }
}

fn timeless_json(bytes: &[u8]) -> Vec<u8> {
    let mut value = serde_json::from_slice(bytes).unwrap();
    remove_times(&mut value);
    value.to_string().into_bytes()
}

fn remove_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !TIMES.contains(&name.as_str()));
            fields.values_mut().for_each(remove_times);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_times),
        _ => {}
    }
}

fn timeless_csv(bytes: &[u8]) -> Vec<u8> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().unwrap().clone();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(header.clone()).chain(reader.records().map(Result::unwrap)) {
        let cells = row.iter().zip(&header).filter(|(_, column)| !TIMES.contains(column)).map(|(cell, _)| cell);
        writer.write_record(cells).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The tensors, and the state without times.
fn timeless_checkpoint(bytes: &[u8]) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, tensors) = bytes[8..].split_at(length);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let state = &mut header["__metadata__"]["moue-checkpoint"];
    *state = serde_json::from_str(state.as_str().unwrap()).unwrap();
    remove_times(&mut header);
    [header.to_string().as_bytes(), tensors].concat()
}

/// The payloads of a TensorBoard file.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        records.push(bytes[12..12 + length].to_vec());
        bytes = &bytes[16 + length..];
    }
    records
}

/// The end of a record that contains the images per second.
fn speed(record: &[u8]) -> &[u8] {
    let name = b"images_per_second";
    let start = record.windows(name.len()).position(|window| window == name);
    start.map_or(&[], |start| &record[start + name.len()..])
}

/// A page without the parts that show times.
fn timeless_page(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    for (start, end) in [
        ("data-name=\"seconds\">", "<"),
        ("data-name=\"latency ms\">", "<"),
        ("<section class=\"timed\">", "</section>"),
        ("<span class=\"timed\">", "</span>"),
    ] {
        let mut parts = text.split(start);
        let first = parts.next().unwrap().to_owned();
        text = parts.fold(first, |page, part| page + &part[part.find(end).unwrap()..]);
    }
    text.into_bytes()
}
