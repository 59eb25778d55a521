//! Images with labels and splits.

use super::error::DataError;
use super::fixes::AppliedFixes;
use super::soft_targets::SoftTargets;
use crate::config::NormalizationKind;
use moue::message::nearest;
use moue::model::Normalization;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// FER2013's classes in the order of the ids in its CSV file.
pub const FER2013_CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

/// The split that an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training images.
    Train,
    /// For selecting epochs, models and options.
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

    /// The split for a source's own name, such as `Training`, `dev` or `test_set`. `eval` is none: it
    /// is used for validation and for test splits.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let stem = ["set", "data", "images"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match stem.trim_end_matches(['_', '-', ' ']) {
            "train" | "training" => Some(Self::Train),
            "validation" | "valid" | "val" | "dev" | "development" | "publictest" => Some(Self::Validation),
            "test" | "testing" | "privatetest" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Size and channels of the images to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Rows and columns, or `None` for those of the source's first image.
    pub size: Option<[usize; 2]>,
    /// 1 for luma, 3 for RGB.
    pub channels: usize,
}

impl ImageSpec {
    /// The image size and channels of a network's input `[height, width, channels]`.
    #[must_use]
    pub fn of_input(input: [usize; 3]) -> Self {
        Self { size: Some([input[0], input[1]]), channels: input[2] }
    }
}

/// The split of Kaggle's numbered files, whose numbers are FER2013's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberedSplit {
    /// FER2013's official split, restored from the numbers.
    Official,
    /// That of the folders, a random one.
    AsGiven,
}

/// Images of one size with labels and splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Names of the classes, in alphabetical order.
    pub(crate) classes: Vec<String>,
    /// Rows of an image.
    pub(crate) height: usize,
    /// Columns of an image.
    pub(crate) width: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
    /// `[N, H, W, C]`, 0–255.
    pub(crate) pixels: Vec<u8>,
    /// For each image, the index of its class.
    pub(crate) labels: Vec<u32>,
    /// For each image, its split.
    pub(crate) splits: Vec<Split>,
    /// For each image, its row number (from 0) or path in the source.
    pub(crate) ids: Vec<String>,
    /// For each image, `[height, width]` in the source.
    pub(crate) sizes: Vec<[u32; 2]>,
    /// The source's own names for train, validation and test; `None` where it has no such split.
    pub(crate) split_names: [Option<String>; 3],
    /// For Kaggle's numbered files, how they are split.
    pub(crate) numbered: Option<NumberedSplit>,
    /// Rows and files that cannot be read: their number and the first of them.
    pub(crate) broken: Broken,
    /// The targets of training where they are not the labels.
    pub(crate) soft: Option<SoftTargets>,
    /// Whether the labels are the majority of votes.
    pub(crate) voted: bool,
    /// The fixes that were applied to labels and images.
    pub(crate) fixes: Option<AppliedFixes>,
    /// Notes about the source for the user.
    pub(crate) notes: Vec<String>,
    /// Parts of the source that are not used although they may be meant.
    pub(crate) unused: Vec<String>,
}

/// Items that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Broken {
    /// Number of items that could not be read.
    pub count: usize,
    /// The first five of them, each with a reason.
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

/// An image in memory, for [`Dataset::from_images`].
#[derive(Clone, Debug, PartialEq)]
pub struct LabeledImage {
    /// Name in reports.
    pub id: String,
    /// Index of its class.
    pub label: u32,
    /// Its split.
    pub split: Split,
    /// Pixels of the data set's shape, `[H, W, C]`, 0–255.
    pub pixels: Vec<u8>,
}

