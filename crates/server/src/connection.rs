//! Connections: how many there are, and when one is closed.
//!
//! HTTP/1.1 and HTTP/2 (without TLS: `h2c` by prior knowledge). Limits of requests are in `api`.

use crate::options::Limits;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Maximum bytes that a connection buffers, and of the head of a request.
const BUFFER: usize = 64 << 10;
const HEAD: u32 = 16 << 10;

/// Maximum requests at the same time in an HTTP/2 connection, and the bytes that it receives ahead: less would slow a
/// distant client down.
const STREAMS: u32 = 16;
const WINDOW: u32 = 512 << 10;

/// Number of the first bytes of a connection, which show its protocol.
const PREFACE: usize = 24;

/// The shortest time between two warnings of one kind.
const QUIET: Duration = Duration::from_secs(10);

/// The longest time that a shutdown takes after the running requests.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Serves the routes until `stop` is ready, then finishes the requests of all connections.
///
/// A connection is closed when a request's head does not arrive within `limits.time`, when the
/// client takes no bytes for this time while there are some for it, or when neither side sends
/// anything for `limits.idle`.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: impl Future<Output = ()>) {
    let http = http(limits);
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let connections = GracefulShutdown::new();
    let (mut stop, mut warned) = (pin!(stop), None);
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Usually too many open files: some will be closed soon.
                if warned.is_none_or(|at: Instant| at.elapsed() > QUIET) {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    warned = Some(Instant::now());
                }
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Predictions are small and sent without delay.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Guarded::new(stream, limits));
        let connection = http.serve_connection(stream, TowerToHyperService::new(router.clone())).into_owned();
        let connection = connections.watch(connection);
        // An error means that the client has disconnected, is too slow or violated the protocol:
        // there is no one to report it to.
        tokio::spawn(async move {
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    let _ = timeout(limits.time + SHUTDOWN, connections.shutdown()).await;
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.time).max_buf_size(BUFFER);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(BUFFER)
        .max_header_list_size(HEAD);
    http
}

/// A connection that fails when the client is too slow.
struct Guarded {
    stream: TcpStream,
    received: usize,
    idle: Duration,
    stalled: Duration,
    /// When the client must have sent something.
    read_until: Pin<Box<Sleep>>,
    /// When the client must have received something, where the service waits for that.
    write_until: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    fn new(stream: TcpStream, limits: &Limits) -> Self {
        // The time of a request's head includes the first bytes, which show the protocol.
        let read_until = Box::pin(sleep(limits.time));
        Self { stream, received: 0, idle: limits.idle_time(), stalled: limits.time, read_until, write_until: None }
    }

    /// The client is not idle: the protocol is known, and it sends or receives.
    fn extend(&mut self) {
        if self.received >= PREFACE {
            let until = Instant::now() + self.idle;
            self.read_until.as_mut().reset(until);
        }
    }

    /// A result of writing: an error where the client has received nothing for too long.
    fn written<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_until = None;
            self.extend();
            return result;
        }
        let stalled = self.stalled;
        let until = self.write_until.get_or_insert_with(|| Box::pin(sleep(stalled)));
        until.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.received = self.received.saturating_add(buffer.filled().len() - before);
            self.extend();
            return Poll::Ready(result);
        }
        self.read_until.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(result, cx)
    }
}
