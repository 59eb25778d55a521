//! A preview of a data set: samples and the mean image of each class, counts by split, and
//! augmented versions of one image; as a PNG or an HTML page.

mod html;
mod png;

pub use html::html;
pub use png::png;

use crate::augment::ends;
use crate::config::{Augmentation, Robust, RobustChange};
use crate::data::statistics::{Statistics, describe};
use crate::data::{Dataset, Split};
use moue_engine::Shape;
use moue_engine::random::{Stream, key};

/// Samples of each class.
const SAMPLES: usize = 12;

/// Versions of the augmented image, including the original.
const VERSIONS: usize = 12;

/// A preview of a data set. Images are `[H, W, C]` with the data set's shape.
pub struct Preview<'a> {
    dataset: &'a Dataset,
    /// Heading.
    title: String,
    statistics: Statistics,
    /// For each class, indices of some of its images.
    samples: Vec<Vec<usize>>,
    /// For each class, the mean of its training images, or of all where it has none.
    means: Vec<Vec<u8>>,
    /// The original and augmented versions of one image.
    versions: Vec<Vec<u8>>,
    /// For each robust change, its name and the image with its lowest and its highest amount.
    changes: Vec<(String, Vec<u8>)>,
    augmentation: &'a Augmentation,
}

impl<'a> Preview<'a> {
    /// Computes a preview of a data set; the seed selects the images.
    #[must_use]
    pub fn new(title: &str, dataset: &'a Dataset, augmentation: &'a Augmentation, seed: u64) -> Self {
        let versions = versions(dataset, augmentation, seed);
        let changes = versions.first().map_or_else(Vec::new, |image| changes(image, dataset.shape(), augmentation));
        let classes = 0..dataset.classes.len() as u32;
        Self {
            dataset,
            title: title.to_owned(),
            statistics: describe(dataset),
            samples: classes.clone().map(|class| samples(dataset, class, seed)).collect(),
            means: classes.map(|class| mean(dataset, class)).collect(),
            versions,
            changes,
            augmentation,
        }
    }
}

fn samples(dataset: &Dataset, class: u32, seed: u64) -> Vec<usize> {
    let mut members: Vec<usize> = (0..dataset.len()).filter(|&i| dataset.labels[i] == class).collect();
    Stream::new(key(&[seed, u64::from_le_bytes(*b"preview\0"), u64::from(class)])).shuffle(&mut members);
    members.truncate(SAMPLES);
    members
}

fn mean(dataset: &Dataset, class: u32) -> Vec<u8> {
    let of_class = |i: &usize| dataset.labels[*i] == class;
    let mut members: Vec<usize> = dataset.indices(Split::Train).into_iter().filter(of_class).collect();
    if members.is_empty() {
        members = (0..dataset.len()).filter(of_class).collect();
    }
    let mut sums = vec![0u64; dataset.image_len()];
    for &index in &members {
        sums.iter_mut().zip(dataset.image(index)).for_each(|(sum, &value)| *sum += u64::from(value));
    }
    let count = members.len().max(1) as u64;
    sums.into_iter().map(|sum| ((sum + count / 2) / count) as u8).collect()
}

fn versions(dataset: &Dataset, augmentation: &Augmentation, seed: u64) -> Vec<Vec<u8>> {
    let shape = Shape::new(dataset.height, dataset.width, dataset.channels);
    // The image with the highest contrast of a sample, which avoids blank images.
    let mut stream = Stream::new(key(&[seed, u64::from_le_bytes(*b"augment\0")]));
    let handful = (0..8).map(|_| stream.below(dataset.len().max(1)));
    let range = |index: &usize| {
        let (low, high) = dataset.image(*index).iter().fold((255, 0), |(low, high), &v| (v.min(low), v.max(high)));
        i32::from(high) - i32::from(low)
    };
    let Some(chosen) = handful.max_by_key(range) else { return Vec::new() };
    let image = dataset.image(chosen);
    let mut all = vec![image.to_vec()];
    let mut out = vec![0.0; image.len()];
    for _ in 1..VERSIONS {
        augmentation.apply(image, shape, &mut stream, [shape.height, shape.width], &mut out);
        all.push(out.iter().map(|value| value.round() as u8).collect());
    }
    all
}

/// The image with each robust change that is enabled, at both ends of its range.
fn changes(image: &[u8], shape: [usize; 3], augmentation: &Augmentation) -> Vec<(String, Vec<u8>)> {
    let all = augmentation.robust.iter().flat_map(Robust::changes);
    all.filter(|change| change.probability > 0.0)
        .flat_map(|change| {
            let names = change.range.map(|amount| format!("{} {amount}", change.kind.name()));
            names.into_iter().zip(ends(&change, image, shape))
        })
        .collect()
}

/// The enabled augmentations as text.
fn described(augmentation: &Augmentation) -> String {
    let amounts = [
        ("rotation", augmentation.rotation, "°"),
        ("translation", augmentation.translation, ""),
        ("scale", augmentation.scale, ""),
        ("brightness", augmentation.brightness, ""),
        ("contrast", augmentation.contrast, ""),
        ("blur", augmentation.blur, " px"),
        ("noise", augmentation.noise, ""),
        ("random erasing", augmentation.random_erasing, ""),
    ];
    let mut parts: Vec<String> = Vec::new();
    if augmentation.flip {
        parts.push("flip".into());
    }
    let used = amounts.iter().filter(|(_, amount, _)| *amount > 0.0);
    parts.extend(used.map(|(name, amount, unit)| format!("{name} {amount}{unit}")));
    if let Some(robust) = &augmentation.robust {
        let changes = robust.changes().into_iter().filter(|change| change.probability > 0.0);
        parts.extend(changes.map(|RobustChange { kind, probability, range: [low, high] }| {
            format!("{} {low}–{high} for {:.0} %", kind.name(), probability * 100.0)
        }));
    }
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}
