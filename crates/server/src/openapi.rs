//! The description of the API: as an OpenAPI document, and as a page.

use crate::api::{self, Health};
use crate::options::Limits;
use crate::problem::Problem;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use maud::{DOCTYPE, Markup, html};
use moue::prediction::{Face, FaceBox, Point, Prediction};
use utoipa::OpenApi;
use utoipa::openapi::extensions::Extensions;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "moue",
        description = "Predicts the facial expressions in pictures. An expression is an appearance: it does not determine \
            what a person feels. The EU AI Act bans inferring emotions at work and in education."
    ),
    paths(api::predict, api::health, api::metrics),
    components(schemas(Prediction, Face, FaceBox, Point, Health, Problem))
)]
struct Api;

/// Name of the limits in the document.
const LIMITS: &str = "x-limits";

/// The routes of the description.
pub fn routes<S: Clone + Send + Sync + 'static>(limits: &Limits) -> Router<S> {
    let document = serde_json::to_value(document(limits)).unwrap_or_default();
    let page = page(&document);
    Router::new()
        .route("/openapi.json", get(async move || Json(document.clone())))
        .route("/docs", get(async move || Html(page.clone())))
        .route("/docs.css", get(|| async { ([(CONTENT_TYPE, "text/css")], STYLE) }))
}

/// The OpenAPI document, with the limits as `x-limits`.
pub fn document(limits: &Limits) -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    let limits = Limits { idle: limits.idle_time(), ..limits.clone() };
    let limits = serde_json::to_value(limits).unwrap_or_default();
    document.extensions = Some(Extensions::builder().add(LIMITS, limits).build());
    document
}

/// The page's style sheet.
const STYLE: &str = include_str!("docs.css");

/// The description as an HTML page.
fn page(document: &serde_json::Value) -> String {
    let info = &document["info"];
    let body = html! {
        h1 { (text(&info["title"])) " " (text(&info["version"])) }
        p { (text(&info["description"])) }
        p { "OpenAPI document: " a href="/openapi.json" { "openapi.json" } "." }
        @for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            @for (method, operation) in methods.as_object().into_iter().flatten() {
                (section(path, method, operation))
            }
        }
        h2 { "Limits" }
        table {
            @for (name, value) in document[LIMITS].as_object().into_iter().flatten() {
                tr { td { code { (name) } } td { (value) } }
            }
        }
        h2 { "Examples" }
        pre { "curl --data-binary @photo.jpg http://127.0.0.1:8080/v1/predict\n"
              "curl -F a=@a.jpg -F b=@b.png 'http://127.0.0.1:8080/v1/predict?explain=true'" }
        @for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
            h2 id=(name) { (name) }
            (properties(schema))
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "moue: HTTP API" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/docs.css";
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn section(path: &str, method: &str, operation: &serde_json::Value) -> Markup {
    html! {
        h2 { code { (method.to_uppercase()) " " (path) } }
        p { (prose(&operation["summary"])) }
        @let body = &operation["requestBody"]["description"];
        @if body.is_string() { p { "Body: " (prose(body)) } }
        @if let Some(parameters) = operation["parameters"].as_array() {
            table {
                thead { tr { th { "parameter" } th { "default" } th {} } }
                @for parameter in parameters {
                    tr {
                        td { code { (text(&parameter["name"])) } }
                        td { code { (parameter["schema"]["default"]) } }
                        td { (prose(&parameter["description"])) }
                    }
                }
            }
        }
        table {
            thead { tr { th { "status" } th {} } }
            @for (status, response) in operation["responses"].as_object().into_iter().flatten() {
                tr { td { (status) } td { (prose(&response["description"])) } }
            }
        }
    }
}

/// A string of the document.
fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A string in which the parts between backticks are code.
fn prose(value: &serde_json::Value) -> Markup {
    html! {
        @for (number, part) in text(value).split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The fields of a schema.
fn properties(schema: &serde_json::Value) -> Markup {
    html! {
        table {
            thead { tr { th { "field" } th { "type" } th {} } }
            @for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                tr {
                    td { code { (name) } }
                    td { (kind(field)) }
                    td { (prose(&field["description"])) }
                }
            }
        }
    }
}

/// A link to the referenced schema, if the field is a reference.
fn reference(field: &serde_json::Value) -> Option<Markup> {
    let name = field["$ref"].as_str()?.rsplit('/').next()?;
    Some(html! { a href={ "#" (name) } { (name) } })
}

/// The type of a field as text.
fn kind(field: &serde_json::Value) -> Markup {
    if let Some(schema) = reference(field) {
        return schema;
    }
    if let Some(of) = field["oneOf"].as_array().or(field["allOf"].as_array()) {
        return html! { @for (i, one) in of.iter().enumerate() { @if i > 0 { " or " } (kind(one)) } };
    }
    match &field["type"] {
        serde_json::Value::String(kind) if kind == "array" => html! { "array of " (self::kind(&field["items"])) },
        serde_json::Value::String(kind) => html! { (kind) },
        serde_json::Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(serde_json::Value::as_str).collect();
            html! { (kinds.join(" or ")) }
        }
        _ => html! {},
    }
}
