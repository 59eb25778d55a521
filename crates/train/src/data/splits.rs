//! Determines the split of each image from the splits that a source declares.

use super::dataset::{Dataset, FER2013_CLASSES, NumberedSplit, Split};
use super::error::DataError;
use super::raw::Raw;
use crate::config::DataOptions;
use moue_engine::random::{Stream, key};
use std::collections::BTreeSet;

/// FER2013's rows: Training, then PublicTest, then PrivateTest.
const PUBLIC_TEST: usize = 28_709;
const PRIVATE_TEST: usize = 32_298;
const ROWS: usize = 35_887;

fn official(row: usize) -> Split {
    match row {
        _ if row < PUBLIC_TEST => Split::Train,
        _ if row < PRIVATE_TEST => Split::Validation,
        _ => Split::Test,
    }
}

/// Assigns a split to each image and collects notes for the user.
pub fn resolve(mut raw: Raw, options: &DataOptions, seed: u64) -> Result<Dataset, DataError> {
    let mut notes = Vec::new();
    let rows = kaggle_rows(&raw);
    let has_official = raw.split_names[Split::Train as usize].as_deref() == Some("Training");
    // Own numbered files that all are rows of Training keep their splits.
    let complete = rows.as_ref().is_ok_and(|rows| rows.iter().any(|&row| official(row) != Split::Train));
    let numbered = match (rows.is_ok(), options.official_split) {
        (true, true) if complete || options.requires_official_split => Some(NumberedSplit::Official),
        (true, false) if complete => Some(NumberedSplit::AsGiven),
        _ => None,
    };
    let rows = match rows {
        Err(reason) if options.requires_official_split && !has_official => return Err(DataError::NotNumbered(reason)),
        other => other.unwrap_or_default(),
    };
    if numbered == Some(NumberedSplit::Official) {
        raw.splits = rows.into_iter().map(|row| Some(official(row))).collect();
        let names = ["Training", "PublicTest", "PrivateTest"];
        for split in Split::ALL {
            let present = raw.splits.contains(&Some(split));
            raw.split_names[split as usize] = present.then(|| names[split as usize].to_owned());
        }
        notes.push(
            "Kaggle's numbered files of FER2013: their official split is used (Training, PublicTest, PrivateTest); \
             --as-given uses the folders as they are"
                .to_owned(),
        );
    } else if numbered == Some(NumberedSplit::AsGiven) {
        let leaked = rows
            .iter()
            .zip(&raw.splits)
            .filter(|&(&row, &split)| split.unwrap_or(Split::Train) == Split::Train && official(row) != Split::Train);
        notes.push(format!(
            "these are FER2013's images with a random split: `train` contains {} official test images, so metrics are \
             not comparable with published ones; --official-split restores the official split",
            leaked.count()
        ));
    }
    notes.extend(folders_without_split(&raw));
    if !raw.splits.contains(&Some(Split::Validation)) {
        let aside =
            share_of_training(&raw, options.validation_fraction, key(&[seed, u64::from_le_bytes(*b"aside\0\0\0")]));
        notes.push(format!(
            "this source has no validation split: {} of its {} training images (stratified by class, seed {seed}) are \
             used for validation",
            aside.len(),
            raw.splits.iter().filter(|split| split.unwrap_or(Split::Train) == Split::Train).count(),
        ));
        aside.into_iter().for_each(|index| raw.splits[index] = Some(Split::Validation));
    }
    let mut keep = None;
    if options.train_fraction < 1.0 {
        let kept = share_of_training(&raw, options.train_fraction, key(&[seed, u64::from_le_bytes(*b"fraction")]));
        let mut flags: Vec<bool> =
            raw.splits.iter().map(|split| split.unwrap_or(Split::Train) != Split::Train).collect();
        let training = flags.iter().filter(|&&other| !other).count();
        kept.iter().for_each(|&index| flags[index] = true);
        notes.push(format!(
            "{} of {training} training images are used (train_fraction = {}, seed {seed})",
            kept.len(),
            options.train_fraction
        ));
        keep = Some(flags);
    }
    notes.extend(photos(&raw, options.faces));
    if raw.faceless.count > 0 {
        notes.push(format!(
            "no face was found in {} pictures, which are not used, for example {}",
            raw.faceless.count,
            raw.faceless.examples.first().map_or("", String::as_str)
        ));
    }
    if raw.broken.count > 0 {
        notes.push(format!(
            "{} items could not be read and were skipped, for example {}",
            raw.broken.count,
            raw.broken.examples.first().map_or("", String::as_str)
        ));
    }
    let mut dataset = Dataset {
        classes: raw.classes,
        height: raw.size[0],
        width: raw.size[1],
        channels: raw.channels,
        pixels: raw.pixels,
        labels: raw.labels,
        splits: raw.splits.into_iter().map(|split| split.unwrap_or(Split::Train)).collect(),
        ids: raw.ids,
        sizes: raw.sizes,
        split_names: raw.split_names,
        numbered,
        broken: raw.broken,
        notes,
        soft: None,
        voted: false,
        fixes: None,
        unused: raw.unused,
    };
    if let Some(keep) = keep {
        dataset.retain(&keep);
    }
    Ok(dataset)
}

