//! MPI: the processes of a training as ranks (`mpirun -n 4 moue train …`).
//!
//! A separate thread adds the gradients during the backward pass: it collects them into buckets
//! whose limits are the same on all ranks, assigns each rank a part of a bucket, which the rank
//! sums in the order of ranks, and distributes the sums. That transfers as many bytes as any
//! all-reduce (Thakur et al. 2005), and unlike `MPI_Allreduce` fixes the order. Small sums that
//! block the pass use a separate communicator.

use moue_engine::{Communicator, Gradient};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Size of a full bucket in values: 1 MiB.
const BUCKET: usize = 128 * 1024;

/// Interval of polling for a finished bucket; meanwhile the thread leaves its core to the network.
const PAUSE: Duration = Duration::from_micros(50);

/// Errors of MPI.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MpiError {
    /// MPI can be initialized only once in a process.
    #[error("MPI is already initialized in this process")]
    Twice,
    /// The MPI library does not support two communicating threads.
    #[error("this MPI library does not support MPI_THREAD_MULTIPLE (it provides {0:?}); use one that does")]
    Threads(Threading),
}

/// This process as a rank of the job that `mpirun` started.
pub struct Mpi {
    rank: usize,
    size: usize,
    work: Option<Sender<Work>>,
    sums: Mutex<Receiver<Vec<Gradient>>>,
    adder: Option<JoinHandle<()>>,
    /// Finalizes MPI when dropped.
    _universe: Universe,
}

enum Work {
    Add(Gradient),
    Finish,
}

impl Mpi {
    /// Joins the MPI job; `None` for a process that was started alone.
    ///
    /// # Errors
    /// When MPI is already initialized, or does not support several threads.
    pub fn start() -> Result<Option<Arc<dyn Communicator>>, MpiError> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Multiple).ok_or(MpiError::Twice)?;
        if threading != Threading::Multiple {
            return Err(MpiError::Threads(threading));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        if size == 1 {
            return Ok(None);
        }
        let (work, todo) = channel();
        let (done, sums) = channel();
        let (ready, is_ready) = channel();
        let adder = std::thread::spawn(move || {
            let communicator = SimpleCommunicator::world().duplicate();
            let _ = ready.send(());
            Adder { communicator, size, sent: Vec::new(), received: Vec::new(), own: Vec::new() }.work(&todo, &done);
        });
        let _ = is_ready.recv();
        let sums = Mutex::new(sums);
        Ok(Some(Arc::new(Self { rank, size, work: Some(work), sums, adder: Some(adder), _universe: universe })))
    }

    fn hand(&self, work: Work) {
        // The thread ends when this sender is dropped.
        let _ = self.work.as_ref().map(|sender| sender.send(work));
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort(101);
        }
        self.work = None;
        let _ = self.adder.take().map(JoinHandle::join);
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, values: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; values.len() * self.size];
        SimpleCommunicator::world().all_gather_into(values, &mut all[..]);
        all
    }

    fn begin_sum(&self, gradient: Gradient) {
        self.hand(Work::Add(gradient));
    }

    fn finish_sums(&self) -> Vec<Gradient> {
        self.hand(Work::Finish);
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.recv().unwrap_or_default()
    }

    fn abort(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }
}

/// The thread that sums gradients.
struct Adder {
    communicator: SimpleCommunicator,
    size: usize,
    sent: Vec<f64>,
    received: Vec<f64>,
    own: Vec<f64>,
}

impl Adder {
    fn work(mut self, todo: &Receiver<Work>, done: &Sender<Vec<Gradient>>) {
        let (mut bucket, mut len, mut sums) = (Vec::new(), 0, Vec::new());
        while let Ok(work) = todo.recv() {
            let finish = match work {
                Work::Add(gradient) => {
                    len += gradient.values.len();
                    bucket.push(gradient);
                    false
                }
                Work::Finish => true,
            };
            if len >= BUCKET || finish {
                self.add_up(&mut bucket, len);
                sums.append(&mut bucket);
                len = 0;
            }
            if finish && done.send(std::mem::take(&mut sums)).is_err() {
                return;
            }
        }
    }

    fn add_up(&mut self, bucket: &mut [Gradient], len: usize) {
        if len == 0 {
            return;
        }
        let part = len.div_ceil(self.size);
        self.sent.clear();
        bucket.iter().for_each(|gradient| self.sent.extend_from_slice(&gradient.values));
        self.sent.resize(part * self.size, 0.0);
        self.received.resize(part * self.size, 0.0);
        let Self { communicator, sent, received, own, .. } = self;
        scope(|scope| wait(communicator.immediate_all_to_all_into(scope, &sent[..], &mut received[..])));
        own.clear();
        own.resize(part, 0.0);
        for theirs in received.chunks_exact(part) {
            own.iter_mut().zip(theirs).for_each(|(sum, value)| *sum += value);
        }
        scope(|scope| wait(communicator.immediate_all_gather_into(scope, &own[..], &mut sent[..])));
        let mut rest = &sent[..];
        for gradient in bucket {
            let (values, after) = rest.split_at(gradient.values.len());
            gradient.values.copy_from_slice(values);
            rest = after;
        }
    }
}

fn wait<'a, R: ?Sized, S: Scope<'a>>(mut request: Request<'a, R, S>) {
    while let Err(not_yet) = request.test() {
        std::thread::sleep(PAUSE);
        request = not_yet;
    }
}
