//! The loop of a search: brackets of trials, rung by rung.
//!
//! Trials are proposed from the results of finished brackets only, and the trials of a rung are compared when all of
//! them have reached it. The order in which workers finish therefore changes nothing. A repeated search goes through the
//! same steps and finds the trials that are trained already.

use super::budget::Budget;
use super::error::TuneError;
use super::hyperband::Bracket;
use super::options::{Limit, TuneOptions};
use super::parameter::Values;
use super::results::{ProgressPoint, State};
use super::sampler::{Observed, propose};
use super::space::Space;
use super::trial::{self, Reached, Record, Trial};
use super::workers::{Assignment, Message, Trained, work};
use crate::config::{Config, DataOptions};
use crate::data::{DataSource, Dataset, ImageSpec, Split};
use crate::experiment::{OpenData, RunConfig};
use crate::train::Event;
use moue_engine::random::{Stream, key};
use rayon::ThreadPool;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often a trial is proposed again if it is not valid or was tried before.
const ATTEMPTS: u64 = 300;

/// Number of trials that are proposed at once if none is stopped early.
const BATCH: usize = 3;

/// Number of data sets that are kept for the next trials.
const KEPT_DATA: usize = 2;

/// Events of a search.
pub enum TuneEvent<'a> {
    /// A note for the user.
    Note(String),
    /// A warning about the data.
    Warning(String),
    /// A bracket begins: its number from 1, its trials, and the epochs of its rungs.
    Bracket {
        /// Its number.
        number: usize,
        /// Number of its trials.
        trials: usize,
        /// The epochs of its rungs.
        rungs: &'a [usize],
    },
    /// Images were trained on, of an estimated number.
    Images {
        /// Number of images so far.
        done: usize,
        /// Estimated number of all images of the search.
        of: usize,
        /// A short text.
        message: &'a str,
    },
    /// A trial has reached a rung, or has failed.
    Trial {
        /// Its number, from 1.
        number: usize,
        /// Its finished epochs.
        epochs: usize,
        /// The values of its parameters.
        values: &'a Values,
        /// The metric of its best epoch so far.
        value: Option<f64>,
        /// Whether it is the best so far.
        best: bool,
        /// Why it failed.
        error: Option<&'a str>,
    },
    /// An event of the training of the best configuration with a seed.
    Best {
        /// Its seed.
        seed: u64,
        /// Number of seeds.
        seeds: usize,
        /// The event.
        event: Event<'a>,
    },
}

/// Receives events.
pub type Observe<'a> = dyn FnMut(TuneEvent<'_>) + 'a;

/// A search.
pub struct Search<'a, 'b> {
    pub space: &'a Space,
    pub options: &'a TuneOptions,
    pub source: &'a DataSource,
    pub out: &'a Path,
    pub pools: &'a [ThreadPool],
    pub stop: &'a AtomicBool,
    pub open: &'a mut OpenData<'b>,
    pub observe: &'a mut Observe<'b>,
    /// Epochs of a whole training.
    pub epochs: usize,
    pub seed: u64,
    pub budget: Budget,
    /// Whether an earlier call has ended the search, so that no trial is begun.
    pub searched: bool,
    pub classes: usize,
    pub train_images: usize,
    pub trials: Vec<Trial>,
    pub data: Vec<(ImageSpec, DataOptions, Arc<Dataset>)>,
    /// Stops the workers.
    pub halt: Arc<AtomicBool>,
    pub images: usize,
}

/// How a rung ended.
#[derive(PartialEq)]
enum Rung {
    Finished,
    /// Without some of its trials.
    Stopped,
}

