//! The authority's side of the feed: which sessions there are, who has a lease, which receipts are complete.
//!
//! [`Hub`] is one state machine for all sessions, without IO. The driver keeps it behind one mutex, which is what makes
//! a grant and the completion of a receipt happen one after the other (`feed-protocol.md` 13): the floor is raised in the
//! step that finds a receipt complete, before its effect is emitted, and a grant is remembered in the step that makes it,
//! before it is sent.
//!
//! What the driver owes: `now` is read after the event that the input tells of; effects are performed in their order and
//! before the next input is fed; whatever is in [`Effect::ReceiptComplete`] is durable before anybody is told. Snapshots,
//! records, heartbeats and the answers to watermark requests are its own affair and need no decision.
//!
//! Not guaranteed: nothing here is durable. A new hub knows of leases only that none can be older than itself.

mod collection;
mod completion;
mod fact;
mod moment;
mod namespace;
mod receipt;
mod rollback;
mod session;
mod stream;
mod succession;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use jeton_types::{
    BootTime, CredentialId, NamespaceName, Now, Revision, RevocationId, SessionId, StartId, TokenId, UnixTime,
    VerifierName,
    fault::{Fault, injected},
};

pub use self::{
    collection::CollectionWait,
    fact::{Committed, Effect, HubSetup, Input, Pending, PolicyFact, SessionFacts, StreamId},
    receipt::{Evidence, EvidenceKind, ReceiptFacts},
    view::{SessionState, SessionView},
};
use self::{
    moment::Moment,
    namespace::{NamespaceKey, Namespaces},
    receipt::{Receipt, Silence, Unstored},
    session::{Session, Stream},
};
use crate::{numbers::JUMP_MAX, record::Head};

/// See [`Hub::sessions_of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionsOf {
    /// Of the credential.
    pub credential: usize,
    /// Of the credential, under the name.
    pub name: usize,
}

/// The one place that knows every session of a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hub {
    start: StartId,
    started: BootTime,
    /// The newest reading of the clocks.
    clock: Now,
    /// A jump was seen and the record of the new start is not there yet.
    start_awaited: bool,
    head: Head,
    /// Every record up to here was fed.
    fed: Revision,
    /// The authority's own acknowledgement.
    released: Revision,
    sessions: BTreeMap<SessionId, Session>,
    streams: BTreeMap<StreamId, Stream>,
    namespaces: Namespaces,
    built_in: NamespaceKey,
    /// Tokens of the built-in namespace that ended above `released`: a hello may still be under way with one.
    ended_tokens: BTreeMap<Revision, Vec<TokenId>>,
    /// Receipts that the authority has not acknowledged.
    unreleased: BTreeMap<Revision, NamespaceKey>,
    /// Where each pending receipt is.
    revocations: BTreeMap<RevocationId, (NamespaceKey, Revision)>,
    unstored: BTreeMap<RevocationId, Unstored>,
    /// Something may be complete that no event will show.
    settle_all: bool,
    /// Why nothing is done any more, for whoever asks.
    rolled_back: Option<String>,
    wakeup: BootTime,
}

impl Hub {
    /// The hub of a new start. It wants a [`Input::Tick`] at once.
    #[must_use]
    pub fn new(setup: HubSetup) -> Self {
        let mut namespaces = Namespaces::default();
        let built_in = namespaces.key(&NamespaceName::built_in());
        let fed = setup.head.revision;
        let mut hub = Self {
            start: setup.start,
            started: setup.now.boot,
            clock: setup.now,
            start_awaited: false,
            head: setup.head,
            fed,
            // Whatever verified before this process began has ended with its process.
            released: fed,
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            namespaces,
            built_in,
            ended_tokens: BTreeMap::new(),
            unreleased: BTreeMap::new(),
            revocations: BTreeMap::new(),
            unstored: BTreeMap::new(),
            settle_all: true,
            rolled_back: None,
            wakeup: setup.now.boot,
        };
        for policy in setup.policies {
            let key = hub.namespaces.key(&policy.namespace);
            hub.namespaces.policy_add(key, policy.revision, policy.freshness);
        }
        for (name, revision) in setup.last_records {
            let key = hub.namespaces.key(&name);
            hub.namespaces.at_mut(key).record_known(revision);
        }
        for (name, floor) in setup.floors {
            let key = hub.namespaces.key(&name);
            hub.namespaces.at_mut(key).floor = floor;
        }
        for facts in setup.sessions {
            hub.session_add(facts, None);
        }
        let moment = Moment { boot: setup.now.boot, authority: setup.authority_time };
        for pending in setup.pending {
            let Pending { revocation, namespace, revision, committed_at, ended_before } = pending;
            let key = hub.namespaces.key(&namespace);
            let mut receipt = Receipt::new(revocation, revision, committed_at, moment.boot, ended_before);
            receipt.authority_acked(moment.authority);
            if injected(Fault::CompletenessFromFloor) && revision <= hub.namespaces.at(key).floor {
                // With nobody in it that it could wait for.
                hub.revocations.insert(revocation, (key, revision));
                hub.namespaces.at_mut(key).pending.insert(revision, receipt);
                continue;
            }
            hub.receipt_begin(key, receipt, moment);
        }
        hub
    }

