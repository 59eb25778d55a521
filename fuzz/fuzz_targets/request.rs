//! A request for a prediction: query string, content type and body. The service responds with JSON, and never
//! with an internal error.
//!
//! The input is a line with the query string, a line with the content type, and the body. The body arrives in
//! parts as long as the query string.
#![no_main]

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use moue_server::{Limits, Options, router};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static SERVICE: LazyLock<Router> = LazyLock::new(|| {
    let limits = Limits { body_bytes: 1 << 16, pixels: 64 * 64, images: 3, workers: 1, queue: 1, ..Limits::default() };
    router(moue_fuzz::classifier(), &Options { limits, ..Options::default() }).expect("the options are valid")
});

/// Nothing where HTTP itself does not allow the query string or content type, and seldom a request that would
/// detect faces: the detector takes a hundred times as long as the rest.
fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let mut lines = bytes.splitn(3, |&byte| byte == b'\n');
    let (query, kind, body) = (lines.next()?, lines.next()?, lines.next()?);
    let query = std::str::from_utf8(query).ok()?;
    if !query.contains("detect=false") && !moue_fuzz::is_chosen(bytes) {
        return None;
    }
    let parts: Vec<_> =
        body.chunks(query.len().max(1)).map(|part| Ok::<_, Infallible>(Bytes::copy_from_slice(part))).collect();
    let mut request = Request::post(format!("/v1/predict?{query}"));
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    request.body(Body::from_stream(stream::iter(parts))).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else { return };
    RUNTIME.block_on(async {
        let response = SERVICE.clone().oneshot(request).await.expect("the service has no errors");
        let status = response.status();
        let kind = response.headers()["content-type"].to_str().expect("a content type is text").to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("the body is complete");
        let document: Value = serde_json::from_slice(&body).expect("the body is JSON");
        if status == StatusCode::OK {
            let predictions = document.as_array().map_or(std::slice::from_ref(&document), Vec::as_slice);
            assert!(!predictions.is_empty() && predictions.iter().all(|one| one["faces"].is_array()));
        } else {
            assert!(status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {document}");
            assert_eq!(kind, "application/problem+json");
            assert_eq!(document["status"], status.as_u16());
        }
    });
});
