//! Options of the service.

use std::time::Duration;

/// Limits of the service. Requests beyond a limit are rejected immediately.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Maximum bytes of a request's body (413).
    pub body_bytes: usize,
    /// Maximum columns times rows of a picture (413).
    pub pixels: u64,
    /// Maximum pictures in a request (413).
    pub images: usize,
    /// Maximum requests whose pictures are decoded and searched for faces at the same time.
    pub workers: usize,
    /// Maximum requests that wait for a worker (429).
    pub queue: usize,
    /// Maximum time for a request, including reading its body (503), and before that for its head
    /// (the connection is closed).
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            body_bytes: 20 << 20,
            pixels: 50_000_000,
            images: 64,
            workers,
            queue: 256,
            time: Duration::from_secs(30),
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
}
