//! Metrics in Prometheus' text format.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    /// The route, not the requested path: the number of routes is small.
    path: String,
    status: Status,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Status(u16);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

/// Metrics of the service.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    latency: Histogram,
    faces: Counter,
    images: Counter,
    batch: Histogram,
    /// Requests in progress or waiting.
    pub queue: Gauge,
}

impl Metrics {
    /// Creates metrics with all counters 0.
    pub fn new() -> Self {
        // From half a millisecond to 16 s, and from 1 to 128.
        let mut metrics = Self {
            registry: Registry::with_prefix("moue"),
            requests: Family::default(),
            latency: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            faces: Counter::default(),
            images: Counter::default(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 8)),
            queue: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Finished requests", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Duration of requests for predictions",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("faces", "Predicted faces", metrics.faces.clone());
        registry.register("images", "Predicted pictures", metrics.images.clone());
        registry.register("batch_faces", "Faces in a batch", metrics.batch.clone());
        registry.register("queue_requests", "Requests in progress or waiting", metrics.queue.clone());
        metrics
    }

    /// Counts a request; `prediction` is its duration if it was a request for predictions.
    pub fn record_request(&self, path: &str, status: u16, prediction: Option<Duration>) {
        self.requests.get_or_create(&Labels { path: path.to_owned(), status: Status(status) }).inc();
        if let Some(duration) = prediction {
            self.latency.observe(duration.as_secs_f64());
        }
    }

    /// Counts a picture.
    pub fn inspected(&self, faces: usize) {
        self.images.inc();
        self.faces.inc_by(faces as u64);
    }

    /// Counts a batch.
    pub fn ran(&self, faces: usize) {
        self.batch.observe(faces as f64);
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
