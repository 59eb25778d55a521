//! Options of the service.

use serde::{Serialize, Serializer};
use std::time::Duration;

/// Limits of the service. Requests beyond a limit are rejected with the status in parentheses.
///
/// They bound the memory: `buffer_bytes` for bodies, for each worker a decoded picture of `pixels`
/// (up to 24 bytes each, and a gigabyte) and the detector's activations, and about 200 kB for each
/// connection (600 kB with HTTP/2).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Maximum bytes of a request's body (413).
    pub body_bytes: usize,
    /// Maximum bytes of the bodies of all requests together (429).
    pub buffer_bytes: usize,
    /// Maximum columns times rows of a picture (413).
    pub pixels: u64,
    /// Maximum pictures in a request (413).
    pub images: usize,
    /// Maximum requests whose pictures are decoded and searched for faces at the same time.
    pub workers: usize,
    /// Maximum requests that wait for a worker (429).
    pub queue: usize,
    /// Maximum connections; further ones are accepted when one is closed.
    pub connections: usize,
    /// Maximum time for a request in seconds: for its head (the connection is closed), for its body
    /// (408), and for the prediction, including the body (503).
    #[serde(rename = "time_seconds", serialize_with = "seconds")]
    pub time: Duration,
    /// Maximum time in seconds in which neither side of a connection sends anything; then it is
    /// closed. At least a second longer than `time`. Between the requests of HTTP/1.1 it is `time`.
    #[serde(rename = "idle_seconds", serialize_with = "seconds")]
    pub idle: Duration,
}

impl Limits {
    /// `idle` as it is used: longer than a request may take, in which neither side sends anything.
    pub(crate) fn idle_time(&self) -> Duration {
        self.idle.max(self.time.saturating_add(Duration::from_secs(1)))
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Default for Limits {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            body_bytes: 20 << 20,
            buffer_bytes: 256 << 20,
            pixels: 50_000_000,
            images: 64,
            workers,
            queue: 256,
            connections: 512,
            time: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

/// Options of the service.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Limits of the service.
    pub limits: Limits,
    /// The token that `Authorization: Bearer` must contain for predictions and metrics, if any.
    pub token: Option<String>,
    /// Origins whose pages may read responses; `*` for any.
    pub cors: Vec<String>,
    /// Name of the model in `/healthz` and on the page.
    pub model_name: String,
}

/// Errors of the options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// An origin is not valid.
    #[error("{0:?} is not a valid origin; write it like https://example.org")]
    Origin(String),
    /// No body of the maximum size could be received.
    #[error("the limit of a body ({body} bytes) is larger than that of all bodies together ({buffer} bytes)")]
    Buffer {
        /// Maximum bytes of a body.
        body: usize,
        /// Maximum bytes of all bodies.
        buffer: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_not_idle_while_a_request_may_run() {
        let times = |time: u64, idle: u64| {
            let [time, idle] = [time, idle].map(Duration::from_secs);
            Limits { time, idle, ..Limits::default() }.idle_time().as_secs()
        };
        assert_eq!([times(30, 60), times(120, 60)], [60, 121]);
    }
}
