//! Authorization, and security policies for browsers.

use crate::options::{Options, SetupError};
use crate::problem::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// Content security policy: everything comes from this origin; scripts may compile WebAssembly;
/// evaluation, framing and other destinations are forbidden.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(self), microphone=(), geolocation=()"),
];

/// Adds the token, the origins and the security headers to the routes.
pub fn guard(mut router: Router, options: &Options) -> Result<Router, SetupError> {
    if let Some(token) = &options.token {
        router = router.layer(middleware::from_fn_with_state(digest(token), check));
    }
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value)));
    }
    if !options.cors.is_empty() {
        router = router.layer(cors(&options.cors)?);
    }
    Ok(router)
}

fn cors(origins: &[String]) -> Result<CorsLayer, SetupError> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origin = |text: &String| {
            let valid = text.split_once("://").is_some_and(|(scheme, host)| {
                ["http", "https"].contains(&scheme) && !host.is_empty() && !host.contains('/')
            });
            text.parse::<HeaderValue>().ok().filter(|_| valid).ok_or_else(|| SetupError::Origin(text.clone()))
        };
        AllowOrigin::list(origins.iter().map(origin).collect::<Result<Vec<_>, _>>()?)
    };
    Ok(CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([HeaderName::from_static("x-request-id")]))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Lets requests for predictions and metrics through that have the token. Digests are compared in
/// constant time: the duration reveals neither the token's text nor its length.
async fn check(State(wanted): State<[u8; 32]>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !(path.starts_with("/v1/") || path == "/metrics") || request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token);
    if bool::from(digest(given).ct_eq(&wanted)) {
        return next.run(request).await;
    }
    Problem::new(StatusCode::UNAUTHORIZED, "send the token as `Authorization: Bearer TOKEN`").into_response()
}
