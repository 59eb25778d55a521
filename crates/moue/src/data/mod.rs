//! Data sets: one [`Dataset`] from whatever a person has downloaded.
//!
//! [`open`] reads a source (`source`), takes it for a CSV file (`csv`) or for
//! image folders (`folders`), keeps the decoded pixels in a `cache`, settles the
//! splits (`split`) and leaves out what should not be learned from (`clean`).
//! [`statistics`] looks at the result; [`drawn`] makes a
//! data set out of nothing. Augmentation is elsewhere: pixels here are as they
//! came.

mod cache;
mod clean;
mod csv;
mod decode;
pub mod drawn;
mod duplicates;
mod folders;
#[cfg(feature = "parquet")]
pub mod parquet;
mod source;
mod split;
pub mod statistics;
pub mod table;

pub use cache::Cache;
pub(crate) use decode::read_image_file;
pub use decode::{decode_image, image_extent, to_pixels};
pub use duplicates::near_duplicates;
pub(crate) use folders::is_image;

use crate::config::within;
use crate::model::{Normalisation, Provenance};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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
    /// To judge by, once.
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

/// How pixels are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalisationKind {
    /// To mean 0 and deviation 1 over the training images.
    #[default]
    Standard,
    /// To 0–1.
    Unit,
}

/// The `[data]` section of an architecture file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Share of the training images set aside for validation, the same share of
    /// each class, where the source has no validation split.
    pub validation_fraction: f32,
    /// Share of the training images that is used, the same share of each class;
    /// the others are left out altogether.
    pub train_fraction: f32,
    /// How pixels are scaled.
    pub normalisation: NormalisationKind,
    /// Restores FER2013's official split for Kaggle's numbered files.
    pub official_split: bool,
    /// Leaves out training images whose pixels are all equal.
    pub exclude_blank: bool,
    /// Leaves out training images that show the same picture as a validation or
    /// test image.
    pub exclude_leaks: bool,
    /// Leaves out training images whose label is not that of most training
    /// images that show the same picture.
    pub exclude_conflicts: bool,
    /// Training images to leave out: rows (from 0) or paths in the source.
    pub exclude: Vec<String>,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            validation_fraction: 0.1,
            train_fraction: 1.0,
            normalisation: NormalisationKind::default(),
            official_split: false,
            exclude_blank: false,
            exclude_leaks: false,
            exclude_conflicts: false,
            exclude: Vec::new(),
        }
    }
}

impl DataOptions {
    /// Options that set aside again what was set aside in a model's training;
    /// `given` says whether the data is the user's.
    #[must_use]
    pub fn as_trained(provenance: &Provenance, given: bool) -> Self {
        let mut options = Self { official_split: given && provenance.official_split, ..Self::default() };
        if provenance.validation_fraction > 0.0 {
            options.validation_fraction = provenance.validation_fraction;
        }
        options
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        within("data.train_fraction", self.train_fraction, 1e-6, 1.0)?;
        within("data.validation_fraction", self.validation_fraction, 0.01, 0.9)
    }
}

/// The form in which images are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageForm {
    /// Rows and columns, or those of the source's first image.
    pub size: Option<[usize; 2]>,
    /// 1 for luma, 3 for RGB.
    pub channels: usize,
}

impl ImageForm {
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
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < 5 {
            self.examples.push(what());
        }
    }

    /// An error when more than one in twenty (but at least three) of the items
    /// are broken.
    fn tolerate(&self, path: &Path, good: usize) -> Result<(), DataError> {
        let total = good + self.count;
        if good > 0 && self.count * 20 <= total.max(40) {
            return Ok(());
        }
        Err(DataError::TooManyBroken {
            path: path.to_owned(),
            count: self.count,
            total,
            examples: self.examples.join("\n  "),
        })
    }
}

/// Why a data set cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The path cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A damaged archive.
    #[error("{} is damaged or not what its first bytes say: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing in it looks like a data set.
    #[error(
        "{} holds no data set: {found}.\n\
         Expected a CSV with the columns emotion, pixels and (if it is split) Usage, or images in folders named \
         after their classes (angry/1.jpg, train/angry/1.jpg, …), as a folder, .zip, .tar.gz or .csv.gz", .path.display()
    )]
    Unrecognised {
        /// File or folder.
        path: PathBuf,
        /// What was there instead.
        found: String,
    },
    /// So many items are broken that it is probably the wrong file.
    #[error("{}: {count} of {total} items cannot be used, for instance\n  {examples}", .path.display())]
    TooManyBroken {
        /// File or folder.
        path: PathBuf,
        /// Broken items.
        count: usize,
        /// All items.
        total: usize,
        /// The first of them.
        examples: String,
    },
    /// Fewer than two classes.
    #[error("{} has only the class `{class}`; a classifier needs at least two", .path.display())]
    OneClass {
        /// File or folder.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// The source has no such split.
    #[error("there is no split `{name}` here; there are {available}")]
    NoSplit {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// `--official-split` on files that are not numbered as Kaggle's.
    #[error(
        "the official split cannot be rebuilt: {0}; it needs Kaggle's numbered files (images/train/angry/123.jpg …), \
         where the number is the row in fer2013.csv"
    )]
    NotNumbered(String),
}

