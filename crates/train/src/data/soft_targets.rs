//! Targets of training that are distributions over the classes instead of labels.

use moue_engine::loss::argmax;
use moue_engine::random::{Stream, key};
use sha2::{Digest, Sha256};

/// Targets that are not the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftTargets {
    /// A distribution over the classes for each image, `[N, classes]`.
    pub rows: Vec<f32>,
    /// Whether a target is a class that is sampled from the distribution in each epoch.
    pub sampled: bool,
}

impl SoftTargets {
    /// Removes the images whose flag is false.
    pub fn retain(&mut self, keep: &[bool], classes: usize) {
        let rows = self.rows.chunks_exact(classes).zip(keep);
        self.rows = rows.filter(|(_, keep)| **keep).flat_map(|(row, _)| row).copied().collect();
    }

    /// Adds the targets to the hash of a data set.
    pub fn hash(&self, hasher: &mut Sha256) {
        hasher.update([u8::from(self.sampled)]);
        self.rows.iter().for_each(|share| hasher.update(share.to_le_bytes()));
    }
}

/// A class that is sampled from a distribution.
pub fn sampled(row: &[f32], of_image: u64) -> usize {
    let mut at = Stream::new(key(&[of_image, u64::from_le_bytes(*b"votes\0\0\0")])).uniform();
    for (class, &share) in row.iter().enumerate() {
        at -= share;
        if at < 0.0 {
            return class;
        }
    }
    argmax(row)
}
