//! `moue serve` as a program: it prints its address, serves predictions and shuts down cleanly.

use crate::place::Place;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Service {
    program: Child,
    address: String,
}

impl Service {
    fn start(place: &Place, args: &[&str]) -> Self {
        place.ok(&["train", "tiny.toml", "--epochs", "1", "--out", "run", "--quiet"]);
        Self::of_model(place, "run/model.safetensors", args)
    }

    fn of_model(place: &Place, model: &str, args: &[&str]) -> Self {
        let own = ["serve", "--addr", "127.0.0.1:0", "--json", "--log", "json", "--model", model];
        let mut command = place.command(&[&own[..], args].concat());
        let mut program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let printed: Value = serde_json::from_str(&line).unwrap();
        Self { program, address: printed["address"].as_str().unwrap().to_owned() }
    }

    /// Sends a request and returns the whole response.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> String {
        exchange(&self.address, method, path, body)
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.program.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.program.kill();
    }
}

pub fn exchange(address: &str, method: &str, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

/// A noisy gray image as PNG, in which face detection takes a while.
fn image_bytes(side: u32) -> Vec<u8> {
    let noise = image::GrayImage::from_fn(side, side, |x, y| image::Luma([(x * 7919 + y * 104_729) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    noise.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_running_service_can_be_checked() {
    let place = Place::new();
    let service = Service::start(&place, &["--token", "secret"]);
    let port = service.address.rsplit_once(':').unwrap().1.to_owned();
    let document = place.ok(&["serve", "--check", "--addr", &service.address, "--json"]);
    let health: Value = serde_json::from_str(&document).unwrap();
    assert!(health["version"].is_string(), "{health}");
    assert_eq!(place.ok(&["serve", "--check", "--addr", "0.0.0.0", "--port", &port, "--quiet"]), "");
    drop(service);
    let (code, error) = place.fails(&["serve", "--check", "--port", &port]);
    assert_eq!(code, 1);
    assert!(error.contains("no service responds at 127.0.0.1"), "{error}");
}

#[test]
fn an_incomplete_request_times_out() {
    let place = Place::new();
    let service = Service::start(&place, &["--timeout", "0.3"]);
    let mut stream = TcpStream::connect(&service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Slow:").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert!(!String::from_utf8_lossy(&reply).contains("200"));
    assert!(service.send("GET", "/healthz", b"").starts_with("HTTP/1.1 200"));
}

#[test]
fn it_predicts_and_logs_without_content() {
    let place = Place::new();
    let mut service = Service::start(&place, &[]);
    let reply = service.send("POST", "/v1/predict?detect=false", &image_bytes(24));
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"probabilities\""), "{reply}");
    assert!(service.send("POST", "/v1/predict", b"nonsense").starts_with("HTTP/1.1 422"));
    let health = service.send("GET", "/healthz", b"");
    assert!(health.contains("run/model.safetensors") && !health.contains("null"), "{health}");
    service.terminate();
    assert!(service.program.wait().unwrap().success());
    let mut log = String::new();
    service.program.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0];
    assert_eq!((&first["path"], &first["status"], &first["faces"]), (&"/v1/predict".into(), &200.into(), &1.into()));
    assert_eq!((&first["version"], first["error"].is_null()), (&"HTTP/1.1".into(), true));
    assert!(first["bytes"].as_u64().unwrap() > 100 && first["id"].as_str().unwrap().len() == 16, "{first}");
    assert!(lines[1]["error"].as_str().unwrap().starts_with("not a PNG"), "{log}");
    assert_eq!(lines.len(), 4, "one line per request and one for the shutdown: {log}");
}

#[test]
fn it_names_the_precision_of_the_classifier() {
    let place = Place::new();
    for (precision, more) in [("f32", &[][..]), ("bf16", &["--precision", "bf16"])] {
        let service = Service::of_model(&place, "tiny", more);
        let health = service.send("GET", "/healthz", b"");
        assert!(health.contains(&format!("\"precision\":\"{precision}\"")), "{health}");
    }
}

/// `png` with a color profile of this many zeros, which is compressed to a thousandth.
fn with_profile(png: &[u8], size: u64) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(b"iCCPx\0\0".to_vec(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(size), &mut packed).unwrap();
    let chunk = packed.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    // After the signature and the header.
    let (head, rest) = png.split_at(33);
    [head, &(chunk.len() as u32 - 4).to_be_bytes(), &chunk, &crc.sum().to_be_bytes(), rest].concat()
}

#[test]
fn a_compressed_color_profile_takes_a_limited_amount_of_memory() {
    let place = Place::new();
    let service = Service::start(&place, &[]);
    let bomb = with_profile(&image_bytes(64), 600 << 20);
    assert!(bomb.len() < 1 << 20);
    let reply = service.send("POST", "/v1/predict", &bomb);
    assert!(reply.starts_with("HTTP/1.1 200") || reply.starts_with("HTTP/1.1 422"), "{reply}");
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", service.program.id())) else {
        println!("SKIPPED: the memory of a process is not known");
        return;
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 300_000, "{kilobytes} kB");
}

/// Requests that are in progress at shutdown are completed.
#[test]
fn a_shutdown_under_load_completes_all_requests() {
    let place = Place::new();
    let mut service = Service::start(&place, &["--workers", "1", "--quiet"]);
    let (count, body) = (6, image_bytes(2400));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let (address, body) = (service.address.clone(), body.clone());
            std::thread::spawn(move || exchange(&address, "POST", "/v1/predict", &body))
        })
        .collect();
    let begun = Instant::now();
    while !service.send("GET", "/metrics", b"").contains(&format!("moue_queue_requests {count}\n")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the requests did not arrive");
    }
    service.terminate();
    for client in clients {
        let reply = client.join().unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"faces\""), "{reply}");
    }
    assert!(service.program.wait().unwrap().success());
    assert!(TcpStream::connect(&service.address).is_err(), "the port is closed");
}