impl Search<'_, '_> {
    /// Runs to the end; returns false when it was interrupted.
    pub fn run(&mut self) -> Result<bool, TuneError> {
        for number in 0.. {
            let bracket = match self.options.early_stopping {
                true => Bracket::numbered(number, self.epochs),
                false => Bracket::whole(BATCH, self.epochs),
            };
            let wanted = match self.options.limit {
                Limit::Trials(most) => bracket.trials.min(most.saturating_sub(self.trials.len())),
                Limit::Budget(_) => bracket.trials,
            };
            let first = self.trials.len();
            if wanted == 0 || !self.begin(number + 1, wanted)? {
                break;
            }
            (self.observe)(TuneEvent::Bracket {
                number: number + 1,
                trials: self.trials.len() - first,
                rungs: &bracket.rungs,
            });
            if !self.bracket(&bracket, first)? {
                break;
            }
        }
        // The results of an interrupted search are those of the trials so far.
        Ok(!self.stop.load(Ordering::Relaxed))
    }

    /// Trains the trials from `first` on, rung by rung; returns false when the search must end.
    fn bracket(&mut self, bracket: &Bracket, first: usize) -> Result<bool, TuneError> {
        let mut alive: Vec<usize> = (first..self.trials.len()).collect();
        for (number, &epochs) in bracket.rungs.iter().enumerate() {
            let ended = self.rung(&alive, epochs)?;
            for &index in &alive {
                let trial = &mut self.trials[index];
                if trial.record.error.is_some() {
                    trial.state = State::Failed;
                } else if trial.record.ended || trial.record.history.len() >= self.epochs {
                    trial.state = State::Finished;
                }
                if trial.state != State::Unfinished {
                    trial.remove_checkpoint();
                }
            }
            if ended == Rung::Stopped {
                return Ok(false);
            }
            if number + 1 == bracket.rungs.len() {
                break;
            }
            let metric = self.options.metric;
            let mut ranked: Vec<(usize, f64)> =
                alive.iter().filter_map(|&index| Some((index, self.trials[index].score(metric, epochs)?))).collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let kept = Bracket::kept(alive.len()).min(ranked.len());
            for &(index, _) in &ranked[kept..] {
                let trial = &mut self.trials[index];
                if trial.state == State::Unfinished {
                    trial.state = State::Stopped;
                    trial.remove_checkpoint();
                }
            }
            alive = ranked[..kept].iter().map(|(index, _)| *index).collect();
        }
        Ok(true)
    }

    /// Adds trials; returns false when there is none.
    fn begin(&mut self, bracket: usize, wanted: usize) -> Result<bool, TuneError> {
        let first = self.trials.len();
        for number in first + 1..=first + wanted {
            let record = match trial::read(self.out, number)? {
                Some(record) => record,
                None if self.searched => break,
                None => match self.propose(number, first)? {
                    Some(values) => Record { values, ..Record::default() },
                    None => {
                        (self.observe)(TuneEvent::Note("every configuration of the space has been tried".into()));
                        break;
                    }
                },
            };
            let config = self.config(&record.values)?;
            let trial = Trial::new(self.out, number, bracket, config, record, self.classes);
            trial.save()?;
            self.trials.push(trial);
        }
        Ok(self.trials.len() > first)
    }

    /// Values for a trial, from the results of the trials before `known`; `None` when all have been tried.
    fn propose(&self, number: usize, known: usize) -> Result<Option<Values>, TuneError> {
        let metric = self.options.metric;
        let observed: Vec<Observed<'_>> = self.trials[..known]
            .iter()
            .flat_map(|trial| {
                trial.record.reached.iter().map(|reached| {
                    // A failed trial is worse than any other.
                    let score = trial.score(metric, reached.epochs).unwrap_or(f64::NEG_INFINITY);
                    Observed { values: &trial.record.values, epochs: reached.epochs, score }
                })
            })
            .collect();
        let mut fault = None;
        for attempt in 0..ATTEMPTS {
            let parts = [self.seed, u64::from_le_bytes(*b"propose\0"), number as u64, attempt];
            let values = propose(self.options.sampler, self.space, &observed, &mut Stream::new(key(&parts)));
            if self.trials.iter().any(|trial| trial.record.values == values) {
                continue;
            }
            match self.config(&values) {
                Ok(config) => {
                    if self.budget.affords(trial::work(&config, self.classes), self.epochs) {
                        return Ok(Some(values));
                    }
                }
                Err(error) => fault = Some(error),
            }
        }
        match fault {
            Some(error) if self.trials.is_empty() => Err(error),
            _ => Ok(None),
        }
    }

