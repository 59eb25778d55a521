//! A page for the browser of the same machine, with JSON documents that change: the live page of `moue train --watch`
//! and `moue watch`. Nothing can be changed through it.

use crate::problem::Problem;
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::header::{self, CONTENT_TYPE, HOST, HeaderName};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use std::net::IpAddr;
use std::sync::Arc;
use tower_http::set_header::SetResponseHeaderLayer;

/// The page has its style inside, and charts and pictures from its script.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Creates the routes of a page: `/`, `/page.js`, and for every other path the JSON document that `document` returns for
/// it (without the first slash), if any. `document` may block.
///
/// Requests that name another host than the machine itself are rejected, so that no page of the internet can read the
/// documents by a name that it makes lead here (DNS rebinding).
pub fn local_page(
    html: String,
    script: &'static str,
    document: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Router {
    let document = Arc::new(document);
    let respond = move |Path(path): Path<String>| {
        let document = Arc::clone(&document);
        async move {
            match tokio::task::spawn_blocking(move || document(&path)).await {
                Ok(Some(text)) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
                Ok(None) => missing().await,
                Err(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "an internal error").into_response(),
            }
        }
    };
    let mut routes = Router::new()
        .route("/", get(move || async move { Html(html) }))
        .route("/page.js", get(move || async move { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], script) }))
        .route("/{*path}", get(respond))
        .fallback(missing)
        .layer(middleware::from_fn(check_host));
    for (name, value) in HEADERS {
        routes = routes.layer(SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value)));
    }
    routes
}

async fn missing() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "this path does not exist").into_response()
}

/// Lets requests through whose host is this machine.
async fn check_host(request: Request, next: Next) -> Response {
    let given = request.headers().get(HOST).and_then(|value| value.to_str().ok()?.parse().ok());
    // HTTP/2 has it in the address.
    let host: Option<Authority> = given.or_else(|| request.uri().authority().cloned());
    if host.is_some_and(|host| is_local(host.host())) {
        return next.run(request).await;
    }
    Problem::new(StatusCode::FORBIDDEN, "use the address that the command has printed, or localhost").into_response()
}

fn is_local(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}
