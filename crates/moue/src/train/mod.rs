//! Training: the loop over epochs and steps, what it keeps and what it writes.
//!
//! [`train`] fills a run folder (`run_folder`) and ends with a model; the
//! learning rate comes from `schedule`, the images from `batches`, and
//! everything needed to go on after an interruption from `checkpoint`.
//! [`compare`] trains several, `vary` makes several out of one.

mod batches;
mod checkpoint;
mod compare;
mod options;
mod run_folder;
mod schedule;
mod tensorboard;
mod vary;

pub use batches::plain;
pub use checkpoint::{CheckpointError, peek};
pub use compare::{CompareError, Comparison, EpochFigures, Experiment, OpenData, Row, Run, compare, plan};
pub use options::{ClassWeights, OptimizerName, ScheduleName, TrainOptions};
pub use run_folder::RunFolder;
pub use vary::{Variation, VaryError};

use crate::config::Config;
use crate::data::{Dataset, Split};
use crate::evaluate::{self, EvaluateError};
use crate::model::{self, ArchitectureError, Calibration, Model, ModelFileError, Provenance};
use batches::{Batch, Loader};
use checkpoint::Checkpoint;
use moue_engine::loss::{CrossEntropy, sparse_categorical_crossentropy};
use moue_engine::{Isa, Network, Optimizer, Pass, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// At the epoch's last step.
    pub learning_rate: f32,
    /// Mean over the epoch's steps, with dropout and augmentation.
    pub train_loss: f64,
    /// Likewise.
    pub train_accuracy: f64,
    /// After the epoch, plain cross-entropy.
    pub validation_loss: f64,
    /// After the epoch.
    pub validation_accuracy: f64,
    /// Of training and validation.
    pub seconds: f64,
    /// Training images per second, validation left out.
    pub images_per_second: f64,
    /// Seconds since 1970, for TensorBoard.
    pub wall_time: f64,
}

/// What a training says while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// After each step.
    Step {
        /// From 1.
        epoch: usize,
        /// Of all.
        epochs: usize,
        /// Images seen in this epoch.
        images: usize,
        /// Images in an epoch.
        of: usize,
        /// Mean loss in this epoch so far.
        loss: f64,
    },
    /// After each epoch.
    Epoch {
        /// Its figures.
        record: &'a EpochRecord,
        /// Of all.
        epochs: usize,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Something worth a line.
    Note(String),
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs done.
    Finished,
    /// No better validation accuracy for `early_stopping` epochs.
    StoppedEarly,
    /// Asked to stop; the folder holds what is needed to resume.
    Interrupted,
}

/// What a training leaves behind.
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The best epoch's model; `None` when no epoch was finished.
    pub model: Option<Model>,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// Its epoch, from 1; 0 when there is none.
    pub best_epoch: usize,
}

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The architecture does not fit the data.
    #[error("the architecture does not fit the data")]
    Architecture(#[from] ArchitectureError),
    /// A split is empty.
    #[error("there are no {0} images in this data")]
    Empty(&'static str),
    /// The data cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The loss left the numbers.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step} (learning rate {learning_rate}); lower the learning rate, \
         set clip_norm = 1.0, or add batch normalization. The last checkpoint was not touched"
    )]
    Diverged {
        /// NaN or infinity.
        loss: f64,
        /// From 1.
        epoch: usize,
        /// From 1.
        step: usize,
        /// At that step.
        learning_rate: f32,
    },
    /// A file of the run folder cannot be written.
    #[error("cannot write {}; what was there before is untouched", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The configuration cannot be written down.
    #[error("the configuration cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `--init` found nothing to start from.
    #[error(
        "none of the model's weights fits this architecture; --init needs the architecture the model was trained with"
    )]
    NothingToStartFrom,
}

/// A training to be done.
pub struct Job<'a> {
    /// Architecture and options.
    pub config: &'a Config,
    /// Images with splits, in the form of the network's input.
    pub dataset: &'a Dataset,
    /// `drawn`, or `given` with the path it was given as.
    pub source: DataSource,
    /// Where everything goes.
    pub folder: &'a RunFolder,
    /// A model to start from.
    pub init: Option<&'a Model>,
    /// Goes on from the folder's checkpoint.
    pub resume: bool,
}

/// Where a run's data came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSource {
    /// Drawn by the program.
    Drawn,
    /// Given by path.
    Given(PathBuf),
}

impl std::fmt::Display for DataSource {
    /// For headings.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Drawn => f.write_str("drawn faces"),
            Self::Given(path) => match path.file_name() {
                Some(name) => f.write_str(&name.to_string_lossy()),
                None => path.display().fmt(f),
            },
        }
    }
}

impl DataSource {
    fn word(&self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Given(_) => "given",
        }
    }
}