impl Dataset {
    /// A data set of images in memory. `shape` is `[height, width, channels]` of each image; the
    /// classes are sorted in alphabetical order and the labels renumbered.
    ///
    /// # Errors
    /// When there are fewer than two classes, or an image has another shape or an unknown class.
    pub fn from_images(
        classes: &[String],
        [height, width, channels]: [usize; 3],
        images: impl IntoIterator<Item = LabeledImage>,
    ) -> Result<Self, DataError> {
        if classes.len() < 2 {
            return Err(DataError::OneClass { path: "memory".into(), class: classes.concat() });
        }
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by(|&a, &b| classes[a].cmp(&classes[b]));
        let mut dataset = Self {
            classes: order.iter().map(|&class| classes[class].clone()).collect(),
            height,
            width,
            channels,
            pixels: Vec::new(),
            labels: Vec::new(),
            splits: Vec::new(),
            ids: Vec::new(),
            sizes: Vec::new(),
            split_names: [None, None, None],
            numbered: None,
            broken: Broken::default(),
            soft: None,
            voted: false,
            fixes: None,
            notes: Vec::new(),
            unused: Vec::new(),
        };
        for LabeledImage { id, label, split, pixels } in images {
            if pixels.len() != dataset.image_len() {
                let reason = format!("it has {} values, expected {height} x {width} x {channels}", pixels.len());
                return Err(DataError::Image { id, reason });
            }
            let Some(label) = order.iter().position(|&class| class == label as usize) else {
                return Err(DataError::Image { id, reason: format!("its label {label} is not the index of a class") });
            };
            dataset.pixels.extend(pixels);
            dataset.labels.push(label as u32);
            dataset.splits.push(split);
            dataset.ids.push(id);
            dataset.sizes.push([height as u32, width as u32]);
        }
        Ok(dataset)
    }

    /// Pixels and labels of all images, without a copy.
    #[must_use]
    pub fn into_arrays(self) -> (Vec<u8>, Vec<u32>) {
        (self.pixels, self.labels)
    }

    /// An image with its id, label and split.
    ///
    /// # Panics
    /// When the index is out of range.
    #[must_use]
    pub fn labeled_image(&self, index: usize) -> LabeledImage {
        LabeledImage {
            id: self.ids[index].clone(),
            label: self.labels[index],
            split: self.splits[index],
            pixels: self.image(index).to_vec(),
        }
    }

    /// Names of the classes, in alphabetical order.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Pixels of all images, `[N, H, W, C]`, 0–255.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// For each image, the index of its class.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// For each image, its split.
    #[must_use]
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// For each image, its row number (from 0) or path in the source.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// For each image, `[height, width]` in the source.
    #[must_use]
    pub fn sizes(&self) -> &[[u32; 2]] {
        &self.sizes
    }

    /// The source's own name for a split; `None` where it has no such split.
    #[must_use]
    pub fn source_name(&self, split: Split) -> Option<&str> {
        self.split_names[split as usize].as_deref()
    }

    /// For Kaggle's numbered files, how they are split.
    #[must_use]
    pub fn numbered_split(&self) -> Option<NumberedSplit> {
        self.numbered
    }

    /// Rows and files that cannot be read: their number and the first of them.
    #[must_use]
    pub fn broken(&self) -> &Broken {
        &self.broken
    }

    /// The fixes that were applied to labels and images.
    #[must_use]
    pub fn fixes(&self) -> Option<&AppliedFixes> {
        self.fixes.as_ref()
    }

    /// Notes about the source for the user.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of values of one image.
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

