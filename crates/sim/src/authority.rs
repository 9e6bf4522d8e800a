//! The authority's machine: its store, the driver of its hub, and the streams.

use std::collections::BTreeMap;

use jeton_feed::{
    authority::{Committed, EvidenceKind, Hub, HubSetup, Input, ReceiptFacts, SessionFacts},
    frame::{Cursor, Cut, cut},
    message::{Hello, Refusal, Refused, ToAuthority, ToVerifier, Welcome},
    numbers::{HEARTBEAT_EVERY, PROTOCOL},
    record::{Change, Policy},
};
use jeton_types::{
    BootTime, Freshness, NamespaceName, Now, Revision, RevocationId, SessionId, StartId, TokenId, UnixTime,
};

use crate::{
    Event, World,
    clock::{MILLI, MachineClock, Rng},
    net::{Feeder, Link, LinkId},
    plan::{Action, FRESHNESS, Flaw, NAMESPACES, Plan, SERVED},
    replica::bytes_of,
    store::{SessionRow, Store, token_entry},
    verifier::VerifierEvent,
};

const CHECK_EVERY: u64 = 100 * MILLI;
/// How long the next frame of a record may wait for the one before it.
const FRAME_TAKES_MAX: u64 = 300 * MILLI;

pub(crate) struct AuthorityHost {
    pub(crate) clock: MachineClock,
    pub(crate) start: u64,
    pub(crate) hub: Option<Hub>,
    pub(crate) store: Store,
    pub(crate) authority_time: UnixTime,
    pub(crate) verifier_tokens: Vec<TokenId>,
    /// Views on which a verification is under way.
    reading: BTreeMap<u64, Revision>,
    /// What the hub has been fed up to, and until when a feed is under way.
    fed: Revision,
    feed_last: u64,
    pub(crate) tick_at: u64,
    pub(crate) stopped_until: u64,
    pub(crate) thaw_at: Option<u64>,
    inbox: Vec<AuthorityEvent>,
    /// When it last went on after a stop, on its boot clock.
    pub(crate) resumed: BootTime,
    pub(crate) graces: BTreeMap<NamespaceName, Freshness>,
}

#[derive(Debug, Clone)]
pub(crate) enum AuthorityEvent {
    Start,
    Thaw,
    /// What was held back while the process was stopped is taken in, in order.
    GoOn,
    Mutate(Action),
    Message(LinkId, ToAuthority),
    Closed(LinkId),
    HelloDone {
        start: u64,
        link: LinkId,
        hello: Hello,
        reading: u64,
    },
    Feed {
        start: u64,
        committed: Committed,
    },
    Feeder {
        start: u64,
        link: LinkId,
    },
    Heartbeat {
        start: u64,
    },
    Tick {
        start: u64,
        at: u64,
    },
    Stored {
        start: u64,
        receipt: Box<ReceiptFacts>,
    },
    Check {
        start: u64,
    },
}

impl AuthorityHost {
    pub(crate) fn new(plan: &Plan, rng: &mut Rng) -> Self {
        let clock = MachineClock::new(plan.authority_rate, 500);
        let mut host = Self {
            authority_time: clock.now(0).real,
            clock,
            start: 0,
            hub: None,
            store: Store::default(),
            verifier_tokens: Vec::new(),
            reading: BTreeMap::new(),
            fed: Revision::ZERO,
            feed_last: 0,
            tick_at: u64::MAX,
            stopped_until: 0,
            thaw_at: None,
            inbox: Vec::new(),
            resumed: BootTime::ZERO,
            graces: BTreeMap::new(),
        };
        let built_in = NamespaceName::built_in();
        for _ in SERVED {
            let entry = token_entry(bytes_of(rng));
            host.verifier_tokens.push(entry.token);
            host.store.commit(&built_in, host.authority_time, vec![Change::Token(entry)], None);
        }
        for (name, freshness) in NAMESPACES {
            let name: NamespaceName = name.parse().unwrap();
            let freshness = freshness.parse().unwrap();
            host.graces.insert(name.clone(), freshness);
            let mut changes =
                vec![Change::Policy(Policy { prefix: "test".parse().unwrap(), freshness, disabled: false })];
            changes.extend((0..12).map(|_| Change::Token(token_entry(bytes_of(rng)))));
            host.store.commit(&name, host.authority_time, changes, None);
        }
        host
    }

    pub(crate) fn is_up(&self) -> bool {
        self.hub.is_some()
    }

