//! The state of a training, and its epochs. `step` trains on a batch.

mod step;

use super::batches::Loader;
use super::checkpoint::{self, Checkpoint};
use super::error::TrainError;
use super::initial;
use super::job::{Job, Outcome};
use super::ranks::Ranks;
use super::record::{Ending, EpochRecord, Event};
use super::schedule::{self, Plateau};
use super::targets::{Targets, model_hash, prior};
use super::validation::Validation;
use crate::config::{CalibrationKind, KeptEpoch, PrecisionName};
use crate::data::{NumberedSplit, Split, TrainingImages, warnings};
use crate::evaluate::{self, Predictions};
use crate::gpu::Gpu;
use moue::model::weights::{snapshot, transfer};
use moue::model::{Calibration, Model, Provenance, ValidationCount, build_blank};
use moue::{Classifier, DeviceError};
use moue_engine::{Network, Optimizer, Precision, Shape, Tensor};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Minimum number of validation images for a factor and a bias for each class.
const LEAST_FOR_VECTOR: usize = 1000;

/// Steps on a GPU between two readings of its metrics: each reading waits for the GPU.
const STEPS_PER_READING: usize = 16;

/// The state of a training between two steps.
pub struct Training<'a> {
    job: &'a Job<'a>,
    network: Network,
    optimizer: Optimizer,
    pub ranks: Ranks,
    targets: Targets,
    /// The prior times `logit_adjustment`, which the loss adds to the logits, and the logits with it.
    adjustment: Option<Calibration>,
    adjusted: Tensor,
    indices: Vec<usize>,
    /// Moving average of all parameters, if enabled.
    average: Vec<Vec<f32>>,
    /// Trains in place of the CPU, which has the weights of the last epoch in the meantime.
    gpu: Option<Gpu>,
    /// Steps on a GPU between two readings of its metrics.
    pub steps_per_reading: usize,
    pub checkpoint: Checkpoint,
    /// A separate network with the weights that are validated and saved.
    validated: Classifier,
}