    /// Removes the images whose flag is false.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        let len = self.image_len();
        pick_images(&mut self.pixels, len, keep);
        pick(&mut self.labels, keep);
        pick(&mut self.splits, keep);
        pick(&mut self.ids, keep);
        pick(&mut self.sizes, keep);
        if let Some(soft) = &mut self.soft {
            soft.retain(keep, self.classes.len());
        }
    }

    /// Indices of a split's images, in order.
    #[must_use]
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.splits[i] == split).collect()
    }

    /// For each class, the number of these images that belong to it.
    #[must_use]
    pub fn per_class(&self, indices: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        indices.iter().for_each(|&index| counts[self.labels[index] as usize] += 1);
        counts
    }

    /// The split for a name: `train`, `validation`, `test`, or the source's own name. Without a
    /// name, `test` where there is one, else `validation`.
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
        chosen.filter(|split| present.contains(split)).ok_or_else(|| {
            let name = name.unwrap_or("validation");
            let own = |split: &Split| self.split_names[*split as usize].as_deref();
            let names = present.iter().flat_map(|split| [Some(split.name()), own(split)]).flatten();
            DataError::NoSplit {
                name: name.to_owned(),
                available: present.iter().map(|&split| self.describe(split)).collect::<Vec<_>>().join(", "),
                similar: nearest(name, names).map(str::to_owned),
            }
        })
    }

    /// A split's name, followed by the source's own name where that differs.
    #[must_use]
    pub fn describe(&self, split: Split) -> String {
        let own = self.split_names[split as usize].as_deref().filter(|own| *own != split.name());
        let labels = self.voted.then_some("labels: majority of votes");
        let about: Vec<&str> = own.into_iter().chain(labels).collect();
        if about.is_empty() { split.name().to_owned() } else { format!("{} ({})", split.name(), about.join("; ")) }
    }

    /// SHA-256 over shape, classes, pixels, labels, splits and the targets of training, in hexadecimal.
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
        if let Some(soft) = &self.soft {
            soft.hash(&mut hasher);
        }
        base16ct::lower::encode_string(&hasher.finalize())
    }

    /// The normalization of this kind, measured on the training images.
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
        let means = sums.iter().map(|sum| (mean(sum) / 255.0) as f32).collect();
        let deviations = sums.iter().map(|sum| (std(sum) / 255.0) as f32).collect();
        Normalization::new(means, deviations).unwrap_or_else(Normalization::unit)
    }
}

/// Removes the values whose flag is false.
pub(super) fn pick<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    values.retain(|_| flags.next().copied().unwrap_or(false));
}

/// Removes the images whose flag is false; `len` is the number of values of an image.
pub(super) fn pick_images(pixels: &mut Vec<u8>, len: usize, keep: &[bool]) {
    let images = pixels.chunks_exact(len.max(1)).zip(keep);
    *pixels = images.filter(|(_, keep)| **keep).flat_map(|(image, _)| image).copied().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_splits_are_recognized() {
        let all = |names: &[&str]| names.iter().map(|name| Split::from_name(name)).collect::<Vec<_>>();
        let train =
            ["train", "Training", "TRAIN", "training_set", "train-set", "trainset", "train_images", "TrainData"];
        assert_eq!(all(&train), [Some(Split::Train); 8]);
        let validation = ["validation", "Valid", "val", "dev", "development", "dev_set", "ValidationSet", "PublicTest"];
        assert_eq!(all(&validation), [Some(Split::Validation); 8]);
        assert_eq!(all(&["test", "Testing", "Test_set", "test set", "PrivateTest"]), [Some(Split::Test); 5]);
        assert_eq!(all(&["eval", "tests", "set", "images", "holdout", "happy", ""]), [None; 7]);
    }

    fn image(id: &str, label: u32, pixels: Vec<u8>) -> LabeledImage {
        LabeledImage { id: id.into(), label, split: Split::Train, pixels }
    }

    #[test]
    fn a_data_set_is_built_from_images_in_memory() {
        let classes = ["wide", "shut"].map(str::to_owned);
        let images = [image("a", 0, vec![1, 2]), image("b", 1, vec![3, 4])];
        let dataset = Dataset::from_images(&classes, [1, 2, 1], images.clone()).unwrap();
        assert_eq!((dataset.classes(), dataset.labels()), (&["shut".to_owned(), "wide".to_owned()][..], &[1, 0][..]));
        assert_eq!((dataset.image(1), dataset.labeled_image(1).id), (&[3, 4][..], "b".to_owned()));
        let refused =
            |classes: &[String], image| Dataset::from_images(classes, [1, 2, 1], [image]).unwrap_err().to_string();
        assert!(
            refused(&classes, image("c", 2, vec![0; 2]))
                .contains("`c` cannot be used: its label 2 is not the index of a class")
        );
        assert!(refused(&classes, image("d", 0, vec![0; 3])).contains("3 values, expected 1 x 2 x 1"));
        assert!(refused(&classes[..1], image("e", 0, vec![0; 2])).contains("at least two"));
    }
}
