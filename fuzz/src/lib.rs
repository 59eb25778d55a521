//! What several fuzz targets share: a classifier that is fast, and data sets in a folder of their own.
#![forbid(unsafe_code)]

pub mod training;

use moue::Classifier;
use moue::model::architecture::{LayerSpec, Units};
use moue::model::{Architecture, Model};
use moue_engine::Activation;
use moue_train::config::DataOptions;
use moue_train::data::{Cache, DataError, Dataset, ImageSpec, open, table};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A network of one layer for pictures of 8 × 8 pixels.
#[must_use]
pub fn architecture() -> Architecture {
    let dense =
        LayerSpec::Dense { units: Units::per_class(), use_bias: true, activation: Activation::Softmax, kernel_l2: 0.0 };
    Architecture::new("fuzz", [8, 8, 1], vec![LayerSpec::Flatten {}, dense])
}

/// A classifier with random weights.
///
/// # Panics
/// When its network cannot be built.
#[must_use]
pub fn classifier() -> Classifier {
    let classes = ["happy", "neutral", "sad"].map(str::to_owned).to_vec();
    Classifier::new(Model::untrained(architecture(), classes, 0).expect("the network is valid"))
}

/// Computes on the calling thread: other threads would only wait.
///
/// # Panics
/// When it is called twice.
pub fn one_thread() {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("this is the first call");
}

/// Whether an input is one of 256 for which something slow is done, too.
#[must_use]
pub fn is_chosen(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte)) == 0
}

/// A folder with one data set, and a cache.
pub struct Source {
    place: TempDir,
    name: &'static str,
}

impl Source {
    /// A folder for a file of this name.
    ///
    /// # Panics
    /// When the folder cannot be created.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(place.path().join("data")).expect("the folder is writable");
        Self { place, name }
    }

    /// Writes a file next to the folder, and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.place.path().join(name);
        std::fs::write(&path, bytes).expect("the folder is writable");
        path
    }

    /// Opens the data set, through the cache.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(&self, options: &DataOptions) -> Result<Dataset, DataError> {
        let form = ImageSpec { size: Some([8, 8]), channels: 1 };
        let cache = Cache::at(self.place.path().join("cache"));
        open(&self.place.path().join("data").join(self.name), form, options, 0, &cache, &|_| {})
    }

    /// Opens these bytes as a data set. What opens is stored in the cache and is the same when it is
    /// read from there. Nothing but the cache is written.
    ///
    /// # Panics
    /// When this is violated.
    pub fn check(&self, bytes: &[u8]) {
        let (folder, cache) = (self.place.path().join("data"), self.place.path().join("cache"));
        let path = folder.join(self.name);
        std::fs::write(&path, bytes).expect("the folder is writable");
        let read = || self.open(&DataOptions::default());
        if let Ok(dataset) = read() {
            assert!(dataset.classes().len() > 1);
            assert_eq!(dataset.pixels().len(), dataset.len() * 64);
            assert!(dataset.labels().iter().all(|&label| (label as usize) < dataset.classes().len()));
            let rows = table::rows(&dataset);
            assert_eq!((rows.len(), dataset.splits().len()), (dataset.len(), dataset.len()));
            assert!(read().is_ok_and(|again| again == dataset), "the cache has another data set");
            std::fs::remove_dir_all(&cache).expect("the cache is a folder");
        }
        assert_eq!(names(&folder), [self.name]);
        assert_eq!(names(self.place.path()), ["data"]);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("the folder is readable").file_name().to_string_lossy().into_owned()).collect()
}

/// FER2013's CSV with this number of images of 4 × 4 pixels and three classes.
#[must_use]
pub fn fer2013(rows: usize) -> String {
    let usage = ["Training", "Training", "PublicTest", "PrivateTest"];
    let row = |row: usize| {
        let values: Vec<String> = pixels(row).iter().map(ToString::to_string).collect();
        format!("{},{},{}\n", row % 3, values.join(" "), usage[row % 4])
    };
    "emotion,pixels,Usage\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

/// The values of a picture of 4 × 4 pixels.
#[must_use]
pub fn pixels(row: usize) -> Vec<u8> {
    (0..16).map(|pixel| ((row * 31 + pixel * 7) % 256) as u8).collect()
}

/// The bytes of a safetensors file from its header, a zero byte, and the arrays: the length of the
/// header, which precedes it in the file, is that of a mutated header too.
#[must_use]
pub fn safetensors(bytes: &[u8]) -> Vec<u8> {
    let Some(end) = bytes.iter().position(|&byte| byte == 0) else { return bytes.to_vec() };
    let length = (end as u64).to_le_bytes();
    [&length, &bytes[..end], &bytes[end + 1..]].concat()
}
