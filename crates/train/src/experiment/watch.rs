//! Reads run folders for the live page, also those of trainings that are not finished.

use crate::config::Config;
use crate::train::RunFolder;
use moue::message::at_path;
use serde::Serialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// How deep runs are searched for: `runs` contains `tune/best/runs/NAME`.
const DEPTH: usize = 4;

/// Errors of run folders.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The folder contains no run.
    #[error(
        "{} contains no run: name a folder that `moue train` has written, or one that contains such folders",
        .0.display()
    )]
    NoRun(PathBuf),
    /// A file or a folder cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line of `metrics.jsonl` is not valid.
    #[error("line {line} of {} is not the metrics of an epoch", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
}

/// A run for the live page.
#[derive(Debug, Serialize)]
struct WatchedRun {
    /// Path of the folder.
    name: String,
    /// Name of the architecture; empty where there is no configuration.
    architecture: String,
    /// Number of epochs of the configuration; 0 where there is none.
    epochs: usize,
    /// Metrics of the finished epochs, as in `metrics.jsonl`.
    history: Vec<Value>,
}

/// The runs in some folders. Their numbers, from 0, are kept when more runs appear.
#[derive(Clone, Debug)]
pub struct WatchedRuns {
    places: Vec<PathBuf>,
    runs: Vec<PathBuf>,
}

impl WatchedRuns {
    /// The runs in these folders, each of which is a run or contains runs.
    ///
    /// # Errors
    /// When a folder contains no run, or one that cannot be read.
    pub fn open(places: &[PathBuf]) -> Result<Self, WatchError> {
        let mut watched = Self { places: places.to_vec(), runs: Vec::new() };
        for place in places {
            fs::read_dir(place)
                .map_err(|error| WatchError::Read { path: place.clone(), source: at_path(place, error) })?;
            let mut found = Vec::new();
            search(place, DEPTH, &mut found);
            if found.is_empty() {
                return Err(WatchError::NoRun(place.clone()));
            }
            watched.add(found);
        }
        watched.runs.iter().try_for_each(|run| read(run).map(drop))?;
        Ok(watched)
    }

    /// The run of a training, whose files need not exist yet.
    #[must_use]
    pub fn of(folder: &RunFolder) -> Self {
        Self { places: Vec::new(), runs: vec![folder.path().to_owned()] }
    }

    fn add(&mut self, found: Vec<PathBuf>) {
        for run in found {
            if !self.runs.contains(&run) {
                self.runs.push(run);
            }
        }
    }

    /// Paths of the runs.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.display().to_string()).collect()
    }

    /// All runs, with those that have appeared, for the live page: objects with `name`, `architecture`, `epochs` and
    /// `history`, or with `name` and `error`.
    pub fn read(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        self.places.iter().for_each(|place| search(place, DEPTH, &mut found));
        self.add(found);
        let value = |path: &PathBuf| match read(path) {
            Ok(run) => json!(run),
            Err(error) => json!({"name": path.display().to_string(), "error": moue::with_causes(&error)}),
        };
        self.runs.iter().map(value).collect()
    }

    /// `validation.json` of the run with this number; `None` where there is none.
    #[must_use]
    pub fn validation(&self, number: usize) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.runs.get(number)?.join("validation.json")).ok()?).ok()
    }
}

/// Whether a folder is a run. Other programs have a `config.toml`, too.
fn is_run(folder: &Path) -> bool {
    let has = |name| folder.join(name).exists();
    has("metrics.jsonl") || (has("config.toml") && has("checkpoints"))
}

/// Adds the runs in a folder, in the order of their names.
fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run(folder) {
        found.push(folder.to_owned());
    } else if depth > 0 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        inside.sort();
        inside.iter().for_each(|path| search(path, depth - 1, found));
    }
}

fn read(folder: &Path) -> Result<WatchedRun, WatchError> {
    let config = text(&folder.join("config.toml"))?;
    // A file of another version is no reason to show no curves.
    let config = Config::parse("config.toml", &config).ok();
    Ok(WatchedRun {
        name: folder.display().to_string(),
        architecture: config.as_ref().map(|config| config.model.name.clone()).unwrap_or_default(),
        epochs: config.map_or(0, |config| config.train.epochs),
        history: history(&folder.join("metrics.jsonl"))?,
    })
}

