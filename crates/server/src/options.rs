//! How a service is set up.

use std::time::Duration;

/// How much is taken on. What is beyond is refused at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a request's body (413).
    pub body_bytes: usize,
    /// Columns times rows of a picture (413).
    pub pixels: u64,
    /// Pictures in a request (413).
    pub images: usize,
    /// Requests whose pictures are decoded and searched at the same time.
    pub workers: usize,
    /// Requests that wait for that (429).
    pub queue: usize,
    /// For a request, reading its body included (503), and before that for its head
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

/// How a service is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much is taken on.
    pub limits: Limits,
    /// What `Authorization: Bearer` must say for predictions and metrics, if anything.
    pub token: Option<String>,
    /// Origins whose pages may read answers; `*` for any.
    pub cors: Vec<String>,
    /// How the model is called in `/healthz`.
    pub model_name: String,
}

/// Why a service cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// An origin that is none.
    #[error("{0:?} is not an origin like https://example.org")]
    Origin(String),
}
