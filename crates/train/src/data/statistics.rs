//! Statistics of a data set: counts, blank images, duplicates.

use super::clean::is_blank;
use super::dataset::{Broken, Dataset, Split};
use super::duplicates::near_duplicates;
use super::votes::LabelAgreement;
use serde::Serialize;
use std::collections::HashMap;

/// Statistics of a data set, computed by [`describe`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Statistics {
    /// Number of images.
    pub images: usize,
    /// `[height, width, channels]` to which the images are resized: of the first one.
    pub shape: [usize; 3],
    /// Smallest and largest height and width of the images in the source.
    pub extents: Extents,
    /// Classes in alphabetical order.
    pub classes: Vec<String>,
    /// The splits that have images.
    pub splits: Vec<SplitStatistics>,
    /// Number of images whose pixels are all equal.
    pub blank: usize,
    /// Images that are equal to an earlier one, pixel by pixel, excluding blank images.
    pub duplicates: Duplicates,
    /// Images that are near-duplicates of an earlier one, including exact copies.
    pub near_duplicates: Duplicates,
    /// Items that could not be read.
    pub broken: Broken,
    /// The labels compared with votes, where they are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<LabelAgreement>,
}

/// Smallest and largest height and width of images, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Extents {
    /// Smallest and largest height.
    pub height: [u32; 2],
    /// Smallest and largest width.
    pub width: [u32; 2],
}

impl Extents {
    fn of(sizes: &[[u32; 2]]) -> Self {
        let range = |axis: usize| {
            let sides = || sizes.iter().map(|size| size[axis]);
            [sides().min().unwrap_or(0), sides().max().unwrap_or(0)]
        };
        Self { height: range(0), width: range(1) }
    }
}

/// Counts of a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SplitStatistics {
    /// The split.
    pub split: Split,
    /// The source's own name, if it has this split.
    pub source_name: Option<String>,
    /// Number of images.
    pub images: usize,
    /// Number of images of each class.
    pub per_class: Vec<usize>,
}

/// Duplicates in a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Duplicates {
    /// Number of groups of images that are duplicates of each other.
    pub groups: usize,
    /// Number of images beyond the first of each group.
    pub images: usize,
    /// Number of groups that span several splits.
    pub groups_across_splits: usize,
    /// Number of groups with different labels.
    pub groups_with_conflicting_labels: usize,
}

impl Duplicates {
    fn of<'a>(dataset: &Dataset, groups: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut found = Self::default();
        for group in groups.filter(|group| group.len() > 1) {
            found.groups += 1;
            found.images += group.len() - 1;
            let differs = |of: &dyn Fn(usize) -> u32| group.iter().any(|&index| of(index) != of(group[0]));
            found.groups_across_splits += usize::from(differs(&|index| dataset.splits[index] as u32));
            found.groups_with_conflicting_labels += usize::from(differs(&|index| dataset.labels[index]));
        }
        found
    }
}

/// Computes statistics over all images and searches for duplicates.
#[must_use]
pub fn describe(dataset: &Dataset) -> Statistics {
    let mut groups: HashMap<&[u8], Vec<usize>> = HashMap::new();
    let mut blank = 0;
    for index in 0..dataset.len() {
        let image = dataset.image(index);
        if is_blank(image) {
            blank += 1;
        } else {
            groups.entry(image).or_default().push(index);
        }
    }
    let splits = Split::ALL.into_iter().filter_map(|split| {
        let indices = dataset.indices(split);
        let per_class = dataset.per_class(&indices);
        let source_name = dataset.split_names[split as usize].clone();
        (!indices.is_empty()).then_some(SplitStatistics { split, source_name, images: indices.len(), per_class })
    });
    Statistics {
        images: dataset.len(),
        shape: [dataset.height, dataset.width, dataset.channels],
        extents: Extents::of(&dataset.sizes),
        classes: dataset.classes.clone(),
        splits: splits.collect(),
        blank,
        duplicates: Duplicates::of(dataset, groups.values().map(Vec::as_slice)),
        near_duplicates: Duplicates::of(dataset, near_duplicates(dataset).iter().map(Vec::as_slice)),
        broken: dataset.broken.clone(),
        votes: None,
    }
}

/// Mean and standard deviation of pixels.
pub(super) fn mean_and_deviation(pixels: &[u8]) -> (f64, f64) {
    let count = pixels.len().max(1) as f64;
    let sum: u64 = pixels.iter().map(|&value| u64::from(value)).sum();
    let squares: u64 = pixels.iter().map(|&value| u64::from(value) * u64::from(value)).sum();
    let mean = sum as f64 / count;
    (mean, (squares as f64 / count - mean * mean).max(0.0).sqrt())
}
