//! Tests of the service over connections: slow clients, large bodies, and limits of all requests together.

use crate::client::classifier;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use moue_server::{Limits, Options, router, serve};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const MEGABYTE: usize = 1_000_000;

/// Longer than any limit of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves with these limits until the test ends.
async fn start(limits: Limits) -> SocketAddr {
    let routes = router(classifier(), &Options { limits: limits.clone(), ..Options::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, routes, &limits, std::future::pending()).await });
    address
}

fn short() -> Limits {
    Limits { time: Duration::from_millis(400), idle: Duration::from_millis(400), ..Limits::default() }
}

struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends the head of a request for a prediction.
    async fn post(&mut self, length: usize, more: &str) {
        self.send(format!("POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n")).await;
    }

    /// Receives a response with `Content-Length`.
    async fn receive(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut buffer = vec![0; 4096];
            let read = timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("a response").unwrap();
            assert!(read > 0, "the connection was closed after {text:?}");
            text += std::str::from_utf8(&buffer[..read]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| body.len() >= length.parse().unwrap()) {
                return text;
            }
        }
    }

    /// Receives everything until the service closes the connection.
    async fn receive_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("the connection is closed");
        bytes
    }
}

async fn metrics(address: SocketAddr) -> String {
    let mut client = Client::connect(address).await;
    client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.receive().await
}

#[tokio::test]
async fn a_rejection_can_be_read_after_sending_the_whole_body() {
    let address = start(Limits::default()).await;
    let mut client = Client::connect(address).await;
    client.post(25 * MEGABYTE, "").await;
    client.send(vec![0; 25 * MEGABYTE]).await;
    let response = client.receive().await;
    assert!(response.starts_with("HTTP/1.1 413") && response.contains("20971520 bytes"), "{response}");
    // The connection is usable for further requests.
    client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(client.receive().await.starts_with("HTTP/1.1 200"));
    // So it is where other parts of the service reject a request.
    for path in ["/nothing", "/metrics", "/v1/predict?detekt=true"] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MEGABYTE}\r\n\r\n")).await;
        client.send(vec![0; MEGABYTE]).await;
        assert!(client.receive().await.starts_with("HTTP/1.1 40"), "{path}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_limited_too() {
    let address = start(Limits { body_bytes: 2 * MEGABYTE, ..Limits::default() }).await;
    let mut client = Client::connect(address).await;
    client.send("POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..5 {
        client.send(format!("{MEGABYTE:x}\r\n")).await;
        client.send(vec![0; MEGABYTE]).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    assert!(client.receive().await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn an_endless_body_is_not_received_for_ever() {
    let address = start(Limits { body_bytes: MEGABYTE, ..Limits::default() }).await;
    let mut client = Client::connect(address).await;
    client.post(usize::MAX >> 1, "").await;
    let chunk = vec![0; MEGABYTE];
    for sent in 0.. {
        assert!(sent < 100, "the service receives {sent} MB");
        if client.0.write_all(&chunk).await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_sends_no_rejected_body() {
    let address = start(Limits::default()).await;
    let mut client = Client::connect(address).await;
    client.post(25 * MEGABYTE, "Expect: 100-continue\r\n").await;
    let response = client.receive().await;
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    let mut client = Client::connect(address).await;
    client.post(5, "Expect: 100-continue\r\n").await;
    let mut line = [0; 25];
    client.0.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert!(client.receive().await.starts_with("HTTP/1.1 422"));
}

#[tokio::test]
async fn http_2_is_served_with_the_same_limits() {
    let address = start(Limits::default()).await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for (size, status, part) in [(25 * MEGABYTE, 413, "20971520 bytes"), (10, 422, "not a PNG")] {
        let body = Full::new(axum::body::Bytes::from(vec![b'x'; size]));
        let request = axum::http::Request::post(format!("http://{address}/v1/predict")).body(body).unwrap();
        let response = timeout(PATIENCE, client.send_request(request)).await.expect("a response").unwrap();
        assert_eq!(response.status(), status);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(part), "{body:?}");
    }
}

#[tokio::test]
async fn a_slow_body_is_a_timeout() {
    let address = start(short()).await;
    let mut client = Client::connect(address).await;
    client.post(1000, "").await;
    client.send("only the beginning").await;
    let response = client.receive().await;
    assert!(response.starts_with("HTTP/1.1 408") && response.contains("time limit of 0.4 s"), "{response}");
    assert!(client.receive_all().await.is_empty());
    // A client that waits for its turn does not count as a request that waits.
    assert!(metrics(address).await.contains("moue_queue_requests 0"));
}

#[tokio::test]
async fn connections_without_requests_are_closed() {
    let address = start(short()).await;
    for sent in ["", "P", "POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Slow:", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut client = Client::connect(address).await;
        client.send(sent).await;
        let received = client.receive_all().await;
        assert!(!received.starts_with(b"HTTP/1.1 200"), "{sent:?}");
    }
    // After a response as well.
    let mut client = Client::connect(address).await;
    client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.receive().await;
    client.receive_all().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let address = start(short()).await;
    let mut client = Client::connect(address).await;
    let requests = "GET /moue/moue_web_bg.wasm HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    client.send(requests).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let received = client.receive_all().await;
    assert!(received.len() < 20 * 3 * MEGABYTE, "{} bytes", received.len());
}

#[tokio::test]
async fn further_connections_wait() {
    let address = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = Client::connect(address).await;
    first.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.receive().await;
    let mut second = Client::connect(address).await;
    second.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = [0; 16];
    assert!(timeout(Duration::from_millis(300), second.0.read(&mut buffer)).await.is_err(), "it is not served yet");
    drop(first);
    assert!(second.receive().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn bodies_share_a_limit() {
    let limits = Limits { body_bytes: MEGABYTE, buffer_bytes: MEGABYTE + MEGABYTE / 2, ..Limits::default() };
    let address = start(limits).await;
    let mut first = Client::connect(address).await;
    first.post(MEGABYTE, "").await;
    first.send(vec![0; MEGABYTE - 1]).await;
    let mut second = Client::connect(address).await;
    let mut rejected = false;
    // The first body arrives at some time.
    for _ in 0..100 {
        second.post(MEGABYTE, "").await;
        second.send(vec![0; MEGABYTE]).await;
        let response = second.receive().await;
        rejected = response.starts_with("HTTP/1.1 429");
        if rejected {
            assert!(response.contains("retry-after: 1") && response.contains("exceed the memory"), "{response}");
            break;
        }
    }
    assert!(rejected);
    // The memory is free again when the first client is gone.
    drop(first);
    let mut status = String::new();
    for _ in 0..100 {
        second.post(MEGABYTE, "").await;
        second.send(vec![0; MEGABYTE]).await;
        status = second.receive().await[..12].to_owned();
        if status == "HTTP/1.1 422" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, "HTTP/1.1 422");
}

#[tokio::test]
async fn a_client_that_disconnects_is_counted() {
    let address = start(Limits::default()).await;
    let mut client = Client::connect(address).await;
    client.post(1000, "").await;
    client.send("only the beginning").await;
    drop(client);
    let expected = "moue_requests_total{path=\"/v1/predict\",status=\"499\"} 1";
    for _ in 0..100 {
        let text = metrics(address).await;
        if text.contains(expected) {
            assert!(text.contains("moue_queue_requests 0"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // An incomplete body may also be seen as such, with status 400.
    assert!(metrics(address).await.contains("status=\"400\"} 1"));
}