impl<'a> Training<'a> {
    pub fn new(job: &'a Job<'a>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Self, TrainError> {
        let (config, dataset) = (job.config, job.dataset);
        let options = &config.train;
        let gpu = gpu(job)?;
        let indices = dataset.indices(Split::Train);
        if indices.is_empty() {
            return Err(TrainError::Empty("training"));
        }
        match dataset.indices(Split::Validation).len() {
            0 => return Err(TrainError::Empty("validation")),
            images if options.calibration == CalibrationKind::Vector && images < LEAST_FOR_VECTOR => {
                return Err(TrainError::TooFewToCalibrate { images });
            }
            _ => {}
        }
        for warning in warnings(dataset) {
            observe(Event::Warning(warning));
        }
        let mut network = initial::network(job, observe)?;
        for stage in &options.progressive {
            resized(job, &network, stage.image_size)?;
        }
        let clip = (options.clip_norm > 0.0).then_some(options.clip_norm);
        let mut optimizer = Optimizer::new(options.optimizer_kind(), options.weight_decay, clip, &network);
        let mut average = if options.ema_decay > 0.0 { snapshot(&network) } else { Vec::new() };
        let targets = Targets::new(options, dataset, &indices, &job.device)?;
        let (data_hash, teachers) = (dataset.hash(), targets.teacher_hashes()?);
        let init = job.init.map(model_hash).transpose()?;
        let mut checkpoint = Checkpoint::fresh(config, &data_hash, &teachers, init, &job.source)?;
        if job.resume {
            let saved = checkpoint::load(&job.folder.checkpoint(), &checkpoint)?;
            saved.restore(&mut network, &mut average, &mut optimizer)?;
            checkpoint = saved.checkpoint;
            if checkpoint.optimizer_steps == 0 {
                observe(Event::Note("the run was stopped before its first epoch was saved: it starts over".to_owned()));
            }
        }
        let ranks = Ranks::new(job.communicator.as_ref());
        if let Some(communicator) = ranks.communicator() {
            let weights: Vec<u8> = snapshot(&network).concat().iter().flat_map(|value| value.to_le_bytes()).collect();
            ranks.agree(&[
                ("configuration", checkpoint.config.as_bytes()),
                ("data set", data_hash.as_bytes()),
                ("list of teachers", teachers.concat().as_bytes()),
                ("initial model", &weights),
            ])?;
            network.join(communicator);
        }
        let validated = Classifier::prepare(unfitted(job, &checkpoint)?, options.precision.into(), &job.device);
        let validated = validated.map_err(|source| TrainError::Prepare { what: "the model", source })?;
        evaluate::check_fit(validated.model(), dataset)?;
        let adjustment = match options.logit_adjustment {
            0.0 => None,
            // Minus the adjustment of predictions.
            strength => Some(
                Calibration::default().with_prior(-f64::from(strength), &prior(dataset, "train.logit_adjustment")?),
            ),
        };
        let adjusted = Tensor::default();
        Ok(Self {
            job,
            network,
            optimizer,
            ranks,
            targets,
            adjustment,
            adjusted,
            indices,
            average,
            gpu,
            steps_per_reading: STEPS_PER_READING,
            validated,
            checkpoint,
        })
    }

    pub fn ran_out_of_patience(&self) -> bool {
        let patience = self.job.config.train.early_stopping;
        patience > 0 && self.checkpoint.history.len() >= self.checkpoint.best.epoch + patience
    }

    /// Trains until this number of epochs is finished, or all of them, with a checkpoint after each.
    fn advance(
        &mut self,
        epochs: usize,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Ending, TrainError> {
        loop {
            let finished = self.checkpoint.history.len();
            if finished >= self.job.config.train.epochs {
                return Ok(Ending::Finished);
            }
            if self.ran_out_of_patience() {
                return Ok(Ending::StoppedEarly);
            }
            if finished >= epochs {
                return Ok(Ending::Interrupted);
            }
            if !self.epoch(stop, observe)? {
                self.save()?;
                return Ok(Ending::Interrupted);
            }
            self.validate(observe)?;
            self.save()?;
        }
    }

    /// Trains an epoch, starting after the last finished step; returns false when it was stopped
    /// before the end.
    pub fn epoch(&mut self, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<bool, TrainError> {
        let options = &self.job.config.train;
        let scheduled = |plateau: &Plateau, step: usize, steps: usize| {
            schedule::learning_rate(options, plateau, step, options.epochs * steps, steps)
        };
        self.epoch_with(&scheduled, stop, observe)
    }

    /// Trains an epoch with another learning rate: a function of the number of the step in the whole training, and of
    /// the steps of an epoch.
    pub fn epoch_with(
        &mut self,
        rate: &dyn Fn(&Plateau, usize, usize) -> f32,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, TrainError> {
        let (config, dataset) = (self.job.config, self.job.dataset);
        let options = &config.train;
        let (normalization, ranks) = (self.validated.model().normalization().clone(), self.ranks.clone());
        let epoch = self.checkpoint.history.len();
        let loader = Loader {
            dataset,
            augmentation: &config.augment,
            normalization: &normalization,
            seed: options.seed,
            batch_size: options.batch_size,
            ranks: &ranks,
            size: options.size_in(epoch, [dataset.height, dataset.width]),
            full_size: self.targets.has_teachers(),
        };
        if self.network.input_shape() != Shape::new(loader.size[0], loader.size[1], dataset.channels) {
            self.network = resized(self.job, &self.network, loader.size)?;
            self.gpu.iter_mut().for_each(Gpu::end);
            if let Some(communicator) = ranks.communicator() {
                self.network.join(communicator);
            }
        }
        let order = loader.order(&self.indices, epoch);
        let steps = order.len().div_ceil(options.batch_size);
        self.begin_on_gpu()?;
        let mut gradient = Tensor::default();
        let finished: Result<bool, TrainError> = loader.epoch(&order, epoch, self.checkpoint.running.steps, |next| {
            let mut batch = None;
            loop {
                if self.checkpoint.running.steps == steps {
                    return Ok(true);
                }
                if ranks.any(stop.load(Ordering::Relaxed)) {
                    return Ok(false);
                }
                let Some(current) = next(batch.take()) else { return Ok(true) };
                let step = epoch * steps + self.checkpoint.running.steps;
                let rate = rate(&self.checkpoint.plateau, step, steps);
                self.step(&current, &mut gradient, rate, epoch)?;
                let running = &self.checkpoint.running;
                observe(Event::Step {
                    epoch: epoch + 1,
                    epochs: options.epochs,
                    images: running.images,
                    of: order.len(),
                    loss: running.loss / self.measured_images() as f64,
                });
                batch = Some(current);
            }
        });
        let finished = finished?;
        self.take_from_gpu(epoch)?;
        Ok(finished)
    }

    /// Evaluates the model on the validation split and saves its weights if they are the best.
    pub fn validate(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let start = Instant::now();
        let weights = if self.average.is_empty() { snapshot(&self.network) } else { self.average.clone() };
        self.validated.set_weights(&weights);
        let (predictions, _) = self.predictions();
        self.check_device()?;
        let metrics =
            evaluate::compute_metrics(self.validated.classes(), &predictions.labels, &predictions.probabilities);
        let checkpoint = &mut self.checkpoint;
        let running = std::mem::take(&mut checkpoint.running);
        let images = running.images.max(1) as f64;
        let record = EpochRecord {
            epoch: checkpoint.history.len() + 1,
            learning_rate: running.learning_rate,
            train_loss: running.loss / images,
            train_accuracy: running.correct as f64 / images,
            validation_loss: metrics.nll,
            validation_accuracy: metrics.accuracy,
            validation_macro_f1: Some(metrics.macro_f1),
            seconds: running.seconds + start.elapsed().as_secs_f64(),
            images_per_second: images / running.seconds.max(1e-9),
            wall_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        };
        checkpoint.plateau.observe(&self.job.config.train, metrics.nll);
        let best = self.job.config.train.keep == KeptEpoch::Last || checkpoint.best.is_beaten_by(&record);
        if best {
            checkpoint.best = checkpoint::Best { epoch: record.epoch, accuracy: metrics.accuracy, loss: metrics.nll };
            checkpoint.best_weights = weights;
        }
        observe(Event::Epoch { record: &record, epochs: self.job.config.train.epochs, best });
        checkpoint.history.push(record);
        checkpoint.validation = Some(Validation::new(metrics.confusion, &predictions));
        Ok(())
    }

    /// The predictions of [`Self::validated`] for the validation split, without calibration, and
    /// their logits; each rank computes a share of them.
    fn predictions(&self) -> (Predictions, Vec<f32>) {
        let dataset = self.job.dataset;
        let images = dataset.indices(Split::Validation);
        let own = evaluate::logits(&self.validated, dataset, &images[self.ranks.share(images.len())]);
        let logits = self.ranks.join_rows(own, dataset.classes.len(), images.len());
        let labels = images.iter().map(|&index| dataset.labels[index]).collect();
        // The fit has not been made, but the prior adjustment is part of every prediction.
        let calibration = self.validated.model().calibration().prior_only();
        let probabilities = calibrated(&calibration, &logits, dataset.classes.len());
        (Predictions { images, labels, probabilities }, logits)
    }

    pub fn save(&self) -> Result<(), TrainError> {
        if !self.ranks.leads() {
            return Ok(());
        }
        let bytes = self.checkpoint.to_bytes(&self.network, &self.average, &self.optimizer);
        // First, since the tables can be restored from it.
        self.job.folder.write_checkpoint(bytes)?;
        self.write_tables()
    }

    /// Writes the files that only repeat parts of the checkpoint.
    fn write_tables(&self) -> Result<(), TrainError> {
        let Checkpoint { history, validation, .. } = &self.checkpoint;
        if let Some(validation) = validation {
            self.job.folder.write_validation(&validation.document(history.len(), self.job.dataset));
        }
        self.job.folder.write_tables(history)
    }

    /// The model of the best epoch, calibrated on the split it was selected on, with its
    /// predictions for that split.
    pub fn finish(mut self, ending: Ending) -> Result<Outcome, TrainError> {
        let best_epoch = self.checkpoint.best.epoch;
        let (mut model, mut validation) = (None, None);
        if best_epoch > 0 {
            self.validated.set_weights(&self.checkpoint.best_weights);
            let (mut predictions, logits) = self.predictions();
            self.check_device()?;
            let mut best = self.validated.into_model();
            let images = predictions.images.len();
            let correct = (self.checkpoint.best.accuracy * images as f64).round() as usize;
            let provenance = best.provenance_mut();
            (provenance.epoch, provenance.validation) = (best_epoch, Some(ValidationCount { correct, images }));
            let options = &self.job.config.train;
            evaluate::calibrate(&mut best, &predictions, options.calibration, f64::from(options.selective_accuracy));
            let temperature = best.calibration().temperature_only();
            predictions.probabilities = calibrated(&temperature, &logits, best.classes().len());
            let is_f32 = self.job.config.train.precision == PrecisionName::F32;
            let best = evaluate::calibrate_int8(best, self.job.dataset, is_f32.then_some(&predictions))?;
            (model, validation) = (Some(best), Some(predictions));
        }
        Ok(Outcome { ending, model, validation, history: self.checkpoint.history, best_epoch })
    }
}

/// Trains until all epochs are finished or `stop` is set, and writes a checkpoint before the first
/// and after every epoch. All ranks return the same outcome.
///
/// # Errors
/// When the data does not fit, the loss is NaN or infinite, a file cannot be written, or another process is training in
/// the run folder.
pub fn train(job: &Job<'_>, stop: &AtomicBool, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    let _lock = lock(job)?;
    let mut training = begin(job, observe)?;
    let ending = training.advance(job.config.train.epochs, stop, observe)?;
    let leads = training.ranks.leads();
    let outcome = training.finish(ending)?;
    if let (Some(model), true) = (&outcome.model, leads) {
        model.save(job.folder.model())?;
    }
    Ok(outcome)
}

/// Trains like [`train`], but pauses after `epochs` epochs of the configuration's, and makes no model. A later call, or
/// [`train`], continues from the checkpoint. Returns how it ended and all epochs; a paused training is `Interrupted`.
///
/// # Errors
/// As [`train`].
pub fn train_until(
    job: &Job<'_>,
    epochs: usize,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(Ending, Vec<EpochRecord>), TrainError> {
    let _lock = lock(job)?;
    let mut training = begin(job, observe)?;
    let ending = training.advance(epochs, stop, observe)?;
    Ok((ending, training.checkpoint.history))
}

fn lock(job: &Job<'_>) -> Result<Option<File>, TrainError> {
    let is_first = job.communicator.as_ref().is_none_or(|communicator| communicator.rank() == 0);
    if is_first { job.folder.lock() } else { Ok(None) }
}

/// A training whose folder has a checkpoint and the configuration.
fn begin<'a>(job: &'a Job<'a>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Training<'a>, TrainError> {
    let training = Training::new(job, observe).inspect_err(|_| job.folder.remove_if_empty())?;
    if training.ranks.leads() {
        job.folder.remove_temporary_files();
        // A resumed run has those of the model that it was started from as well.
        if !(job.resume && job.folder.has_training_images()) {
            let mut images = TrainingImages::of(job.dataset);
            // A model that starts from a bundled one was trained on its images, too.
            if let Some(more) = job.init.and_then(|init| TrainingImages::bundled(&init.provenance().data_hash)) {
                images = images.with(more);
            }
            job.folder.write_training_images(&images)?;
        }
        if job.resume {
            // The run may have been killed between its checkpoint and the tables.
            training.write_tables()?;
        } else {
            // From it, a run that is killed in its first epoch starts over with the same weights and data.
            training.save()?;
        }
        job.folder.write_config(job.config)?;
    }
    Ok(training)
}

/// The probabilities of logits `[N, classes]`.
fn calibrated(calibration: &Calibration, logits: &[f32], classes: usize) -> Vec<f32> {
    let mut rows = logits.to_vec();
    calibration.apply(&mut rows, classes);
    rows
}

/// The network with the same weights for images of another size.
fn resized(job: &Job<'_>, network: &Network, [height, width]: [usize; 2]) -> Result<Network, TrainError> {
    let other = || TrainError::Progressive { size: [height, width] };
    let mut architecture = job.config.model.clone();
    architecture.input = [height, width, architecture.input[2]];
    let mut resized = build_blank(&architecture, job.dataset.classes.len()).map_err(|_| other())?;
    if !transfer(network, &mut resized).is_empty() {
        return Err(other());
    }
    resized.set_precision(network.precision());
    initial::freeze(job, &mut resized)?;
    Ok(resized)
}

/// The GPU of a job, if it has one.
fn gpu(job: &Job<'_>) -> Result<Option<Gpu>, TrainError> {
    let options = &job.config.train;
    let gpu = Gpu::of(&job.device);
    if gpu.is_some() {
        if job.communicator.is_some() {
            return Err(TrainError::GpuWithRanks);
        }
        if options.precision != PrecisionName::F32 {
            let source = DeviceError::Precision(Precision::from(options.precision).into()).into();
            return Err(TrainError::Prepare { what: "the training", source });
        }
    }
    Ok(gpu)
}

/// A model of the job's architecture, whose weights are set afterwards.
fn unfitted(job: &Job<'_>, checkpoint: &Checkpoint) -> Result<Model, TrainError> {
    let (config, dataset) = (job.config, job.dataset);
    let (precision, training) = (Precision::from(config.train.precision), dataset.indices(Split::Train));
    let mut model = Model::untrained(config.model.clone(), dataset.classes.clone(), config.train.seed)?;
    model.set_normalization(dataset.normalization(config.data.normalization));
    if config.model.prior_adjustment > 0.0 {
        let prior = prior(dataset, "model.prior_adjustment")?;
        let calibration = Calibration::default().with_prior(config.model.prior_adjustment.into(), &prior);
        model.set_calibration(calibration, 0.0)?;
    }
    *model.provenance_mut() = Provenance {
        data: job.source.word().to_owned(),
        data_hash: checkpoint.data_hash.clone(),
        training_images: dataset.per_class(&training),
        targets: config.data.describe_targets(),
        target_mass: if dataset.soft.is_some() { dataset.class_mass(&training) } else { Vec::new() },
        teachers: checkpoint.teachers.clone(),
        init: checkpoint.init.clone(),
        validation_fraction: config.data.validation_fraction,
        official_split: dataset.numbered == Some(NumberedSplit::Official),
        as_given: dataset.numbered == Some(NumberedSplit::AsGiven),
        faces: config.data.faces,
        fixes: dataset.fixes.as_ref().map(|fixes| fixes.hash.clone()),
        precision: (precision != Precision::F32).then(|| precision.name().to_owned()),
        device: (!job.device.is_cpu()).then(|| job.device.to_string()),
        ..model.provenance().clone()
    };
    Ok(model)
}
