//! The page, which predicts in the visitor's browser: files of `dist/`, built by `cargo xtask web`
//! from `crates/web`, and served unchanged.

use axum::Router;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::{Compression, write::GzEncoder};
use moue::fs::write_atomically;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};
use std::{fs, io};

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_bytes!(concat!("../dist/", $name)))),*] };
}

/// Name and content of each file; the first is the page itself.
const FILES: &[(&str, &[u8])] = files![
    "index.html",
    "page.css",
    "page.js",
    "camera.js",
    "compute.js",
    "save.js",
    "view.js",
    "worker.js",
    "offline.js",
    "icon.svg",
    "manifest.webmanifest",
    "config.json",
    "moue/index.js",
    "moue/index.d.ts",
    "moue/moue_web.js",
    "moue/moue_web.d.ts",
    "moue/moue_web_bg.wasm",
    "moue/package.json",
    "moue/README.md",
    "moue/licenses.txt",
];

/// A file to serve; its compressed form is computed on the first request.
struct Served {
    name: &'static str,
    plain: &'static [u8],
    /// Entity tag, derived from the content.
    tag: OnceLock<String>,
    packed: OnceLock<Vec<u8>>,
}

impl Served {
    fn new(&(name, plain): &(&'static str, &'static [u8])) -> Self {
        Self { name, plain, tag: OnceLock::new(), packed: OnceLock::new() }
    }

    fn respond(&'static self, asked: &HeaderMap) -> Response {
        // Browsers revalidate each time; the content is sent only when it has changed.
        let tag = self.tag.get_or_init(|| tag(self.plain));
        let head = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache"), (VARY, "accept-encoding")];
        let says = |name, text: &str| {
            let values = asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
            values.split(',').any(|value| value.split(';').next().is_some_and(|value| value.trim() == text))
        };
        if says(IF_NONE_MATCH, tag) {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        let kind = [(CONTENT_TYPE, media_type(self.name))];
        if says(ACCEPT_ENCODING, "gzip") {
            return (head, kind, [(CONTENT_ENCODING, "gzip")], self.packed.get_or_init(|| pack(self.plain)).as_slice())
                .into_response();
        }
        (head, kind, self.plain).into_response()
    }
}

fn tag(plain: &[u8]) -> String {
    format!("\"{}\"", digest(plain))
}

fn digest(content: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(content)[..8])
}

fn pack(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}

/// A route for each file; the page itself is also at `/`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| FILES.iter().map(Served::new).collect());
    let mut router = Router::new();
    for served in SERVED.iter() {
        let respond = move |asked: HeaderMap| async move { served.respond(&asked) };
        router = router.route(&format!("/{}", served.name), get(respond));
        router = match served.name {
            "index.html" => router.route("/", get(respond)),
            // Browsers request this path for pages that name no icon.
            "icon.svg" => router.route("/favicon.ico", get(respond)),
            _ => router,
        };
    }
    router
}

/// Name of the exported model, and of the file that names it for the page.
const MODEL: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// How the service worker of an exported page begins.
const VERSION: &str = "const VERSION = \"moue-";
const CACHED: &str = "const FILES = [";

/// Writes all files into a folder that is new, empty, or an earlier export; `model` is the file that the page predicts
/// with instead of `tiny`.
pub fn export(folder: &Path, model: Option<&[u8]>) -> io::Result<()> {
    let worker = folder.join("offline.js");
    let filled = fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some());
    if filled && !fs::read_to_string(&worker).is_ok_and(|script| script.contains(VERSION)) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the folder contains something else; choose a new or empty folder, or one that this command has written",
        ));
    }
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        write_atomically(path, content)
    };
    if !worker.exists() {
        // So that the folder of an interrupted export is recognized; browsers must not cache files yet.
        write("offline.js", format!("// {VERSION}\n").as_bytes())?;
    }
    for (name, content) in FILES.iter().filter(|(name, _)| *name != "offline.js" && *name != CONFIG) {
        write(name, content)?;
    }
    match model {
        Some(bytes) => write(MODEL, bytes)?,
        None if folder.join(MODEL).exists() => fs::remove_file(folder.join(MODEL))?,
        None => {}
    }
    write(CONFIG, json!({ "model": model.map(|_| MODEL), "server": false }).to_string().as_bytes())?;
    write("offline.js", service_worker(model).as_bytes())
}

/// The service worker of an exported page, which also caches the model. Its version differs from that of the served
/// page, whose settings differ, and changes with the model.
fn service_worker(model: Option<&[u8]>) -> String {
    let content = FILES.iter().find(|(name, _)| *name == "offline.js").map_or(&[][..], |(_, content)| content);
    let script = String::from_utf8_lossy(content);
    match model {
        Some(bytes) => script.replacen(VERSION, &format!("{VERSION}{}-", digest(bytes)), 1).replacen(
            CACHED,
            &format!("{CACHED}\"{MODEL}\","),
            1,
        ),
        None => script.replacen(VERSION, &format!("{VERSION}exported-"), 1),
    }
}
