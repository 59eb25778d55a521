//! Numbers, counts and logs requests.
//!
//! Each request has an identifier, which its response and the log contain. Of its content, the log
//! contains the number of bytes and of faces only.

use crate::api::PREDICT;
use crate::body::{Account, Intake};
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::outcome::{Faces, Failure};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::Response;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The header with a request's identifier.
const ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest identifier of a client that is used.
const LONGEST_ID: usize = 64;

/// Status in the log and the metrics for a client that has disconnected before its response; it is
/// never sent.
const DISCONNECTED: u16 = 499;

/// What the log and the metrics need.
#[derive(Clone)]
pub struct Observed {
    metrics: Arc<Metrics>,
    intake: Intake,
    /// The next identifier.
    next: Arc<AtomicU64>,
}

impl Observed {
    /// Starts at a random identifier.
    pub fn new(metrics: Arc<Metrics>, limits: &Limits) -> Self {
        let first = RandomState::new().hash_one(std::process::id());
        Self { metrics, intake: Intake::new(limits), next: Arc::new(AtomicU64::new(first)) }
    }

    /// The client's identifier if it is a word of usual characters, otherwise a new one.
    fn id(&self, headers: &HeaderMap) -> HeaderValue {
        let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        let own = headers.get(ID).filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(usual));
        own.cloned().unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            HeaderValue::from_str(&format!("{number:016x}")).unwrap_or_else(|_| HeaderValue::from_static("none"))
        })
    }
}

/// Handles a request, and counts and logs it.
pub async fn observe(State(observed): State<Observed>, request: Request<Body>, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let id = observed.id(request.headers());
    let expects =
        request.headers().get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let (mut parts, body) = request.into_parts();
    let (body, account) = observed.intake.receive(body, expects);
    let mut entry = Entry {
        begun: Instant::now(),
        id: id.clone(),
        method: parts.method.clone(),
        version: parts.version,
        path,
        account: account.clone(),
        metrics: observed.metrics,
        finished: false,
    };
    parts.extensions.insert(account);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    entry.finish(&response);
    response.headers_mut().insert(ID, id);
    response
}

/// A request that is being handled. Dropped before it is finished, its client has disconnected.
struct Entry {
    begun: Instant,
    id: HeaderValue,
    method: Method,
    version: Version,
    path: String,
    account: Account,
    metrics: Arc<Metrics>,
    finished: bool,
}

impl Entry {
    fn finish(&mut self, response: &Response) {
        self.finished = true;
        let faces = response.extensions().get::<Faces>().map(|faces| faces.0);
        let failure = response.extensions().get::<Failure>().map(|failure| &*failure.0);
        self.record(response.status().as_u16(), faces, failure);
    }

    fn record(&self, status: u16, faces: Option<usize>, error: Option<&str>) {
        let duration = self.begun.elapsed();
        self.metrics.record_request(&self.path, status, (self.path == PREDICT).then_some(duration));
        let Self { method, path, version, .. } = self;
        let (id, bytes) = (self.id.to_str().unwrap_or_default(), self.account.bytes());
        let ms = (duration.as_secs_f64() * 1e5).round() / 100.0;
        if status >= 500 {
            tracing::error!(id, %method, path, ?version, status, ms, bytes, faces, error, "request");
        } else {
            tracing::info!(id, %method, path, ?version, status, ms, bytes, faces, error, "request");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        match (self.finished, std::thread::panicking()) {
            (true, _) => {}
            (false, true) => self.record(500, None, Some("an internal error")),
            (false, false) => self.record(DISCONNECTED, None, Some("the client has disconnected")),
        }
    }
}
