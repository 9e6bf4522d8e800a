//! One connection: hyper's auto builder, watched by a clock.
//!
//! hyper's own `header_read_timeout` is off: it runs from the end of the last response and would cut idle keep-alive
//! connections after the few seconds meant for a head.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, poll_fn, ready};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tower::{Service, ServiceExt, util::Oneshot};

use super::Peer;
use super::body::{RequestBody, ResponseBody};
use super::io::Watched;
use super::limits::Limits;
use super::refuse::{BoxError, Reason, Refuse};
use super::vitals::{Flight, Vitals, Why};

/// Why a connection is over.
#[derive(Debug)]
pub enum Closed {
    /// In the usual way, by either end.
    Done,
    /// No byte came.
    Silent,
    /// A head was begun and not finished.
    SlowHead,
    /// The client did not take its response.
    Stalled,
    /// There was nothing to do for a long time.
    Idle,
    /// It was asked to end, and did not.
    Lingering,
    /// The client went away in the middle, or broke the protocol.
    Broken(BoxError),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Silent => f.write_str("no first byte in time"),
            Self::SlowHead => f.write_str("head not complete in time"),
            Self::Stalled => f.write_str("response not taken in time"),
            Self::Idle => f.write_str("idle"),
            Self::Lingering => f.write_str("did not end in time"),
            Self::Broken(error) => write!(f, "broken: {error}"),
        }
    }
}

/// Serves one connection until it is over, at the latest when [`Limits`] say. When `stop` ends, the requests under way
/// are finished and no new ones begun; how long that may take is the caller's business.
pub async fn serve_connection<I, S, B, R>(
    io: I,
    peer: SocketAddr,
    service: S,
    refuse: R,
    limits: Arc<Limits>,
    stop: impl Future<Output = ()>,
) -> Closed
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    R: Refuse<B>,
{
    let vitals = Vitals::new(Arc::clone(&limits));
    let guarded = Guarded { service, refuse, peer, limits, vitals: Arc::clone(&vitals) };
    drive(io, guarded, vitals, false, stop).await
}

/// Answers one request with [`Reason::TooManyConnections`] and closes.
pub(super) async fn refuse_connection<I, B, R>(
    io: I,
    peer: SocketAddr,
    refuse: R,
    limits: Arc<Limits>,
    stop: impl Future<Output = ()>,
) -> Closed
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    R: Refuse<B>,
{
    let vitals = Vitals::new(Arc::clone(&limits));
    let service = TooMany { refuse: refuse.clone(), response: PhantomData };
    let guarded = Guarded { service, refuse, peer, limits, vitals: Arc::clone(&vitals) };
    drive(io, guarded, vitals, true, stop).await
}

async fn drive<I, S, B, R>(
    io: I,
    guarded: Guarded<S, R>,
    vitals: Arc<Vitals>,
    one_request: bool,
    stop: impl Future<Output = ()>,
) -> Closed
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    R: Refuse<B>,
{
    let builder = builder(&guarded.limits);
    let io = TokioIo::new(Watched::new(io, Arc::clone(&vitals)));
    let mut connection = pin!(builder.serve_connection(io, guarded).into_owned());
    let mut stop = pin!(stop);
    let mut timer = pin!(sleep_until(vitals.due(Instant::now()).0));
    let mut closing = None;

    poll_fn(move |cx| {
        loop {
            let now = Instant::now();
            vitals.turn(now);
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(match (ended, closing.take()) {
                    // A connection that is closed before it has spoken reports that as an error.
                    (_, Some(why)) => why,
                    (Ok(()), None) => Closed::Done,
                    (Err(error), None) => Closed::Broken(error),
                });
            }
            let (at, why) = vitals.due(now);
            let asked =
                closing.is_none() && (stop.as_mut().poll(cx).is_ready() || (one_request && vitals.requests() > 0));
            let end = if asked {
                Some(Closed::Done)
            } else if at > now {
                None
            } else {
                match why {
                    Why::Silent => return Poll::Ready(Closed::Silent),
                    Why::SlowHead => return Poll::Ready(Closed::SlowHead),
                    Why::Stalled => return Poll::Ready(Closed::Stalled),
                    Why::Lingering => return Poll::Ready(Closed::Lingering),
                    Why::Idle => Some(Closed::Idle),
                    Why::Look => None,
                }
            };
            if let Some(why) = end {
                closing = Some(why);
                vitals.close();
                connection.as_mut().graceful_shutdown();
                continue;
            }
            // Only ever brought forward: what became due later is found out when the timer ends.
            if at < timer.deadline() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            timer.as_mut().reset(vitals.due(Instant::now()).0);
        }
    })
    .await
}

