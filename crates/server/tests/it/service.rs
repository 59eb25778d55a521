//! Tests of the service from the client's view: requests and responses.

use crate::client::{Reply, classifier, get, send};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use moue::Tta;
use moue::predict::{Photo, PredictOptions, Predictor};
use moue_server::{Limits, Options, router};
use moue_train::data::{Dataset, ImageSpec, synthetic};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;

fn service(options: &Options) -> Router {
    router(classifier(), options).unwrap()
}

/// A synthetic face as the bytes of a BMP file (48×48, gray).
fn face(number: usize) -> Vec<u8> {
    static FACES: LazyLock<Dataset> = LazyLock::new(|| synthetic::dataset(70, ImageSpec::of_input([48, 48, 1]), 0));
    image_of(48, 48, FACES.image(number))
}

fn image_of(width: u32, height: u32, gray: &[u8]) -> Vec<u8> {
    let picture = image::GrayImage::from_raw(width, height, gray.to_vec()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
    bytes.into_inner()
}

async fn post(service: &Router, path: &str, body: impl Into<Body>) -> Reply {
    send(service, Request::post(path).body(body.into()).unwrap()).await
}

fn form(files: &[(&str, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        body.extend(head.as_bytes());
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let kind = "multipart/form-data; boundary=edge";
    Request::post("/v1/predict?detect=false").header("content-type", kind).body(body.into()).unwrap()
}

#[tokio::test]
async fn predictions_equal_those_of_the_library() {
    let service = service(&Options::default());
    let reply = post(&service, "/v1/predict?detect=false", face(4)).await;
    assert_eq!(reply.status, StatusCode::OK);
    let options = PredictOptions { detect: false, ..PredictOptions::default() };
    let predicted =
        Predictor::new(classifier()).with_options(options).predict(Photo::Bytes("image", &face(4))).unwrap();
    assert_eq!(reply.text(), serde_json::to_string(&predicted).unwrap());
}

#[tokio::test]
async fn predictions_are_averaged_over_views() {
    let service = service(&Options::default());
    let plain = post(&service, "/v1/predict?detect=false", face(4)).await.text();
    for (name, tta) in [("flip", Tta::Flip), ("crops", Tta::Crops)] {
        let reply = post(&service, &format!("/v1/predict?detect=false&tta={name}"), face(4)).await;
        let options = PredictOptions { detect: false, tta, ..PredictOptions::default() };
        let predictor = Predictor::new(classifier()).with_options(options);
        let predicted = predictor.predict(Photo::Bytes("image", &face(4))).unwrap();
        assert_eq!(reply.text(), serde_json::to_string(&predicted).unwrap());
        assert_ne!(reply.text(), plain);
    }
    assert!(post(&service, "/v1/predict?tta=both", face(4)).await.problem(400).contains("tta"));
}

#[tokio::test]
async fn a_picture_without_faces_is_a_success() {
    let reply = post(&service(&Options::default()), "/v1/predict", image_of(60, 60, &[200; 3600])).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["faces"], Value::Array(vec![]));
    assert_eq!(reply.json()["error"], Value::Null);
}

#[tokio::test]
async fn several_pictures_keep_their_order_and_errors_are_per_picture() {
    let service = service(&Options::default());
    let (first, last) = (face(0), face(1));
    let reply = send(&service, form(&[("a.bmp", &first), ("bad.png", b"nonsense"), ("b.bmp", &last)])).await;
    assert_eq!(reply.status, StatusCode::OK);
    let answers = reply.json();
    let names: Vec<&str> = answers.as_array().unwrap().iter().map(|a| a["input"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.bmp", "bad.png", "b.bmp"]);
    assert!(answers[1]["error"].as_str().unwrap().contains("not a PNG"));
    assert_eq!(answers[2]["faces"].as_array().unwrap().len(), 1);
    assert_eq!(answers[2]["faces"][0]["box"]["width"], 48);
}

#[tokio::test]
async fn media_types_have_no_case_and_long_names_are_cut() {
    let service = service(&Options::default());
    let mut request = form(&[(&"n".repeat(5000), &face(0))]);
    request.headers_mut().insert("content-type", "Multipart/Form-Data; boundary=edge".parse().unwrap());
    let reply = send(&service, request).await;
    assert_eq!(reply.json()[0]["input"], "n".repeat(255));
}

#[tokio::test]
async fn a_truncated_picture_is_an_error_unless_allowed() {
    let service = service(&Options::default());
    let cut = face(0)[..2000].to_vec();
    let detail = post(&service, "/v1/predict?detect=false", cut.clone()).await.problem(422);
    assert!(detail.starts_with("truncated BMP image ("), "{detail}");
    let reply = post(&service, "/v1/predict?detect=false&allow_truncated=true", cut).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["warning"], "the file is truncated; only a part of the picture was predicted");
    assert_eq!(reply.json()["faces"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn explanations_are_data_urls() {
    let service = service(&Options::default());
    let reply = post(&service, "/v1/predict?detect=false&explain=true", face(2)).await;
    let url = reply.json()["faces"][0]["explanation"].as_str().unwrap().to_owned();
    assert!(url.starts_with("data:image/png;base64,") && url.len() > 1000);
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let limits = Limits { body_bytes: 20_000, pixels: 5000, images: 2, ..Limits::default() };
    let service = service(&Options { limits, ..Options::default() });
    let problem = async |reply: Reply, status: u16, part: &str| {
        let detail = reply.problem(status);
        assert!(detail.contains(part), "{detail}");
    };
    problem(post(&service, "/v1/predict", "").await, 400, "empty").await;
    problem(post(&service, "/v1/predict", "nonsense").await, 422, "not a PNG").await;
    problem(post(&service, "/v1/predict", face(0)[..2000].to_vec()).await, 422, "").await;
    problem(post(&service, "/v1/predict", vec![0; 30_000]).await, 413, "20000 bytes").await;
    problem(post(&service, "/v1/predict", image_of(100, 60, &[0; 6000])).await, 413, "limit of 5000").await;
    problem(post(&service, "/v1/predict?detect=perhaps", face(0)).await, 400, "detect").await;
    problem(post(&service, "/v1/predict?detekt=true", face(0)).await, 400, "detekt").await;
    problem(get(&service, "/v1/predict").await, 405, "GET").await;
    problem(get(&service, "/v1/nothing").await, 404, "/docs").await;
    problem(send(&service, form(&[])).await, 400, "no fields").await;
    problem(send(&service, form(&[("a", b"x"), ("b", b"y")])).await, 422, "not a PNG").await;
    problem(send(&service, form(&[("a", b"x"), ("b", b"y"), ("c", b"z")])).await, 413, "more than 2").await;
    problem(send(&service, form(&[("a", &[0; 30_000])])).await, 413, "20000 bytes").await;
    let broken =
        Request::post("/v1/predict").header("content-type", "multipart/form-data").body(Body::empty()).unwrap();
    problem(send(&service, broken).await, 400, "boundary").await;
}

#[tokio::test]
async fn requests_beyond_the_queue_or_the_time_limit_are_rejected() {
    let none = Limits { workers: 0, queue: 0, ..Limits::default() };
    let reply = post(&service(&Options { limits: none, ..Options::default() }), "/v1/predict", face(0)).await;
    assert!(reply.problem(429).contains("waiting"));
    assert_eq!(reply.headers["retry-after"], "1");
    // No worker is free, so the waiting request exceeds the time limit.
    let slow = Limits { workers: 0, queue: 1, time: Duration::from_millis(30), ..Limits::default() };
    let service = service(&Options { limits: slow, ..Options::default() });
    assert!(post(&service, "/v1/predict", face(0)).await.problem(503).contains("limit of 0.03 s"));
    // Its place is released.
    post(&service, "/v1/predict", face(0)).await.problem(503);
    assert!(get(&service, "/metrics").await.text().contains("moue_queue_requests 0"));
}

#[tokio::test]
async fn compressed_bodies_are_errors() {
    let service = service(&Options::default());
    let asks = |encoding: &str| {
        Request::post("/v1/predict?detect=false").header("content-encoding", encoding).body(face(0).into()).unwrap()
    };
    assert!(send(&service, asks("gzip")).await.problem(415).contains("Content-Encoding gzip"));
    assert_eq!(send(&service, asks("identity")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_response_has_the_identifier_of_its_request() {
    let service = service(&Options::default());
    let asks = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id).body(Body::empty()).unwrap();
        send(&service, request).await.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(asks("a1-b2_c3.d4:e5").await, "a1-b2_c3.d4:e5");
    // Anything else could imitate other fields of the log.
    let long = "x".repeat(65);
    let mut generated = Vec::new();
    for id in ["", "a b", "a\"b", &long] {
        generated.push(asks(id).await);
    }
    generated.push(get(&service, "/nothing").await.headers["x-request-id"].to_str().unwrap().to_owned());
    generated.sort();
    generated.dedup();
    assert!(generated.len() == 5 && generated.iter().all(|id| id.len() == 16), "{generated:?}");
}

#[tokio::test]
async fn limits_must_fit_each_other() {
    let limits = Limits { body_bytes: 1000, buffer_bytes: 999, ..Limits::default() };
    let error = router(classifier(), &Options { limits, ..Options::default() }).err().unwrap().to_string();
    assert!(error.contains("1000 bytes") && error.contains("999 bytes"), "{error}");
}

#[tokio::test]
async fn predictions_and_metrics_require_the_token() {
    let service = service(&Options { token: Some("secret".into()), ..Options::default() });
    let asks = |token: Option<&str>| {
        let mut request = Request::post("/v1/predict?detect=false");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        request.body(Body::from(face(0))).unwrap()
    };
    assert_eq!(send(&service, asks(Some("bearer secret"))).await.status, StatusCode::OK, "schemes have no case");
    for wrong in [None, Some("secret"), Some("Bearer "), Some("Bearer secre"), Some("Bearer secrets")] {
        let reply = send(&service, asks(wrong)).await;
        reply.problem(401);
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(send(&service, asks(Some("Bearer secret"))).await.status, StatusCode::OK);
    get(&service, "/metrics").await.problem(401);
    let metrics = Request::get("/metrics").header("authorization", "Bearer secret").body(Body::empty()).unwrap();
    let counted = send(&service, metrics).await.text();
    assert!(counted.contains("moue_requests_total{path=\"/v1/predict\",status=\"401\"} 5"), "{counted}");
    assert_eq!(get(&service, "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_configured_origins_may_read_responses() {
    let from = |origin: &str| {
        Request::post("/v1/predict?detect=false").header("origin", origin).body(Body::from(face(0))).unwrap()
    };
    let reply = send(&service(&Options::default()), from("https://a.example")).await;
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
    let named = service(&Options { cors: vec!["https://a.example".into()], ..Options::default() });
    let allowed = send(&named, from("https://a.example")).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://a.example");
    assert!(!send(&named, from("https://b.example")).await.headers.contains_key("access-control-allow-origin"));
    for wrong in ["a.example", "https://a.example/path", "ftp://a.example", "https://"] {
        assert!(router(classifier(), &Options { cors: vec![wrong.into()], ..Options::default() }).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn all_responses_have_security_headers() {
    let service = service(&Options::default());
    for reply in
        [get(&service, "/docs").await, get(&service, "/nothing").await, post(&service, "/v1/predict", "").await]
    {
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe-inline"));
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let service = service(&Options::default());
    post(&service, "/v1/predict?detect=false", face(0)).await;
    post(&service, "/v1/predict", "x").await;
    get(&service, "/somewhere/else").await;
    let text = get(&service, "/metrics").await.text();
    for line in [
        "moue_requests_total{path=\"/v1/predict\",status=\"200\"} 1",
        "moue_requests_total{path=\"/v1/predict\",status=\"422\"} 1",
        "moue_requests_total{path=\"other\",status=\"404\"} 1",
        "moue_faces_total 1",
        "moue_request_duration_seconds_count 2",
        "moue_queue_requests 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn waiting_requests_are_batched() {
    let service = service(&Options::default());
    let asked: Vec<_> = (0..40)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { post(&service, "/v1/predict?detect=false", face(number)).await })
        })
        .collect();
    let options = PredictOptions { detect: false, ..PredictOptions::default() };
    let predictor = Predictor::new(classifier()).with_options(options);
    for (number, reply) in asked.into_iter().enumerate() {
        let expected = predictor.predict(Photo::Bytes("image", &face(number))).unwrap();
        let reply = reply.await.unwrap().json();
        // A batch is summed in another order than a single picture.
        for (class, p) in &expected.faces[0].probabilities {
            let found = reply["faces"][0]["probabilities"][class].as_f64().unwrap();
            assert!((found - f64::from(*p)).abs() < 1e-5, "{class} {found} {p}");
        }
    }
}

#[tokio::test]
async fn the_openapi_document_describes_every_path_and_field() {
    let service = service(&Options::default());
    let document = get(&service, "/openapi.json").await.json();
    assert_eq!(document["paths"].as_object().unwrap().len(), 3);
    assert_eq!(document["x-limits"]["body_bytes"], 20 << 20);
    assert_eq!(document["x-limits"]["time_seconds"], 30.0);
    let page = get(&service, "/docs").await.text();
    for word in [
        "/v1/predict",
        "/healthz",
        "/metrics",
        "explanation",
        "probabilities",
        "uncertain",
        "detect",
        "429",
        "buffer_bytes",
    ] {
        assert!(page.contains(word), "{word}");
    }
    assert!(page.contains("does not determine what a person feels"));
    let loads = ["src=\"http", "href=\"http", "<script", "style=\""];
    assert!(loads.iter().all(|text| !page.contains(text)), "the page loads no external resources");
}
