//! Bodies with a limit: a request's in bytes and time, a response's in the client's patience.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Peer;
use super::limits::Limits;
use super::refuse::{BoxError, Reason};
use super::vitals::{Flight, Vitals};

/// Why a request's body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed.
    #[error("the request body is longer than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// It did not arrive in time.
    #[error("the request body did not arrive within {within:?}")]
    TooSlow {
        /// The limit.
        within: Duration,
    },
    /// The client went away, or broke the protocol.
    #[error("the request body ended early")]
    Broken(#[source] BoxError),
}

impl BodyError {
    /// What to refuse the request with; `None` when nobody is left to hear it.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::TooLarge { .. } => Some(Reason::BodyTooLarge),
            Self::TooSlow { .. } => Some(Reason::BodyTooSlow),
            Self::Broken(_) => None,
        }
    }
}

/// A request's body that fails with [`BodyError`] once it is too long or too late.
#[derive(Debug)]
pub struct RequestBody<B = Incoming> {
    inner: B,
    bytes_max: Option<u64>,
    bytes: u64,
    within: Option<Duration>,
    deadline: Option<Instant>,
    /// Made when there is first something to wait for: most bodies arrive with their head.
    timer: Option<Pin<Box<Sleep>>>,
    unread: Unread,
    peer: Option<Peer>,
}

/// Tells the connection when a body is dropped before its end.
#[derive(Debug)]
struct Unread(Option<Arc<Vitals>>);

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(vitals) = &self.0 {
            vitals.body_unread();
        }
    }
}

impl<B: Body> RequestBody<B> {
    /// Limits `inner`; its time begins now.
    #[must_use]
    pub fn new(inner: B, limits: &Limits) -> Self {
        // Most requests have none, and nothing to wait for.
        let within = limits.body.filter(|_| !inner.is_end_stream());
        let deadline = within.map(|within| Instant::now() + within);
        let bytes_max = limits.body_bytes_max;
        Self {
            inner,
            bytes_max,
            bytes: 0,
            within: limits.body,
            deadline,
            timer: None,
            unread: Unread(None),
            peer: None,
        }
    }
}

impl RequestBody {
    pub(super) fn watched(inner: Incoming, limits: &Limits, vitals: &Arc<Vitals>, peer: Peer) -> Self {
        let unread = (!inner.is_end_stream()).then(|| Arc::clone(vitals));
        Self { unread: Unread(unread), peer: Some(peer), ..Self::new(inner, limits) }
    }

    /// The other end's address, of a request that came over a connection.
    #[must_use]
    pub const fn peer(&self) -> Option<Peer> {
        self.peer
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        // What has arrived is taken before the time is looked at: a slow handler is not the client's fault.
        if polled.is_pending()
            && let (Some(deadline), Some(within)) = (this.deadline, this.within)
        {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BodyError::TooSlow { within })));
        }
        let Some(frame) = ready!(polled) else {
            this.unread.0 = None;
            return Poll::Ready(None);
        };
        let frame = frame.map_err(|error| BodyError::Broken(error.into()))?;
        if let (Some(data), Some(max)) = (frame.data_ref(), this.bytes_max) {
            this.bytes = this.bytes.saturating_add(data.len() as u64);
            if this.bytes > max {
                return Poll::Ready(Some(Err(BodyError::TooLarge { max })));
            }
        }
        if this.inner.is_end_stream() {
            this.unread.0 = None;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a whole body. It may be a [`RequestBody`] inside a web framework's own body type: the limits hold, and the
/// [`BodyError`] is found again among the causes of the framework's error.
///
/// # Errors
/// [`BodyError`]; its `reason` says what to answer.
pub async fn read_body<B>(body: B) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(find_cause(error.into())),
    }
}

fn find_cause(error: BoxError) -> BodyError {
    let error = match error.downcast::<BodyError>() {
        Ok(found) => return *found,
        Err(other) => other,
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        match inner.downcast_ref::<BodyError>() {
            Some(BodyError::TooLarge { max }) => return BodyError::TooLarge { max: *max },
            Some(BodyError::TooSlow { within }) => return BodyError::TooSlow { within: *within },
            Some(BodyError::Broken(_)) => break,
            None => cause = inner.source(),
        }
    }
    BodyError::Broken(error)
}

/// A response's body that tells its connection when the client takes a piece, and when it is over.
#[derive(Debug)]
pub struct ResponseBody<B> {
    inner: B,
    flight: Flight,
}

impl<B> ResponseBody<B> {
    pub(super) const fn new(inner: B, flight: Flight) -> Self {
        Self { inner, flight }
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.flight.owe(matches!(frame, Poll::Ready(Some(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
