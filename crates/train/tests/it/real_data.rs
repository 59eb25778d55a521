//! Tests with FER2013, where `MOUE_TEST_DATA` is set to its folder.

use moue_train::config::DataOptions;
use moue_train::data::{Cache, Dataset, ImageSpec, Split, open, statistics};
use moue_train::evaluate::{EvaluateOptions, evaluate};
use std::path::PathBuf;

/// A file of the folder; if it is missing, prints what is skipped.
fn data(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("MOUE_TEST_DATA").map(|folder| PathBuf::from(folder).join(name));
    let found = path.filter(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: MOUE_TEST_DATA is not a folder with {name}");
    }
    found
}

fn read(path: &std::path::Path, options: &DataOptions) -> Dataset {
    open(path, ImageSpec { size: None, channels: 1 }, options, 0, &Cache::off(), &|_| {}).unwrap()
}

#[test]
fn the_csv_has_the_known_counts() {
    let Some(path) = data("fer2013-train-public.csv.gz") else { return };
    let dataset = read(&path, &DataOptions::default());
    let found = statistics::describe(&dataset);
    assert_eq!(found.classes, ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]);
    for (split, expected) in [
        (Split::Train, [3995, 436, 4097, 7215, 4965, 4830, 3171]),
        (Split::Validation, [467, 56, 496, 895, 607, 653, 415]),
    ] {
        let counts = &found.splits.iter().find(|s| s.split == split).unwrap().per_class;
        for ((class, count), expected) in found.classes.iter().zip(counts).zip(expected) {
            assert!(count.abs_diff(expected) <= 3, "{split:?} {class}: {count}, expected {expected}");
        }
    }
    assert_eq!((found.images, found.blank, found.broken.count), (32_298, 12, 0));
    assert!(found.duplicates.images > 1_000 && found.duplicates.groups_with_conflicting_labels > 10);
    // About 3,500 images are near-duplicates of another one.
    let near = found.near_duplicates.images + found.near_duplicates.groups;
    assert!((3_500..5_500).contains(&near), "{:?}", found.near_duplicates);
}

#[test]
fn kaggles_zip_is_read_and_the_official_split_restored() {
    let Some(path) = data("kaggle-layout-sample.zip") else { return };
    let mixed = read(&path, &DataOptions::default().with_split(false, true));
    assert_eq!((mixed.shape()[0], mixed.shape()[1], mixed.classes().len()), (48, 48, 7));
    assert!(!mixed.indices(Split::Validation).is_empty() && mixed.indices(Split::Test).is_empty());
    assert!(mixed.notes()[0].contains("--official-split"), "{:?}", mixed.notes());
    let official = read(&path, &DataOptions::default());
    assert_eq!(official.len(), mixed.len());
    assert_eq!(official.describe(Split::Train), "train (Training)");
    // Most images of the random split were training images of the bundled models.
    let options = EvaluateOptions { model: "tiny".into(), data: Some(path), as_given: true, ..Default::default() };
    let evaluated = evaluate(&options, &mut |_| {}).unwrap();
    let overlap = evaluated.overlap.unwrap();
    assert!((135..=150).contains(&overlap.images) && overlap.of == 168, "{overlap:?}");
    assert!(overlap.warning("tiny").unwrap().contains("--official-split"));
    let evaluated = evaluate(&EvaluateOptions { as_given: false, ..options }, &mut |_| {}).unwrap();
    assert!(evaluated.overlap.unwrap().images * 20 < evaluated.result.metrics.n, "{:?}", evaluated.overlap);
}

/// Evaluates the bundled models on their selection split, against what they were trained on: a damaged or wrong file
/// would have a lower accuracy.
#[test]
fn bundled_models_reach_their_published_accuracy() {
    let Some(path) = data("fer2013-train-public.csv.gz") else { return };
    let Some(votes) = data("ferplus-votes-train-public.csv") else { return };
    let evaluated = |name: &str| {
        let options = EvaluateOptions {
            model: name.into(),
            data: Some(path.clone()),
            votes: Some(votes.clone()),
            ..Default::default()
        };
        evaluate(&options, &mut |_| {}).unwrap()
    };
    let metrics = evaluated("fer2013").result.metrics;
    assert_eq!(metrics.n, 3589);
    assert!(metrics.accuracy > 0.69 && metrics.ece < 0.04, "fer2013: {metrics:?}");
    for (name, accuracy, macro_recall) in [("default", 0.83, 0.80), ("tiny", 0.81, 0.79)] {
        let found = evaluated(name).votes.unwrap();
        assert_eq!(found.n, 3199);
        let classes = &found.of_classes;
        assert!(found.accuracy > accuracy, "{name}: {}", found.accuracy);
        assert!(classes.macro_recall > macro_recall && classes.ece < 0.04, "{name}: {classes:?}");
    }
}
