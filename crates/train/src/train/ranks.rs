//! Divides the work of a training among processes, and checks that they were started alike. A
//! single process does all of the work.

use super::error::TrainError;
use moue_engine::{Communicator, GRAIN};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::sync::Arc;

/// The ranks of a training, from the view of one of them.
#[derive(Clone)]
pub struct Ranks(Option<Arc<dyn Communicator>>);

impl Ranks {
    pub fn new(communicator: Option<&Arc<dyn Communicator>>) -> Self {
        Self(communicator.cloned())
    }

    /// The communicator, if there are several ranks.
    pub fn communicator(&self) -> Option<Arc<dyn Communicator>> {
        self.0.clone()
    }

    fn place(&self) -> (usize, usize) {
        self.0.as_ref().map_or((0, 1), |communicator| (communicator.rank(), communicator.size()))
    }

    /// Whether this rank writes the files.
    pub fn leads(&self) -> bool {
        self.place().0 == 0
    }

    /// This rank's share of `len` items.
    pub fn share(&self, len: usize) -> Range<usize> {
        let (rank, size) = self.place();
        part(len, rank, size)
    }

    /// This rank's share of a batch of `images`, usually `batch_size`: whole blocks, so that the
    /// result is bit-identical to that of a single process, unless there are fewer blocks than
    /// ranks.
    pub fn share_of_batch(&self, images: usize, batch_size: usize) -> Range<usize> {
        let (rank, size) = self.place();
        if batch_size.div_ceil(GRAIN) < size {
            return part(images, rank, size);
        }
        let own = part(images.div_ceil(GRAIN), rank, size);
        own.start * GRAIN..(own.end * GRAIN).min(images)
    }

    /// Whether a condition is true on any rank.
    pub fn any(&self, flag: bool) -> bool {
        let mut count = [f64::from(u8::from(flag))];
        self.sum(&mut count);
        count[0] > 0.0
    }

    /// Replaces each value by its sum over all ranks.
    pub fn sum(&self, values: &mut [f64]) {
        if let Some(communicator) = &self.0 {
            communicator.sum(values);
        }
    }

    /// The rows of all ranks, `len` in total, each of which has the rows of its [`Self::share`].
    pub fn join_rows(&self, own: Vec<f32>, width: usize, len: usize) -> Vec<f32> {
        let Some(communicator) = &self.0 else { return own };
        let longest = len.div_ceil(communicator.size()) * width;
        let mut sent: Vec<f64> = own.into_iter().map(f64::from).collect();
        sent.resize(longest, 0.0);
        let all = communicator.gather(&sent);
        let parts = all.chunks_exact(longest.max(1)).enumerate();
        let rows = parts.flat_map(|(rank, rows)| &rows[..part(len, rank, communicator.size()).len() * width]);
        rows.map(|&value| value as f32).collect()
    }

    /// # Errors
    /// When any of these values differs between a rank and the first rank.
    pub fn agree(&self, things: &[(&'static str, &[u8])]) -> Result<(), TrainError> {
        let Some(communicator) = &self.0 else { return Ok(()) };
        // An f64 represents integers of 48 bits exactly.
        let digest = |bytes: &[u8]| Sha256::digest(bytes)[..6].iter().fold(0.0, |sum, &b| sum * 256.0 + f64::from(b));
        let own: Vec<f64> = things.iter().map(|(_, bytes)| digest(bytes)).collect();
        let all = communicator.gather(&own);
        for (rank, theirs) in all.chunks_exact(own.len().max(1)).enumerate() {
            for (&(what, _), (theirs, first)) in things.iter().zip(theirs.iter().zip(&all)) {
                if theirs != first {
                    return Err(TrainError::RanksDiffer { rank, what });
                }
            }
        }
        Ok(())
    }
}

fn part(len: usize, rank: usize, size: usize) -> Range<usize> {
    len * rank / size..len * (rank + 1) / size
}
