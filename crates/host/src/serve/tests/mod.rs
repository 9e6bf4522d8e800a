//! The loop as a client sees it: over pipes in memory with a clock that jumps to the next timer, and over loopback.

mod accept;
mod drain;
mod sizes;
mod times;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::service_fn;

use super::*;

type Answer = Pin<Box<dyn Future<Output = Result<Response<TestBody>, BoxError>> + Send>>;

/// What the handlers of the tests share with them.
#[derive(Debug, Clone)]
struct Stage {
    /// `/wait` takes one of these and gives none back.
    tickets: Arc<Semaphore>,
    /// How many are in `/wait`.
    waiting: Arc<AtomicUsize>,
}

impl Stage {
    fn new() -> Self {
        Self { tickets: Arc::new(Semaphore::new(0)), waiting: Arc::new(AtomicUsize::new(0)) }
    }

    async fn handle(self, request: Request<RequestBody>) -> Result<Response<TestBody>, BoxError> {
        let text = match request.uri().path() {
            "/peer" => {
                Peer::extend(request).extensions().get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default()
            }
            "/echo" => match read_body(request.into_body()).await {
                Ok(bytes) => format!("{} bytes", bytes.len()),
                Err(error) => return Ok(refuse_plain(error.reason().ok_or(error)?)),
            },
            "/wait" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.tickets.acquire().await?.forget();
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                "waited".to_owned()
            }
            "/minutes" => {
                tokio::time::sleep(Duration::from_secs(300)).await;
                "slow".to_owned()
            }
            "/large" => "x".repeat(4 << 20),
            "/quiet" => {
                return Ok(Response::new(TestBody::Quiet(Some(Box::pin(tokio::time::sleep(Duration::from_secs(
                    300,
                )))))));
            }
            "/pieces" => return Ok(Response::new(TestBody::Pieces(64))),
            _ => "hello".to_owned(),
        };
        Ok(Response::new(TestBody::from(Bytes::from(text))))
    }

    fn service(
        &self,
    ) -> impl Service<Request<RequestBody>, Response = Response<TestBody>, Error = BoxError, Future = Answer>
    + Clone
    + Send
    + 'static {
        let stage = self.clone();
        service_fn(move |request| -> Answer { Box::pin(stage.clone().handle(request)) })
    }
}

/// A body that comes at once, or in so many pieces of 64 KiB, or begins late.
#[derive(Debug)]
enum TestBody {
    Whole(Full<Bytes>),
    Pieces(usize),
    Quiet(Option<Pin<Box<tokio::time::Sleep>>>),
}

impl From<Bytes> for TestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Self::Pieces(0) | Self::Quiet(None) => Poll::Ready(None),
            Self::Quiet(Some(sleep)) => {
                ready!(sleep.as_mut().poll(cx));
                *self = Self::Quiet(None);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"at last")))))
            }
            Self::Pieces(left) => {
                *left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 64 * 1024])))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Pieces(left) => *left == 0,
            Self::Quiet(left) => left.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Pieces(_) | Self::Quiet(_) => SizeHint::default(),
        }
    }
}

/// A connection in memory, and when and why the server ended it.
struct Line {
    client: DuplexStream,
    server: JoinHandle<(Closed, Duration)>,
}

fn line(limits: Limits) -> Line {
    let (client, io) = duplex(16 * 1024);
    let service = Stage::new().service();
    let server = tokio::spawn(async move {
        let began = Instant::now();
        let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4321));
        let never = std::future::pending();
        let closed = serve_connection(io, peer, service, refuse_plain::<TestBody>, Arc::new(limits), never).await;
        (closed, began.elapsed())
    });
    Line { client, server }
}

impl Line {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything up to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.client.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn until(&mut self, end: &str) -> String {
        read_until(&mut self.client, end).await
    }

    async fn ended(self) -> (Closed, Duration) {
        self.server.await.unwrap()
    }
}

async fn read_until(io: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = io.read_u8().await.unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(char::from(byte));
    }
    text
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

async fn h2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Full<Bytes>> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn h2_request(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://test{path}")).body(Full::default()).unwrap()
}

async fn text_of(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
