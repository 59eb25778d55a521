//! Out-of-fold predictions: each image is predicted by a network that was not trained on it, nor on a near-duplicate of it.
//!
//! The folds are trained one after the other, from checkpoints where there are any; the predictions of a finished fold
//! are stored, so that an audit that was stopped continues with the next one.

use super::error::AuditError;
use super::outliers::distances;
use crate::config::Config;
use crate::data::{DataSource, Dataset, Split};
use crate::evaluate::predict_split;
use crate::train::{Ending, Event, Job, RunFolder, train};
use moue::fs::write_atomically;
use moue::model::{Calibration, Model, read_tensors, write_tensors};
use moue::{Classifier, Tta};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

const KEY: &str = "moue-audit-fold";

/// Predictions for images by networks that have not seen them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutOfFold {
    /// `[N, classes]`, without calibration: nothing is fitted to the labels of the images.
    pub probabilities: Vec<f32>,
    /// For each image, the relative distance of its features to its neighbors; empty for a network without features.
    pub distances: Vec<f32>,
}

/// The progress of a cross-validation.
pub struct Progress<'a> {
    /// The fold that is trained, from 1.
    pub fold: usize,
    /// Number of images that all folds were trained on, counted once for each epoch.
    pub done: usize,
    /// The same at the end.
    pub of: usize,
    /// The event of the training; a resumed one starts with notes.
    pub event: &'a Event<'a>,
}

/// A cross-validation.
pub struct CrossValidation<'a> {
    /// Architecture and options of every training.
    pub config: &'a Config,
    /// Where the data is from.
    pub source: &'a DataSource,
    /// The images, by increasing index.
    pub images: &'a [usize],
    /// The fold of each of them, from 0.
    pub folds: &'a [usize],
    /// Number of folds.
    pub count: usize,
    /// The folder of the audit.
    pub out: &'a Path,
}

