//! The way out of one stream, bounded in memory and in time.
//!
//! It has two lanes. What is urgent, a lease above all, passes whatever content still waits: at most [`CONTENT_MAX`] messages
//! are before it that the transport has not taken, and none of them is much larger than 64 KiB.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use jeton_feed::message::ToVerifier;
use jeton_proto::codec::Outbound;
use tokio::{
    sync::mpsc::{self, Permit},
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::Stream;
use tonic::Status;

use super::stream::End;

/// Urgent messages that wait for the transport.
const URGENT_MAX: usize = 16;
/// Messages with content that wait for the transport.
const CONTENT_MAX: usize = 4;
/// How long a verifier may take nothing before its stream is cut. The view of a snapshot stays open meanwhile.
const STALL_MAX: Duration = Duration::from_secs(10);

type Item = Result<Outbound, Status>;

/// What the transport takes the messages from.
pub(super) struct Incoming {
    urgent: mpsc::Receiver<Item>,
    content: mpsc::Receiver<Item>,
}

impl Stream for Incoming {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let urgent = self.urgent.poll_recv(context);
        if let Poll::Ready(Some(item)) = urgent {
            return Poll::Ready(Some(item));
        }
        match self.content.poll_recv(context) {
            // Both ends of the lanes are dropped at once, but are seen one after the other.
            Poll::Ready(None) if urgent.is_pending() => Poll::Pending,
            content => content,
        }
    }
}

/// See the module.
pub(super) struct Outgoing {
    urgent: mpsc::Sender<Item>,
    content: mpsc::Sender<Item>,
}

impl Outgoing {
    pub(super) fn new() -> (Self, Incoming) {
        let (urgent, urgent_out) = mpsc::channel(URGENT_MAX);
        let (content, content_out) = mpsc::channel(CONTENT_MAX);
        (Self { urgent, content }, Incoming { urgent: urgent_out, content: content_out })
    }

    /// Sends before all content that waits, once there is room.
    pub(super) async fn urge(&self, message: ToVerifier) -> Result<(), End> {
        match timeout(STALL_MAX, self.urgent.send(Ok(Outbound::Message(message.into())))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::Stalled),
        }
    }

    /// From now on nobody waits longer than this for room.
    pub(super) fn patience() -> Instant {
        Instant::now() + STALL_MAX
    }

    /// Room for one message with content.
    pub(super) async fn room(&self, until: Instant) -> Result<Permit<'_, Item>, End> {
        match timeout_at(until, self.content.reserve()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::Stalled),
        }
    }

    /// Sends if there is room at this moment.
    pub(super) fn send_now(&self, message: ToVerifier) {
        // No room: the stream ends anyway, and the verifier learns why from its next hello.
        let _ = self.urgent.try_send(Ok(Outbound::Message(message.into())));
    }

    /// Ends the stream.
    pub(super) fn end(self, end: &End) {
        if let Some(status) = end.status() {
            let _ = self.urgent.try_send(Err(status));
        }
    }
}

#[cfg(test)]
mod tests {
    use jeton_feed::message::Grant;
    use jeton_types::{Revision, UnixTime};
    use tokio_stream::StreamExt as _;

    use super::*;

    fn grant(request: u64) -> ToVerifier {
        ToVerifier::Grant(Grant { request, authority_time: UnixTime::ZERO })
    }

    async fn content(out: &Outgoing) -> Result<(), End> {
        let end = ToVerifier::SnapshotEnd { at: Revision::ZERO };
        out.room(Outgoing::patience()).await?.send(Ok(Outbound::Message(end.into())));
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_passes_content_that_nobody_takes() {
        let (out, mut taken) = Outgoing::new();
        for _ in 0..CONTENT_MAX {
            content(&out).await.unwrap();
        }
        out.urge(grant(1)).await.unwrap();
        assert!(matches!(content(&out).await, Err(End::Stalled)));
        let is_grant = |item: Option<Item>| match item {
            Some(Ok(Outbound::Message(message))) => ToVerifier::try_from(message) == Ok(grant(1)),
            other => panic!("{other:?}"),
        };
        assert!(is_grant(taken.next().await), "before all that waited");
        for _ in 0..CONTENT_MAX {
            assert!(!is_grant(taken.next().await));
        }
        content(&out).await.unwrap();
        out.end(&End::Closed);
        assert!(!is_grant(taken.next().await), "what was sent before the end arrives");
        assert!(taken.next().await.is_none());
    }
}
