//! The page, which predicts in the visitor's browser: files of `dist/`, built by `cargo xtask web`
//! from `crates/web`, and served unchanged.

use axum::Router;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::{Compression, write::GzEncoder};
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
    let digest = base16ct::lower::encode_string(&Sha256::digest(plain)[..8]);
    format!("\"{digest}\"")
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
        if served.name == "index.html" {
            router = router.route("/", get(respond));
        }
    }
    router
}

/// Writes all files atomically into a new or empty folder.
pub fn export(folder: &Path) -> io::Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut inside| inside.next().is_some()) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the folder is not empty; choose a new or empty folder",
        ));
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(above)?;
    let fresh = tempfile::Builder::new().prefix(".moue-page-").tempdir_in(above)?;
    for (name, content) in FILES {
        let path = fresh.path().join("page").join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    if folder.exists() {
        fs::remove_dir(folder)?;
    }
    fs::rename(fresh.path().join("page"), folder)
}
