//! Own classes from photos: photos, faces, training, prediction; where `MOUE_TEST_DATA` is set.

use crate::place::{Place, first_file};
use std::path::PathBuf;

/// Photos with one face and with two, in sizes that differ, in class folders.
fn photos(place: &Place) -> bool {
    let folder = std::env::var_os("MOUE_TEST_DATA").map(|folder| PathBuf::from(folder).join("photos"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        eprintln!("SKIPPED: MOUE_TEST_DATA is not a folder with photos");
        return false;
    };
    for (class, photo) in [("alone", "portrait-smile.jpg"), ("together", "couple.jpg")] {
        let photo = image::open(folder.join(photo)).unwrap();
        std::fs::create_dir_all(place.path(&format!("photos/{class}"))).unwrap();
        for number in 0..8 {
            let (width, height) = (640 - 20 * number, photo.height() * (640 - 20 * number) / photo.width());
            let resized = photo.resize_exact(width, height, image::imageops::FilterType::Triangle);
            resized.to_rgb8().save(place.path(&format!("photos/{class}/{number}.png"))).unwrap();
        }
    }
    true
}

#[test]
fn faces_of_photos_are_cut_trained_on_and_predicted() {
    let place = Place::new();
    if !photos(&place) {
        return;
    }
    place.put("photos/alone/damaged.jpg", "no picture");
    let output = place.run(&["data", "faces", "photos", "--out", "faces", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("damaged.jpg: not a PNG"), "{errors}");
    let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&done["photos"], &done["faces"], &done["unreadable"]), (&17.into(), &24.into(), &1.into()), "{done}");

    // A face that was cut is the one that a prediction classifies.
    let photo = place.json(&["predict", "photos/together/0.png", "--json"]);
    let crops = ["faces/together/0-1.png", "faces/together/0-2.png"]
        .map(|crop| place.json(&["predict", "--no-detect", crop, "--json"])["faces"][0]["probabilities"].clone());
    for (face, crop) in photo["faces"].as_array().unwrap().iter().zip(&crops) {
        assert_eq!(&face["probabilities"], crop);
    }
    let table = std::fs::read_to_string(place.path("faces/faces.csv")).unwrap();
    assert!(table.starts_with("source,file,x,y,width,height,score,roll,right_eye_x,"), "{table}");
    assert_eq!(table.lines().count(), 1 + 25, "{table}");

    place.ok(&["train", "tiny.toml", "--data", "faces", "--out", "run", "--quiet"]);
    let model = ["predict", "--model", "run/model.safetensors", "photos/alone/0.png", "--json"];
    let predicted = place.json(&model);
    assert_eq!(predicted["faces"][0]["probabilities"].as_object().unwrap().len(), 2, "{predicted}");
}

#[test]
fn photos_in_a_dataset_are_reported_or_their_faces_are_cut_out() {
    let place = Place::new();
    if !photos(&place) {
        return;
    }
    let output = place.run(&["data", "info", "photos"]);
    assert!(output.status.success());
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("16 of 16 images are much larger") && note.contains("moue data faces PHOTOS"), "{note}");
    // While loading, the same images as from `data faces`.
    place.ok(&["data", "faces", "photos", "--out", "faces", "--image-size", "24x24", "--quiet"]);
    let train = |data: &str, out: &str, faces: &str| {
        let set = format!("data.faces={faces}");
        place.ok(&[
            "train",
            "tiny.toml",
            "--data",
            data,
            "--set",
            &set,
            "--out",
            out,
            "--epochs",
            "1",
            "--json",
            "--quiet",
        ]);
    };
    train("photos", "loaded", "true");
    train("faces", "cut", "false");
    let weights = |run: &str| {
        let bytes = std::fs::read(place.path(&format!("{run}/model.safetensors"))).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    assert_eq!(weights("loaded"), weights("cut"));
    // An evaluation loads the images as the training did.
    let evaluated = |run: &str, data: &str| {
        let metrics =
            place.json(&["evaluate", &format!("{run}/model.safetensors"), "--data", data, "--json", "--quiet"]);
        (metrics["n"].clone(), metrics["confusion"].clone())
    };
    assert_eq!(evaluated("loaded", "photos"), evaluated("cut", "faces"));
    assert!(first_file(&place.path("faces/alone")).ends_with("0.png"));
}
