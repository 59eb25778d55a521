//! Tests of the page over HTTP, and as a folder.

use crate::client::{classifier, send};
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use moue_server::{Options, export_page, router};
use serde_json::{Value, json};
use std::io::Read;

async fn get(path: &str, header: Option<(&str, &str)>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let service = router(classifier(), &Options::default()).unwrap();
    let request = Request::get(path);
    let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let reply = send(&service, request.body(Body::empty()).unwrap()).await;
    (reply.status, reply.headers, reply.body)
}

#[tokio::test]
async fn all_offline_files_are_served() {
    let (status, headers, page) = get("/", None).await;
    assert_eq!((status.as_u16(), headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
    assert!(headers["content-security-policy"].to_str().unwrap().contains("'wasm-unsafe-eval'"));
    assert!(String::from_utf8_lossy(&page).contains("not what a person feels"));
    let (_, _, worker) = get("/offline.js", None).await;
    let worker = String::from_utf8(worker).unwrap();
    let list = worker.split_once("FILES = ").unwrap().1.split_once(';').unwrap().0;
    let files: Vec<String> = serde_json::from_str(list).unwrap();
    assert!(files.len() > 10 && files.contains(&"moue/moue_web_bg.wasm".to_owned()), "{files:?}");
    for file in files {
        let (status, _, content) = get(&format!("/{}", file.trim_start_matches("./")), None).await;
        assert!(status == 200 && !content.is_empty(), "{file}");
    }
}

#[tokio::test]
async fn the_module_is_compressed_and_cached() {
    let path = "/moue/moue_web_bg.wasm";
    let (_, headers, plain) = get(path, None).await;
    assert_eq!((headers["content-type"].to_str().unwrap(), &plain[..4]), ("application/wasm", &b"\0asm"[..]));
    let (_, packed_headers, packed) = get(path, Some(("accept-encoding", "br, gzip;q=0.8"))).await;
    assert_eq!(packed_headers["content-encoding"], "gzip");
    assert!(packed.len() < 3_000_000, "{} bytes packed", packed.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    let tag = headers["etag"].to_str().unwrap();
    let (status, _, nothing) = get(path, Some(("if-none-match", tag))).await;
    assert_eq!((status, nothing.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn browsers_find_an_icon() {
    let (status, headers, icon) = get("/favicon.ico", None).await;
    assert_eq!((status.as_u16(), headers["content-type"].to_str().unwrap()), (200, "image/svg+xml"));
    assert!(icon.starts_with(b"<svg"));
    let (_, _, docs) = get("/docs", None).await;
    assert!(String::from_utf8(docs).unwrap().contains("rel=\"icon\""));
}

#[test]
fn the_page_is_exported_with_a_model() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("site/page");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let config = || serde_json::from_str::<Value>(&text("config.json")).unwrap();
    export_page(&folder, None).unwrap();
    assert!(folder.join("index.html").exists() && folder.join("moue/moue_web_bg.wasm").exists());
    assert_eq!(config(), json!({"model": null, "server": false}));
    let plain = text("offline.js");
    // An earlier export is updated, and other files in it are left alone.
    std::fs::write(folder.join("CNAME"), "example.org").unwrap();
    export_page(&folder, Some(b"weights")).unwrap();
    assert_eq!(
        (config()["model"].as_str(), text("model.safetensors").as_str()),
        (Some("model.safetensors"), "weights")
    );
    let cached = text("offline.js");
    assert!(cached.contains("[\"model.safetensors\",") && cached.starts_with("// ") && text("CNAME") == "example.org");
    let version = |script: &str| script.split_once("VERSION = ").unwrap().1.split_once(';').unwrap().0.to_owned();
    assert_ne!(version(&plain), version(&cached));
    export_page(&folder, None).unwrap();
    assert!(!folder.join("model.safetensors").exists() && text("offline.js") == plain);
}

#[test]
fn a_folder_with_something_else_is_not_written_to() {
    let place = tempfile::tempdir().unwrap();
    for (name, content) in [("index.html", "mine"), ("offline.js", "const VERSION = \"other\"")] {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
        let refused = export_page(&folder, None).unwrap_err().to_string();
        assert!(refused.contains("something else"), "{refused}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
