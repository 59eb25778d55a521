//! Predicts pictures outside the async threads.
//!
//! A request is admitted or rejected immediately. A thread for blocking work decodes its pictures
//! and detects the faces; the number of such threads is limited. A single thread runs the network
//! for the faces of all waiting requests together.

use crate::body::Account;
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::http::StatusCode;
use moue::predict::{FaceCrops, Photo, PhotoError, PredictOptions, Predictor};
use moue::prediction::Prediction;
use moue::{Classifier, Tta};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// Maximum faces in a batch.
const BATCH: usize = 64;

/// Without a request for this time, the memory for predictions is freed.
const IDLE: Duration = Duration::from_secs(2);

/// An uploaded picture file.
pub struct Upload {
    /// Name in predictions.
    pub name: String,
    /// The file's content.
    pub bytes: Bytes,
    /// Holds the memory for the content.
    pub account: Account,
}

/// Options of a prediction.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Detect faces.
    pub detect: bool,
    /// Add saliency maps.
    pub explain: bool,
    /// Predict the available part of truncated files.
    pub allow_truncated: bool,
    /// The views of each face over which predictions are averaged.
    pub tta: Tta,
}

/// A place in the queue, released on drop.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.queue.dec();
    }
}

struct Ask {
    crops: Vec<Vec<u8>>,
    result: oneshot::Sender<Vec<f32>>,
}

/// The predictor of the service.
pub struct Work {
    predictor: Arc<Predictor>,
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    network: mpsc::Sender<Ask>,
    metrics: Arc<Metrics>,
}

impl Work {
    /// Starts the thread of the network; it ends when this is dropped.
    pub fn new(classifier: Classifier, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let options = PredictOptions { max_pixels: Some(limits.pixels), ..PredictOptions::default() };
        let predictor = Arc::new(Predictor::new(classifier).with_options(options));
        let (network, asked) = mpsc::channel();
        let (runs, counts) = (Arc::clone(&predictor), Arc::clone(&metrics));
        std::thread::spawn(move || run_network(&runs, &asked, &counts));
        Self {
            predictor,
            places: Arc::new(Semaphore::new(limits.workers + limits.queue)),
            workers: Arc::new(Semaphore::new(limits.workers)),
            network,
            metrics,
        }
    }

    /// Checks that the queue is not full.
    pub fn check(&self) -> Result<(), Problem> {
        if self.places.available_permits() == 0 { Err(queue_full()) } else { Ok(()) }
    }

    /// Reserves a place for a request, unless the queue is full.
    pub fn admit(&self) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| queue_full())?;
        self.metrics.queue.inc();
        Ok(Place { _permit: permit, metrics: Arc::clone(&self.metrics) })
    }

    /// Predicts a picture by the three steps of [`Predictor::predict`]: a worker detects the faces,
    /// the network's thread classifies them, a worker assembles the prediction.
    pub async fn inspect(
        &self,
        Upload { name, bytes, account }: Upload,
        wanted: Wanted,
    ) -> Result<Prediction, Problem> {
        let Wanted { detect, explain, allow_truncated, tta } = wanted;
        let options = PredictOptions { detect, explain, allow_truncated, tta, ..*self.predictor.options() };
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| gone())?;
        let predictor = Arc::clone(&self.predictor);
        let face_crops = spawn_blocking(move || {
            let face_crops = predictor.crop_photo(Photo::Bytes("", &bytes), &options).map(|(_, face_crops)| face_crops);
            drop((bytes, account, worker));
            face_crops
        });
        let face_crops = face_crops.await.map_err(|_| gone())?.map_err(|error| unusable(&error))?;
        let probabilities = self.ask(&face_crops, tta).await?;
        self.metrics.inspected(face_crops.places().len());
        if !explain {
            return Ok(self.predictor.prediction(name, &face_crops, &probabilities, &options));
        }
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| gone())?;
        let predictor = Arc::clone(&self.predictor);
        let explained = spawn_blocking(move || {
            let prediction = predictor.prediction(name, &face_crops, &probabilities, &options);
            drop(worker);
            prediction
        });
        explained.await.map_err(|_| gone())
    }

    /// The probabilities of faces, `[N, classes]`.
    async fn ask(&self, face_crops: &FaceCrops, tta: Tta) -> Result<Vec<f32>, Problem> {
        let (result, results) = oneshot::channel();
        let classifier = self.predictor.classifier();
        let crops = tta.views(face_crops.crops(), classifier.input()).into_owned();
        self.network.send(Ask { crops, result }).map_err(|_| gone())?;
        let rows = results.await.map_err(|_| gone())?;
        Ok(tta.mean(rows, classifier.classes().len()))
    }
}

/// The problem for a picture that cannot be predicted.
fn unusable(error: &PhotoError) -> Problem {
    match error {
        PhotoError::TooLarge { .. } => Problem::too_large(error.to_string()),
        _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

/// Runs the network for waiting requests until all senders are dropped.
fn run_network(predictor: &Predictor, asked: &mpsc::Receiver<Ask>, metrics: &Metrics) {
    let classes = predictor.classifier().classes().len();
    let mut warned = false;
    while let Some(first) = next(predictor, asked) {
        let (mut crops, mut waiting) = (first.crops, vec![]);
        waiting.push((crops.len(), first.result));
        while crops.len() < BATCH {
            let Ok(next) = asked.try_recv() else { break };
            // A client that has disconnected does not receive its result.
            if next.result.is_closed() {
                continue;
            }
            waiting.push((next.crops.len(), next.result));
            crops.extend(next.crops);
        }
        if !crops.is_empty() {
            metrics.ran(crops.len());
        }
        // A panic, which no request should cause, ends the requests of its batch only.
        let run = AssertUnwindSafe(|| -> Vec<f32> {
            // A request with many faces does not need memory for all of them at once.
            crops.chunks(BATCH).flat_map(|crops| predictor.classifier().crop_probabilities(crops)).collect()
        });
        let Ok(probabilities) = catch_unwind(run) else { continue };
        if let Some(error) = predictor.classifier().device().error().filter(|_| !warned) {
            tracing::warn!("{error}; the CPU computes from now on");
            warned = true;
        }
        let mut rest = probabilities.as_slice();
        for (count, result) in waiting {
            let (own, others) = rest.split_at(count * classes);
            rest = others;
            let _ = result.send(own.to_vec());
        }
    }
}

/// The next request; the predictor's memory is freed if there is none for a while.
fn next(predictor: &Predictor, asked: &mpsc::Receiver<Ask>) -> Option<Ask> {
    loop {
        match asked.recv_timeout(IDLE) {
            Ok(ask) => return Some(ask),
            Err(RecvTimeoutError::Disconnected) => return None,
            // Again each time: a picture whose client has disconnected may have been decoded meanwhile.
            Err(RecvTimeoutError::Timeout) => predictor.release_memory(),
        }
    }
}

fn queue_full() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests are waiting; try again later")
}

/// An internal thread has failed, which no request can cause.
fn gone() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "an internal error ended this request; try again")
}
