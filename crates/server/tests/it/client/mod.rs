//! A service without a network, and its responses.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use moue::Classifier;
use moue::model::Model;
use moue_train::config::Config;
use moue_train::data::FER2013_CLASSES;
use serde_json::Value;
use tower::ServiceExt;

/// An untrained model is sufficient for predictions.
pub fn classifier() -> Classifier {
    let classes = FER2013_CLASSES.map(str::to_owned).to_vec();
    Classifier::new(Model::untrained(Config::open("small").unwrap().model, classes, 3).unwrap())
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Asserts that the response is a problem document with this status; returns its detail.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

pub async fn send(service: &Router, request: Request<Body>) -> Reply {
    let response = service.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Reply { status, headers, body: to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec() }
}

pub async fn get(service: &Router, path: &str) -> Reply {
    send(service, Request::get(path).body(Body::empty()).unwrap()).await
}
