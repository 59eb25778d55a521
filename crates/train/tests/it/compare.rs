//! Comparisons: trained, reused and written experiments.

use crate::votes::put_voted_faces;
use moue::Device;
use moue_train::comparison::Comparison;
use moue_train::config::{Config, TargetKind};
use moue_train::data::DataSource;
use moue_train::data::{Cache, Dataset, ImageSpec, open, synthetic};
use moue_train::experiment::{Experiment, compare, finished_run, plan};
use moue_train::train::Event;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const NET: &str = r#"
[model]
name = "nets/NAME"
input = [16, 16, 1]
claim = "75 %"
layers = [
  { kind = "conv2d", filters = 8, strides = 2, padding = "same", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "dropout", rate = 0.1 },
  { kind = "flatten" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[train]
epochs = 2
batch_size = 32
"#;

fn net(name: &str) -> Config {
    Config::parse(name, &NET.replace("NAME", name)).unwrap()
}

fn faces(config: &Config) -> Dataset {
    synthetic::dataset(280, ImageSpec::of_input(config.model.input), config.train.seed)
}

/// The comparison, and the epochs that were trained for it.
fn run(experiments: &[Experiment], out: &Path, stop_after: usize) -> (Comparison, usize) {
    let stop = AtomicBool::new(false);
    let mut epochs = 0;
    let found = compare(
        experiments,
        &DataSource::Synthetic,
        &Device::default(),
        &mut |config| Ok(faces(config)),
        out,
        &stop,
        &mut |_, event| {
            if let Event::Epoch { .. } = event {
                epochs += 1;
                stop.store(epochs >= stop_after, Ordering::Relaxed);
            }
        },
    );
    (found.unwrap(), epochs)
}

/// Labels and their majorities are different labels.
#[test]
fn comparing_labels_with_votes_gives_a_warning() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 140);
    let labels = net("labels");
    let mut voted = net("votes");
    voted.data.votes = Some(votes.clone());
    let mut mixed = net("mixed");
    (mixed.data.votes, mixed.data.targets) = (Some(votes), Some(TargetKind::Mixed));
    let experiments = plan(&[labels, voted, mixed], &[], 1).unwrap();
    let mut opened =
        |config: &Config| open(&data, ImageSpec::of_input(config.model.input), &config.data, 0, &Cache::off(), &|_| {});
    let mut warned = Vec::new();
    let source = DataSource::Given(data.clone());
    compare(
        &experiments,
        &source,
        &Device::default(),
        &mut opened,
        place.path().join("out"),
        &AtomicBool::new(false),
        &mut |_, event| {
            if let Event::Warning(text) = event {
                warned.extend(text.contains("not validated on the same labels").then_some(text));
            }
        },
    )
    .unwrap();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("nets/votes is not validated"), "{warned:?}");
}

#[test]
fn a_comparison_reuses_finished_trainings() {
    let place = tempfile::tempdir().unwrap();
    let vary = ["dropout.rate=0.1,0.5".parse().unwrap()];
    let experiments = plan(&[net("one"), net("two")], &vary, 2).unwrap();
    assert_eq!(experiments.len(), 8);

    let (found, epochs) = run(&experiments, place.path(), 5);
    assert_eq!(epochs, 5);
    assert!(!found.complete && found.rows.len() == 2, "interrupted in the third training");
    assert!(fs::read_to_string(place.path().join("report.html")).unwrap().contains("Not finished."));

    let (found, epochs) = run(&experiments, place.path(), usize::MAX);
    assert_eq!(epochs, 16 - 5);
    assert!(found.complete);
    let names: Vec<&str> = found.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "nets/one dropout.rate=0.1",
            "nets/one dropout.rate=0.5",
            "nets/two dropout.rate=0.1",
            "nets/two dropout.rate=0.5"
        ]
    );
    assert_eq!((found.validation_images, found.majority_class.as_str()), (42, "angry"));
    assert!((found.majority_accuracy - 1.0 / 7.0).abs() < 1e-9);
    for row in &found.rows {
        assert_eq!((row.runs.len(), row.epochs, row.claim.as_deref()), (2, 2, Some("75 %")));
        let best: Vec<f64> = row.runs.iter().map(|run| run.best.unwrap().validation_accuracy).collect();
        assert!((row.best_validation_accuracy.unwrap() - (best[0] + best[1]) / 2.0).abs() < 1e-12);
        let deviation = (best[0] - best[1]).abs() / 2f64.sqrt();
        assert!((row.validation_deviation.unwrap() - deviation).abs() < 1e-6);
        let gap = row.best_train_accuracy.unwrap() - row.best_validation_accuracy.unwrap();
        assert!((row.gap.unwrap() - gap).abs() < 1e-12);
        let [low, high] = row.validation_ci95.unwrap();
        assert!((low..high).contains(&row.best_validation_accuracy.unwrap()));
        assert_eq!(row.training_overlap, Some(0));
    }

    assert_eq!(found.rows[1].paired.as_ref().map(|paired| paired.seeds), Some(2));
    let csv = fs::read_to_string(place.path().join("comparison.csv")).unwrap();
    assert_eq!(fs::read_to_string(place.path().join("runs.csv")).unwrap().lines().count(), 9, "a row for each seed");
    let page = fs::read_to_string(place.path().join("report.html")).unwrap();
    assert!(!page.contains("http") && !page.contains("NaN"), "no external resources, no NaN");
    assert_eq!(page.matches("<polygon class=\"band").count(), 4, "a band for each row with several seeds");
    let (_, epochs) = run(&experiments, place.path(), usize::MAX);
    assert_eq!(epochs, 0, "finished trainings are reused");
    assert_eq!(csv, fs::read_to_string(place.path().join("comparison.csv")).unwrap());

    // A changed experiment is a new one; an experiment with another name is not.
    let more = plan(&[net("one")], &["model.layers.3.rate=0.1,0.3".parse().unwrap()], 2).unwrap();
    assert_eq!(run(&more, place.path(), usize::MAX).1, 4);
    let csv = fs::read_to_string(place.path().join("comparison.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert!(
        csv.starts_with("name,parameters,macs,epochs,runs,seconds,best_train_accuracy,best_validation_accuracy,gap,")
    );
}

