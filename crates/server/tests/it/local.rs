//! Tests of the page for the browser of the same machine.

use crate::client::{Reply, send};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use moue_server::local_page;

fn service() -> Router {
    let document = |path: &str| (path == "runs/3.json").then(|| "{\"epoch\":4}".to_owned());
    local_page("<!DOCTYPE html><title>runs</title>".to_owned(), "1;", document)
}

async fn request(method: Method, path: &str, host: Option<&str>) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = host.into_iter().fold(request, |request, host| request.header("host", host));
    send(&service(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_page_its_script_and_documents_are_served() {
    for host in ["127.0.0.1:4321", "localhost:4321", "LOCALHOST", "[::1]:80", "127.0.0.9"] {
        let page = request(Method::GET, "/", Some(host)).await;
        assert_eq!((page.status.as_u16(), page.text().contains("<title>runs")), (200, true), "{host}");
        assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert!(!page.headers.contains_key("access-control-allow-origin"));
    }
    let script = request(Method::GET, "/page.js", Some("localhost")).await;
    assert_eq!(
        (script.text().as_str(), &script.headers["x-content-type-options"]),
        ("1;", &"nosniff".parse().unwrap())
    );
    let document = request(Method::GET, "/runs/3.json", Some("localhost")).await;
    assert_eq!(
        (document.json()["epoch"].as_u64(), &document.headers["cache-control"]),
        (Some(4), &"no-store".parse().unwrap())
    );
    request(Method::GET, "/runs/4.json", Some("localhost")).await.problem(404);
    assert_eq!(request(Method::HEAD, "/", Some("localhost")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn other_hosts_and_methods_are_rejected() {
    for host in
        [Some("example.org"), Some("127.0.0.1.example.org:80"), Some("localhost.example.org"), Some("10.0.0.1"), None]
    {
        for path in ["/", "/page.js", "/runs/3.json", "/other"] {
            request(Method::GET, path, host).await.problem(403);
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(request(method.clone(), "/runs/3.json", Some("localhost")).await.status.as_u16(), 405, "{method}");
    }
}
