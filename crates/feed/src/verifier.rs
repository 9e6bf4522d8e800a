//! The verifier's side of a session (`feed-protocol.md` 6 to 18), without IO.
//!
//! A [`Session`] is one verifier process as the authority knows it; it outlives its streams. The driver feeds it what
//! happened and performs the [`Effect`]s in order. It is the apply path: renewals leave from the same steps that apply
//! records, so a verifier that is stuck applying cannot keep its lease alive.
//!
//! Guaranteed: an acknowledgement is made of a [`Visible`] only; the watermark moves with what was applied, never while
//! a snapshot is under way; a lease counts from the sending of its renewal, and an older grant never replaces a newer;
//! what cannot be applied voids the lease and is never acknowledged. Not guaranteed: that a lease in force is still
//! good at the moment of an answer; whoever answers checks that (`jeton-verifier`).

mod backoff;
mod content;
mod note;
mod renewal;
mod surface;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use jeton_types::{
    BootTime, Now, Revision, SessionId,
    fault::{Fault as Rule, injected},
};

use self::{backoff::Backoff, renewal::Held};
pub use self::{
    note::{Fault, Note},
    surface::{Effect, Input, SessionConfig, SessionLost, Status},
};
use crate::{
    frame::Joining,
    lease::Void,
    message::{Hello, Refusal, Refused, ToAuthority, ToVerifier, Welcome},
    numbers::{PROTOCOL, PROTOCOL_OF_HEADS, PROTOCOL_OLDEST, STREAM_SILENCE_MAX},
    record::Head,
    replica::{Replica, Visible},
};

/// The verifier's side of one session.
#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "fault", derive(Clone))]
pub struct Session {
    config: SessionConfig,
    state: State,
    /// Of the last hello; each stream has a higher one.
    epoch: u64,
    /// The last number given to a renewal or a watermark request. Goes on over streams, so that no late answer fits.
    requests: u64,
    /// What acknowledgements are made of.
    applied: Option<Visible>,
    /// At least what is applied; heartbeats move it further.
    watermark: Revision,
    /// The newest revision of which anything came, be it one frame: no snapshot may be older.
    seen: Revision,
    /// The replica is what the log up to `watermark` leaves, so the next stream can go on from there.
    whole: bool,
    held: Option<Held>,
    /// What is held was read from a disk, and no lease was granted on it yet.
    unvouched: bool,
    head: Option<Head>,
    /// An unknown change stands in the way (`feed-protocol.md` 8): no renewal and no snapshot gets around it.
    needs_protocol: Option<u32>,
    last_heartbeat: Option<BootTime>,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "fault", derive(Clone))]
