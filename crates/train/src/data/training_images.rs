//! Which images a model was trained on: a fingerprint of each of them, so that an evaluation can
//! count how many of its images are among them.
//!
//! A fingerprint is ten bytes: the mean and the standard deviation of the pixels, and which of two
//! adjacent cells of a coarse grid is lighter (the difference hash of Krawetz 2013). A copy may
//! differ slightly, as a JPEG file of the same picture does. What is recognized, and how often by
//! mistake, is in `docs/decisions/2026-11-24-identified-by-content.md`.

use super::dataset::{Dataset, Split};
use super::duplicates::{GRID, reduced};
use super::statistics::mean_and_deviation;
use moue::model::model_file;
use rayon::prelude::*;
use std::collections::HashSet;
use std::path::Path;

/// Name of the file in a run folder.
pub const TRAINING_IMAGES_FILE: &str = "training-images.bin";

/// Fingerprints of the training images of the bundled models, which have the same.
const BUNDLED: &[u8] = include_bytes!("../../models/training-images.bin");

/// The file begins with this text and the hashes of the data sets, with a space between them, and ends the line.
const MAGIC: &str = "moue training images 1 ";

/// Bytes of a fingerprint.
const BYTES: usize = 10;

/// Largest difference of the means, and of the deviations, of two copies.
const NEAR: u8 = 1;

/// Maximum number of different bits of two copies.
const MOST_BITS: u32 = 2;

/// Minimum standard deviation of a picture with content, of 255.
const LEAST_DEVIATION: u8 = 2;

/// The fingerprint of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fingerprint {
    mean: u8,
    deviation: u8,
    bits: u64,
}

/// Fingerprints of the training images of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingImages {
    /// Hashes of the data sets that contain them.
    data_hashes: Vec<String>,
    /// In increasing order.
    prints: Vec<Fingerprint>,
}

impl TrainingImages {
    /// The training images of a data set. Images without content are left out.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        let indices = dataset.indices(Split::Train);
        let mut prints: Vec<_> = indices.par_iter().filter_map(|&index| fingerprint(dataset, index)).collect();
        prints.par_sort_unstable();
        Self { data_hashes: vec![dataset.hash()], prints }
    }

    /// The training images of a model that was trained on the data set with this hash: from the file
    /// next to `model` (a file or a run folder), or those of the bundled models; `None` where they are not known.
    #[must_use]
    pub fn find(model: &Path, data_hash: &str) -> Option<Self> {
        let own = || std::fs::read(model_file(model).parent()?.join(TRAINING_IMAGES_FILE)).ok();
        own()
            .and_then(|bytes| Self::from_bytes(&bytes))
            .filter(|found| found.belong_to(data_hash))
            .or_else(|| Self::bundled(data_hash))
    }

    /// The training images of the bundled models, where a model was trained on the same data.
    #[must_use]
    pub fn bundled(data_hash: &str) -> Option<Self> {
        Self::from_bytes(BUNDLED).filter(|found| found.belong_to(data_hash))
    }

    fn belong_to(&self, data_hash: &str) -> bool {
        self.data_hashes.iter().any(|own| own == data_hash)
    }

    /// These images and those of another model, from which the training starts.
    #[must_use]
    pub fn with(mut self, mut other: Self) -> Self {
        self.data_hashes.extend(other.data_hashes);
        let mut seen = HashSet::new();
        self.data_hashes.retain(|hash| seen.insert(hash.clone()));
        other.prints.retain(|print| self.prints.binary_search(print).is_err());
        self.prints.extend(other.prints);
        self.prints.par_sort_unstable();
        self
    }

    /// Number of fingerprints.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prints.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prints.is_empty()
    }

    /// How many of these images of a data set are training images.
    #[must_use]
    pub fn count(&self, dataset: &Dataset, images: &[usize]) -> usize {
        images
            .par_iter()
            .filter(|&&index| fingerprint(dataset, index).is_some_and(|print| self.contains(print)))
            .count()
    }

    fn contains(&self, print: Fingerprint) -> bool {
        let first = self.prints.partition_point(|own| own.mean < print.mean.saturating_sub(NEAR));
        self.prints[first..].iter().take_while(|own| own.mean <= print.mean.saturating_add(NEAR)).any(|own| {
            own.deviation.abs_diff(print.deviation) <= NEAR && (own.bits ^ print.bits).count_ones() <= MOST_BITS
        })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{MAGIC}{}\n", self.data_hashes.join(" ")).into_bytes();
        for Fingerprint { mean, deviation, bits } in &self.prints {
            bytes.extend([*mean, *deviation]);
            bytes.extend(bits.to_le_bytes());
        }
        bytes
    }

    /// The fingerprints in the bytes of a file; `None` where it is another file or a damaged one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let hashes = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(MAGIC)?;
        let data_hashes = hashes.split(' ').map(str::to_owned).collect();
        let (records, []) = bytes[end + 1..].as_chunks::<BYTES>() else { return None };
        let print = |&[mean, deviation, bits @ ..]: &[u8; BYTES]| Fingerprint {
            mean,
            deviation,
            bits: u64::from_le_bytes(bits),
        };
        Some(Self { data_hashes, prints: records.iter().map(print).collect() })
    }
}

