//! The folders of comparisons and of their trainings.

use super::plan::Experiment;
use crate::data::Dataset;
use crate::train::{RunFolder, SavedRun};
use moue::fs::write_atomically;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The file that names the experiments of a comparison.
const PLAN: &str = "experiments.json";

/// The folder of a comparison for which none was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonFolder {
    /// The folder.
    pub path: PathBuf,
    /// Whether it contains results of the same comparison.
    pub resumed: bool,
}

/// Selects the folder of a comparison, so that no other comparison is overwritten: the newest of
/// `base`, `base-2`, … that is an unfinished comparison of the same experiments on the same data,
/// or else a finished one, or else a new folder. Creates it.
///
/// # Errors
/// When a folder or a file cannot be written.
pub fn comparison_folder(
    base: &Path,
    experiments: &[Experiment],
    dataset: &Dataset,
) -> std::io::Result<ComparisonFolder> {
    let names = experiments.iter().map(|e| format!("{}, seed {}", e.name, e.config.train.seed));
    let plan = json!({"digest": digest(experiments, dataset), "experiments": names.collect::<Vec<_>>()});
    numbered_folder(base, PLAN, &plan, "comparison.json")
}

/// Selects the newest of `base`, `base-2`, … whose file `name` has the digest of `plan` and which is unfinished, or else
/// a finished one, or else creates one with this file. The field `complete` of the file `result` says whether it is finished.
///
/// # Errors
/// When a folder or a file cannot be written.
pub fn numbered_folder(base: &Path, name: &str, plan: &Value, result: &str) -> std::io::Result<ComparisonFolder> {
    let mut taken = numbered(base);
    taken.sort_unstable();
    let same = |number: &&usize| read(&at(base, **number).join(name))["digest"] == plan["digest"];
    let finished = |number: &usize| read(&at(base, *number).join(result))["complete"] == json!(true);
    let (done, open): (Vec<usize>, Vec<usize>) = taken.iter().filter(same).partition(|number| finished(number));
    if let Some(&number) = open.last().or(done.last()) {
        return Ok(ComparisonFolder { path: at(base, number), resumed: true });
    }
    for number in taken.last().map_or(1, |last| last + 1).. {
        let path = at(base, number);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match std::fs::create_dir(&path) {
            Ok(()) => {
                write_atomically(path.join(name), format!("{plan:#}\n").as_bytes())?;
                return Ok(ComparisonFolder { path, resumed: false });
            }
            // Another command took it.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other("no free number for a comparison"))
}

fn at(base: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!("-{number}"));
    name.into()
}

/// The numbers of the folders that exist; `base` itself is number 1.
fn numbered(base: &Path) -> Vec<usize> {
    let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = base.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let number = |entry: std::fs::DirEntry| {
        let own = entry.file_name().into_string().ok()?;
        match own.strip_prefix(&name)? {
            "" => Some(1),
            rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
        }
    };
    entries.filter_map(number).collect()
}

/// A JSON file; null where there is none.
pub fn read(path: &Path) -> Value {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn digest(experiments: &[Experiment], dataset: &Dataset) -> String {
    let mut hasher = Sha256::new();
    for Experiment { name, config, run } in experiments {
        let run = run.as_ref().map(|run| run.display().to_string());
        for text in [name.as_str(), &config.to_toml().unwrap_or_default(), run.as_deref().unwrap_or_default()] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
    hasher.update(dataset.hash());
    base16ct::lower::encode_string(&hasher.finalize())
}

/// The folder of an experiment: its name and a digest of everything its result depends on. An
/// experiment with the same digest is the same, whatever its name.
pub fn run_folder(experiment: &Experiment, dataset: &Dataset, out: &Path) -> PathBuf {
    if let Some(run) = &experiment.run {
        return run.clone();
    }
    let (runs, digest) = (out.join("runs"), run_digest(experiment, dataset));
    if let Some(known) = run_in(&runs, &digest) {
        return known;
    }
    let stem = experiment.name.rsplit('/').next().unwrap_or(&experiment.name);
    let stem = stem.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.=".contains(c), "-");
    runs.join(format!("{}-{digest}", stem.chars().take(80).collect::<String>()))
}

/// The folder of an experiment that is finished in another comparison, where the folder of this one
/// was selected by [`comparison_folder`].
pub fn finished_elsewhere(experiment: &Experiment, dataset: &Dataset, out: &Path) -> Option<PathBuf> {
    let name = out.file_name()?.to_str().filter(|_| out.join(PLAN).exists())?;
    let stem =
        name.rsplit_once('-').filter(|(_, number)| number.parse::<usize>().is_ok()).map_or(name, |(stem, _)| stem);
    let base = out.with_file_name(stem);
    let digest = run_digest(experiment, dataset);
    if run_in(&out.join("runs"), &digest).is_some() {
        return None;
    }
    let known = numbered(&base).into_iter().filter_map(|number| run_in(&at(&base, number).join("runs"), &digest));
    let finished = |run: &PathBuf| {
        let saved = SavedRun::open(RunFolder::existing(run).checkpoint());
        saved.is_ok_and(|saved| saved.is_finished(&experiment.config))
    };
    known.into_iter().find(finished)
}

fn run_digest(experiment: &Experiment, dataset: &Dataset) -> String {
    let mut hasher = Sha256::new();
    hasher.update(experiment.config.to_toml().unwrap_or_default());
    hasher.update(dataset.hash());
    base16ct::lower::encode_string(&hasher.finalize()[..4])
}

/// The run with this digest.
fn run_in(runs: &Path, digest: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(runs).into_iter().flatten();
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find(|name| name.ends_with(&format!("-{digest}"))).map(|name| runs.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn other_comparisons_are_kept_and_the_same_one_is_resumed() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join("runs/compare");
        let faces = synthetic::dataset(70, ImageSpec { size: None, channels: 1 }, 1);
        let of = |name: &str| {
            let experiment = Experiment { name: name.into(), config: Config::open("small").unwrap(), run: None };
            let found = comparison_folder(&base, &[experiment], &faces).unwrap();
            (found.path.strip_prefix(place.path()).unwrap().display().to_string(), found.resumed)
        };
        assert_eq!(of("one"), ("runs/compare".into(), false));
        assert_eq!(of("two"), ("runs/compare-2".into(), false));
        assert_eq!(of("one"), ("runs/compare".into(), true));
        let finish =
            |name: &str| std::fs::write(place.path().join(name).join("comparison.json"), r#"{"complete":true}"#);
        finish("runs/compare").unwrap();
        assert_eq!(of("one"), ("runs/compare".into(), true), "its results are shown again");
        // A copy that is not finished comes first.
        std::fs::create_dir(place.path().join("runs/compare-3")).unwrap();
        std::fs::copy(base.join(PLAN), place.path().join("runs/compare-3").join(PLAN)).unwrap();
        assert_eq!(of("one"), ("runs/compare-3".into(), true));
        std::fs::create_dir(place.path().join("runs/compare-9")).unwrap();
        assert_eq!(of("three"), ("runs/compare-10".into(), false), "a folder of unknown content is kept");
    }
}
