//! Removes training images as the `[data]` section specifies. Validation and test images are never
//! removed.

use super::dataset::{Dataset, Split};
use super::duplicates::near_duplicates;
use crate::config::DataOptions;
use std::collections::HashSet;

/// Removes images as `options` specifies, and adds a note for each option.
pub fn clean(dataset: &mut Dataset, options: &DataOptions) {
    let mut keep = vec![true; dataset.len()];
    let mut notes = Vec::new();
    let mut leave_out = |what: &str, unwanted: Vec<usize>| {
        let before = keep.iter().filter(|&&keep| keep).count();
        unwanted.into_iter().for_each(|index| keep[index] = false);
        let left_out = before - keep.iter().filter(|&&keep| keep).count();
        notes.push(format!("{left_out} training images left out: {what}"));
    };
    if options.exclude_blank {
        leave_out("blank", training(dataset, |index| is_blank(dataset.image(index))));
    }
    if !options.exclude.is_empty() {
        let (named, missing) = named(dataset, &options.exclude);
        leave_out("named in `exclude`", named);
        if missing > 0 {
            dataset.notes.push(format!(
                "{missing} of the {} images in `exclude` are not training images of this source",
                options.exclude.len()
            ));
        }
    }
    if options.exclude_leaks || options.exclude_conflicts {
        let groups = near_duplicates(dataset);
        if options.exclude_leaks {
            leave_out("near-duplicates of a validation or test image", leaks(dataset, &groups));
        }
        if options.exclude_conflicts {
            leave_out("near-duplicates with another label", conflicts(dataset, &groups));
        }
    }
    if keep.contains(&false) {
        dataset.retain(&keep);
    }
    dataset.notes.extend(notes);
}

/// Whether all pixels are equal.
pub fn is_blank(image: &[u8]) -> bool {
    image.iter().all(|&value| value == image[0])
}

fn training(dataset: &Dataset, unwanted: impl Fn(usize) -> bool) -> Vec<usize> {
    dataset.indices(Split::Train).into_iter().filter(|&index| unwanted(index)).collect()
}

/// The training images with these ids, and the number of ids without an image.
fn named(dataset: &Dataset, ids: &[String]) -> (Vec<usize>, usize) {
    let ids: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let named = training(dataset, |index| ids.contains(row_or_path(dataset, index)));
    let missing = ids.len().saturating_sub(named.len());
    (named, missing)
}

/// The id of an image; with FER2013's official split restored from Kaggle's numbered files, the
/// number, which is the row.
fn row_or_path(dataset: &Dataset, index: usize) -> &str {
    let id = dataset.ids[index].as_str();
    let numbered = dataset.split_names[Split::Train as usize].as_deref() == Some("Training");
    match id.rsplit_once('/') {
        Some((_, file)) if numbered => file.split_once('.').map_or(file, |(stem, _)| stem),
        _ => id,
    }
}

fn leaks(dataset: &Dataset, groups: &[Vec<usize>]) -> Vec<usize> {
    let is_training = |index: &usize| dataset.splits[*index] == Split::Train;
    let reaching_over = groups.iter().filter(|group| !group.iter().all(is_training));
    reaching_over.flatten().filter(|index| is_training(index)).copied().collect()
}

fn conflicts(dataset: &Dataset, groups: &[Vec<usize>]) -> Vec<usize> {
    let mut unwanted = Vec::new();
    for group in groups {
        let members: Vec<usize> =
            group.iter().copied().filter(|&index| dataset.splits[index] == Split::Train).collect();
        let counts = dataset.per_class(&members);
        let majority = counts.iter().position(|&count| 2 * count > members.len());
        unwanted.extend(members.into_iter().filter(|&index| Some(dataset.labels[index] as usize) != majority));
    }
    unwanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    /// 70 synthetic faces: 7 classes in turn; all of them train but the last 20.
    fn faces() -> Dataset {
        let mut faces = synthetic::dataset(70, ImageSpec { size: None, channels: 1 }, 1);
        faces.splits = (0..70).map(|i| if i < 50 { Split::Train } else { Split::Validation }).collect();
        faces
    }

    fn copy(faces: &mut Dataset, from: usize, to: usize) {
        let len = faces.image_len();
        faces.pixels.copy_within(from * len..(from + 1) * len, to * len);
    }

    #[test]
    fn options_remove_training_images_only() {
        let mut faces = faces();
        let len = faces.image_len();
        faces.pixels[..len].fill(9);
        faces.pixels[60 * len..61 * len].fill(9);
        copy(&mut faces, 61, 10);
        copy(&mut faces, 20, 21);
        copy(&mut faces, 20, 22);
        copy(&mut faces, 30, 31);
        let (most, other) = (faces.labels[20], (faces.labels[20] + 1) % 7);
        (faces.labels[21], faces.labels[22]) = (most, other);
        (faces.labels[30], faces.labels[31]) = (0, 1);
        let ids: Vec<String> = faces.ids.clone();
        let options = DataOptions {
            exclude_blank: true,
            exclude_leaks: true,
            exclude_conflicts: true,
            exclude: vec![ids[5].clone(), ids[65].clone(), "unknown".into()],
            ..DataOptions::default()
        };
        clean(&mut faces, &options);
        let left_out: Vec<usize> = (0..70).filter(|&i| !faces.ids.contains(&ids[i])).collect();
        assert_eq!(left_out, [0, 5, 10, 22, 30, 31]);
        assert_eq!(faces.pixels.len(), 64 * len);
        insta::assert_snapshot!(faces.notes.join("\n"), @r"
        2 of the 3 images in `exclude` are not training images of this source
        1 training images left out: blank
        1 training images left out: named in `exclude`
        1 training images left out: near-duplicates of a validation or test image
        3 training images left out: near-duplicates with another label
        ");
    }

    #[test]
    fn default_options_remove_no_images() {
        let mut cleaned = faces();
        clean(&mut cleaned, &DataOptions::default());
        assert_eq!(cleaned, faces());
    }
}