enum State {
    Idle(Idle),
    Connecting,
    AwaitingWelcome(AwaitingWelcome),
    AwaitingSnapshot(AwaitingSnapshot),
    Live(Live),
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Idle {
    since: BootTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AwaitingWelcome {
    heard: BootTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AwaitingSnapshot {
    heard: BootTime,
    begun: Option<Revision>,
    rows: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "fault", derive(Clone))]
struct Live {
    heard: BootTime,
    renew_at: BootTime,
    renewals: VecDeque<Held>,
    /// A record that is half there. Gone with its stream: the next one begins it anew.
    joining: Option<Joining>,
}

impl Session {
    /// A session without state. Its first step asks for a stream.
    #[must_use]
    pub const fn new(config: SessionConfig, now: Now) -> Self {
        let backoff = Backoff::new(config.jitter_seed);
        Self {
            config,
            state: State::Idle(Idle { since: now.boot }),
            epoch: 0,
            requests: 0,
            applied: None,
            watermark: Revision::ZERO,
            seen: Revision::ZERO,
            whole: false,
            held: None,
            unvouched: false,
            head: None,
            needs_protocol: None,
            last_heartbeat: None,
            backoff,
        }
    }

    /// The session to go on with after [`Effect::Lost`]: another id, and a snapshot first. It keeps the count of
    /// requests and the pace of reconnects, so that an authority that ends every session is not hammered.
    #[must_use]
    pub fn successor(&self, session: SessionId, now: Now) -> Self {
        let config = SessionConfig { session, ..self.config.clone() };
        Self {
            requests: self.requests,
            seen: self.seen,
            head: self.head.clone(),
            needs_protocol: self.needs_protocol,
            backoff: self.backoff.clone(),
            ..Self::new(config, now)
        }
    }

    /// A session that goes on from what was read from a disk (`feed-protocol.md` 28): `visible` is of the replica that holds it,
    /// `watermark` how far that is, `head` the last one that its writer had seen. It has no lease, and gets none before the
    /// authority lets it go on from there; if it does not, a snapshot comes.
    #[must_use]
    pub fn resuming(config: SessionConfig, now: Now, visible: Visible, watermark: Revision, head: Head) -> Self {
        Self {
            applied: Some(visible),
            watermark,
            whole: true,
            unvouched: true,
            head: Some(head),
            ..Self::new(config, now)
        }
    }

    /// What another process could go on from, had it this replica: how far it is, and the last head seen. Nothing while the
    /// replica is not what the log leaves, as far as is known.
    #[must_use]
    pub fn resume_point(&self) -> Option<(Revision, &Head)> {
        self.head.as_ref().filter(|_| self.whole).map(|head| (self.watermark, head))
    }

    /// What the session was made with.
    #[must_use]
    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The session at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            connected: matches!(self.state, State::AwaitingSnapshot(_) | State::Live(_)),
            live: matches!(self.state, State::Live(_)),
            applied: self.applied.as_ref().map(|visible| visible.revision().max(self.watermark)),
            last_heartbeat: self.last_heartbeat,
            needs_protocol: self.needs_protocol,
            ended: matches!(self.state, State::Ended),
        }
    }

