//! Threads that train trials, each with a thread pool of its own.

use crate::config::Config;
use crate::data::{DataSource, Dataset};
use crate::train::{Ending, EpochRecord, Event, Job, RunFolder, TrainError, train_until};
use moue::{Device, with_causes};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};

/// A trial to be trained.
pub struct Assignment {
    /// Its index.
    pub trial: usize,
    pub config: Config,
    pub dataset: Arc<Dataset>,
    pub folder: RunFolder,
    /// Until this number of epochs is finished.
    pub epochs: usize,
}

/// What a worker reports.
pub enum Message {
    /// This number of images was trained on.
    Images(usize),
    Warning(String),
    Done {
        worker: usize,
        trial: usize,
        trained: Result<Trained, TrainError>,
    },
}

/// How far a trial is.
pub struct Trained {
    pub history: Vec<EpochRecord>,
    /// Whether it ended by itself.
    pub ended: bool,
    /// Why the configuration cannot be trained.
    pub error: Option<String>,
}

/// The thread pools of `workers` workers that share `threads` threads.
pub fn pools(workers: usize, threads: usize) -> std::io::Result<Vec<ThreadPool>> {
    let pool = |worker: usize| {
        let own = (threads * (worker + 1) / workers - threads * worker / workers).max(1);
        ThreadPoolBuilder::new().num_threads(own).build().map_err(std::io::Error::other)
    };
    (0..workers).map(pool).collect()
}

/// Trains what comes until the sender is gone.
pub fn work(
    worker: usize,
    pool: &ThreadPool,
    source: &DataSource,
    device: &Device,
    halt: &AtomicBool,
    assignments: &Receiver<Assignment>,
    messages: &Sender<Message>,
) {
    for assignment in assignments {
        let trial = assignment.trial;
        let trained = pool.install(|| advance(&assignment, source, device, halt, messages));
        // The receiver is gone when the search has failed.
        let _ = messages.send(Message::Done { worker, trial, trained });
    }
}

fn advance(
    Assignment { config, dataset, folder, epochs, .. }: &Assignment,
    source: &DataSource,
    device: &Device,
    halt: &AtomicBool,
    messages: &Sender<Message>,
) -> Result<Trained, TrainError> {
    let job = Job {
        resume: folder.checkpoint().exists(),
        device: device.clone(),
        ..Job::new(config, dataset, source.clone(), folder)
    };
    let mut before = 0;
    let outcome = train_until(&job, *epochs, halt, &mut |event| {
        let message = match event {
            Event::Step { images, .. } => {
                // A new epoch begins with 0.
                let new = if images < before { images } else { images - before };
                before = images;
                Message::Images(new)
            }
            Event::Warning(text) => Message::Warning(text),
            Event::Epoch { .. } | Event::Note(_) => return,
        };
        let _ = messages.send(message);
    });
    match outcome {
        Ok((ending, history)) => Ok(Trained { history, ended: ending != Ending::Interrupted, error: None }),
        Err(error) if is_fatal(&error) || device.error().is_some() => Err(error),
        Err(error) => Ok(Trained { history: Vec::new(), ended: false, error: Some(with_causes(&error)) }),
    }
}

/// Whether the search cannot go on: the machine fails, not a configuration.
fn is_fatal(error: &TrainError) -> bool {
    matches!(
        error,
        TrainError::Write { .. }
            | TrainError::InUse { .. }
            | TrainError::Checkpoint(_)
            | TrainError::Empty(_)
            | TrainError::Model(_)
            | TrainError::Prepare { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_divided_among_workers() {
        let threads = |workers, threads| -> Vec<usize> {
            pools(workers, threads).unwrap().iter().map(ThreadPool::current_num_threads).collect()
        };
        assert_eq!(threads(1, 3), [3]);
        assert_eq!(threads(2, 5), [2, 3]);
        assert_eq!(threads(3, 2), [1, 1, 1]);
    }
}