    pub(crate) fn freeze(&mut self, t: u64, until: u64) {
        self.clock.freeze(t, true);
        self.thaw_at = Some(until);
        self.stopped_until = self.stopped_until.max(until);
    }

    pub(crate) fn receipts_pending(&self, t: u64, namespace: &NamespaceName) -> Vec<ReceiptFacts> {
        let Some(hub) = &self.hub else { return Vec::new() };
        if hub.pending_count() == 0 {
            return Vec::new();
        }
        let pending = self.store.log.iter().rev().take(40).filter_map(|entry| {
            let revocation = entry.committed.revocation.filter(|_| entry.committed.namespace == *namespace)?;
            hub.receipt(revocation, self.clock.now(t), self.authority_time)
        });
        pending.filter(|receipt| !receipt.complete).collect()
    }

    /// Whether a session's line is fenced; nothing if it has none.
    pub(crate) fn is_fenced(receipt: &ReceiptFacts, session: SessionId) -> Option<bool> {
        let line = receipt.evidence.iter().find(|line| line.session == Some(session))?;
        Some(line.state == EvidenceKind::Fenced)
    }

    pub(crate) fn time(&mut self, t: u64) -> (Now, UnixTime) {
        let now = self.clock.now(t);
        self.authority_time = self.authority_time.max(now.real);
        (now, self.authority_time)
    }

    fn setup(&mut self, t: u64, flaw: Option<Flaw>) -> HubSetup {
        let (now, authority_time) = self.time(t);
        let mut setup = self.store.setup(now, authority_time);
        match flaw {
            Some(Flaw::SessionsLostAtStart) => setup.sessions.clear(),
            Some(Flaw::StartForgotten) => setup.now.boot = now.boot.minus(std::time::Duration::from_secs(60)),
            Some(Flaw::NewestPolicyOnly) => {
                let newest: BTreeMap<_, _> =
                    setup.policies.iter().map(|policy| (policy.namespace.clone(), policy.clone())).collect();
                setup.policies = newest.into_values().collect();
            }
            _ => {}
        }
        setup
    }
}

impl World {
    pub(crate) fn authority_event(&mut self, event: AuthorityEvent) {
        let stopped_until = self.authority.stopped_until;
        match event {
            AuthorityEvent::Thaw | AuthorityEvent::Start => self.authority_take(event),
            AuthorityEvent::GoOn if self.t < stopped_until => {
                self.schedule(stopped_until, Event::Authority(AuthorityEvent::GoOn));
            }
            AuthorityEvent::GoOn => {
                self.authority.resumed = self.authority.clock.now(self.t).boot;
                for event in std::mem::take(&mut self.authority.inbox) {
                    self.authority_take(event);
                }
            }
            _ if self.t < stopped_until || !self.authority.inbox.is_empty() => {
                self.authority.inbox.push(event);
                if self.authority.inbox.len() == 1 {
                    self.schedule(stopped_until, Event::Authority(AuthorityEvent::GoOn));
                }
            }
            _ => self.authority_take(event),
        }
    }

    fn authority_take(&mut self, event: AuthorityEvent) {
        match event {
            AuthorityEvent::Thaw => {
                self.authority.clock.freeze(self.t, false);
                self.authority.thaw_at = None;
            }
            AuthorityEvent::GoOn => {}
            AuthorityEvent::Start => self.authority_start(),
            _ if !self.authority.is_up() => {}
            AuthorityEvent::Mutate(action) => self.mutate(action),
            AuthorityEvent::Message(link, message) => {
                if self.is_open_at_authority(link) && !self.links[&link].broken {
                    self.message(link, message);
                }
            }
            AuthorityEvent::Closed(link) => {
                if self.links[&link].start == self.authority.start {
                    let closed = self.links.get_mut(&link).unwrap();
                    closed.open_at_authority = false;
                    closed.feeder = None;
                    self.hub_step(Input::StreamClosed { stream: Link::stream(link) });
                }
            }
            AuthorityEvent::HelloDone { start, link, hello, reading } => {
                if start == self.authority.start {
                    if self.is_open_at_authority(link) {
                        self.hello_done(link, hello);
                    }
                    self.authority.reading.remove(&reading);
                    self.released();
                }
            }
            AuthorityEvent::Feed { start, committed } => {
                if start == self.authority.start {
                    self.feed(committed);
                }
            }
            AuthorityEvent::Feeder { start, link } => {
                if start == self.authority.start {
                    self.feeder_run(link);
                }
            }
            AuthorityEvent::Heartbeat { start } => {
                if start == self.authority.start {
                    self.heartbeat();
                }
            }
            AuthorityEvent::Tick { start, at } => {
                if start == self.authority.start && at == self.authority.tick_at {
                    self.authority.tick_at = u64::MAX;
                    self.hub_step(Input::Tick);
                }
            }
            AuthorityEvent::Stored { start, receipt } => {
                if start == self.authority.start {
                    let before = self.authority.store.receipts.insert(receipt.revocation, (*receipt).clone());
                    self.check.stored(&receipt, before.as_ref());
                    self.hub_step(Input::ReceiptStored { revocation: receipt.revocation });
                }
            }
            AuthorityEvent::Check { start } => {
                if start == self.authority.start {
                    self.bound_check();
                    self.schedule(self.t + CHECK_EVERY, Event::Authority(AuthorityEvent::Check { start }));
                }
            }
        }
    }