    /// Takes one input at `now` and says what is to be done.
    pub fn step(&mut self, now: Now, authority_time: UnixTime, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_rolled_back() {
            self.rolled_back_step(input, &mut effects);
            return effects;
        }
        let moment = self.clock_read(now, authority_time, &mut effects);
        match input {
            Input::RolledBack { message } => self.roll_back(message, &mut effects),
            Input::Committed(committed) => self.committed(committed, moment, &mut effects),
            Input::SessionOpened(facts) => self.session_opened(facts, moment, &mut effects),
            Input::StreamOpened { session, stream, epoch, token, resume } => {
                self.stream_opened(session, stream, epoch, token, moment, &mut effects);
                if let Some(resume) = resume {
                    self.view_lower(session, stream, resume, &mut effects);
                }
            }
            Input::StreamClosed { stream } => self.stream_closed(stream, moment, &mut effects),
            Input::Ack { stream, revision } => self.ack(stream, revision, moment, &mut effects),
            Input::Renew { stream, request, token_good } => {
                self.renew(stream, request, token_good, moment, &mut effects);
            }
            Input::Goodbye { stream } => self.goodbye(stream, moment, &mut effects),
            Input::Claimed { stream, sessions } => self.claimed(stream, sessions, moment, &mut effects),
            Input::AuthorityAcked { revision } => {
                self.released = self.released.max(revision);
                self.authority_settle(moment, &mut effects);
            }
            Input::ReceiptStored { revocation } => {
                self.unstored.remove(&revocation);
            }
            Input::Restarted { start } => {
                if !self.start_awaited {
                    self.restart(moment, &mut effects);
                }
                self.start_awaited = false;
                self.start = start;
            }
            Input::Tick => self.tick(moment, &mut effects),
        }
        effects
    }

    /// A receipt that is not complete, or not known to be durable yet; the others are in the store.
    #[must_use]
    pub fn receipt(&self, revocation: RevocationId, now: Now, authority_time: UnixTime) -> Option<ReceiptFacts> {
        if let Some(unstored) = self.unstored.get(&revocation) {
            return Some(unstored.facts.clone());
        }
        let (key, revision) = *self.revocations.get(&revocation)?;
        let namespace = self.namespaces.at(key);
        let receipt = namespace.pending.get(&revision)?;
        let moment = self.moment(now, authority_time);
        Some(receipt.facts(&namespace.name, None, |facts| {
            let session = self.sessions.get(&facts.session)?;
            let stops = session.counted_out_at(&namespace.policies, revision, receipt.committed, self.started);
            Some(Silence {
                since: session.silent_since(self.started, moment.boot).map(|since| moment.authority_at(since)),
                stops_by: moment.authority_at(stops),
            })
        }))
    }

    /// Every session of the registry, in the order of their ids.
    #[must_use]
    pub fn sessions(&self, now: Now, authority_time: UnixTime) -> Vec<SessionView> {
        let moment = self.moment(now, authority_time);
        let view = |session| SessionView::new(session, &self.namespaces, self.started, moment);
        self.sessions.values().map(view).collect()
    }

    /// A session that has not ended.
    #[must_use]
    pub fn session_known(&self, session: SessionId) -> Option<&SessionFacts> {
        self.sessions.get(&session).map(|session| &*session.facts)
    }

    /// How many sessions that have not ended came with this credential, and how many of them under this name.
    #[must_use]
    pub fn sessions_of(&self, credential: CredentialId, verifier: &VerifierName) -> SessionsOf {
        let of = self.sessions.values().filter(|session| session.facts.credential == credential);
        of.fold(SessionsOf::default(), |count, session| SessionsOf {
            credential: count.credential + 1,
            name: count.name + usize::from(session.facts.verifier == *verifier),
        })
    }

    /// Where the log stands, as far as it was fed.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The start that is running.
    #[must_use]
    pub const fn start(&self) -> StartId {
        self.start
    }

    /// When it wants the next [`Input::Tick`], at the latest.
    #[must_use]
    pub const fn next_wakeup(&self) -> BootTime {
        self.wakeup
    }

    /// How many receipts are not complete, or not known to be durable.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.revocations.len() + self.unstored.len()
    }

    /// How many streams of tokens that ended at or below `revision` are not cut yet. The authority's own line of such a
    /// receipt waits for them, whatever [`Input::AuthorityAcked`] says.
    #[must_use]
    pub fn streams_of_ended_pending(&self, revision: Revision) -> usize {
        self.streams.values().filter(|stream| stream.ended_by().is_some_and(|by| by <= revision)).count()
    }

    fn moment(&self, now: Now, authority: UnixTime) -> Moment {
        Moment { boot: now.boot.max(self.clock.boot), authority }
    }

    /// Takes a reading of the clocks. Two threads may have read them in one order and come here in the other, so time
    /// stands still rather than going back. A jump takes effect before anything is decided on this clock.
    fn clock_read(&mut self, now: Now, authority_time: UnixTime, effects: &mut Vec<Effect>) -> Moment {
        let jumped = now.jump_since(self.clock) > JUMP_MAX;
        if now.boot >= self.clock.boot {
            self.clock = now;
        }
        let moment = self.moment(now, authority_time);
        if jumped {
            self.restart(moment, effects);
            self.start_awaited = true;
            effects.push(Effect::JumpSeen);
        }
        moment
    }

    fn session_add(&mut self, facts: SessionFacts, opened: Option<BootTime>) {
        let keys = facts.namespaces.iter().map(|name| self.namespaces.key(name)).collect();
        self.sessions.insert(facts.session, Session::new(facts, keys, opened));
    }

    fn wake_by(&mut self, at: BootTime) {
        self.wakeup = self.wakeup.min(at);
    }
}