/// The text of a file; empty where there is none.
fn text(path: &Path) -> Result<String, WatchError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(WatchError::Read { path: path.to_owned(), source }),
    }
}

/// The epochs. The last line may be incomplete: a copy of the folder, or another program, may be writing it.
fn history(path: &Path) -> Result<Vec<Value>, WatchError> {
    let text = text(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let epoch = |(number, line): (usize, &str)| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        let is_epoch = value["epoch"].is_u64();
        is_epoch.then_some(value).ok_or_else(|| WatchError::Damaged { path: path.to_owned(), line: number + 1 })
    };
    complete.lines().enumerate().map(epoch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    const LINES: &str = "{\"epoch\":1,\"validation_loss\":null}\n{\"epoch\":2}\n";

    #[test]
    fn an_incomplete_line_is_ignored_and_another_fault_is_named() {
        let place = tempfile::tempdir().unwrap();
        let epochs = |text: &str| {
            put(place.path(), "metrics.jsonl", text);
            read(place.path()).map(|run| run.history.len())
        };
        assert_eq!(epochs(LINES).unwrap(), 2);
        for end in ["{", "{\"epoch\":3", "{\"epoch\":3}"] {
            assert_eq!(epochs(&format!("{LINES}{end}")).unwrap(), 2, "{end}");
        }
        assert_eq!(epochs("").unwrap(), 0);
        let error = epochs("{\"epoch\":1}\nnonsense\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2 of ") && error.contains("metrics.jsonl"), "{error}");
        fs::write(place.path().join("metrics.jsonl"), [b'{', 0xff, b'\n']).unwrap();
        assert!(read(place.path()).is_err());
    }

    #[test]
    fn a_run_without_files_has_no_epochs() {
        let place = tempfile::tempdir().unwrap();
        let mut watched = WatchedRuns::of(&RunFolder::existing(place.path().join("new")));
        let runs = watched.read();
        assert_eq!((runs[0]["epochs"].clone(), runs[0]["history"].clone()), (json!(0), json!([])));
        assert_eq!(watched.validation(0), None);
        assert_eq!(watched.validation(7), None);
    }

    #[test]
    fn runs_are_found_in_folders_and_new_ones_get_the_next_number() {
        let place = tempfile::tempdir().unwrap();
        let runs = place.path().join("runs");
        put(&runs, "small-1/metrics.jsonl", LINES);
        put(&runs, "compare/runs/one/metrics.jsonl", LINES);
        put(&runs, "tune/best/runs/two/config.toml", "");
        put(&runs, "tune/best/runs/two/checkpoints/last.safetensors", "");
        put(&runs, "notes/config.toml", "[other]\n");
        let mut watched = WatchedRuns::open(std::slice::from_ref(&runs)).unwrap();
        let names = |watched: &WatchedRuns| {
            let inside = |name: &String| Path::new(name).strip_prefix(&runs).unwrap().display().to_string();
            watched.names().iter().map(inside).collect::<Vec<_>>()
        };
        let found = ["compare/runs/one", "small-1", "tune/best/runs/two"];
        assert_eq!(names(&watched), found);
        put(&runs, "a-new-one/metrics.jsonl", "damaged\n");
        put(&runs, "small-1/validation.json", "{\"epoch\":2}");
        let read = watched.read();
        assert_eq!(names(&watched), [&found[..], &["a-new-one"]].concat());
        assert_eq!(read[1]["history"], json!([{"epoch": 1, "validation_loss": null}, {"epoch": 2}]));
        assert!(read[3]["error"].as_str().unwrap().starts_with("line 1 of "), "{}", read[3]);
        assert_eq!(watched.validation(1).unwrap(), json!({"epoch": 2}));
        // The same run is not shown twice.
        let twice = WatchedRuns::open(&[runs.join("small-1"), runs.join("small-1")]).unwrap();
        assert_eq!(twice.names().len(), 1);
    }

    #[test]
    fn a_folder_without_a_run_is_named() {
        let place = tempfile::tempdir().unwrap();
        put(place.path(), "photos/a.txt", "");
        let error = |name: &str| moue::with_causes(&WatchedRuns::open(&[place.path().join(name)]).unwrap_err());
        assert!(error("photos").contains("photos contains no run"), "{}", error("photos"));
        assert!(error("photo").contains("did you mean"), "{}", error("photo"));
        assert!(error("photos/a.txt").contains("cannot read"), "{}", error("photos/a.txt"));
    }
}