    /// The configuration of a trial.
    fn config(&self, values: &Values) -> Result<Config, TuneError> {
        let mut config = RunConfig::with_options(self.space.config(values)?, &self.options.run)?.config;
        config.train.epochs = self.epochs;
        Ok(config)
    }

    /// Trains these trials until they have this number of epochs.
    fn rung(&mut self, alive: &[usize], epochs: usize) -> Result<Rung, TuneError> {
        let mut queue: VecDeque<usize> =
            alive.iter().copied().filter(|&index| !self.trials[index].has(epochs)).collect();
        let (halt, pools) = (Arc::clone(&self.halt), self.pools);
        let (source, device) = (self.source, &self.options.device);
        let mut failure = None;
        std::thread::scope(|scope| {
            let (messages, received) = channel();
            let mut senders: Vec<Sender<Assignment>> = Vec::new();
            for (worker, pool) in pools.iter().enumerate() {
                let (sender, assignments) = channel();
                let (messages, halt) = (messages.clone(), Arc::clone(&halt));
                scope.spawn(move || work(worker, pool, source, device, &halt, &assignments, &messages));
                senders.push(sender);
            }
            let mut idle: Vec<usize> = (0..pools.len()).rev().collect();
            loop {
                while failure.is_none() && !idle.is_empty() && !halt.load(Ordering::Relaxed) {
                    match self.next(&mut queue, epochs) {
                        Ok(Some(assignment)) => {
                            let worker = idle.pop().unwrap_or_default();
                            // A worker ends only after its sender.
                            let _ = senders[worker].send(assignment);
                        }
                        Ok(None) => break,
                        Err(error) => failure = Some(error),
                    }
                }
                if idle.len() == pools.len() {
                    break;
                }
                match received.recv_timeout(Duration::from_millis(50)) {
                    Ok(Message::Images(images)) => self.count(images, epochs),
                    Ok(Message::Warning(text)) => (self.observe)(TuneEvent::Warning(text)),
                    Ok(Message::Done { worker, trial, trained }) => {
                        idle.push(worker);
                        if let Err(error) = self.finish(trial, epochs, trained) {
                            failure.get_or_insert(error);
                            halt.store(true, Ordering::Relaxed);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                self.watch();
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let is_finished = alive.iter().all(|&index| self.trials[index].has(epochs));
        Ok(if is_finished { Rung::Finished } else { Rung::Stopped })
    }

    /// The next trial for which there is time.
    fn next(&mut self, queue: &mut VecDeque<usize>, epochs: usize) -> Result<Option<Assignment>, TuneError> {
        while let Some(index) = queue.pop_front() {
            let trial = &self.trials[index];
            let further = epochs - trial.record.history.len();
            // The first trial is always trained, so that there is a result.
            let is_first = self.best().is_none() && index == 0;
            if self.searched || !(is_first || self.budget.allows(trial, further, self.best(), self.epochs)) {
                continue;
            }
            let (config, folder) = (trial.config.clone(), trial.folder.clone());
            let dataset = self.dataset(&config)?;
            return Ok(Some(Assignment { trial: index, config, dataset, folder, epochs }));
        }
        Ok(None)
    }

    /// The data of a configuration.
    pub fn dataset(&mut self, config: &Config) -> Result<Arc<Dataset>, TuneError> {
        let form = ImageSpec::of_input(config.model.input);
        let known = self.data.iter().position(|(own, options, _)| *own == form && *options == config.data);
        let entry = match known {
            Some(index) => self.data.remove(index),
            None => (form, config.data.clone(), Arc::new((self.open)(config)?)),
        };
        let dataset = Arc::clone(&entry.2);
        self.data.push(entry);
        if self.data.len() > KEPT_DATA {
            self.data.remove(0);
        }
        Ok(dataset)
    }

    fn finish(
        &mut self,
        index: usize,
        epochs: usize,
        trained: Result<Trained, crate::train::TrainError>,
    ) -> Result<(), TuneError> {
        let seconds = self.budget.seconds();
        let metric = self.options.metric;
        let before = self.best().and_then(|best| best.score(metric, usize::MAX));
        let trial = &mut self.trials[index];
        let trained = trained.map_err(|source| TuneError::Train { trial: trial.number, source })?;
        let record = &mut trial.record;
        (record.ended, record.error) = (trained.ended, trained.error);
        match record.error {
            None => record.history = trained.history,
            // An interruption may have left more epochs.
            Some(_) => record.history.truncate(record.reached.last().map_or(0, |reached| reached.epochs)),
        }
        if !trial.has(epochs) {
            // It was stopped; its checkpoint has the finished epochs.
            return trial.save();
        }
        trial.record.reached.push(Reached { epochs, seconds });
        trial.save()?;
        let score = trial.score(metric, usize::MAX);
        self.budget.learn(&self.trials);
        let trial = &self.trials[index];
        (self.observe)(TuneEvent::Trial {
            number: trial.number,
            epochs: trial.record.history.len(),
            values: &trial.record.values,
            value: trial.best_within(usize::MAX).map(|best| metric.of(best)),
            best: score.is_some_and(|score| before.is_none_or(|before| score > before)),
            error: trial.record.error.as_deref(),
        });
        Ok(())
    }

    fn count(&mut self, images: usize, epochs: usize) {
        self.images += images;
        let of = match self.options.limit {
            Limit::Trials(most) => self.planned_epochs(most) * self.train_images,
            Limit::Budget(limit) => {
                (self.images as f64 * limit.as_secs_f64() / self.budget.seconds().max(1e-3)) as usize
            }
        };
        let message = format!("{} trials, rung of {epochs} epochs", self.trials.len());
        (self.observe)(TuneEvent::Images { done: self.images, of, message: &message });
    }

    /// The epochs of a search with this number of trials.
    fn planned_epochs(&self, mut left: usize) -> usize {
        let (mut sum, mut number) = (0, 0);
        while left > 0 {
            if !self.options.early_stopping {
                return left * self.epochs;
            }
            let bracket = Bracket::numbered(number, self.epochs);
            let mut alive = bracket.trials.min(left);
            left -= alive;
            let mut before = 0;
            for &epochs in &bracket.rungs {
                sum += alive * (epochs - before);
                (before, alive) = (epochs, Bracket::kept(alive));
            }
            number += 1;
        }
        sum
    }

    fn watch(&mut self) {
        if self.stop.load(Ordering::Relaxed) || self.budget.is_over(self.best(), self.epochs) {
            self.halt.store(true, Ordering::Relaxed);
        }
    }

    /// The trial with the best score so far; the first of equal ones.
    pub fn best(&self) -> Option<&Trial> {
        let scored =
            self.trials.iter().filter_map(|trial| Some((trial, trial.score(self.options.metric, usize::MAX)?)));
        scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(trial, _)| trial)
    }

    /// All ends of rungs, in the order of time.
    pub fn progress(&self) -> Vec<ProgressPoint> {
        let metric = self.options.metric;
        let of = |trial: &Trial| {
            let value =
                |epochs: usize| trial.best_within(epochs).map(|best| metric.of(best)).filter(|value| value.is_finite());
            let point = |reached: &Reached| ProgressPoint {
                seconds: reached.seconds,
                trial: trial.number,
                epochs: reached.epochs.min(trial.record.history.len()),
                value: value(reached.epochs),
            };
            trial.record.reached.iter().map(point).collect::<Vec<_>>()
        };
        let mut points: Vec<ProgressPoint> = self.trials.iter().flat_map(of).collect();
        points.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        points
    }
}

/// Number of training images.
pub fn train_images(dataset: &Dataset) -> usize {
    dataset.indices(Split::Train).len()
}
