//! Bodies of requests: their limits, and the rest of a body that a rejected request still sends.
//!
//! A body is counted while it is received. The service rejects a request as soon as its body is too
//! large, or the bodies of all requests together are. A client that is still sending then would not
//! read the response if the connection were closed. So the rest is received and discarded.

use crate::options::Limits;
use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of a rejected request this many times the maximum of a body is discarded, then the connection is
/// closed.
const DISCARDED: usize = 8;

/// The time in which a client that was too slow can read its response.
const LINGER: Duration = Duration::from_secs(2);

/// Why no more of a body is received.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is larger than the limit of a body.
    #[error("the body is too large")]
    TooLarge,
    /// The bodies of all requests together are larger than their limit.
    #[error("too many bodies are in memory")]
    BufferFull,
}

/// The memory for bodies, and the limits of one.
#[derive(Clone)]
pub struct Intake {
    buffer: Arc<Semaphore>,
    body_bytes: usize,
    time: Duration,
}

impl Intake {
    /// The empty memory.
    pub fn new(limits: &Limits) -> Self {
        let buffer = Arc::new(Semaphore::new(limits.buffer_bytes.min(Semaphore::MAX_PERMITS)));
        Self { buffer, body_bytes: limits.body_bytes, time: limits.time }
    }

    /// Counts a body from now on.
    pub fn receive(&self, body: Body, expects_continue: bool) -> (Body, Account) {
        let account = Account(Arc::default());
        let received = Received {
            body,
            account: account.clone(),
            intake: self.clone(),
            discarded_when_dropped: !expects_continue,
            ended: false,
        };
        (Body::new(received), account)
    }
}

/// What a body takes of the memory. The memory is free again when all clones are dropped.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

#[derive(Default)]
struct Inner {
    bytes: AtomicUsize,
    memory: Mutex<Option<OwnedSemaphorePermit>>,
    refusal: OnceLock<Refusal>,
    lingers: AtomicBool,
}

impl Account {
    /// The received bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Why no more is received, if so.
    pub fn refusal(&self) -> Option<Refusal> {
        self.0.refusal.get().copied()
    }

    /// The rest of the body is discarded only as long as the client needs to read the response.
    pub fn linger(&self) {
        self.0.lingers.store(true, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize, intake: &Intake) -> Result<(), Refusal> {
        let refuse = |refusal| Err(*self.0.refusal.get_or_init(|| refusal));
        if self.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > intake.body_bytes {
            return refuse(Refusal::TooLarge);
        }
        let more = u32::try_from(bytes).ok().and_then(|n| Arc::clone(&intake.buffer).try_acquire_many_owned(n).ok());
        let (Some(more), Ok(mut memory)) = (more, self.0.memory.lock()) else { return refuse(Refusal::BufferFull) };
        match memory.as_mut() {
            Some(taken) => taken.merge(more),
            None => *memory = Some(more),
        }
        Ok(())
    }
}

struct Received {
    body: Body,
    account: Account,
    intake: Intake,
    /// A client that waits for `100 Continue` does not send its body after a rejection.
    discarded_when_dropped: bool,
    ended: bool,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.discarded_when_dropped = true;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = frame else {
            self.ended = true;
            return Poll::Ready(frame);
        };
        let size = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(self.account.add(size, &self.intake).map(|()| frame).map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let done = self.ended || self.body.is_end_stream();
        if done || !self.discarded_when_dropped {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let body = std::mem::take(&mut self.body);
        let time = if self.account.0.lingers.load(Ordering::Relaxed) { LINGER } else { self.intake.time };
        let most = self.intake.body_bytes.saturating_mul(DISCARDED);
        // An error or the end of the time: the connection is closed, as it would be without this.
        runtime.spawn(async move { drop(tokio::time::timeout(time, discard(body, most)).await) });
    }
}

async fn discard(mut body: Body, most: usize) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > most {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn body(chunks: &[usize]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|&size| Ok::<_, axum::Error>(vec![0u8; size])).collect();
        Body::from_stream(futures_util::stream::iter(chunks))
    }

    fn intake(body_bytes: usize, buffer_bytes: usize) -> Intake {
        Intake::new(&Limits { body_bytes, buffer_bytes, ..Limits::default() })
    }

    #[tokio::test]
    async fn memory_is_counted_and_released() {
        let intake = intake(100, 150);
        let (first, taken) = intake.receive(body(&[40, 60]), false);
        let bytes = first.collect().await.unwrap().to_bytes();
        assert_eq!((bytes.len(), taken.bytes(), intake.buffer.available_permits()), (100, 100, 50));
        let (second, refused) = intake.receive(body(&[40, 20]), false);
        assert!(second.collect().await.is_err());
        assert!(matches!(refused.refusal(), Some(Refusal::BufferFull)));
        drop((taken, refused));
        assert_eq!(intake.buffer.available_permits(), 150);
    }

    #[tokio::test]
    async fn a_body_of_more_than_the_limit_is_refused() {
        let (body, account) = intake(100, 1000).receive(body(&[60, 40, 1]), false);
        assert!(body.collect().await.is_err());
        assert!(matches!(account.refusal(), Some(Refusal::TooLarge)));
    }
}