impl CrossValidation<'_> {
    /// Trains what is not yet trained; `None` when it was stopped. The splits of the data set are overwritten.
    ///
    /// # Errors
    /// When a training fails or a file cannot be read or written.
    pub fn run(
        &self,
        dataset: &mut Dataset,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<OutOfFold>, AuditError> {
        let (classes, epochs) = (dataset.classes.len(), self.config.train.epochs);
        let trained = |fold: usize| epochs * self.folds.iter().filter(|&&own| own != fold).count();
        let of: usize = (0..self.count).map(trained).sum();
        let mut all = OutOfFold { probabilities: vec![0.0; self.images.len() * classes], distances: Vec::new() };
        let mut before = 0;
        for fold in 0..self.count {
            let members: Vec<usize> = (0..self.images.len()).filter(|&at| self.folds[at] == fold).collect();
            let own = match self.stored(fold, members.len(), classes)? {
                Some(own) => {
                    // A process may have been killed before it removed the training.
                    self.remove_training(fold);
                    own
                }
                None => {
                    self.split(dataset, fold);
                    let done = &mut |event: &Event<'_>| {
                        let step = match event {
                            Event::Step { epoch, images, of, .. } => (epoch - 1) * of + images,
                            _ => 0,
                        };
                        observe(Progress { fold: fold + 1, done: before + step, of, event });
                    };
                    let Some(own) = self.train(dataset, fold, stop, done)? else { return Ok(None) };
                    own
                }
            };
            before += trained(fold);
            for (position, &at) in members.iter().enumerate() {
                all.probabilities[at * classes..(at + 1) * classes]
                    .copy_from_slice(&own.probabilities[position * classes..(position + 1) * classes]);
            }
            if own.distances.len() == members.len() {
                all.distances.resize(self.images.len(), 0.0);
                members.iter().zip(own.distances).for_each(|(&at, distance)| all.distances[at] = distance);
            }
        }
        Ok(Some(all))
    }

    /// The images of the fold are the validation split, those of the others the training split.
    fn split(&self, dataset: &mut Dataset, fold: usize) {
        dataset.splits.fill(Split::Test);
        for (&image, &own) in self.images.iter().zip(self.folds) {
            dataset.splits[image] = if own == fold { Split::Validation } else { Split::Train };
        }
    }

    fn train(
        &self,
        dataset: &Dataset,
        fold: usize,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Option<OutOfFold>, AuditError> {
        let folder = RunFolder::existing(self.training(fold));
        let resume = folder.checkpoint().exists();
        let job = Job { resume, ..Job::new(self.config, dataset, self.source.clone(), &folder) };
        let outcome = train(&job, stop, &mut |event| observe(&event))
            .map_err(|source| AuditError::Train { fold: fold + 1, source })?;
        let (Ending::Finished, Some(model)) = (outcome.ending, outcome.model) else { return Ok(None) };
        // A mirrored face has the same expression where the training mirrors faces.
        let tta = if self.config.augment.flip { Tta::Flip } else { Tta::None };
        let found = predict(model, dataset, tta, self.config.train.seed)?;
        self.store(fold, &found, dataset.classes.len())?;
        self.remove_training(fold);
        Ok(Some(found))
    }

    fn training(&self, fold: usize) -> PathBuf {
        self.out.join(format!("folds/{}", fold + 1))
    }

    /// Checkpoint and model are not needed any more; a folder that stays does no harm.
    fn remove_training(&self, fold: usize) {
        let _ = std::fs::remove_dir_all(self.training(fold));
    }

    fn path(&self, fold: usize) -> PathBuf {
        self.out.join(format!("folds/{}.safetensors", fold + 1))
    }

    fn store(&self, fold: usize, found: &OutOfFold, classes: usize) -> Result<(), AuditError> {
        let path = self.path(fold);
        let count = found.probabilities.len() / classes;
        let mut tensors = BTreeMap::new();
        tensors.insert("probabilities".to_owned(), (vec![count, classes], found.probabilities.clone()));
        if !found.distances.is_empty() {
            tensors.insert("distances".to_owned(), (vec![count], found.distances.clone()));
        }
        let written = write_tensors(&tensors, KEY, "{}").map_err(std::io::Error::other);
        let written = written.and_then(|bytes| {
            std::fs::create_dir_all(self.out.join("folds"))?;
            write_atomically(&path, &bytes)
        });
        written.map_err(|source| AuditError::Write { path, source })
    }

    /// The predictions of a finished fold.
    fn stored(&self, fold: usize, count: usize, classes: usize) -> Result<Option<OutOfFold>, AuditError> {
        let path = self.path(fold);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = moue::fs::read(&path).map_err(|source| AuditError::Read { path: path.clone(), source })?;
        let mut tensors = read_tensors(&bytes, KEY).map(|(tensors, _)| tensors).unwrap_or_default();
        let mut take = |name: &str| tensors.remove(name).map(|(_, values)| values).unwrap_or_default();
        let found = OutOfFold { probabilities: take("probabilities"), distances: take("distances") };
        if found.probabilities.len() != count * classes || ![0, count].contains(&found.distances.len()) {
            return Err(AuditError::Damaged { path });
        }
        Ok(Some(found))
    }
}

/// The predictions of a model for the validation split.
///
/// # Errors
/// When the model does not fit the data.
pub fn predict(mut model: Model, dataset: &Dataset, tta: Tta, seed: u64) -> Result<OutOfFold, AuditError> {
    // The identity is valid for any number of classes.
    let _ = model.set_calibration(Calibration::default(), 0.0);
    let classifier = Classifier::new(model);
    let predictions = predict_split(&classifier, dataset, Split::Validation, tta, &mut |_| {})?;
    let distances = distances(classifier.model(), dataset, &predictions.images, seed).unwrap_or_default();
    Ok(OutOfFold { probabilities: predictions.probabilities, distances })
}
