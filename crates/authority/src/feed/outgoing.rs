//! The way out of one stream, bounded in memory and in time.

use std::time::Duration;

use jeton_feed::message::ToVerifier;
use jeton_proto::wire;
use tokio::{sync::mpsc, time::timeout};
use tonic::Status;

use super::stream::End;

/// Messages that wait for the transport.
const OUT_MAX: usize = 16;
/// How long a verifier may take nothing before its stream is cut. The view of a snapshot stays open meanwhile.
const STALL_MAX: Duration = Duration::from_secs(10);

/// What the transport takes the messages from.
pub(super) type Incoming = mpsc::Receiver<Result<wire::ToVerifier, Status>>;

/// See the module.
pub(super) struct Outgoing(mpsc::Sender<Result<wire::ToVerifier, Status>>);

impl Outgoing {
    pub(super) fn new() -> (Self, Incoming) {
        let (sender, receiver) = mpsc::channel(OUT_MAX);
        (Self(sender), receiver)
    }

    /// Sends, once there is room.
    pub(super) async fn send(&self, message: ToVerifier) -> Result<(), End> {
        match timeout(STALL_MAX, self.0.send(Ok(message.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::Stalled),
        }
    }

    /// Sends if there is room at this moment.
    pub(super) fn send_now(&self, message: ToVerifier) {
        // No room: the stream ends anyway, and the verifier learns why from its next hello.
        let _ = self.0.try_send(Ok(message.into()));
    }

    /// Ends the stream.
    pub(super) fn end(self, end: &End) {
        if let Some(status) = end.status() {
            let _ = self.0.try_send(Err(status));
        }
    }
}