/// The service of a connection that is one too many.
struct TooMany<R, B> {
    refuse: R,
    response: PhantomData<fn() -> B>,
}

impl<R: Clone, B> Clone for TooMany<R, B> {
    fn clone(&self) -> Self {
        Self { refuse: self.refuse.clone(), response: PhantomData }
    }
}

impl<R: Refuse<B>, B> Service<Request<RequestBody>> for TooMany<R, B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let mut response = self.refuse.refuse(Reason::TooManyConnections);
        if request.version() <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ready(Ok(response))
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(limits.parser_bytes());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.h2_ping)
        .keep_alive_timeout(limits.h2_ping_timeout)
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(u32::try_from(limits.parser_bytes()).unwrap_or(u32::MAX))
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES);
    builder
}

/// The service as hyper sees it: looks at the head, limits the body, counts the request until its response is over.
struct Guarded<S, R> {
    service: S,
    refuse: R,
    peer: SocketAddr,
    limits: Arc<Limits>,
    vitals: Arc<Vitals>,
}

impl<S, B, R> hyper::service::Service<Request<Incoming>> for Guarded<S, R>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    R: Refuse<B>,
    ResponseBody<B>: Body,
{
    type Response = Response<ResponseBody<B>>;
    type Error = BoxError;
    type Future = Answering<S, B>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut flight = self.vitals.begin();
        let (parts, body) = request.into_parts();
        if let Some(reason) = excess(&parts, &body, &self.limits) {
            if !body.is_end_stream() {
                self.vitals.body_unread();
            }
            let response = self.refuse.refuse(reason);
            flight.owe(true);
            return Answering::Refused { response: Some(response.map(|body| ResponseBody::new(body, flight))) };
        }
        let body = RequestBody::watched(body, &self.limits, &self.vitals, Peer(self.peer));
        let request = Request::from_parts(parts, body);
        Answering::Served { answer: self.service.clone().oneshot(request), flight: Some(flight) }
    }
}

pin_project! {
    /// The answer to one request, on its way. No box: hyper keeps one place for it on each connection.
    #[project = AnsweringProjected]
    enum Answering<S, B>
    where
        S: Service<Request<RequestBody>>,
    {
        Refused { response: Option<Response<ResponseBody<B>>> },
        Served { #[pin] answer: Oneshot<S, Request<RequestBody>>, flight: Option<Flight> },
    }
}

impl<S, B> Future for Answering<S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, flight) = match self.project() {
            AnsweringProjected::Refused { response } => {
                return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
            }
            AnsweringProjected::Served { answer, flight } => (ready!(answer.poll(cx)).map_err(Into::into)?, flight),
        };
        // Taken once: whoever polls what is over waits for ever.
        let Some(mut flight) = flight.take() else { return Poll::Pending };
        flight.owe(true);
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, flight))))
    }
}

/// Which limit a request breaks by its head alone.
fn excess(head: &Parts, body: &Incoming, limits: &Limits) -> Option<Reason> {
    let uri = &head.uri;
    let uri_bytes = uri.path_and_query().map_or(0, |path| path.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    if uri_bytes > limits.uri_bytes_max {
        return Some(Reason::UriTooLong);
    }
    let fields_bytes: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES).sum();
    if head.headers.len() > limits.head_fields_max || fields_bytes > limits.head_bytes_max {
        return Some(Reason::HeadersTooLarge);
    }
    // A length that is announced need not be waited for.
    limits.body_bytes_max.filter(|max| body.size_hint().lower() > *max).map(|_| Reason::BodyTooLarge)
}

/// Colon, space and line end, as HTTP/1 writes them.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// What a client may send ahead of a reader: bounds the memory that unread bodies take.
const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
