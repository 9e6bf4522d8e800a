//! The hub behind its lock, and what it says put in motion.
//!
//! Everything here is short and never waits: effects are performed by putting them where a task finds them. Whoever
//! holds the lock first takes in the records that are committed by then, in order. So no acknowledgement, no question and
//! no grant ever meets a hub that knows less than whoever sent it.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use jeton_feed::{
    authority::{self, Effect, EvidenceKind, Hub, Input, ReceiptFacts, SessionFacts, StreamId},
    message::ToVerifier,
    record::{Change, Head},
};
use jeton_store::{Committed, model::SessionEndKind};
use jeton_types::{Freshness, NamespaceName, Now, Revision, RevocationId, SessionId, TokenId, UnixTime};
use tokio::sync::{Notify, mpsc};
use tracing::{debug, warn};

use super::ending::Endings;
use crate::{inflight::Inflight, time::AuthorityTime};

/// Messages of the hub that may wait for one stream. A verifier has one renewal under way at a time.
const CONTROL_MAX: usize = 64;

/// See the module.
pub(super) struct Floor {
    hub: Hub,
    committed: mpsc::UnboundedReceiver<Arc<Committed>>,
    /// Every policy that ever was, by namespace and in revision order.
    policies: HashMap<NamespaceName, Vec<(Revision, Freshness)>>,
    streams: HashMap<StreamId, Port>,
    pub(super) endings: Endings,
    /// Complete receipts that wait to be signed. The hub repeats itself; what waits behind a store that cannot write must
    /// not grow by that.
    completing: HashSet<RevocationId>,
    time: AuthorityTime,
    inflight: Inflight,
    work: mpsc::UnboundedSender<Work>,
    releases: mpsc::UnboundedSender<Release>,
}

/// What the hub wants to be done durably, in order.
#[derive(Debug)]
pub(super) enum Work {
    /// A session has ended.
    Ended(SessionId, SessionEndKind, UnixTime),
    /// A session is forgotten.
    Forgotten(SessionId),
    /// A receipt is complete.
    Complete(ReceiptFacts),
    /// Sessions were claimed.
    Claims(Claims),
    /// The clock has jumped.
    StartAnew,
}

/// Sessions that a process in their place claims, as far as the hub could decide.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) stream: StreamId,
    pub(super) by: Box<SessionFacts>,
    pub(super) sessions: Vec<SessionId>,
    pub(super) at: UnixTime,
}

/// A revision that ended tokens, and when the verifications begun before it are over.
pub(super) struct Release {
    pub(super) revision: Revision,
    pub(super) drained: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A stream, as the hub reaches it.
struct Port {
    control: mpsc::Sender<ToVerifier>,
    cut: Arc<Notify>,
}

/// The stream's end of a [`Port`].
pub(super) struct Control {
    /// What the hub wants sent.
    pub(super) messages: mpsc::Receiver<ToVerifier>,
    /// Notified once the hub wants the stream cut.
    pub(super) cut: Arc<Notify>,
}

/// A stream that wants to be opened.
pub(super) struct Opening {
    /// Its session; one that is new to the registry too.
    pub(super) facts: SessionFacts,
    pub(super) stream: StreamId,
    pub(super) epoch: u64,
    pub(super) token: TokenId,
    /// Where it can go on, if it can.
    pub(super) resume: Option<Revision>,
}

impl Floor {
    pub(super) fn new(
        hub: Hub,
        policies: HashMap<NamespaceName, Vec<(Revision, Freshness)>>,
        committed: mpsc::UnboundedReceiver<Arc<Committed>>,
        time: AuthorityTime,
        inflight: Inflight,
    ) -> (Self, mpsc::UnboundedReceiver<Work>, mpsc::UnboundedReceiver<Release>) {
        let (work, works) = mpsc::unbounded_channel();
        let (releases, released) = mpsc::unbounded_channel();
        let (streams, endings, completing) = Default::default();
        let floor = Self { hub, committed, policies, streams, endings, completing, time, inflight, work, releases };
        (floor, works, released)
    }

    /// Takes in what was committed.
    pub(super) fn follow(&mut self) {
        while let Ok(committed) = self.committed.try_recv() {
            self.feed(&committed);
        }
    }

    /// Takes in what was committed, then one input.
    pub(super) fn step(&mut self, input: Input) {
        self.follow();
        self.take(input);
    }

    /// Takes in what was committed, then looks.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&Hub, Now, UnixTime) -> T) -> T {
        self.follow();
        let (now, at) = self.time.read();
        look(&self.hub, now, at)
    }