    /// When the next [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn next_wakeup(&self) -> BootTime {
        match &self.state {
            State::Idle(Idle { since }) => *since,
            State::Connecting | State::Ended => BootTime::from_nanos(u64::MAX),
            State::AwaitingWelcome(AwaitingWelcome { heard })
            | State::AwaitingSnapshot(AwaitingSnapshot { heard, .. }) => heard.plus(STREAM_SILENCE_MAX),
            State::Live(live) => {
                let silence = live.heard.plus(STREAM_SILENCE_MAX);
                if self.needs_protocol.is_some() { silence } else { silence.min(live.renew_at) }
            }
        }
    }

    /// Takes one input in. `now` is to be read before the call, so that what it stamps as sent was not sent earlier.
    pub fn step<R: Replica>(&mut self, now: Now, input: Input, replica: &R) -> Vec<Effect> {
        let mut out = Vec::new();
        if matches!(self.state, State::Ended) {
            if input == Input::AskWatermark {
                out.push(Effect::AsksFailed);
            }
            return out;
        }
        self.jump_look(now, replica, &mut out);
        match input {
            Input::Connected => self.connected(now, replica, &mut out),
            Input::Disconnected => {
                if !matches!(self.state, State::Idle(_)) {
                    let after = self.backoff.next();
                    self.reconnect(after, &mut out);
                }
            }
            Input::Message(message) => self.message(now, message, replica, &mut out),
            Input::AskWatermark => self.ask(&mut out),
            Input::JumpSeen => self.jumped(now, replica, &mut out),
            Input::TokenChanged => {
                if !matches!(self.state, State::Idle(_)) {
                    // Lease and grace go on: the session is the same, only its stream is another.
                    out.push(Effect::Disconnect);
                    self.reconnect(Duration::ZERO, &mut out);
                }
            }
            Input::Leave => self.end(Void::Goodbye, replica, None, &mut out),
            Input::Tick => {}
        }
        self.due(now, replica, &mut out);
        out
    }

    fn connected<R: Replica>(&mut self, now: Now, replica: &R, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Connecting) {
            return;
        }
        self.epoch += 1;
        // Summed up anew for each stream, so that a row that changed by itself is found as well (`feed-protocol.md` 24).
        let summed_up = if self.whole { replica.set_hashes(&self.config.namespaces) } else { Ok(Vec::new()) };
        let set_hashes = summed_up.unwrap_or_else(|why| {
            self.mistrust(replica, out);
            out.push(Effect::Note(Note::Fault(Fault::Unappliable(why))));
            Vec::new()
        });
        out.push(Effect::Send(ToAuthority::Hello(Hello {
            protocol_oldest: PROTOCOL_OLDEST,
            protocol: PROTOCOL,
            session: self.config.session,
            verifier: self.config.verifier.clone(),
            epoch: self.epoch,
            namespaces: self.config.namespaces.clone(),
            resume: self.whole.then_some(self.watermark),
            set_hashes,
            head: self.head.clone(),
            place: self.config.place,
            claims: self.config.claims.clone(),
        })));
        self.state = State::AwaitingWelcome(AwaitingWelcome { heard: now.boot });
    }

    fn message<R: Replica>(&mut self, now: Now, message: ToVerifier, replica: &R, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::AwaitingWelcome(AwaitingWelcome { heard })
            | State::AwaitingSnapshot(AwaitingSnapshot { heard, .. })
            | State::Live(Live { heard, .. }) => *heard = now.boot,
            // A straggler of a stream that was given up.
            State::Idle(_) | State::Connecting | State::Ended => return,
        }
        match message {
            ToVerifier::Welcome(welcome) => self.welcome(now, welcome, replica, out),
            ToVerifier::Refused(refused) => self.refused(refused, replica, out),
            ToVerifier::SnapshotBegin { at } => self.snapshot_begin(now, at, replica, out),
            ToVerifier::SnapshotRows(part) => self.snapshot_rows(part, replica, out),
            ToVerifier::SnapshotEnd { at } => self.snapshot_end(now, at, replica, out),
            ToVerifier::Record(record) => self.record(&record, replica, out),
            ToVerifier::Frame(frame) => self.frame(frame, replica, out),
            ToVerifier::Heartbeat { watermark, head, authority_time: _ } => {
                self.last_heartbeat = Some(now.boot);
                match self.state {
                    State::AwaitingSnapshot(_) | State::Live(_) => {}
                    _ => return,
                }
                // It comes before what it speaks of: whoever has seen a record can show a head that covers it.
                if let Some(known) = self.went_back(head.revision) {
                    return self.fault(Fault::WentBack { known, head: head.revision }, replica, out);
                }
                self.head = Some(head);
                if let State::Live(live) = &self.state {
                    if is_half_sent(live, watermark) {
                        return self.fault(Fault::Unexpected(OVER_HALF), replica, out);
                    }
                    self.advance(watermark, replica);
                }
            }
            ToVerifier::Watermark { request, watermark } => {
                // Asked for in no other state.
                if let State::Live(live) = &self.state {
                    if is_half_sent(live, watermark) {
                        return self.fault(Fault::Unexpected(OVER_HALF), replica, out);
                    }
                    self.advance(watermark, replica);
                    out.push(Effect::Watermark { request });
                }
            }
            ToVerifier::Grant(grant) => self.grant(now, grant, replica, out),
            ToVerifier::End { reason } => {
                self.end(Void::Ended, replica, Some(SessionLost::TokenEnded { reason }), out);
            }
            ToVerifier::Succeeded { sessions } => {
                self.config.claims.retain(|claimed| !sessions.contains(claimed));
                out.push(Effect::Succeeded { sessions });
            }
            // Whoever counts takes it from the stream beside this.
            ToVerifier::UsageTaken { .. } => {}
            ToVerifier::Ended => {
                replica.lease_void(Void::Ended);
                out.extend([Effect::AsksFailed, Effect::Disconnect, Effect::Lost(SessionLost::Ended)]);
                self.backoff.next();
                self.state = State::Ended;
            }
        }
    }

    fn welcome<R: Replica>(&mut self, now: Now, welcome: Welcome, replica: &R, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::AwaitingWelcome(_)) {
            return self.fault(Fault::Unexpected("a second welcome"), replica, out);
        }
        if !(PROTOCOL_OLDEST..=PROTOCOL).contains(&welcome.protocol) {
            return self.fault_slow(Fault::Protocol(welcome.protocol), replica, out);
        }
        let (known, head) = (replica.watermark(), welcome.head.revision);
        let back = self.went_back(head).is_some() || head < known;
        if (welcome.foreign || back) && welcome.resume.is_none() && welcome.protocol >= PROTOCOL_OF_HEADS {
            // Were it an older state of the same store, the authority would have stopped itself on our head.
            self.other_store(known, head, replica, out);
        } else if back || welcome.foreign {
            return self.fault_slow(Fault::WentBack { known, head }, replica, out);
        }
        self.head = Some(welcome.head);
        out.push(Effect::Note(Note::Welcomed { protocol: welcome.protocol, resume: welcome.resume }));
        match (welcome.resume, self.applied.take()) {
            (Some(resume), Some(visible)) if self.whole && resume <= self.watermark => self.live(now, visible, out),
            (Some(_), applied) => {
                self.applied = applied;
                self.fault(Fault::Unexpected("a resumption from what this verifier does not have"), replica, out);
            }
            (None, applied) => {
                self.applied = applied;
                if welcome.mismatch {
                    self.mistrust(replica, out);
                    out.push(Effect::Note(Note::Fault(Fault::Mistrusted)));
                }
                if self.needs_protocol.is_some() {
                    // A snapshot in our protocol would leave out just what we do not know: that would skip it.
                    out.push(Effect::Disconnect);
                    let after = self.backoff.slow();
                    return self.reconnect(after, out);
                }
                self.state = State::AwaitingSnapshot(AwaitingSnapshot { heard: now.boot, begun: None, rows: 0 });
            }
        }
    }

    /// What was seen before, if this head is behind it.
    fn went_back(&self, head: Revision) -> Option<Revision> {
        self.head.as_ref().map(|known| known.revision).filter(|known| head < *known)
    }

    /// Forgets what is held: it is of another history. Lease and grace go first.
    fn other_store<R: Replica>(&mut self, known: Revision, head: Revision, replica: &R, out: &mut Vec<Effect>) {
        replica.lease_void(Void::OtherStore);
        replica.anew();
        (self.held, self.applied, self.whole, self.needs_protocol) = (None, None, false, None);
        (self.watermark, self.seen) = (Revision::ZERO, Revision::ZERO);
        out.push(Effect::Note(Note::OtherStore { known, head }));
    }

    fn refused<R: Replica>(&mut self, refused: Refused, replica: &R, out: &mut Vec<Effect>) {
        if refused.why == Refusal::Rollback {
            // At any time, and not an end: what is held is newer than what the authority has, and is kept.
            replica.lease_void(Void::Rollback);
            self.held = None;
            out.extend([Effect::Note(Note::Refused(refused)), Effect::Disconnect]);
            let after = self.backoff.slow();
            return self.reconnect(after, out);
        }
        if !matches!(self.state, State::AwaitingWelcome(_)) {
            return self.fault(Fault::Unexpected("a refusal"), replica, out);
        }
        // A refused hello ends nothing: lease and grace run on (`feed-protocol.md` 7).
        let after = match refused.why {
            Refusal::Unavailable | Refusal::UnknownNamespace => self.backoff.next(),
            Refusal::Unauthenticated
            | Refusal::Forbidden
            | Refusal::Protocol
            | Refusal::TooMany
            | Refusal::Rollback => self.backoff.slow(),
            Refusal::Invalid => return self.abandon(refused, out),
        };
        out.extend([Effect::Note(Note::Refused(refused)), Effect::Disconnect]);
        self.reconnect(after, out);
    }

    /// The authority will never have this session with this hello: above all when the token is of another credential now,
    /// which a session cannot change. Another takes its place. What the old one was granted runs on until the new one's
    /// first lease; the authority counts the old one out for as long.
    fn abandon(&mut self, refused: Refused, out: &mut Vec<Effect>) {
        let message = refused.message.clone();
        out.extend([Effect::Note(Note::Refused(refused)), Effect::AsksFailed, Effect::Disconnect]);
        out.push(Effect::Lost(SessionLost::Refused { message }));
        self.backoff.next();
        self.state = State::Ended;
    }

    /// Whoever was told to wait for a stream waits for one that is live: before that there is nothing to catch up with.
    fn ask(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Live(_)) {
            self.requests += 1;
            let request = self.requests;
            out.extend([Effect::Asked { request }, Effect::Send(ToAuthority::Ask { request })]);
        } else {
            out.push(Effect::AsksFailed);
        }
    }

    fn live(&mut self, now: Now, visible: Visible, out: &mut Vec<Effect>) {
        out.push(acknowledge(&visible));
        self.applied = Some(visible);
        self.state =
            State::Live(Live { heard: now.boot, renew_at: now.boot, renewals: VecDeque::new(), joining: None });
    }

    fn advance<R: Replica>(&mut self, to: Revision, replica: &R) {
        if to > self.watermark {
            replica.watermark_advance(to);
            self.watermark = to;
        }
    }

    fn due<R: Replica>(&mut self, now: Now, replica: &R, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::Idle(_) => {
                out.push(Effect::Connect { after: self.backoff.first() });
                self.state = State::Connecting;
            }
            State::Connecting | State::Ended => {}
            State::AwaitingWelcome(AwaitingWelcome { heard })
            | State::AwaitingSnapshot(AwaitingSnapshot { heard, .. })
            | State::Live(Live { heard, .. })
                if now.boot.since(*heard) >= STREAM_SILENCE_MAX =>
            {
                out.extend([Effect::Note(Note::StreamSilent), Effect::Disconnect]);
                let after = self.backoff.next();
                self.reconnect(after, out);
            }
            State::AwaitingWelcome(_) | State::AwaitingSnapshot(_) => {}
            State::Live(_) => self.renew_if_due(now, replica, out),
        }
    }

    /// Goes stale, and begins again with a snapshot.
    fn fault<R: Replica>(&mut self, fault: Fault, replica: &R, out: &mut Vec<Effect>) {
        self.whole = false;
        let after = self.backoff.next();
        self.give_up(fault, after, replica, out);
    }

    /// Goes stale, and tries again now and then in case the authority is another one by then.
    fn fault_slow<R: Replica>(&mut self, fault: Fault, replica: &R, out: &mut Vec<Effect>) {
        let after = self.backoff.slow();
        self.give_up(fault, after, replica, out);
    }

    fn give_up<R: Replica>(&mut self, fault: Fault, after: Duration, replica: &R, out: &mut Vec<Effect>) {
        replica.lease_void(Void::Unappliable);
        self.held = None;
        out.extend([Effect::Note(Note::Fault(fault)), Effect::Disconnect]);
        self.reconnect(after, out);
    }

    fn reconnect(&mut self, after: Duration, out: &mut Vec<Effect>) {
        out.extend([Effect::AsksFailed, Effect::Connect { after }]);
        self.state = State::Connecting;
    }

    /// Ends the session by its own goodbye. The void comes first: after it no verdict leaves, so goodbye is true.
    fn end<R: Replica>(&mut self, why: Void, replica: &R, lost: Option<SessionLost>, out: &mut Vec<Effect>) {
        if !injected(Rule::GoodbyeBeforeStop) {
            replica.lease_void(why);
        }
        self.held = None;
        out.push(Effect::AsksFailed);
        match self.state {
            State::AwaitingWelcome(_) | State::AwaitingSnapshot(_) | State::Live(_) => {
                out.extend([Effect::Send(ToAuthority::Goodbye), Effect::Disconnect]);
            }
            State::Connecting => out.push(Effect::Disconnect),
            State::Idle(_) | State::Ended => {}
        }
        if let Some(lost) = lost {
            self.backoff.next();
            out.push(Effect::Lost(lost));
        }
        self.state = State::Ended;
    }
}

/// Whether a watermark speaks of a record of which only a part has come.
fn is_half_sent(live: &Live, watermark: Revision) -> bool {
    live.joining.as_ref().is_some_and(|joining| joining.revision() <= watermark)
}

/// What is wrong with such a watermark.
const OVER_HALF: &str = "a watermark over a record that is half sent";

/// The only way to an acknowledgement.
const fn acknowledge(visible: &Visible) -> Effect {
    Effect::Send(ToAuthority::Ack { revision: visible.revision() })
}
