//! One stream to the authority: a task that connects, sends what it is given and reports what it hears.
//!
//! Purpose: it carries messages and says how the stream ended. It decides nothing and keeps nothing. Guarantee: messages
//! keep their order both ways, and each report has the link's number, so that the last words of an old one are not taken
//! for those of the next; dropping a [`Link`] cuts its stream. Not guaranteed: a last word. A link that falls silent is
//! given up by the session.

use std::time::Duration;

use http::uri::PathAndQuery;
use jeton_feed::message::{ToAuthority, ToVerifier};
use jeton_proto::{
    BadMessage, MESSAGE_BYTES_MAX,
    codec::{SESSION_PATH, SessionCodec},
    wire,
};
use jeton_types::Secret;
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{dial::Road, state::Listing};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A ping after this much silence, and how long its answer may take: a dead connection is noticed well before the
/// silence of the stream is.
const PING_AFTER: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Flow-control windows, so that a snapshot does not crawl, and yet no lease stands behind megabytes of it: what is under way
/// in the window comes first.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Messages that may wait to be sent. A verifier sends a few a second; more waiting means that the stream is stuck.
const OUTBOUND_MAX: usize = 1_024;

/// What a link reports, with its number.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) link: u64,
    pub(super) event: Event,
}

#[derive(Debug)]
pub(super) enum Event {
    /// The connection stands; a hello may be sent.
    Up,
    /// The authority says.
    Heard(ToVerifier),
    /// The stream is over. The last report.
    Down(Down),
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Down {
    #[error("cannot reach the authority's feed at {url}: {why}; is it running there?")]
    Unreachable { url: String, why: String },
    #[error("the authority does not accept the token: {0}")]
    Unauthenticated(String),
    #[error("the authority refused the stream: {0}")]
    Refused(String),
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("the authority sent what this version cannot read: {0}")]
    Unreadable(#[from] BadMessage),
    #[error(
        "the authority sent a message that is too large ({0}): are both of the same version? It opens another stream"
    )]
    TooLarge(String),
    #[error("the authority closed the stream")]
    Closed,
}

/// A stream, being opened or open.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    outbound: Option<mpsc::Sender<wire::ToAuthority>>,
    task: AbortHandle,
}

/// The stream does not take what is to be sent.
#[derive(Debug)]
pub(super) struct Stuck;

impl Link {
    /// Opens a stream. The session is listed before the connection stands, so before its hello.
    pub(super) fn open(
        number: u64,
        road: Road,
        token: &Secret<String>,
        bytes_max: usize,
        listing: Option<Listing>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let (outbound, queue) = mpsc::channel(OUTBOUND_MAX);
        let authorization = bearer(token);
        let task = tokio::spawn(async move {
            if let Some(listing) = listing {
                listing.write().await;
            }
            let report = |event| reports.send(Report { link: number, event });
            let down = run(road, authorization, bytes_max, queue, &report).await;
            // The receiver is gone only when the driver is, and then nobody is left to care.
            let _ = report(Event::Down(down)).await;
        });
        Self { number, outbound: Some(outbound), task: task.abort_handle() }
    }

    /// Queues a message; they leave in this order.
    pub(super) fn send(&self, message: ToAuthority) -> Result<(), Stuck> {
        self.outbound.as_ref().ok_or(Stuck)?.try_send(message.into()).map_err(|_| Stuck)
    }

    /// Ends this side of the stream once everything queued has left.
    pub(super) fn finish(&mut self) {
        self.outbound = None;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An endpoint with the timeouts and windows of the feed.
pub(super) fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .user_agent(concat!("jeton/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

/// Runs the stream to its end; returns why it ended.
async fn run<F>(
    road: Road,
    authorization: Option<MetadataValue<Ascii>>,
    bytes_max: usize,
    queue: mpsc::Receiver<wire::ToAuthority>,
    report: &impl Fn(Event) -> F,
) -> Down
where
    F: Future<Output = Result<(), mpsc::error::SendError<Report>>>,
{
    let Some(authorization) = authorization else {
        return Down::Unauthenticated("it holds characters that no token has".to_owned());
    };
    let channel = match connect(&road).await {
        Ok(channel) => channel,
        Err(down) => return down,
    };
    if report(Event::Up).await.is_err() {
        return Down::Closed;
    }
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert("authorization", authorization);
    // By hand and not by the generated client: its codec cannot tell what is unreadable from what did not arrive.
    let mut client =
        Grpc::new(channel).max_decoding_message_size(bytes_max).max_encoding_message_size(MESSAGE_BYTES_MAX);
    if let Err(error) = client.ready().await {
        return Down::Broken(deepest(&error));
    }
    let path = PathAndQuery::from_static(SESSION_PATH);
    let mut inbound: Streaming<_> = match client.streaming(request, path, SessionCodec).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return refused(&status),
    };
    loop {
        let message = match inbound.message().await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(bad))) => return Down::Unreadable(bad),
            Ok(None) => return Down::Closed,
            // Said by the transport of this side, before it takes the message in.
            Err(status) if status.code() == Code::OutOfRange => return Down::TooLarge(status.message().to_owned()),
            Err(status) => return refused(&status),
        };
        let message = match ToVerifier::try_from(message) {
            Ok(message) => message,
            Err(bad) => return Down::Unreadable(bad),
        };
        if report(Event::Heard(message)).await.is_err() {
            return Down::Closed;
        }
    }
}

async fn connect(road: &Road) -> Result<Channel, Down> {
    let unreachable = |why| Down::Unreachable { url: road.endpoint.uri().to_string(), why };
    // The endpoint's own timeout covers the socket alone; a peer that accepts and then says nothing is this one's.
    match tokio::time::timeout(CONNECT_TIMEOUT, road.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(unreachable(deepest(&error))),
        Err(_) => Err(unreachable(format!("no connection within {CONNECT_TIMEOUT:?}"))),
    }
}

fn refused(status: &Status) -> Down {
    let message = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated => Down::Unauthenticated(message),
        Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented | Code::ResourceExhausted => {
            Down::Refused(message)
        }
        code => Down::Broken(if message.is_empty() { code.to_string() } else { message }),
    }
}

fn bearer(token: &Secret<String>) -> Option<MetadataValue<Ascii>> {
    let text = Secret::new(format!("Bearer {}", token.expose()));
    let mut value: MetadataValue<Ascii> = text.expose().parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tonic::codec::Codec as _;

    use super::*;

    async fn read(frames: &[&[u8]]) -> Vec<String> {
        let mut body = Vec::new();
        for frame in frames {
            body.push(0);
            body.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            body.extend(*frame);
        }
        let body = Full::new(bytes::Bytes::from(body));
        let mut stream = Streaming::new_response(SessionCodec.decoder(), body, http::StatusCode::OK, None, None);
        let mut read = Vec::new();
        // What comes after the last frame is the missing trailer.
        while let Ok(Some(message)) = stream.message().await {
            read.push(message.map_or_else(|bad| bad.to_string(), |message| format!("{:?}", message.message.is_some())));
        }
        read
    }

    #[tokio::test]
    async fn what_is_no_protobuf_is_told_and_not_taken_for_a_broken_stream() {
        // Field 10, `Ended`, empty; then a length that runs past the end.
        let read = read(&[&[0x52, 0x00], &[0x52, 0x7f, 0x01], &[0x52, 0x00]]).await;
        assert_eq!(read, ["true", "bad message: bytes: they are no message of this protocol", "true"]);
    }
}
