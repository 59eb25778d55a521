//! Routes of the API and their handlers.

#![allow(unused_qualifications, reason = "utoipa's macro writes them")]

use crate::body::{Account, Refusal};
use crate::metrics::{MEDIA_TYPE, Metrics};
use crate::options::{Limits, Options};
use crate::outcome::Faces;
use crate::problem::Problem;
use crate::work::{Upload, Wanted, Work};
use axum::body::HttpBody;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Extension, FromRequest, Multipart, Query, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::BytesMut;
use moue::prediction::Prediction;
use moue::{Classifier, Tta};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

/// The path for predictions.
pub const PREDICT: &str = "/v1/predict";

/// Characters of a picture's name that a response contains.
const LONGEST_NAME: usize = 255;

/// The state of all handlers.
#[derive(Clone)]
pub struct App {
    work: Arc<Work>,
    metrics: Arc<Metrics>,
    limits: Arc<Limits>,
    health: Arc<Health>,
}

impl App {
    /// Creates the state for a classifier.
    pub fn new(classifier: Classifier, options: &Options, metrics: Arc<Metrics>) -> Self {
        let validation = classifier.model().provenance().validation;
        let health = Health {
            model: options.model_name.clone(),
            precision: classifier.precision().name(),
            accuracy: validation.map(|count| count.accuracy()),
            accuracy_images: validation.map(|count| count.images),
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
        };
        Self {
            work: Arc::new(Work::new(classifier, &options.limits, Arc::clone(&metrics))),
            metrics,
            limits: Arc::new(options.limits.clone()),
            health: Arc::new(health),
        }
    }
}

/// The routes of the API.
pub fn routes() -> Router<App> {
    Router::new().route(PREDICT, post(predict)).route("/healthz", get(health)).route("/metrics", get(metrics))
}

/// Common behavior of all routes: responses for unknown paths and methods.
pub fn with_state(routes: Router<App>, app: App) -> Router {
    routes
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "this path does not exist; see /docs") })
        .method_not_allowed_fallback(|method: Method| async move {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not supported for this path; see /docs"))
        })
        // `body` limits the bodies of all requests.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// Options of a prediction.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Question {
    /// Detect faces; with `false` each picture is one face.
    #[serde(default = "yes")]
    #[param(default = true)]
    detect: bool,
    /// Add a saliency map (Grad-CAM) to each face.
    #[serde(default)]
    #[param(default = false)]
    explain: bool,
    /// Predict the available part of a truncated file, with a warning; otherwise it is an error.
    #[serde(default)]
    #[param(default = false)]
    allow_truncated: bool,
    /// Average the prediction over several views of each face (test-time augmentation).
    #[param(inline)]
    tta: Option<TtaMethod>,
}

/// The views of a face.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TtaMethod {
    /// The face and its mirror image.
    Flip,
    /// Ten crops and mirror images.
    Crops,
}

impl From<TtaMethod> for Tta {
    fn from(method: TtaMethod) -> Self {
        match method {
            TtaMethod::Flip => Self::Flip,
            TtaMethod::Crops => Self::Crops,
        }
    }
}

fn yes() -> bool {
    true
}

