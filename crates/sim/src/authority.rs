//! The authority's machine: its clocks, its process, and what it does with its store.

use std::collections::BTreeMap;

use jeton_feed::{
    authority::{Committed, EvidenceKind, Hub, HubSetup, Input, ReceiptFacts},
    message::{Hello, ToAuthority},
    numbers::HEARTBEAT_EVERY,
    record::{Change, Policy, TokenEntry},
};
use jeton_types::{
    BootTime, Freshness, NamespaceName, Now, Prefix, Revision, RevocationId, SessionId, StartId, TokenId, UnixTime,
    fault::{Fault, injected},
    token::mint,
};

use crate::{
    check::Token,
    clock::{MILLI, MachineClock, Rng, SECOND},
    net::{Link, LinkId},
    plan::{Action, FRESHNESS, NAMESPACES, Plan},
    store::{Store, token_entry},
    verifier::VerifierEvent,
    world::{Event, World},
};

const CHECK_EVERY: u64 = 100 * MILLI;
/// How often it is looked at while nothing is pending.
const CHECK_EVERY_IDLE: u64 = 60 * SECOND;
/// Tokens with an expiry that are asked for.
const EXPIRING_MAX: usize = 4;
/// Tokens that a namespace has from the beginning.
const TOKENS_FIRST: usize = 12;

pub(crate) struct AuthorityHost {
    pub(crate) clock: MachineClock,
    pub(crate) start: u64,
    pub(crate) hub: Option<Hub>,
    pub(crate) store: Store,
    pub(crate) verifier_tokens: Vec<TokenId>,
    /// Views on which a verification is under way.
    pub(crate) reading: BTreeMap<u64, Revision>,
    /// What the hub has been fed up to, and until when a feed is under way.
    fed: Revision,
    feed_last: u64,
    pub(crate) tick_at: u64,
    pub(crate) stopped_until: u64,
    pub(crate) disk_bad_until: u64,
    pub(crate) thaw_at: Option<u64>,
    inbox: Vec<AuthorityEvent>,
    /// When it last went on after a stop, on its boot clock.
    pub(crate) resumed: BootTime,
    pub(crate) graces: BTreeMap<NamespaceName, Freshness>,
}

#[expect(clippy::large_enum_variant, reason = "the largest lies still in the queue and is moved once")]
#[derive(Debug)]
pub(crate) enum AuthorityEvent {
    Start {
        start: u64,
    },
    Thaw {
        at: u64,
    },
    /// What was held back while the process was stopped is taken in, in order.
    GoOn,
    Mutate(Action),
    Message(LinkId, ToAuthority),
    Closed(LinkId),
    HelloDone {
        start: u64,
        link: LinkId,
        hello: Box<Hello>,
        reading: u64,
    },
    Feed {
        start: u64,
        committed: Box<Committed>,
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
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            clock: MachineClock::new(plan.authority_rate, 500),
            start: 0,
            hub: None,
            store: Store::new(),
            verifier_tokens: Vec::new(),
            reading: BTreeMap::new(),
            fed: Revision::ZERO,
            feed_last: 0,
            tick_at: u64::MAX,
            stopped_until: 0,
            disk_bad_until: 0,
            thaw_at: None,
            inbox: Vec::new(),
            resumed: BootTime::ZERO,
            graces: BTreeMap::new(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.hub.is_some()
    }

    pub(crate) fn freeze(&mut self, t: u64, until: u64) {
        self.clock.freeze(t, true);
        self.thaw_at = Some(until);
        self.stopped_until = self.stopped_until.max(until);
    }

    pub(crate) fn receipts_pending(&self, t: u64, namespace: &NamespaceName) -> Vec<ReceiptFacts> {
        let Some(hub) = &self.hub else { return Vec::new() };
        let (now, authority_time) = self.time(t);
        let pending = self.store.log.iter().rev().take(40).filter_map(|entry| {
            let revocation = entry.committed.revocation.filter(|_| entry.committed.namespace == *namespace)?;
            hub.receipt(revocation, now, authority_time)
        });
        pending.filter(|receipt| !receipt.complete).collect()
    }

    /// Whether a session's line is fenced; nothing if it has none.
    pub(crate) fn is_fenced(receipt: &ReceiptFacts, session: SessionId) -> Option<bool> {
        let line = receipt.evidence.iter().find(|line| line.session == Some(session))?;
        Some(line.state == EvidenceKind::Fenced)
    }

    /// Both clocks, and authority time: that of the boot clock, which no step of real time moves (`feed-protocol.md` 5).
    pub(crate) fn time(&self, t: u64) -> (Now, UnixTime) {
        let now = self.clock.now(t);
        (now, UnixTime::from_micros(1_700_000_000_000_000 + now.boot.as_nanos() / 1_000))
    }

    fn setup(&self, t: u64) -> HubSetup {
        let (now, authority_time) = self.time(t);
        let mut setup = self.store.setup(now, authority_time);
        if injected(Fault::SkipSession) {
            setup.sessions.clear();
        }
        if injected(Fault::RestartForgetsIntervals) {
            setup.now.boot = now.boot.minus(std::time::Duration::from_secs(60));
        }
        if injected(Fault::GraceNewestOnly) {
            let newest: BTreeMap<_, _> =
                setup.policies.iter().map(|policy| (policy.namespace.clone(), policy.clone())).collect();
            setup.policies = newest.into_values().collect();
        }
        setup
    }
}

impl World {
    /// What the store holds before anything happens.
    pub(crate) fn found(&mut self) {
        let built_in = NamespaceName::built_in();
        let (_, now) = self.authority.time(0);
        for _ in 0..self.plan.verifiers {
            let entry = token_entry(self.rng.bytes());
            self.authority.verifier_tokens.push(entry.token);
            self.authority.store.commit(&built_in, now, vec![Change::Token(entry)], None);
        }
        for (name, freshness) in NAMESPACES {
            #[expect(clippy::unwrap_used, reason = "constants of this world")]
            let (prefix, freshness) = (name.parse().unwrap(), freshness.parse().unwrap());
            let name = namespace_named(name);
            self.authority.graces.insert(name.clone(), freshness);
            let mut changes = vec![Change::Policy(Policy { prefix, freshness, disabled: false })];
            for _ in 0..TOKENS_FIRST {
                changes.push(Change::Token(self.token_new(&name, None)));
            }
            self.authority.store.commit(&name, now, changes, None);
        }
    }

