//! Tests with photos, where `MOUE_TEST_DATA` is set to their folder.

#[cfg(feature = "model-default")]
use moue::Predictor;
use moue::detect::{DetectOptions, Detector};
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

#[test]
fn faces_in_photos_are_detected() {
    for (photo, count) in [("portrait-smile.jpg", 1), ("couple.jpg", 2), ("no-face.jpg", 0)] {
        let Some(path) = data(&format!("photos/{photo}")) else { return };
        let found = Detector::bundled().find(&image::open(path).unwrap(), &DetectOptions::default());
        assert_eq!(found.len(), count, "{photo}: {found:?}");
    }
}

#[cfg(feature = "model-default")]
#[test]
fn a_smiling_portrait_is_happy() {
    let Some(path) = data("photos/portrait-smile.jpg") else { return };
    let predictor = Predictor::open("default").unwrap();
    let faces = predictor.predict(&path).unwrap().faces;
    assert!(faces.len() == 1 && faces[0].label == "happy" && !faces[0].uncertain, "{faces:?}");
}