/// A second interrupt ends the running requests.
#[test]
fn a_second_interrupt_ends_the_service() {
    let place = Place::new();
    let mut service = Service::start(&place, &[]);
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    stream.write_all(head).unwrap();
    // The request is being handled.
    stream.read_exact(&mut [0; 21]).unwrap();
    let begun = Instant::now();
    let status = loop {
        let sent = Command::new("kill").args(["-INT", &service.program.id().to_string()]).status().unwrap();
        if let Some(status) = service.program.try_wait().unwrap() {
            break status;
        }
        assert!(sent.success() && begun.elapsed() < Duration::from_secs(20), "it ends before the time limit of 30 s");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn wrong_addresses_and_options_are_errors() {
    let place = Place::new();
    place.ok(&["train", "tiny.toml", "--epochs", "1", "--out", "run", "--quiet"]);
    let fails = |args: &[&str]| place.fails(&[&["serve", "--model", "run/model.safetensors"], args].concat());
    let (code, error) = fails(&["--addr", "nowhere:1:2"]);
    assert!(code == 1 && error.contains("cannot listen on nowhere:1:2"), "{error}");
    let (code, error) = fails(&["--cors", "example.org"]);
    assert!(code == 2 && error.contains("https://example.org"), "{error}");
    let (code, error) = fails(&["--timeout", "0"]);
    assert!(code == 2 && error.contains("--timeout 0"), "{error}");
    let (code, error) = fails(&["--token", ""]);
    assert!(code == 2 && error.contains("the token is empty"), "{error}");
    let (code, error) = fails(&["--max-buffer", "10"]);
    assert!(code == 2 && error.contains("--max-buffer 10 is less than --max-body 20"), "{error}");
    // A port in use: the error names one that is free.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, error) = fails(&["--port", &port.to_string()]);
    assert!(code == 1 && error.contains(&format!("cannot listen on 127.0.0.1:{port}: the port is in use")), "{error}");
    let free: u16 = error.trim().rsplit_once("add --port ").unwrap().1.parse().unwrap();
    assert!(free > port, "{error}");
}

/// The first line that a service prints, and its warnings.
fn started(place: &Place, args: &[&str]) -> (String, String) {
    let mut command = place.command(&[&["serve", "--model", "tiny", "--json", "--quiet"], args].concat());
    let mut program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("MOUE_TOKEN").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    program.kill().unwrap();
    let mut warnings = String::new();
    program.stderr.take().unwrap().read_to_string(&mut warnings).unwrap();
    program.wait().unwrap();
    let printed: Value = serde_json::from_str(&line).unwrap();
    (printed["address"].as_str().unwrap().to_owned(), warnings)
}

#[test]
fn a_public_address_without_a_token_is_warned_about() {
    let place = Place::new();
    let (address, warnings) = started(&place, &["--addr", "0.0.0.0", "--port", "0"]);
    assert!(address.starts_with("0.0.0.0:"), "{address}");
    assert!(warnings.contains("warning: other machines can reach this address") && warnings.contains("--token"));
    assert_eq!(started(&place, &["--addr", "0.0.0.0:0", "--token", "secret"]).1, "");
    let (address, warnings) = started(&place, &["--addr", "localhost:1", "--port", "0"]);
    assert!(!address.ends_with(":1") && warnings.is_empty(), "{address} {warnings}");
}

#[test]
fn the_model_of_an_exported_page_is_checked() {
    let place = Place::new();
    place.put("notes.txt", "hello");
    let (code, error) = place.fails(&["serve", "--model", "notes.txt", "--export", "site"]);
    assert!(code == 1 && error.contains("notes.txt") && !place.path("site").exists(), "{error}");
    place.put("face.png", image_bytes(48));
    place.ok(&["export", "tiny", "model.onnx", "--quiet"]);
    let written = place.json(&["serve", "--model", "model.onnx", "--export", "site", "--json"]);
    assert_eq!((&written["page"], &written["model"]), (&"site".into(), &"model.onnx".into()));
    place.ok(&["predict", "--model", "site/model.safetensors", "--no-detect", "--quiet", "face.png"]);
}