/// The fingerprint of an image; `None` where all pixels are nearly equal.
fn fingerprint(dataset: &Dataset, index: usize) -> Option<Fingerprint> {
    let image = dataset.image(index);
    let (mean, deviation) = mean_and_deviation(image);
    let deviation = deviation.round() as u8;
    if deviation < LEAST_DEVIATION {
        return None;
    }
    let grid = reduced(dataset, index, GRID);
    let mut bits = 0u64;
    for row in 0..GRID - 1 {
        for column in 0..GRID - 1 {
            // A chessboard of horizontal and vertical differences distinguishes more images than
            // either kind alone.
            let next = if (row + column) % 2 == 0 { row * GRID + column + 1 } else { (row + 1) * GRID + column };
            bits = bits << 1 | u64::from(grid[next] > grid[row * GRID + column]);
        }
    }
    Some(Fingerprint { mean: mean.round() as u8, deviation, bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    fn faces() -> Dataset {
        synthetic::dataset(700, ImageSpec { size: None, channels: 1 }, 1)
    }

    #[test]
    fn copies_are_counted_and_other_images_are_not() {
        let faces = faces();
        let known = TrainingImages::of(&faces);
        let [train, validation] = [Split::Train, Split::Validation].map(|split| faces.indices(split));
        assert_eq!((known.len(), known.count(&faces, &train)), (train.len(), train.len()));
        assert_eq!(known.count(&faces, &validation), 0);
        // As after JPEG compression: every pixel differs a little.
        let noisy = train.iter().map(|&index| {
            let mut image = faces.labeled_image(index);
            let change =
                |(i, pixel): (usize, &mut u8)| *pixel = pixel.saturating_add((i * 7 % 5) as u8).saturating_sub(2);
            image.pixels.iter_mut().enumerate().for_each(change);
            image
        });
        let noisy = Dataset::from_images(faces.classes(), faces.shape(), noisy).unwrap();
        let found = known.count(&noisy, &noisy.indices(Split::Train));
        assert!(found * 10 > train.len() * 9, "{found} of {}", train.len());
    }

    #[test]
    fn the_file_round_trips_and_belongs_to_one_data_set() {
        let known = TrainingImages::of(&faces());
        let bytes = known.to_bytes();
        assert_eq!(TrainingImages::from_bytes(&bytes), Some(known.clone()));
        assert_eq!(TrainingImages::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(TrainingImages::from_bytes(b"hello\n"), None);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TRAINING_IMAGES_FILE), bytes).unwrap();
        let model = folder.path().join("model.safetensors");
        assert_eq!(TrainingImages::find(&model, &known.data_hashes[0]), Some(known));
        assert_eq!(TrainingImages::find(&model, "other"), None);
    }

    #[test]
    fn images_of_two_models_belong_to_the_data_of_both() {
        let spec = ImageSpec { size: None, channels: 1 };
        let [first, second] = [1, 2].map(|seed| TrainingImages::of(&synthetic::dataset(140, spec, seed)));
        let expected = first.len() + second.len();
        let hashes = [&first, &second].map(|images| images.data_hashes[0].clone());
        let both = TrainingImages::from_bytes(&first.clone().with(second).with(first).to_bytes()).unwrap();
        assert_eq!(both.data_hashes, hashes);
        assert_eq!(both.len(), expected);
    }

    #[test]
    fn the_bundled_file_is_that_of_the_bundled_models() {
        for name in ["default", "fer2013", "tiny"] {
            let model = moue::Model::open(name).unwrap();
            let provenance = model.provenance();
            let known = TrainingImages::find(Path::new(name), &provenance.data_hash).expect("it is bundled");
            assert!(known.len() >= provenance.training_images.iter().sum::<usize>(), "{name}");
        }
    }
}