/// The note that several folders contain class folders, none of which is named after a split.
fn folders_without_split(raw: &Raw) -> Option<String> {
    let folders: BTreeSet<&str> = raw.ids.iter().filter_map(|id| id.rsplitn(3, '/').nth(2)).collect();
    if folders.len() < 2 || raw.splits.iter().any(Option::is_some) {
        return None;
    }
    let named: Vec<&str> = folders.iter().take(3).copied().collect();
    Some(format!(
        "none of the {} folders with class folders is named after a split, so they are one data set: {}{}",
        folders.len(),
        named.join(", "),
        if folders.len() > named.len() { ", …" } else { "" }
    ))
}

/// Shorter side in pixels, and ratio of the sides, from which an image is more likely a photo than
/// a face: five times the side of FER2013's images, and more than face crops differ from a square.
const PHOTO_SIDE: u32 = 240;
const PHOTO_RATIO: f64 = 1.3;

/// The note that images look like whole photos, which training would squeeze into its input.
fn photos(raw: &Raw, faces: bool) -> Option<String> {
    let is_photo = |&&[height, width]: &&[u32; 2]| {
        let (long, short) = (height.max(width), height.min(width));
        short >= PHOTO_SIDE || f64::from(long) > PHOTO_RATIO * f64::from(short)
    };
    let count = raw.sizes.iter().filter(is_photo).count();
    (!faces && 2 * count > raw.sizes.len()).then(|| {
        format!(
            "{count} of {} images are much larger than a network's input or far from square, and are squeezed into it \
             as a whole; if they are photos, cut out the faces first: moue data faces PHOTOS --out FACES",
            raw.sizes.len()
        )
    })
}

/// The row in fer2013.csv of each image, where all files are numbered as in Kaggle's "Facial
/// Emotion Expressions"; otherwise the reason why not.
fn kaggle_rows(raw: &Raw) -> Result<Vec<usize>, String> {
    let mut known = FER2013_CLASSES.to_vec();
    known.sort_unstable();
    if raw.classes != known {
        return Err(format!("the classes are {}", raw.classes.join(", ")));
    }
    let mut taken = vec![false; ROWS];
    raw.ids
        .iter()
        .map(|id| {
            let (_, file) = id.rsplit_once('/').ok_or_else(|| format!("`{id}` is not a file in a folder"))?;
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            let row: usize = stem.parse().map_err(|_| format!("`{id}` is not named after a row"))?;
            match taken.get_mut(row) {
                None => Err(format!("`{id}` is named after a row beyond {}", ROWS - 1)),
                Some(true) => Err(format!("two files are named after row {row}")),
                Some(free) => {
                    *free = true;
                    Ok(row)
                }
            }
        })
        .collect()
}

/// A stratified sample of the training images, with at least one image of each class that has two.
fn share_of_training(raw: &Raw, fraction: f32, seed: u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    for class in 0..raw.classes.len() as u32 {
        let mut members: Vec<usize> = (0..raw.labels.len())
            .filter(|&i| raw.labels[i] == class && raw.splits[i].unwrap_or(Split::Train) == Split::Train)
            .collect();
        Stream::new(key(&[seed, u64::from(class)])).shuffle(&mut members);
        let count = (members.len() as f64 * f64::from(fraction)).round() as usize;
        let least = usize::from(members.len() >= 2);
        chosen.extend(members.into_iter().take(count.max(least)));
    }
    chosen.sort_unstable();
    chosen
}
