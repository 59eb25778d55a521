//! Distributed training with ranks as threads of the test: bit-identical to a single process.

use crate::votes::put_voted_faces;
use moue_engine::GRAIN;
use moue_train::config::{Config, DataOptions, VoteMode};
use moue_train::data::DataSource;
use moue_train::data::{Cache, Dataset, ImageSpec, Split, open, synthetic};
use moue_train::train::{Communicator, Ending, Event, Gradient, Job, Outcome, RunFolder, TrainError, train};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};

/// A network with all layers that use statistics of a batch or random numbers.
const NET: &str = r#"
[model]
name = "shared"
input = [24, 24, 1]
layers = [
  { kind = "conv2d", filters = 8, padding = "same", use_bias = false },
  { kind = "batch_normalization", activation = "relu" },
  { kind = "max_pooling2d" },
  { kind = "depthwise_conv2d", padding = "same", activation = "relu" },
  { kind = "dropout", rate = 0.1 },
  { kind = "residual", activation = "relu", layers = [
    { kind = "conv2d", filters = 8, padding = "same", use_bias = false },
    { kind = "batch_normalization", activation = "silu" },
    { kind = "conv2d", filters = 8, padding = "same" },
    { kind = "squeeze_excite", units = 4 },
  ] },
  { kind = "concatenate", branches = [
    [{ kind = "global_average_pooling2d" }],
    [{ kind = "global_max_pooling2d" }],
  ] },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[augment]
flip = true
rotation = 10.0
mixup = 0.4
[train]
epochs = 2
batch_size = 80
optimizer = "sgd"
learning_rate = 0.02
momentum = 0.9
weight_decay = 0.001
clip_norm = 1.0
ema_decay = 0.9
label_smoothing = 0.1
class_weights = "balanced"
progressive = [{ until = 0.5, image_size = [16, 20] }]
"#;

/// The shared state of the ranks.
struct Place {
    slots: Mutex<Vec<Vec<f64>>>,
    barrier: Barrier,
}

struct Thread {
    place: Arc<Place>,
    rank: usize,
    begun: Mutex<Vec<Gradient>>,
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.place.slots.lock().unwrap().len()
    }

    fn gather(&self, values: &[f64]) -> Vec<f64> {
        self.place.slots.lock().unwrap()[self.rank] = values.to_vec();
        self.place.barrier.wait();
        let all = self.place.slots.lock().unwrap().concat();
        self.place.barrier.wait();
        all
    }

    fn begin_sum(&self, gradient: Gradient) {
        self.begun.lock().unwrap().push(gradient);
    }

    fn finish_sums(&self) -> Vec<Gradient> {
        let mut begun = std::mem::take(&mut *self.begun.lock().unwrap());
        for gradient in &mut begun {
            self.sum(&mut gradient.values);
        }
        begun
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

/// Trains on this number of ranks; returns the outcome of each.
fn shared(
    ranks: usize,
    config: impl Fn(usize) -> Config + Sync,
    dataset: &Dataset,
    folder: &Path,
    stop_after: usize,
    resume: bool,
) -> Vec<Result<Outcome, TrainError>> {
    let place = Arc::new(Place { slots: Mutex::new(vec![Vec::new(); ranks]), barrier: Barrier::new(ranks) });
    let one = |rank| {
        let communicator = (ranks > 1).then(|| {
            let communicator: Arc<dyn Communicator> =
                Arc::new(Thread { place: Arc::clone(&place), rank, begun: Mutex::new(Vec::new()) });
            communicator
        });
        let (config, folder) = (config(rank), RunFolder::existing(folder));
        let job = Job { resume, communicator, ..Job::new(&config, dataset, DataSource::Synthetic, &folder) };
        let (stop, mut steps) = (AtomicBool::new(false), 0);
        train(&job, &stop, &mut |event| {
            if let Event::Step { .. } = event {
                steps += 1;
                // One rank is interrupted; all ranks must stop.
                stop.store(rank + 1 == ranks && steps == stop_after, Ordering::Relaxed);
            }
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ranks)
            .map(|rank| {
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                    pool.install(|| one(rank))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn weights(outcome: &Outcome) -> Vec<f32> {
    let mut all = Vec::new();
    outcome.model.as_ref().unwrap().network().visit(|parameter| all.extend_from_slice(&parameter.value));
    all
}

fn config() -> Config {
    Config::parse("test", NET).unwrap()
}

fn faces(count: usize) -> Dataset {
    synthetic::dataset(count, ImageSpec::of_input(config().model.input), 0)
}

#[test]
fn ranks_are_bit_identical_to_one_process() {
    let place = tempfile::tempdir().unwrap();
    // The last batch has one image, so that two of three ranks have none.
    let one_left = |count: &usize| faces(*count).indices(Split::Train).len() % config().train.batch_size == 1;
    for (count, ranks) in [(300, 2), (300, 3), ((300..400).find(one_left).unwrap(), 5)] {
        let dataset = faces(count);
        let alone = shared(1, |_| config(), &dataset, &place.path().join(format!("{count}-{ranks}-alone")), 0, false);
        let alone = alone.into_iter().next().unwrap().unwrap();
        let folder = place.path().join(format!("{count}-{ranks}"));
        let outcomes: Vec<Outcome> =
            shared(ranks, |_| config(), &dataset, &folder, 0, false).into_iter().map(Result::unwrap).collect();
        // With more ranks than grains the grains are divided, and rounding differs.
        let exact = ranks <= config().train.batch_size.div_ceil(GRAIN);
        for outcome in &outcomes {
            assert_eq!(weights(outcome), weights(&outcomes[0]), "all ranks are bit-identical");
        }
        let pairs = weights(&alone).into_iter().zip(weights(&outcomes[0]));
        let furthest = pairs.map(|(alone, shared)| (alone - shared).abs()).fold(0.0, f32::max);
        assert!(if exact { furthest == 0.0 } else { furthest < 1e-5 }, "{count} images on {ranks} ranks: {furthest}");
        for (alone, shared) in alone.history.iter().zip(&outcomes[0].history) {
            assert!((alone.train_loss - shared.train_loss).abs() < 1e-5);
            assert_eq!(alone.train_accuracy, shared.train_accuracy);
            assert!((alone.validation_loss - shared.validation_loss).abs() < 1e-5);
        }
        assert_eq!(outcomes[0].best_epoch, alone.best_epoch);
        assert!(folder.join("model.safetensors").is_file());
    }
}

/// Each rank draws the targets of its own images.
#[test]
fn ranks_that_train_on_votes_are_bit_identical_to_one_process() {
    let place = tempfile::tempdir().unwrap();
    let (data, votes) = put_voted_faces(place.path(), 300);
    let mut config = config();
    config.data = DataOptions { votes: Some(votes), vote_mode: VoteMode::Probability, ..config.data };
    let spec = ImageSpec::of_input(config.model.input);
    let dataset = open(data, spec, &config.data, 0, &Cache::off(), &|_| {}).unwrap();
    let [alone, both] = [1, 2].map(|ranks| {
        let folder = place.path().join(ranks.to_string());
        shared(ranks, |_| config.clone(), &dataset, &folder, 0, false).remove(0).unwrap()
    });
    assert_eq!(weights(&alone), weights(&both));
}

#[test]
fn an_interrupted_rank_stops_all_ranks_and_the_run_resumes() {
    let (place, dataset) = (tempfile::tempdir().unwrap(), faces(300));
    let whole = shared(2, |_| config(), &dataset, &place.path().join("whole"), 0, false);
    let folder = place.path().join("broken");
    for outcome in shared(2, |_| config(), &dataset, &folder, 3, false) {
        assert_eq!(outcome.unwrap().ending, Ending::Interrupted);
    }
    let resumed = shared(2, |_| config(), &dataset, &folder, 0, true);
    assert_eq!(weights(resumed[0].as_ref().unwrap()), weights(whole[0].as_ref().unwrap()));
}

#[test]
fn ranks_with_different_inputs_are_an_error() {
    let (place, dataset) = (tempfile::tempdir().unwrap(), faces(100));
    let other = |rank: usize| {
        let mut config = config();
        config.train.seed = rank as u64 / 2;
        config
    };
    for outcome in shared(3, other, &dataset, place.path(), 0, false) {
        let error = outcome.err().expect("an error").to_string();
        assert!(error.starts_with("the configuration of rank 2 differs from rank 0"), "{error}");
    }
    assert!(!place.path().join("checkpoints").exists());
}