/// Trains until all epochs are done or `stop` is set, writing a checkpoint after
/// every epoch.
///
/// # Errors
/// When the data does not fit, the loss is no longer a number, or a file cannot
/// be written.
pub fn train(job: &Job<'_>, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    let mut training = Training::new(job, observe)?;
    job.folder.write_config(job.config)?;
    let ending = loop {
        if training.checkpoint.history.len() >= job.config.train.epochs {
            break Ending::Finished;
        }
        if training.ran_out_of_patience() {
            break Ending::StoppedEarly;
        }
        if !training.epoch(stop, observe)? {
            training.save()?;
            break Ending::Interrupted;
        }
        training.validate(observe)?;
        training.save()?;
    };
    let outcome = training.finish(ending);
    if let Some(model) = &outcome.model {
        model.save(&job.folder.model())?;
    }
    Ok(outcome)
}

/// The state of a training between two steps.
struct Training<'a> {
    job: &'a Job<'a>,
    network: Network,
    optimizer: Optimizer,
    loss: CrossEntropy,
    indices: Vec<usize>,
    /// Running average of all parameters, if wanted.
    average: Vec<Vec<f32>>,
    checkpoint: Checkpoint,
    /// What is validated, and in the end kept: a network of its own.
    judged: Model,
}

impl<'a> Training<'a> {
    fn new(job: &'a Job<'a>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Self, TrainError> {
        let (config, dataset) = (job.config, job.dataset);
        let options = &config.train;
        let indices = dataset.indices(Split::Train);
        if indices.is_empty() {
            return Err(TrainError::Empty("training"));
        }
        if dataset.indices(Split::Validation).is_empty() {
            return Err(TrainError::Empty("validation"));
        }
        let mut network = model::build(&config.model, dataset.classes.len(), options.seed)?;
        if let Some(init) = job.init {
            let fresh = model::transfer(&init.network, &mut network);
            let mut total = 0;
            network.visit(|_| total += 1);
            if fresh.len() == total {
                return Err(TrainError::NothingToStartFrom);
            }
            let fresh = if fresh.is_empty() { "nothing".into() } else { fresh.join(", ") };
            observe(Event::Note(format!("weights taken from the given model; new: {fresh}")));
        }
        let clip = (options.clip_norm > 0.0).then_some(options.clip_norm);
        let mut optimizer = Optimizer::new(options.optimizer_kind(), options.weight_decay, clip, &network);
        let mut average = if options.ema_decay > 0.0 { snapshot(&network) } else { Vec::new() };
        let data_hash = dataset.hash();
        let mut checkpoint = Checkpoint::fresh(config, &data_hash, &job.source)?;
        if job.resume {
            let saved = checkpoint::load(&job.folder.checkpoint(), &checkpoint)?;
            saved.restore(&mut network, &mut average, &mut optimizer)?;
            checkpoint = saved.checkpoint;
        }
        Ok(Self {
            job,
            network,
            optimizer,
            loss: CrossEntropy {
                label_smoothing: options.label_smoothing,
                class_weights: class_weights(options.class_weights, dataset, &indices),
            },
            indices,
            average,
            checkpoint,
            judged: unfitted(job, data_hash)?,
        })
    }

    fn ran_out_of_patience(&self) -> bool {
        let patience = self.job.config.train.early_stopping;
        patience > 0 && self.checkpoint.history.len() >= self.checkpoint.best.epoch + patience
    }

    /// Trains through an epoch, from the step after the last one done; false
    /// when it was stopped before the end.
    fn epoch(&mut self, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<bool, TrainError> {
        let (config, dataset) = (self.job.config, self.job.dataset);
        let options = &config.train;
        let normalisation = self.judged.normalisation.clone();
        let loader = Loader {
            dataset,
            augmentation: &config.augment,
            normalisation: &normalisation,
            seed: options.seed,
            batch_size: options.batch_size,
        };
        let epoch = self.checkpoint.history.len();
        let order = loader.order(&self.indices, epoch);
        let steps = order.len().div_ceil(options.batch_size);
        let mut gradient = Tensor::default();
        loader.epoch(&order, epoch, self.checkpoint.running.steps, |next| {
            let mut batch = None;
            loop {
                if self.checkpoint.running.steps == steps {
                    return Ok(true);
                }
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let Some(current) = next(batch.take()) else { return Ok(true) };
                let step = epoch * steps + self.checkpoint.running.steps;
                let total = options.epochs * steps;
                let rate = schedule::learning_rate(options, &self.checkpoint.plateau, step, total, steps);
                self.step(&current, &mut gradient, rate, epoch)?;
                let running = &self.checkpoint.running;
                observe(Event::Step {
                    epoch: epoch + 1,
                    epochs: options.epochs,
                    images: running.images,
                    of: order.len(),
                    loss: running.loss / running.images as f64,
                });
                batch = Some(current);
            }
        })
    }

    fn step(&mut self, batch: &Batch, gradient: &mut Tensor, rate: f32, epoch: usize) -> Result<(), TrainError> {
        let start = Instant::now();
        let logits = self.network.forward(&batch.images, Pass::Train { keys: &batch.keys });
        let loss = sparse_categorical_crossentropy(&self.loss, logits, &batch.labels, gradient);
        if !loss.sum.is_finite() {
            return Err(TrainError::Diverged {
                loss: loss.sum,
                epoch: epoch + 1,
                step: self.checkpoint.running.steps + 1,
                learning_rate: rate,
            });
        }
        self.network.backward(&batch.images, gradient);
        self.optimizer.step(&mut self.network, rate);
        self.move_average();
        let running = &mut self.checkpoint.running;
        running.steps += 1;
        running.images += batch.labels.len();
        running.loss += loss.sum;
        running.correct += loss.correct;
        running.seconds += start.elapsed().as_secs_f64();
        running.learning_rate = rate;
        Ok(())
    }

    /// Moves the average towards the weights; faster at the start, when there is
    /// nothing worth keeping yet.
    fn move_average(&mut self) {
        if self.average.is_empty() {
            return;
        }
        let steps = self.optimizer.steps() as f32;
        let decay = self.job.config.train.ema_decay.min((1.0 + steps) / (10.0 + steps));
        let mut average = self.average.iter_mut();
        self.network.visit(|parameter| {
            let Some(average) = average.next() else { return };
            average.par_chunks_mut(8192).zip(parameter.value.par_chunks(8192)).for_each(|(average, value)| {
                average.iter_mut().zip(value).for_each(|(a, v)| *a += (1.0 - decay) * (v - *a));
            });
        });
    }

    /// Measures the epoch just done on the validation split and keeps its
    /// weights if they are the best.
    fn validate(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let start = Instant::now();
        let weights = if self.average.is_empty() { snapshot(&self.network) } else { self.average.clone() };
        self.judged.set_weights(&weights);
        let judged = &mut self.judged;
        let answers = evaluate::answer(judged, self.job.dataset, Split::Validation, false, &mut |_| {})?;
        let figures = evaluate::figures(&judged.classes, &answers.labels, &answers.probabilities);
        let checkpoint = &mut self.checkpoint;
        let running = std::mem::take(&mut checkpoint.running);
        let images = running.images.max(1) as f64;
        let record = EpochRecord {
            epoch: checkpoint.history.len() + 1,
            learning_rate: running.learning_rate,
            train_loss: running.loss / images,
            train_accuracy: running.correct as f64 / images,
            validation_loss: figures.nll,
            validation_accuracy: figures.accuracy,
            seconds: running.seconds + start.elapsed().as_secs_f64(),
            images_per_second: images / running.seconds.max(1e-9),
            wall_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        };
        checkpoint.plateau.hear(&self.job.config.train, figures.nll);
        let best = checkpoint.best.is_beaten_by(&record);
        if best {
            checkpoint.best = checkpoint::Best { epoch: record.epoch, accuracy: figures.accuracy, loss: figures.nll };
            checkpoint.best_weights = weights;
        }
        observe(Event::Epoch { record: &record, epochs: self.job.config.train.epochs, best });
        checkpoint.history.push(record);
        Ok(())
    }

    fn save(&self) -> Result<(), TrainError> {
        let bytes = self.checkpoint.to_bytes(&self.network, &self.average, &self.optimizer);
        self.job.folder.write_checkpoint(bytes, &self.checkpoint.history)
    }

    fn finish(mut self, ending: Ending) -> Outcome {
        let best_epoch = self.checkpoint.best.epoch;
        self.judged.set_weights(&self.checkpoint.best_weights);
        self.judged.provenance.epoch = best_epoch;
        let model = (best_epoch > 0).then_some(self.judged);
        Outcome { ending, model, history: self.checkpoint.history, best_epoch }
    }
}

/// A model of the job's architecture, for weights to come.
fn unfitted(job: &Job<'_>, data_hash: String) -> Result<Model, ArchitectureError> {
    let (config, dataset) = (job.config, job.dataset);
    Ok(Model {
        architecture: config.model.clone(),
        classes: dataset.classes.clone(),
        normalisation: dataset.normalisation(config.data.normalisation),
        calibration: Calibration::default(),
        uncertain_below: 0.0,
        provenance: Provenance {
            seed: config.train.seed,
            data: job.source.word().to_owned(),
            data_hash,
            validation_fraction: config.data.validation_fraction,
            official_split: config.data.official_split,
            epoch: 0,
            moue_version: env!("CARGO_PKG_VERSION").to_owned(),
            isa: Isa::in_use().name().to_owned(),
        },
        network: model::build(&config.model, dataset.classes.len(), config.train.seed)?,
        ready: None,
    })
}

fn class_weights(kind: ClassWeights, dataset: &Dataset, training: &[usize]) -> Option<Vec<f32>> {
    if kind == ClassWeights::None {
        return None;
    }
    let counts = dataset.per_class(training);
    let even = training.len() as f32 / counts.len() as f32;
    Some(counts.into_iter().map(|count| if count == 0 { 0.0 } else { even / count as f32 }).collect())
}

/// The values of all parameters.
fn snapshot(network: &Network) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    network.visit(|parameter| values.push(parameter.value.to_vec()));
    values
}