/// Opens a data set as it was downloaded: a CSV or image folders, compressed or
/// not, and settles its splits. `progress` hears how many images are decoded.
///
/// # Errors
/// When the path holds no data set, or too much of it is broken.
pub fn open(
    path: &Path,
    form: ImageForm,
    options: &DataOptions,
    seed: u64,
    cache: &Cache,
    progress: &dyn Fn(usize),
) -> Result<Dataset, DataError> {
    let raw = cache.get_or_decode(path, form, || decode(path, form, progress))?;
    let mut dataset = split::settle(raw, options, seed)?;
    clean::clean(&mut dataset, options);
    Ok(dataset)
}

/// Images as decoded, before their splits are settled.
#[derive(Clone, Debug, PartialEq)]
struct Raw {
    classes: Vec<String>,
    size: [usize; 2],
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    /// The split that the source declares, if any.
    splits: Vec<Option<Split>>,
    ids: Vec<String>,
    sizes: Vec<[u32; 2]>,
    split_names: [Option<String>; 3],
    broken: Broken,
}

impl Raw {
    fn empty(channels: usize) -> Self {
        Self {
            classes: Vec::new(),
            size: [0, 0],
            channels,
            pixels: Vec::new(),
            labels: Vec::new(),
            splits: Vec::new(),
            ids: Vec::new(),
            sizes: Vec::new(),
            split_names: [None, None, None],
            broken: Broken::default(),
        }
    }

    /// The number of a class, in the order in which classes were met.
    fn label_of(names: &mut Vec<String>, class: &str) -> u32 {
        let known = names.iter().position(|name| name == class);
        known.unwrap_or_else(|| {
            names.push(class.to_owned());
            names.len() - 1
        }) as u32
    }

    /// Puts the classes into alphabetical order and renumbers the labels.
    fn sort_classes(&mut self, names: &[String]) {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&a, &b| names[a].cmp(&names[b]));
        let mut place = vec![0; names.len()];
        order.iter().enumerate().for_each(|(to, &from)| place[from] = to as u32);
        self.labels.iter_mut().for_each(|label| *label = place[*label as usize]);
        self.classes = order.into_iter().map(|from| names[from].clone()).collect();
    }
}

#[cfg(not(feature = "parquet"))]
fn refuse_parquet(path: &Path) -> Result<Option<Raw>, DataError> {
    if path.extension().is_some_and(|own| own.eq_ignore_ascii_case("parquet")) {
        let found = "a Parquet file, which this build does not read: build it with `--features parquet`".to_owned();
        return Err(DataError::Unrecognised { path: path.to_owned(), found });
    }
    Ok(None)
}

fn decode(path: &Path, form: ImageForm, progress: &dyn Fn(usize)) -> Result<Raw, DataError> {
    #[cfg(feature = "parquet")]
    let table = parquet::open(path, form, progress)?;
    #[cfg(not(feature = "parquet"))]
    let table = refuse_parquet(path)?;
    let raw = match table.map_or_else(|| csv::open(path, form, progress), |raw| Ok(Some(raw)))? {
        Some(raw) => raw,
        None => folders::open(path, form, progress)?,
    };
    raw.broken.tolerate(path, raw.labels.len())?;
    if raw.classes.len() < 2 {
        return Err(DataError::OneClass { path: path.to_owned(), class: raw.classes.concat() });
    }
    Ok(raw)
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

    /// Pixels of an image, `[H, W, C]`.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.image_len();
        &self.pixels[index * len..(index + 1) * len]
    }

    /// Leaves out the images whose flag is false.
    fn retain(&mut self, keep: &[bool]) {
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
        hex(&hasher.finalize())
    }

    /// The normalisation that `kind` asks for, measured on the training images.
    #[must_use]
    pub fn normalisation(&self, kind: NormalisationKind) -> Normalisation {
        if kind == NormalisationKind::Unit {
            return Normalisation::unit();
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
        Normalisation {
            mean: sums.iter().map(|sum| (mean(sum) / 255.0) as f32).collect(),
            std: sums.iter().map(|sum| (std(sum) / 255.0) as f32).collect(),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
