//! A training of one epoch that is fast, and its checkpoint.

use moue_train::config::Config;
use moue_train::data::{DataSource, Dataset, LabeledImage, Split};
use moue_train::train::{Ending, Job, RunFolder, SavedRun, train};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// A training in a folder of its own.
pub struct Run {
    place: TempDir,
    config: Config,
    dataset: Dataset,
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// The folder of a training that has not begun.
    ///
    /// # Panics
    /// When the folder cannot be created.
    #[must_use]
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::new(crate::architecture()).expect("the network is valid");
        config.train.epochs = 1;
        config.train.batch_size = 4;
        let image = |number: u8| LabeledImage {
            id: number.to_string(),
            label: u32::from(number % 2),
            split: if number < 6 { Split::Train } else { Split::Validation },
            pixels: (0..64).map(|pixel| pixel * number).collect(),
        };
        let classes = ["happy", "sad"].map(str::to_owned);
        let dataset = Dataset::from_images(&classes, [8, 8, 1], (0..8).map(image)).expect("the images are alike");
        Self { place, config, dataset }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("run")
    }

    /// Trains, and returns the checkpoint.
    ///
    /// # Panics
    /// When the training fails.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let folder = RunFolder::existing(self.folder());
        train(&self.job(&folder, false), &AtomicBool::new(false), &mut |_| {}).expect("the training is valid");
        std::fs::read(folder.checkpoint()).expect("a training leaves a checkpoint")
    }

    /// Resumes the training from a checkpoint.
    ///
    /// # Panics
    /// When a resumed training leaves no checkpoint.
    pub fn resume(&self, checkpoint: &[u8]) {
        let folder = RunFolder::existing(self.folder());
        let path = folder.checkpoint();
        std::fs::create_dir_all(self.folder().join("checkpoints")).expect("the folder is writable");
        std::fs::write(&path, checkpoint).expect("the folder is writable");
        let Ok(saved) = SavedRun::open(&path) else { return };
        let _ = saved.is_finished(&self.config);
        let outcome = train(&self.job(&folder, true), &AtomicBool::new(false), &mut |_| {});
        if outcome.is_ok_and(|outcome| outcome.ending == Ending::Finished) {
            SavedRun::open(&path).expect("a training leaves a checkpoint that opens");
        }
    }

    fn job<'a>(&'a self, folder: &'a RunFolder, resume: bool) -> Job<'a> {
        let (config, dataset, source) = (&self.config, &self.dataset, DataSource::Synthetic);
        Job { config, dataset, source, folder, init: None, resume, communicator: None }
    }
}