    pub(crate) fn authority_event(&mut self, event: AuthorityEvent) {
        let stopped_until = self.authority.stopped_until;
        match event {
            AuthorityEvent::Thaw { .. } | AuthorityEvent::Start { .. } => self.authority_take(event),
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
            AuthorityEvent::Thaw { at } => {
                if self.authority.thaw_at == Some(at) {
                    self.authority.clock.freeze(self.t, false);
                    self.authority.thaw_at = None;
                }
            }
            AuthorityEvent::GoOn => {}
            AuthorityEvent::Start { start } => {
                if start == self.authority.start && !self.authority.is_up() {
                    self.authority_start();
                }
            }
            _ if !self.authority.is_up() => {}
            AuthorityEvent::Mutate(action) => self.mutate(action),
            AuthorityEvent::Message(link, message) => {
                if self.is_open_at_authority(link) && !self.links[link].broken {
                    self.message(link, message);
                }
            }
            AuthorityEvent::Closed(link) => {
                if self.links[link].start == self.authority.start {
                    let closed = &mut self.links[link];
                    closed.open_at_authority = false;
                    closed.feeder = None;
                    self.hub_step(Input::StreamClosed { stream: Link::stream(link) });
                }
            }
            AuthorityEvent::HelloDone { start, link, hello, reading } => {
                if start == self.authority.start {
                    if self.is_open_at_authority(link) {
                        self.hello_done(link, *hello);
                    }
                    self.authority.reading.remove(&reading);
                    self.released();
                }
            }
            AuthorityEvent::Feed { start, committed } => {
                if start == self.authority.start {
                    self.feed(*committed);
                }
            }
            AuthorityEvent::Feeder { start, link } => {
                if start == self.authority.start {
                    self.feeder_run(link);
                }
            }
            AuthorityEvent::Heartbeat { start } => {
                if start == self.authority.start {
                    let next = self.t + self.authority.clock.lasts(HEARTBEAT_EVERY);
                    self.schedule(next, Event::Authority(AuthorityEvent::Heartbeat { start }));
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
                // A write that failed: the hub tells the receipt again.
                if start == self.authority.start && self.t >= self.authority.disk_bad_until {
                    let before = self.authority.store.receipts.insert(receipt.revocation, (*receipt).clone());
                    self.check.stored(&receipt, before.as_ref());
                    self.hub_step(Input::ReceiptStored { revocation: receipt.revocation });
                }
            }
            AuthorityEvent::Check { start } => {
                if start == self.authority.start {
                    self.bound_check();
                    let every = if self.is_hot() { CHECK_EVERY } else { CHECK_EVERY_IDLE };
                    self.schedule(self.t + every, Event::Authority(AuthorityEvent::Check { start }));
                }
            }
        }
    }

    fn authority_start(&mut self) {
        if self.t < self.authority.disk_bad_until {
            // The start is a record: without it there is none.
            let start = self.authority.start;
            self.schedule(self.t + 300 * MILLI, Event::Authority(AuthorityEvent::Start { start }));
            return;
        }
        self.check.seen.starts += 1;
        let t = self.t;
        let host = &mut self.authority;
        host.start += 1;
        let start = host.start;
        host.reading.clear();
        host.tick_at = u64::MAX;
        self.note("authority", || format!("starts, for the {start}. time"));
        self.start_record();
        let setup = self.authority.setup(t);
        self.authority.fed = setup.head.revision;
        self.check.acked.clear();
        for pending in &setup.pending {
            self.check.waits(pending.revocation, &pending.namespace, setup.now.boot);
        }
        let now = self.authority.clock.now(t).boot;
        self.check.wait_anew(now);
        self.authority.hub = Some(Hub::new(setup));
        self.hub_step(Input::Tick);
        self.schedule(t, Event::Authority(AuthorityEvent::Heartbeat { start }));
        self.schedule(t, Event::Authority(AuthorityEvent::Check { start }));
    }

    pub(crate) fn start_record(&mut self) -> StartId {
        let start = StartId::from_bytes(self.rng.bytes());
        self.commit(&NamespaceName::built_in(), vec![Change::Start(start)], None);
        start
    }

    pub(crate) fn authority_crash(&mut self, down: u64) {
        if self.authority.hub.take().is_none() {
            return;
        }
        self.check.seen.crashes += 1;
        self.note("authority", || "is killed".to_owned());
        self.authority.start += 1;
        for id in self.links_open() {
            if self.links[id].open_at_authority {
                self.links[id].feeder = None;
                self.close_down(id);
            }
        }
        let start = self.authority.start;
        self.schedule(self.t + down, Event::Authority(AuthorityEvent::Start { start }));
    }

    fn mutate(&mut self, action: Action) {
        match action {
            Action::Revoke { namespace } => {
                let namespace = namespace_named(NAMESPACES[namespace].0);
                let Some(token) = self.authority.store.active(&namespace).next().map(|entry| entry.token) else {
                    return;
                };
                self.revoke(&namespace, &[token]);
            }
            Action::RevokeMany { namespace, tokens } => {
                let namespace = namespace_named(NAMESPACES[namespace].0);
                let active = self.authority.store.active(&namespace);
                let ends: Vec<TokenId> = active.take(tokens).map(|entry| entry.token).collect();
                let fresh = (0..tokens).map(|_| Change::Token(self.token_new(&namespace, None))).collect();
                if self.write(&namespace, fresh, None) && !ends.is_empty() {
                    self.revoke(&namespace, &ends);
                }
            }
            Action::Issue { namespace } => {
                self.issue(namespace, None);
            }
            Action::IssueShort { namespace, ttl } => {
                if let Some(token) = self.issue(namespace, Some(ttl)) {
                    self.expiring.push(token);
                    let old = self.expiring.len().saturating_sub(EXPIRING_MAX);
                    self.expiring.drain(..old);
                }
            }
            Action::FirstUse { namespace, place } => {
                if let Some(token) = self.issue(namespace, None) {
                    self.first_use(token, NAMESPACES[namespace].0, place);
                }
            }
            Action::Policy { namespace, freshness } => {
                let namespace = namespace_named(NAMESPACES[namespace].0);
                #[expect(clippy::unwrap_used, reason = "constants of this world")]
                let freshness: Freshness = FRESHNESS[freshness].parse().unwrap();
                if let Some(longest) = self.authority.graces.get_mut(&namespace)
                    && freshness.grace() > longest.grace()
                {
                    *longest = freshness;
                }
                let policy = Policy { freshness, ..self.authority.store.policy(&namespace) };
                self.check.seen.policies += 1;
                self.note("authority", || format!("{namespace} becomes {freshness}"));
                self.write(&namespace, vec![Change::Policy(policy)], None);
            }
            // What is given out by data that are put back is given to nobody.
            Action::RevokeOwn { verifier, another_after } if !self.check.put_back => {
                let built_in = NamespaceName::built_in();
                let token = self.authority.verifier_tokens[verifier];
                let entry = token_entry(self.rng.bytes());
                let another = entry.token;
                if self.write(&built_in, vec![Change::Token(entry)], None) {
                    self.authority.verifier_tokens[verifier] = another;
                    let who = self.verifier_name(verifier);
                    self.note("authority", || format!("revokes the token that {who} connects with"));
                    self.revoke(&built_in, &[token]);
                    let at = self.t + another_after * MILLI;
                    self.schedule(at, Event::Verifier(verifier, VerifierEvent::Token));
                }
            }
            _ => {}
        }
    }

    fn issue(&mut self, namespace: usize, ttl: Option<u64>) -> Option<TokenId> {
        let namespace = namespace_named(NAMESPACES[namespace].0);
        let entry = self.token_new(&namespace, ttl);
        let token = entry.token;
        self.write(&namespace, vec![Change::Token(entry)], None).then_some(token)
    }

    /// Mints a token; it counts as issued once its record is there.
    fn token_new(&mut self, namespace: &NamespaceName, ttl: Option<u64>) -> TokenEntry {
        let bytes = self.rng.bytes();
        let mut random = [0; 24];
        random[..16].copy_from_slice(&bytes);
        let (_, now) = self.authority.time(self.t);
        // What commits below takes this very revision.
        let birth = self.authority.store.revision().next(now).unwrap_or_default();
        #[expect(clippy::unwrap_used, reason = "the names of this world are prefixes")]
        let prefix: Prefix = namespace.as_str().parse().unwrap();
        let minted = mint(&prefix, birth, random);
        let expires_at = ttl.map(|ttl| now.plus(std::time::Duration::from_millis(ttl)));
        let entry = TokenEntry { digest: minted.digest, expires_at, ..token_entry(bytes) };
        if !self.check.put_back {
            let name = format!("tok-{}", self.check.tokens.len() + 1);
            let text = minted.text.expose().clone();
            let token = Token { name, text, namespace: namespace.clone(), issued: u64::MAX, expires_at };
            self.check.tokens.insert(entry.token, token);
        }
        entry
    }

    fn revoke(&mut self, namespace: &NamespaceName, tokens: &[TokenId]) {
        let changes = tokens.iter().map(|token| self.authority.store.end_of(namespace, *token)).collect();
        let revocation = RevocationId::from_bytes(self.rng.bytes());
        let names: Vec<String> = tokens.iter().map(|token| self.check.token_name(*token)).collect();
        self.note("authority", || format!("revokes {} of {namespace}", names.join(" ")));
        self.write(namespace, changes, Some(revocation));
    }

    /// A write that may fail, or of which nobody knows whether it did: then the process ends, and reads again.
    fn write(&mut self, namespace: &NamespaceName, changes: Vec<Change>, revocation: Option<RevocationId>) -> bool {
        if !self.authority.is_up() {
            return false;
        }
        if self.t >= self.authority.disk_bad_until {
            self.commit(namespace, changes, revocation);
            return true;
        }
        match self.rng.below(3) {
            0 => {
                self.check.seen.writes_failed += 1;
                self.note("authority", || "a write fails and is refused".to_owned());
            }
            roll => {
                self.check.seen.writes_unknown += 1;
                self.note("authority", || {
                    format!("a write fails after it {}", ["", "got lost", "was kept"][roll as usize])
                });
                if roll == 2 {
                    self.commit(namespace, changes, revocation);
                }
                self.authority_crash(500 * MILLI);
            }
        }
        false
    }

    /// Makes a record durable. The hub and the streams learn of it in their time, in whichever order.
    fn commit(&mut self, namespace: &NamespaceName, changes: Vec<Change>, revocation: Option<RevocationId>) {
        let (_, authority_time) = self.authority.time(self.t);
        for change in &changes {
            if let Change::Token(entry) = change
                && let Some(token) = self.check.tokens.get_mut(&entry.token)
            {
                token.issued = self.t;
            }
        }
        let mut committed = self.authority.store.commit(namespace, authority_time, changes, revocation);
        committed.boot = self.authority.clock.now(self.t).boot;
        let start = self.authority.start;
        let fed_at = (self.t + self.rng.below(10 * MILLI)).max(self.authority.feed_last);
        self.authority.feed_last = fed_at;
        let committed = Box::new(committed);
        self.schedule(fed_at, Event::Authority(AuthorityEvent::Feed { start, committed }));
        for link in self.links_open() {
            if self.links[link].feeder.is_some() {
                let at = self.t + self.rng.below(10 * MILLI);
                self.schedule(at, Event::Authority(AuthorityEvent::Feeder { start, link }));
            }
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
    pub(crate) fn released(&mut self) {
        let host = &self.authority;
        let mut revision = host.fed;
        if !injected(Fault::HelloBeforeCut) {
            revision = host.reading.values().copied().min().map_or(revision, |view| view.min(revision));
        }
        self.hub_step(Input::AuthorityAcked { revision });
    }

    pub(crate) fn token_good(&self, link: LinkId) -> bool {
        self.authority.store.is_active(&NamespaceName::built_in(), self.links[link].token)
    }

    pub(crate) fn is_open_at_authority(&self, link: LinkId) -> bool {
        let link = &self.links[link];
        link.open_at_authority && link.start == self.authority.start
    }
}

/// One of this world's namespaces.
pub(crate) fn namespace_named(name: &str) -> NamespaceName {
    #[expect(clippy::unwrap_used, reason = "the names are constants of this world")]
    name.parse().unwrap()
}

/// For who draws without a world.
pub(crate) const fn rng_of(plan: &Plan) -> Rng {
    Rng(plan.seed)
}
