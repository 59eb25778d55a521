//! Looking at pictures, off the async threads.
//!
//! A request is admitted or refused at once. Its pictures are decoded and searched
//! by a thread for blocking work, of which a few run at a time; its faces then go
//! to the one thread that runs the network, together with those of all requests
//! that wait there by then.

use crate::Limits;
use crate::metrics::Metrics;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::http::StatusCode;
use moue::data::{decode_image, image_extent};
use moue::model::Model;
use moue::predict::explain::Explainer;
use moue::predict::{Cut, Face, PredictOptions, Prediction, Predictor};
use moue::report::explain_faces;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

/// Faces that go through the network together.
const BATCH: usize = 64;

/// A picture file as it came.
pub struct Upload {
    /// How it is called in the answer.
    pub name: String,
    /// Its content.
    pub bytes: Bytes,
}

/// What is wanted to know.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Search for faces.
    pub detect: bool,
    /// Explain each answer.
    pub explain: bool,
}

/// A place in the queue; it is free again when this is dropped.
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
    answer: oneshot::Sender<Vec<f32>>,
}

/// Takes pictures and says what is in them.
pub struct Work {
    predictor: Arc<Predictor>,
    explainer: Arc<Mutex<Explainer>>,
    pixels: u64,
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    network: mpsc::UnboundedSender<Ask>,
    metrics: Arc<Metrics>,
}

impl Work {
    /// Starts the network's thread; it ends when this is dropped.
    pub fn new(model: Model, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let predictor = Arc::new(Predictor::new(&model, PredictOptions::default()));
        let (network, asked) = mpsc::unbounded_channel();
        let (runs, counts) = (Arc::clone(&predictor), Arc::clone(&metrics));
        std::thread::spawn(move || run_network(&runs, asked, &counts));
        Self {
            predictor,
            explainer: Arc::new(Mutex::new(Explainer::new(model))),
            pixels: limits.pixels,
            places: Arc::new(Semaphore::new(limits.workers + limits.queue)),
            workers: Arc::new(Semaphore::new(limits.workers)),
            network,
            metrics,
        }
    }

    /// A place for a request, unless the queue is full.
    pub fn admit(&self) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests are waiting: ask again in a while")
        })?;
        self.metrics.queue.inc();
        Ok(Place { _permit: permit, metrics: Arc::clone(&self.metrics) })
    }

    /// What is in a picture.
    pub async fn look(&self, Upload { name, bytes }: Upload, wanted: Wanted) -> Result<Prediction, Problem> {
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| gone())?;
        let (predictor, limit) = (Arc::clone(&self.predictor), self.pixels);
        let cut = spawn_blocking(move || {
            let cut = cut(&predictor, &bytes, limit, wanted.detect);
            drop(worker);
            cut
        });
        let ([width, height], cut) = cut.await.map_err(|_| gone())??;
        let probabilities = self.ask(&cut).await?;
        let mut faces = self.predictor.answers(&cut, &probabilities);
        self.metrics.looked(faces.len());
        if wanted.explain {
            faces = self.explain(cut, faces).await?;
        }
        Ok(Prediction { input: name, width, height, faces, error: None })
    }

    async fn ask(&self, cut: &Cut) -> Result<Vec<f32>, Problem> {
        if cut.crops.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        self.network.send(Ask { crops: cut.crops.clone(), answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    async fn explain(&self, cut: Cut, mut faces: Vec<Face>) -> Result<Vec<Face>, Problem> {
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| gone())?;
        let explainer = Arc::clone(&self.explainer);
        let drawn = spawn_blocking(move || {
            let mut explainer = explainer.lock().map_err(|_| gone())?;
            explain_faces(&mut explainer, &mut faces, &cut.crops);
            drop(worker);
            Ok(faces)
        });
        drawn.await.map_err(|_| gone())?
    }
}

/// Decodes a picture and cuts its faces out.
fn cut(predictor: &Predictor, bytes: &[u8], limit: u64, detect: bool) -> Result<([u32; 2], Cut), Problem> {
    let unreadable = |error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error);
    let [width, height] = image_extent(bytes).map_err(unreadable)?;
    if u64::from(width) * u64::from(height) > limit {
        let detail = format!("a picture of {width} x {height} has more than {limit} pixels: send a smaller one");
        return Err(Problem::too_large(detail));
    }
    let photo = decode_image(bytes).map_err(unreadable)?;
    Ok(([photo.width(), photo.height()], predictor.cut(&photo, detect)))
}

/// Runs the network over whatever waits, until nobody can ask any more.
fn run_network(predictor: &Predictor, mut asked: mpsc::UnboundedReceiver<Ask>, metrics: &Metrics) {
    while let Some(first) = asked.blocking_recv() {
        let (mut crops, mut waiting) = (first.crops, vec![]);
        waiting.push((crops.len(), first.answer));
        while crops.len() < BATCH {
            let Ok(next) = asked.try_recv() else { break };
            waiting.push((next.crops.len(), next.answer));
            crops.extend(next.crops);
        }
        metrics.ran(crops.len());
        let probabilities = predictor.probabilities(&crops);
        let mut rest = probabilities.as_slice();
        for (count, answer) in waiting {
            let (own, others) = rest.split_at(count * predictor.classes().len());
            rest = others;
            // Who does not wait any more has gone away.
            let _ = answer.send(own.to_vec());
        }
    }
}

/// A thread has died: nothing that a client does leads here.
fn gone() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the work on this request has ended too early")
}
