//! Images with labels and splits.

use super::error::DataError;
use crate::config::NormalizationKind;
use moue::model::Normalization;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// FER2013's classes by the ids of its CSV file.
pub const FER2013_CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

/// Which part of a data set an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose by.
    Validation,
    /// For the final evaluation, once.
    Test,
}

impl Split {
    /// All splits, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The split's name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split that a source's own name stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "validation" | "valid" | "val" | "publictest" => Some(Self::Validation),
            "test" | "testing" | "privatetest" => Some(Self::Test),
            _ => None,
        }
    }
}

/// The form in which images are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Rows and columns, or those of the source's first image.
    pub size: Option<[usize; 2]>,
    /// 1 for luma, 3 for RGB.
    pub channels: usize,
}

impl ImageSpec {
    /// The form of a network's input `[height, width, channels]`.
    #[must_use]
    pub fn of_input(input: [usize; 3]) -> Self {
        Self { size: Some([input[0], input[1]]), channels: input[2] }
    }
}

/// Images of one size with labels and splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Names of the classes, in alphabetical order.
    pub classes: Vec<String>,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `[N, H, W, C]`, 0–255.
    pub pixels: Vec<u8>,
    /// For each image, the index of its class.
    pub labels: Vec<u32>,
    /// For each image, its split.
    pub splits: Vec<Split>,
    /// For each image, its row number (from 0) or path in the source.
    pub ids: Vec<String>,
    /// For each image, `[height, width]` in the source.
    pub sizes: Vec<[u32; 2]>,
    /// What the source itself calls train, validation and test; `None` where it
    /// has no such split.
    pub split_names: [Option<String>; 3],
    /// Rows and files that could not be read: how many, and the first of them.
    pub broken: Broken,
    /// What a person should know about this source.
    pub notes: Vec<String>,
}

/// What could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// How many.
    pub count: usize,
    /// The first of them, each with its reason.
    pub examples: Vec<String>,
}

impl Broken {
    pub(super) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < 5 {
            self.examples.push(what());
        }
    }
}

impl Dataset {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of one image.
    #[must_use]
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// `[height, width, channels]` of an image.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Pixels of an image, `[H, W, C]`.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.image_len();
        &self.pixels[index * len..(index + 1) * len]
    }

    /// Leaves out the images whose flag is false.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        fn pick<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut flags = keep.iter();
            values.retain(|_| flags.next().copied().unwrap_or(false));
        }
        let images = self.pixels.chunks_exact(self.image_len().max(1)).zip(keep);
        self.pixels = images.filter(|(_, keep)| **keep).flat_map(|(image, _)| image).copied().collect();
        pick(&mut self.labels, keep);
        pick(&mut self.splits, keep);
        pick(&mut self.ids, keep);
        pick(&mut self.sizes, keep);
    }

    /// Indices of a split's images, in order.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.splits[i] == split).collect()
    }

    /// For each class, how many of these images belong to it.
    #[must_use]
    pub fn per_class(&self, indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        indices.iter().for_each(|&index| counts[self.labels[index] as usize] += 1);
        counts
    }

    /// The split that a name stands for here: one of the three names, or the
    /// source's own. Without a name, test where there is one, else validation.
    ///
    /// # Errors
    /// When there is no such split.
    pub fn split_named(&self, name: Option<&str>) -> Result<Split, DataError> {
        let present: Vec<Split> = Split::ALL.into_iter().filter(|split| self.splits.contains(split)).collect();
        let chosen = match name {
            None if present.contains(&Split::Test) => Some(Split::Test),
            None => Some(Split::Validation),
            Some(name) => Split::ALL
                .into_iter()
                .find(|&split| self.split_names[split as usize].as_deref() == Some(name))
                .or_else(|| Split::from_name(name)),
        };
        chosen.filter(|split| present.contains(split)).ok_or_else(|| DataError::NoSplit {
            name: name.unwrap_or("validation").to_owned(),
            available: present.iter().map(|&split| self.describe(split)).collect::<Vec<_>>().join(", "),
        })
    }

    /// A split's name, with the source's own where that differs.
    #[must_use]
    pub fn describe(&self, split: Split) -> String {
        match &self.split_names[split as usize] {
            Some(own) if own != split.name() => format!("{} ({own})", split.name()),
            _ => split.name().to_owned(),
        }
    }

    /// SHA-256 over form, classes, pixels, labels and splits, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for number in [self.height, self.width, self.channels, self.len()] {
            hasher.update((number as u64).to_le_bytes());
        }
        for class in &self.classes {
            hasher.update(class.as_bytes());
            hasher.update([0]);
        }
        hasher.update(&self.pixels);
        self.labels.iter().for_each(|label| hasher.update(label.to_le_bytes()));
        self.splits.iter().for_each(|&split| hasher.update([split as u8]));
        base16ct::lower::encode_string(&hasher.finalize())
    }

    /// The normalization that `kind` asks for, measured on the training images.
    #[must_use]
    pub fn normalization(&self, kind: NormalizationKind) -> Normalization {
        if kind == NormalizationKind::Unit {
            return Normalization::unit();
        }
        let mut sums = vec![[0u64; 2]; self.channels];
        let mut count = 0u64;
        for index in self.indices(Split::Train) {
            for pixel in self.image(index).chunks_exact(self.channels) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    sum[0] += u64::from(value);
                    sum[1] += u64::from(value) * u64::from(value);
                }
                count += 1;
            }
        }
        let count = count.max(1) as f64;
        let mean = |sum: &[u64; 2]| sum[0] as f64 / count;
        let std = |sum: &[u64; 2]| (sum[1] as f64 / count - mean(sum) * mean(sum)).max(1.0).sqrt();
        Normalization {
            mean: sums.iter().map(|sum| (mean(sum) / 255.0) as f32).collect(),
            std: sums.iter().map(|sum| (std(sum) / 255.0) as f32).collect(),
        }
    }
}