    /// Opens a stream, and its session if that is new. What the hub has to say about it is in the control by then.
    pub(super) fn stream_open(&mut self, opening: Opening) -> Control {
        self.follow();
        let Opening { facts, stream, epoch, token, resume } = opening;
        let session = facts.session;
        // A session that ended while the hello looked it up stays ended: the hub answers so if it does not know it.
        if self.hub.session_known(session).is_none() && !self.endings.has_ended(session) {
            self.take(Input::SessionOpened(facts));
        }
        let (control, messages) = mpsc::channel(CONTROL_MAX);
        let cut = Arc::new(Notify::new());
        self.streams.insert(stream, Port { control, cut: Arc::clone(&cut) });
        self.take(Input::StreamOpened { session, stream, epoch, token, resume });
        Control { messages, cut }
    }

    /// Puts a message where the stream takes it from.
    pub(super) fn send(&self, stream: StreamId, message: ToVerifier) {
        let Some(port) = self.streams.get(&stream) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = port.control.try_send(message) {
            debug!(stream = stream.0, "a stream that takes nothing is cut");
            port.cut.notify_one();
        }
    }

    /// A stream is gone.
    pub(super) fn stream_close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.step(Input::StreamClosed { stream });
    }

    /// A complete receipt has been taken out of the queue.
    pub(super) fn completing_end(&mut self, revocation: RevocationId) {
        self.completing.remove(&revocation);
    }

    /// The longest grace that the namespace had at any revision up to this one.
    pub(super) fn freshness_longest(&self, namespace: &NamespaceName, upto: Revision) -> Freshness {
        let known = self.policies.get(namespace).map(Vec::as_slice).unwrap_or_default();
        let until = known.iter().take_while(|(revision, _)| *revision <= upto);
        until.map(|(_, freshness)| *freshness).max_by_key(|freshness| freshness.grace()).unwrap_or(Freshness::Strict)
    }

    fn feed(&mut self, committed: &Committed) {
        let record = &committed.record;
        let mut ended_tokens = Vec::new();
        let mut policy = None;
        for change in &record.changes {
            match change {
                Change::Policy(found) => policy = Some(found.freshness),
                Change::End { token, .. } => ended_tokens.push(*token),
                // Its streams are cut at once as well; the next hello finds out whether it is on again.
                Change::Token(entry) if entry.disabled => ended_tokens.push(entry.token),
                Change::Token(_)
                | Change::Deadline { .. }
                | Change::Collected { .. }
                | Change::Start(_)
                | Change::Unknown { .. } => {}
            }
        }
        if let Some(freshness) = policy {
            self.policies.entry(record.namespace.clone()).or_default().push((record.revision, freshness));
        }
        let ends = !ended_tokens.is_empty() || committed.revocation.is_some();
        self.take(Input::Committed(authority::Committed {
            revision: record.revision,
            namespace: record.namespace.clone(),
            committed_at: record.committed_at,
            boot: committed.boot,
            policy,
            revocation: committed.revocation,
            ended_tokens,
            head: Head { revision: record.revision, start: record.start, chain_hash: record.chain_hash, mac: None },
        }));
        if ends {
            // The record is durable, so whatever begins from here on sees it.
            let drained = Box::pin(self.inflight.drained());
            let _ = self.releases.send(Release { revision: record.revision, drained });
        }
    }

    fn take(&mut self, input: Input) {
        let (now, at) = self.time.read();
        for effect in self.hub.step(now, at, input) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        // A send fails only when the feed is shut down; then nothing is owed to anybody.
        match effect {
            Effect::Send { stream, message } => self.send(stream, message),
            Effect::Cut { stream } => {
                if let Some(port) = self.streams.get(&stream) {
                    port.cut.notify_one();
                }
            }
            Effect::ReceiptComplete(facts) => {
                if self.completing.insert(facts.revocation) {
                    drop(self.work.send(Work::Complete(facts)));
                }
            }
            // Whoever watches a receipt asks again.
            Effect::ReceiptProgress { .. } => {}
            Effect::SessionEnded { session, evidence, at } => {
                self.endings.ended(session);
                let kind = match evidence {
                    EvidenceKind::Succeeded => SessionEndKind::Succeeded,
                    EvidenceKind::Fenced => SessionEndKind::Forgotten,
                    EvidenceKind::Goodbye | EvidenceKind::Acked | EvidenceKind::Pending => SessionEndKind::Goodbye,
                };
                drop(self.work.send(Work::Ended(session, kind, at)));
            }
            Effect::ClaimsSettle { stream, by, sessions, at } => {
                drop(self.work.send(Work::Claims(Claims { stream, by, sessions, at })));
            }
            Effect::SessionForgotten { session } => {
                self.endings.ended(session);
                drop(self.work.send(Work::Forgotten(session)));
            }
            Effect::JumpSeen => {
                warn!("real time ran ahead of boot time: this counts as a new start, and every stream is cut");
                drop(self.work.send(Work::StartAnew));
            }
        }
    }
}

impl fmt::Debug for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Floor").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}