#[test]
fn the_results_equal_those_of_a_single_training() {
    let place = tempfile::tempdir().unwrap();
    let experiments = plan(&[net("one")], &[], 1).unwrap();
    let found = run(&experiments, place.path(), usize::MAX).0;
    let folder = &found.rows[0].runs[0].folder;
    for file in ["config.toml", "metrics.csv", "model.safetensors", "report.html"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let last: Vec<&str> = metrics.lines().last().unwrap().split(',').collect();
    assert_eq!(last[5], format!("{:.6}", found.rows[0].last_validation_accuracy.unwrap()));
}

#[test]
fn a_failed_training_is_a_row() {
    let place = tempfile::tempdir().unwrap();
    let vary = ["train.learning_rate=1000,0.001".parse().unwrap(), "train.optimizer=sgd".parse().unwrap()];
    let (found, _) = run(&plan(&[net("one")], &vary, 1).unwrap(), place.path(), usize::MAX);
    assert_eq!(found.rows.len(), 2);
    let error = found.rows[0].runs[0].error.as_ref().unwrap();
    assert!(error.contains("lower the learning rate"), "{error}");
    assert!(found.rows[1].runs[0].finished && !found.complete);
    let page = fs::read_to_string(place.path().join("report.html")).unwrap();
    assert!(page.contains("Failed trainings") && page.contains("nets/one train.learning_rate=0.001"));
    assert_eq!((found.rows[0].failed.as_ref(), found.rows[0].gap), (Some(error), None));
    assert!(page.contains(&format!("failed: {error}")) && !page.contains(">0.0</b>"), "no zeros for a failed training");
    let csv = fs::read_to_string(place.path().join("comparison.csv")).unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(",2,1,,,,,,,,,75 %,"), "{csv}");
}

#[test]
fn finished_runs_are_compared_without_training_them() {
    let place = tempfile::tempdir().unwrap();
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    let folder = run(&plan(&[net("one")], &[], 1).unwrap(), &first, usize::MAX).0.rows[0].runs[0].folder.clone();
    let (experiment, source) = finished_run(&folder).unwrap().unwrap();
    assert_eq!(source, DataSource::Synthetic);
    let before = fs::metadata(folder.join("model.safetensors")).unwrap().modified().unwrap();
    let mut both = vec![experiment.clone()];
    both.extend(plan(&[net("two")], &[], 1).unwrap());
    let (found, epochs) = run(&both, &second, usize::MAX);
    assert_eq!((epochs, found.complete, found.rows[0].name.clone()), (2, true, folder.display().to_string()));
    assert_eq!(found.rows[0].runs[0].folder, folder);
    assert!(found.rows[0].best_validation_accuracy.is_some() && found.rows[0].parameters > 0);
    assert_eq!(
        fs::metadata(folder.join("model.safetensors")).unwrap().modified().unwrap(),
        before,
        "it is not changed"
    );
    // On other data its accuracy is not comparable.
    let stop = AtomicBool::new(false);
    let other = &mut |_: &Config| Ok(synthetic::dataset(140, ImageSpec { size: Some([16, 16]), channels: 1 }, 5));
    let found = compare(&[experiment], &source, &Device::default(), other, &second, &stop, &mut |_, _| {}).unwrap();
    assert!(found.rows[0].failed.as_ref().unwrap().contains("trained on other data"), "{:?}", found.rows[0]);
    assert!(finished_run(&first).unwrap().is_none(), "a folder without a run");
    assert!(finished_run(Path::new("small")).unwrap().is_none(), "a preset");
}