/// Predict the facial expressions in one picture or several.
#[utoipa::path(
    post, path = "/v1/predict", params(Question),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "An image file (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI, ICO), or `multipart/form-data` with one image file in \
            each field."),
    responses(
        (status = 200, body = Prediction, description = "For one picture an object; for `multipart/form-data` an array of \
            objects in the order of the fields, where a picture that cannot be read has `error`."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "The request is malformed, or its body is empty or \
            incomplete."),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "The token (`--token` or `MOUE_TOKEN`) is missing \
            or wrong."),
        (status = 408, body = Problem, content_type = "application/problem+json", description = "The body did not arrive within the time limit \
            (`--timeout`)."),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body has too many bytes, pixels or pictures \
            (`--max-body`, `--max-pixels`, `--max-images`)."),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is compressed (`Content-Encoding`)."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "No picture can be read."),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Too many requests are waiting (`--workers`, \
            `--queue`), or their bodies are too large together (`--max-buffer`). Try again after `Retry-After` seconds."),
        (status = 500, body = Problem, content_type = "application/problem+json", description = "An internal error, which no request should \
            cause; please report it."),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "The request exceeded the time limit (`--timeout`)."),
    )
)]
pub async fn predict(
    State(app): State<App>,
    Extension(account): Extension<Account>,
    question: Result<Query<Question>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(question) = question.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Question { detect, explain, allow_truncated, tta } = question;
    let wanted = Wanted { detect, explain, allow_truncated, tta: tta.map_or(Tta::None, Tta::from) };
    let limits = &app.limits;
    // Checked before the body is received; it is checked again afterwards.
    app.work.check()?;
    let until = Instant::now() + limits.time;
    let received = timeout_at(until, receive(request, &account, limits)).await;
    let received = received.map_err(|_| {
        account.linger();
        let detail = format!("the body did not arrive within the time limit of {} s", limits.time.as_secs_f32());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })??;
    let _place = app.work.admit()?;
    timeout_at(until, respond(&app, received, wanted)).await.map_err(|_| {
        let detail = format!(
            "the request exceeded the time limit of {} s; send fewer or smaller pictures, or try again later",
            limits.time.as_secs_f32()
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?
}

/// The pictures of a request.
enum Received {
    /// The body is a picture.
    One(Upload),
    /// The body is a form.
    Form(Vec<Upload>),
}

async fn receive(request: Request, account: &Account, limits: &Limits) -> Result<Received, Problem> {
    let headers = request.headers();
    if request.body().size_hint().lower() > limits.body_bytes as u64 {
        return Err(body_too_large(limits));
    }
    if let Some(encoding) =
        headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let detail = format!(
            "Content-Encoding {} is not supported; send the image file as it is",
            encoding.to_str().unwrap_or("(not ASCII)")
        );
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    let received = if kind.starts_with("multipart/") {
        parts(request, account, limits).await.map(Received::Form)
    } else {
        // Copied: the parts of a body that arrives slowly take more memory than their bytes.
        match BytesMut::from_request(request, &()).await.map(BytesMut::freeze) {
            Ok(bytes) if bytes.is_empty() => Err(Problem::bad_request("the body is empty; send an image file")),
            Ok(bytes) => Ok(Received::One(Upload { name: "image".into(), bytes, account: account.clone() })),
            Err(_) => Err(Problem::bad_request("the body is incomplete; send the request again")),
        }
    };
    match account.refusal() {
        None => received,
        Some(Refusal::TooLarge) => Err(body_too_large(limits)),
        Some(Refusal::BufferFull) => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "the pictures of all requests together exceed the memory for them; try again later",
        )),
    }
}

async fn respond(app: &App, received: Received, wanted: Wanted) -> Result<Response, Problem> {
    match received {
        Received::Form(uploads) => several(app, uploads, wanted).await,
        Received::One(upload) => {
            let prediction = app.work.inspect(upload, wanted).await?;
            let faces = Faces(prediction.faces.len());
            Ok(with_faces(Json(prediction).into_response(), faces))
        }
    }
}

/// Predicts all pictures; a picture that cannot be read gets an `error`, unless none can be read.
async fn several(app: &App, uploads: Vec<Upload>, wanted: Wanted) -> Result<Response, Problem> {
    let (mut predictions, mut faces, mut worst) = (Vec::with_capacity(uploads.len()), 0, None);
    for upload in uploads {
        let name = upload.name.clone();
        match app.work.inspect(upload, wanted).await {
            Ok(prediction) => {
                faces += prediction.faces.len();
                predictions.push(prediction);
            }
            Err(problem) => {
                predictions.push(Prediction::failed(name, problem.detail().to_owned()));
                worst = worst.or(Some(problem));
            }
        }
    }
    match worst.filter(|_| predictions.iter().all(|prediction| prediction.error.is_some())) {
        Some(problem) => Err(problem),
        None => Ok(with_faces(Json(predictions).into_response(), Faces(faces))),
    }
}

async fn parts(request: Request, account: &Account, limits: &Limits) -> Result<Vec<Upload>, Problem> {
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|error| Problem::bad_request(error.body_text()))?;
    let mut uploads = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| Problem::bad_request(error.body_text()))? {
        if uploads.len() == limits.images {
            return Err(Problem::too_large(format!(
                "the form has more than {} pictures; send several requests",
                limits.images
            )));
        }
        let name = field.file_name().or(field.name());
        let name = name.map_or_else(|| uploads.len().to_string(), |name| name.chars().take(LONGEST_NAME).collect());
        let bytes = field.bytes().await.map_err(|error| Problem::bad_request(error.body_text()))?;
        uploads.push(Upload { name, bytes, account: account.clone() });
    }
    if uploads.is_empty() {
        return Err(Problem::bad_request("the form has no fields; send an image file in each field"));
    }
    Ok(uploads)
}

fn body_too_large(limits: &Limits) -> Problem {
    Problem::too_large(format!("the body is larger than the limit of {} bytes", limits.body_bytes))
}

fn with_faces(mut response: Response, faces: Faces) -> Response {
    response.extensions_mut().insert(faces);
    response
}

/// State of the service.
#[derive(Clone, Serialize, ToSchema)]
pub struct Health {
    /// The model, as given to `moue serve`.
    model: String,
    /// Precision of the classifier: `f32`, `bf16` or `int8`.
    precision: &'static str,
    /// Accuracy of the model on its validation split, 0–1 (optimistic: the weights were selected on this split); null
    /// if the model file does not contain it.
    accuracy: Option<f64>,
    /// Number of images of that split; null if the model file does not contain it.
    accuracy_images: Option<usize>,
    /// Always `ok`.
    status: &'static str,
    /// Version of moue.
    version: &'static str,
}

/// Check that the service is running.
#[utoipa::path(
    get, path = "/healthz",
    responses((status = 200, body = Health, description = "The service is running; with version and model."))
)]
pub async fn health(State(app): State<App>) -> Json<Health> {
    Json(app.health.as_ref().clone())
}

/// Get the metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, description = "OpenMetrics text.")))]
pub async fn metrics(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, MEDIA_TYPE)], app.metrics.text()).into_response()
}