    fn authority_start(&mut self) {
        self.check.seen.starts += 1;
        let t = self.t;
        let host = &mut self.authority;
        host.start += 1;
        let start = host.start;
        host.reading.clear();
        host.tick_at = u64::MAX;
        self.start_record();
        let host = &mut self.authority;
        let setup = host.setup(t, self.plan.flaw);
        host.fed = setup.head.revision;
        self.check.acked.clear();
        for pending in &setup.pending {
            self.check.waits(pending.revocation, &pending.namespace, setup.now.boot);
        }
        let now = host.clock.now(t).boot;
        self.check.wait_anew(now);
        host.hub = Some(Hub::new(setup));
        self.hub_step(Input::Tick);
        self.schedule(t, Event::Authority(AuthorityEvent::Heartbeat { start }));
        self.schedule(t, Event::Authority(AuthorityEvent::Check { start }));
    }

    pub(crate) fn start_record(&mut self) -> StartId {
        let start = StartId::from_bytes(bytes_of(&mut self.rng));
        self.commit(&NamespaceName::built_in(), vec![Change::Start(start)], None);
        start
    }

    pub(crate) fn authority_crash(&mut self, down: u64) {
        if self.authority.hub.take().is_none() {
            return;
        }
        self.authority.start += 1;
        let open: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.open_at_authority).map(|(id, _)| *id).collect();
        for id in open {
            self.links.get_mut(&id).unwrap().feeder = None;
            self.close_down(id);
        }
        self.schedule(self.t + down, Event::Authority(AuthorityEvent::Start));
    }

    fn mutate(&mut self, action: Action) {
        let name = |index: usize| -> NamespaceName { NAMESPACES[index].0.parse().unwrap() };
        match action {
            Action::Revoke { namespace } => {
                let namespace = name(namespace);
                let Some(token) = self.authority.store.active(&namespace).first().copied() else { return };
                self.revoke(&namespace, &[token]);
            }
            Action::RevokeMany { namespace, tokens } => {
                let namespace = name(namespace);
                let ends: Vec<TokenId> = self.authority.store.active(&namespace).into_iter().take(tokens).collect();
                let fresh = (0..tokens).map(|_| Change::Token(token_entry(bytes_of(&mut self.rng)))).collect();
                self.commit(&namespace, fresh, None);
                if !ends.is_empty() {
                    self.revoke(&namespace, &ends);
                }
            }
            Action::Issue { namespace } => {
                let entry = token_entry(bytes_of(&mut self.rng));
                self.commit(&name(namespace), vec![Change::Token(entry)], None);
            }
            Action::Policy { namespace, freshness } => {
                let namespace = name(namespace);
                let freshness: Freshness = FRESHNESS[freshness].parse().unwrap();
                let longest = self.authority.graces.get_mut(&namespace).unwrap();
                if freshness.grace() > longest.grace() {
                    *longest = freshness;
                }
                let policy = Policy { freshness, ..self.authority.store.policy(&namespace) };
                self.commit(&namespace, vec![Change::Policy(policy)], None);
            }
            Action::RevokeOwn { verifier, another_after } => {
                let built_in = NamespaceName::built_in();
                let token = self.authority.verifier_tokens[verifier];
                let entry = token_entry(bytes_of(&mut self.rng));
                self.authority.verifier_tokens[verifier] = entry.token;
                self.commit(&built_in, vec![Change::Token(entry)], None);
                self.revoke(&built_in, &[token]);
                let at = self.t + another_after * MILLI;
                self.schedule(at, Event::Verifier(verifier, VerifierEvent::Token));
            }
            _ => unreachable!("not a mutation"),
        }
    }

    fn revoke(&mut self, namespace: &NamespaceName, tokens: &[TokenId]) {
        let changes = tokens.iter().map(|token| self.authority.store.end_of(namespace, *token)).collect();
        let revocation = RevocationId::from_bytes(bytes_of(&mut self.rng));
        self.commit(namespace, changes, Some(revocation));
    }

    /// Makes a record durable. The hub and the streams learn of it in their time, in whichever order.
    fn commit(&mut self, namespace: &NamespaceName, changes: Vec<Change>, revocation: Option<RevocationId>) {
        let (_, authority_time) = self.authority.time(self.t);
        let mut committed = self.authority.store.commit(namespace, authority_time, changes, revocation);
        committed.boot = self.authority.clock.now(self.t).boot;
        let start = self.authority.start;
        let fed_at = (self.t + self.rng.below(10 * MILLI)).max(self.authority.feed_last);
        self.authority.feed_last = fed_at;
        self.schedule(fed_at, Event::Authority(AuthorityEvent::Feed { start, committed }));
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.feeder.is_some()).map(|(id, _)| *id).collect();
        for link in links {
            let at = self.t + self.rng.below(10 * MILLI);
            self.schedule(at, Event::Authority(AuthorityEvent::Feeder { start, link }));
        }
    }

    fn feed(&mut self, committed: Committed) {
        let (revision, revocation) = (committed.revision, committed.revocation);
        if revision <= self.authority.fed {
            return;
        }
        self.authority.fed = revision;
        if let Some(revocation) = revocation {
            let boot = self.authority.clock.now(self.t).boot;
            self.check.waits(revocation, &committed.namespace, boot);
        }
        self.hub_step(Input::Committed(committed));
        self.released();
    }

    /// Acknowledges what every verification under way has seen.
    fn released(&mut self) {
        let host = &self.authority;
        let mut revision = host.fed;
        if self.plan.flaw != Some(Flaw::HelloNotCounted) {
            revision = host.reading.values().copied().min().map_or(revision, |view| view.min(revision));
        }
        self.hub_step(Input::AuthorityAcked { revision });
    }

    fn message(&mut self, link: LinkId, message: ToAuthority) {
        let stream = Link::stream(link);
        match message {
            ToAuthority::Hello(hello) => self.hello(link, hello),
            ToAuthority::Ack { revision } => {
                if let Some(session) = self.links[&link].session {
                    let acked = self.check.acked.entry(session).or_default();
                    *acked = revision.max(*acked);
                }
                self.hub_step(Input::Ack { stream, revision });
            }
            ToAuthority::Renew { request } => {
                let token_good = self.token_good(link);
                self.hub_step(Input::Renew { stream, request, token_good });
            }
            ToAuthority::Ask { request } => {
                self.feeder_run(link);
                let watermark = self.fed_on(link);
                self.send_down(link, ToVerifier::Watermark { request, watermark });
            }
            // Use decides nothing here.
            ToAuthority::Usage(_) => {}
            ToAuthority::Goodbye => self.hub_step(Input::Goodbye { stream }),
        }
    }

    /// A hello is a verification of its token, on the view of this moment.
    fn hello(&mut self, link: LinkId, hello: Hello) {
        if !self.token_good(link) {
            let refused = Refused { why: Refusal::Unauthenticated, message: "another token is needed".to_owned() };
            self.send_down(link, ToVerifier::Refused(refused));
            self.close_down(link);
            return;
        }
        let reading = self.rng.next_u64();
        self.authority.reading.insert(reading, self.authority.store.head().revision);
        let takes = if self.rng.chance(20) { 600 } else { 20 };
        let at = self.t + self.rng.below(takes * MILLI);
        let start = self.authority.start;
        self.schedule(at, Event::Authority(AuthorityEvent::HelloDone { start, link, hello, reading }));
    }

    fn hello_done(&mut self, link: LinkId, hello: Hello) {
        let (session, stream, token) = (hello.session, Link::stream(link), self.links[&link].token);
        let head = self.authority.store.head();
        match self.authority.store.sessions.get(&session) {
            None => {
                let facts = SessionFacts {
                    session,
                    verifier: hello.verifier.clone(),
                    credential: token_entry(*session.as_bytes()).credential,
                    namespaces: hello.namespaces.clone(),
                    // With a copy it knows no more than that.
                    opened: hello.resume.unwrap_or(head.revision),
                    place: hello.place,
                };
                self.authority.store.sessions.insert(session, SessionRow { facts: facts.clone(), ended: None });
                self.hub_step(Input::SessionOpened(facts));
            }
            Some(row) if row.ended.is_none() => {}
            _ => {
                self.send_down(link, ToVerifier::Ended);
                self.close_down(link);
                return;
            }
        }
        self.links.get_mut(&link).unwrap().session = Some(session);
        let epoch = hello.epoch;
        let looks = !matches!(self.plan.flaw, Some(Flaw::HelloNotSummedUp | Flaw::ResumeAfterFirstFrame));
        let contradicts = |resume| self.authority.store.contradicts(&hello, resume);
        let mismatch = looks && hello.resume.is_some_and(contradicts);
        let resume = hello.resume.filter(|_| !mismatch);
        self.hub_step(Input::StreamOpened { session, stream, epoch, token, resume });
        if !hello.claims.is_empty() {
            self.hub_step(Input::Claimed { stream, sessions: hello.claims.clone() });
        }
        if !self.is_open_at_authority(link) {
            return;
        }
        let (_, authority_time) = self.authority.time(self.t);
        self.send_urgent(
            link,
            ToVerifier::Welcome(Welcome { protocol: PROTOCOL, resume, mismatch, head, authority_time, foreign: false }),
        );
        let cursor = resume.unwrap_or_else(|| {
            let before = self.plan.flaw == Some(Flaw::SnapshotOfBefore);
            let (at, messages) = self.authority.store.snapshot(&hello.namespaces, before);
            messages.into_iter().for_each(|message| self.send_down(link, message));
            at
        });
        self.links.get_mut(&link).unwrap().feeder = Some(Feeder::new(hello.namespaces, cursor));
        self.feeder_run(link);
    }

    /// Sends what there is, one change in a frame, and a frame now and then.
    fn feeder_run(&mut self, id: LinkId) {
        loop {
            let link = self.links.get_mut(&id).unwrap();
            let Some(feeder) = link.feeder.as_mut().filter(|feeder| feeder.busy_until <= self.t) else { return };
            let log = &self.authority.store.log;
            let from = log.partition_point(|entry| entry.record.revision <= feeder.cursor);
            let Some(entry) = log[from..].iter().find(|entry| feeder.namespaces.contains(&entry.record.namespace))
            else {
                feeder.cursor = self.authority.store.head().revision;
                return;
            };
            let revision = entry.record.revision;
            let message = match cut(&entry.record, feeder.half, 1, |_| 1) {
                Cut::Whole(record) => {
                    feeder.cursor = revision;
                    ToVerifier::Record(record)
                }
                Cut::Part(frame, Some(next)) => {
                    feeder.half = next;
                    feeder.busy_until = self.t + self.rng.below(FRAME_TAKES_MAX);
                    let (start, at) = (self.authority.start, feeder.busy_until);
                    self.check.seen.parts += 1;
                    self.schedule(at, Event::Authority(AuthorityEvent::Feeder { start, link: id }));
                    ToVerifier::Frame(frame)
                }
                Cut::Part(frame, None) => {
                    (feeder.half, feeder.cursor) = (Cursor::FIRST, revision);
                    ToVerifier::Frame(frame)
                }
            };
            self.send_down(id, message);
        }
    }

    /// What was sent of all on a link.
    fn fed_on(&self, id: LinkId) -> Revision {
        self.links[&id].feeder.as_ref().map_or(Revision::ZERO, |feeder| feeder.cursor)
    }

    fn heartbeat(&mut self) {
        let start = self.authority.start;
        let next = self.t + self.authority.clock.lasts(HEARTBEAT_EVERY);
        self.schedule(next, Event::Authority(AuthorityEvent::Heartbeat { start }));
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.feeder.is_some()).map(|(id, _)| *id).collect();
        for link in links {
            self.feeder_run(link);
            let head = self.authority.store.head();
            let (_, authority_time) = self.authority.time(self.t);
            let watermark = self.fed_on(link);
            self.send_down(link, ToVerifier::Heartbeat { watermark, authority_time, head });
        }
    }

    pub(crate) fn token_good(&self, link: LinkId) -> bool {
        self.authority.store.is_active(&NamespaceName::built_in(), self.links[&link].token)
    }

    pub(crate) fn is_open_at_authority(&self, link: LinkId) -> bool {
        let link = &self.links[&link];
        link.open_at_authority && link.start == self.authority.start
    }
}
