//! The authority's machine: its store, what drives its hub, and its ends of the streams.

use std::time::Duration;

use jeton_feed::{
    authority::{Effect, EvidenceKind, Hub, Input, ReceiptFacts, SessionFacts, StreamId},
    message::{Hello, Refusal, Refused, ToAuthority, ToVerifier, Welcome},
    numbers::{FORGET_AFTER, PROTOCOL},
    record::Head,
    rollback::{Judgement, judge},
};
use jeton_types::{BootTime, Hash32, Revision, SessionId, fault::Fault};

use super::{
    Down, Feed, May, Sight, World, flawed,
    machine::Clock,
    shared::Shared,
    store::{BUILT_IN, FED, Ns, SessionRow, Store, What, ns_of, own_token, revision, revocation_number, start_id},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Authority {
    pub(super) clock: Clock,
    pub(super) process: Option<Process>,
    pub(super) start: u8,
    pub(super) store: Shared<Store>,
    /// A copy of the store from the beginning.
    pub(super) backup: Option<Shared<Store>>,
    /// Until when no receipt is complete, on the boot clock.
    pub(super) restored: Option<BootTime>,
    /// Old data were put back without a word: sessions may be unknown that have a lease, so no receipt is promised for as long as
    /// nobody has noticed.
    pub(super) put_back: bool,
    /// Bit by bit the revocations with a fenced line, to name what broke.
    pub(super) fenced: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) hub: Shared<Hub>,
    /// The views of verifications of its own.
    pub(super) reading: Vec<u64>,
    /// What each session has acknowledged, by whichever stream.
    pub(super) acked: Vec<(SessionId, u64)>,
    /// Since when each receipt is waited for.
    pub(super) waiting: Vec<(u8, BootTime)>,
    /// For the flawed: what a grant was read from, and for which stream and request.
    stale: Option<Box<(Shared<Hub>, u8, u64)>>,
}

impl Authority {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            clock,
            process: None,
            start: 0,
            store: Shared::new(store),
            backup: None,
            restored: None,
            put_back: false,
            fenced: 0,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.process.as_ref().is_none_or(|process| process.hub.is_rolled_back())
    }

    pub(super) fn is_reading(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.reading.is_empty())
    }

    pub(super) fn is_writing(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.stale.is_some())
    }
}

impl World {
    /// A start: a record of it, and a hub of what the store knows.
    pub(super) fn start(&mut self, feed: &Feed) {
        let host = &mut self.authority;
        host.start += 1;
        self.commits += 1;
        host.store.commit(BUILT_IN, What::Start, host.start, self.commits);
        let now = host.clock.now();
        let hub = Shared::new(Hub::new(host.store.setup(host.start, now)));
        let open =
            host.store.revocations.iter().enumerate().filter(|(number, _)| host.store.complete >> number & 1 == 0);
        let waiting = open.map(|(number, _)| (number as u8, now.boot)).collect();
        host.process = Some(Process { hub, reading: Vec::new(), acked: Vec::new(), waiting, stale: None });
        self.hub_step(feed, Input::Tick);
    }

    pub(super) fn authority_down(&mut self) {
        self.authority.process = None;
        for link in &mut self.links {
            link.up.clear();
            link.hello = None;
            link.fed = false;
            if std::mem::take(&mut link.open_at_authority) && link.open_at_verifier {
                link.down.push(Down::Close);
            }
        }
        self.links_drop();
    }

    pub(super) fn commit(&mut self, feed: &Feed, ns: Ns, what: What) {
        self.commits += 1;
        let host = &mut self.authority;
        let entry = host.store.commit(ns, what, host.start, self.commits);
        let seal = host.store.seal;
        for link in self.links.iter_mut().filter(|link| link.fed && link.open_at_authority) {
            if self.verifiers[link.verifier].serves.contains(&ns) {
                link.down.push(Down::Record(entry, seal));
            }
        }
        let now = host.clock.now();
        if let (What::End(number) | What::OwnEnd { revocation: number, .. }, Some(process)) = (what, &mut host.process)
        {
            process.waiting.push((number, now.boot));
        }
        let committed = entry.committed(&host.store, now);
        self.hub_step(feed, Input::Committed(committed));
        self.released(feed);
    }

    /// Acknowledges for the authority what all of its own verifications have seen.
    fn released(&mut self, feed: &Feed) {
        let host = &self.authority;
        let Some(process) = &host.process else { return };
        let hellos = self.links.iter().filter(|link| link.hello.is_some() && !flawed(Fault::HelloBeforeCut));
        let views = process.reading.iter().copied().chain(hellos.map(|link| link.seen));
        let up_to = views.min().map_or(host.store.last(), |view| view.min(host.store.last()));
        self.hub_step(feed, Input::AuthorityAcked { revision: revision(up_to) });
    }

    pub(super) fn read_begin(&mut self) -> Option<()> {
        let view = self.authority.store.last();
        self.authority.process.as_mut()?.reading.push(view);
        Some(())
    }

    pub(super) fn read_end(&mut self, feed: &Feed) {
        if let Some(process) = &mut self.authority.process {
            process.reading.remove(0);
        }
        self.released(feed);
    }

    /// Steps the hub; says whether a lease was granted.
    pub(super) fn hub_step(&mut self, feed: &Feed, input: Input) -> bool {
        let (mut inputs, mut granted) = (vec![input], false);
        while let Some(input) = inputs.pop() {
            let host = &mut self.authority;
            let Some(process) = &mut host.process else { break };
            let now = host.clock.now();
            for effect in process.hub.step(now, now.real, input) {
                granted |= matches!(effect, Effect::Send { message: ToVerifier::Grant(_), .. });
                self.hub_effect(feed, effect, &mut inputs);
            }
        }
        granted
    }

    fn hub_effect(&mut self, feed: &Feed, effect: Effect, inputs: &mut Vec<Input>) {
        match effect {
            Effect::Send { stream, message } => {
                let id = stream.0 as u8;
                if matches!(message, ToVerifier::Grant(_)) {
                    self.granted(id);
                }
                if let Some(link) = self.link(id).filter(|link| link.open_at_verifier) {
                    link.down.push(Down::Message(message));
                }
            }
            Effect::Cut { stream } => self.cut(stream.0 as u8),
            Effect::ReceiptComplete(facts) => self.complete(feed, &facts, inputs),
            Effect::ReceiptProgress { revocation } => {
                let number = revocation_number(revocation);
                if self.authority.store.complete >> number & 1 == 1 {
                    self.breaks("S18");
                }
            }
            Effect::SessionEnded { session, evidence, .. } => {
                if let Some(row) = self.authority.store.sessions.get_mut(&session) {
                    row.ended = Some(evidence);
                }
            }
            Effect::SessionForgotten { session } => {
                self.authority.store.sessions.remove(&session);
            }
            Effect::JumpSeen => {
                feed.saw(Sight::AuthorityJump);
                let host = &mut self.authority;
                host.start += 1;
                self.commits += 1;
                let entry = host.store.commit(BUILT_IN, What::Start, host.start, self.commits);
                let now = host.clock.now();
                let committed = entry.committed(&host.store, now);
                if let Some(process) = &mut host.process {
                    process.waiting.iter_mut().for_each(|(_, since)| *since = now.boot);
                }
                let last = revision(entry.revision);
                inputs.push(Input::AuthorityAcked { revision: last });
                inputs.push(Input::Committed(committed));
                inputs.push(Input::Restarted { start: start_id(host.start) });
            }
            Effect::ClaimsSettle { .. } => {}
        }
    }

    /// Nothing is taken from a stream any more but a goodbye, and nothing sent.
    fn cut(&mut self, id: u8) {
        let Some(link) = self.link(id) else { return };
        link.fed = false;
        if std::mem::take(&mut link.open_at_authority) && link.open_at_verifier {
            link.down.push(Down::Close);
        }
    }

    /// S2: nobody is granted a lease who has not acknowledged up to each of its floors.
    fn granted(&mut self, id: u8) {
        let Some(session) = self.link(id).and_then(|link| link.session) else { return };
        let host = &self.authority;
        let Some(row) = host.store.sessions.get(&session) else { return };
        let floor = row.facts.namespaces.iter().map(|name| host.store.floors[ns_of(name)]).max().unwrap_or_default();
        if host.acked(session) < floor {
            self.breaks("S2");
        }
    }

    fn complete(&mut self, feed: &Feed, facts: &ReceiptFacts, inputs: &mut Vec<Input>) {
        let number = revocation_number(facts.revocation);
        let host = &mut self.authority;
        let waits = host.restored.is_some_and(|until| host.clock.now().boot < until);
        let inferred =
            flawed(Fault::CompletenessFromFloor) && facts.revision.get() <= host.store.floors[ns_of(&facts.namespace)];
        if waits && !inferred && !flawed(Fault::RestoreWithoutWait) {
            return;
        }
        if host.store.complete >> number & 1 == 1 {
            self.breaks("S18");
            return;
        }
        let (ns, at) = (ns_of(&facts.namespace), facts.revision.get());
        host.store.complete |= 1 << number;
        host.store.floors[ns] = at.max(host.store.floors[ns]);
        for line in &facts.evidence[1..] {
            match line.state {
                EvidenceKind::Acked => feed.saw(Sight::Acked),
                EvidenceKind::Goodbye => feed.saw(Sight::Goodbye),
                EvidenceKind::Fenced => {
                    host.fenced |= 1 << number;
                    feed.saw(Sight::Fenced);
                }
                EvidenceKind::Succeeded | EvidenceKind::Pending => {}
            }
        }
        inputs.push(Input::ReceiptStored { revocation: facts.revocation });
        let Some(process) = &mut host.process else { return };
        process.waiting.retain(|(waiting, _)| *waiting != number);
        // S1 of the authority's own: whatever it began on an older view is over, and no stream of a token that ended is left.
        let reads = process.reading.iter().any(|view| *view < at);
        let end = host.store.log.iter().find(|entry| entry.revision == at).map(|entry| entry.what);
        let streams = match end {
            Some(What::OwnEnd { token, .. }) => self
                .links
                .iter()
                .any(|link| link.token == token && link.open_at_authority && (link.fed || link.hello.is_some())),
            _ => false,
        };
        if reads || streams {
            self.breaks("S1");
        }
    }

    pub(super) fn up(&mut self, feed: &Feed, id: u8) {
        let slow = self.left[May::SlowHello as usize] > 0;
        let last = self.authority.store.last();
        let Some(link) = self.link(id) else { return };
        let message = link.up.remove(0);
        let (stream, session, token) = (StreamId(u64::from(id)), link.session, link.token);
        let token_good = self.authority.store.own_ended >> token & 1 == 0;
        match message {
            ToAuthority::Hello(hello) => {
                if !token_good {
                    self.turn_away(id, Refusal::Unauthenticated);
                } else if slow {
                    self.take(May::SlowHello);
                    if let Some(link) = self.link(id) {
                        (link.hello, link.seen) = (Some(Box::new(hello)), last);
                    }
                } else {
                    self.hello(feed, id, hello);
                }
            }
            ToAuthority::Ack { revision } => {
                if let (Some(process), Some(session)) = (&mut self.authority.process, session) {
                    match process.acked.iter_mut().find(|(of, _)| *of == session) {
                        Some((_, acked)) => *acked = revision.get().max(*acked),
                        None => process.acked.push((session, revision.get())),
                    }
                }
                if self.hub_step(feed, Input::Ack { stream, revision }) {
                    feed.saw(Sight::Cured);
                }
            }
            ToAuthority::Renew { request } => self.renew(feed, id, request, token_good),
            ToAuthority::Goodbye => drop(self.hub_step(feed, Input::Goodbye { stream })),
            ToAuthority::Ask { .. } | ToAuthority::Usage(_) => {}
        }
        self.links_drop();
    }

    fn renew(&mut self, feed: &Feed, id: u8, request: u64, token_good: bool) {
        let input = Input::Renew { stream: StreamId(u64::from(id)), request, token_good };
        if flawed(Fault::WriteSkew) {
            if let Some(process) = &mut self.authority.process {
                process.stale = Some(Box::new((process.hub.clone(), id, request)));
            }
            return;
        }
        let before = self.authority.process.as_ref().map(|process| process.hub.clone());
        let granted = self.hub_step(feed, input);
        if flawed(Fault::GrantBeforeCommit) {
            if let (Some(process), Some(before)) = (&mut self.authority.process, before) {
                process.hub = before;
            }
            return;
        }
        if granted || !token_good || self.authority.is_stopped() {
            return;
        }
        let Some((session, verifier)) = self.link(id).and_then(|link| Some((link.session?, link.verifier))) else {
            return;
        };
        let mut streams = self.links.iter().rev().filter(|link| link.verifier == verifier);
        if streams.find(|link| link.open_at_authority && link.fed).is_none_or(|newest| newest.id != id) {
            return;
        }
        let (store, acked) = (&self.authority.store, self.authority.acked(session));
        let serves = self.verifiers[verifier].serves;
        if serves.iter().any(|ns| acked < store.floors[*ns]) {
            feed.saw(Sight::RefusedByFloor);
        } else if acked < store.last_of(serves) {
            feed.saw(Sight::RefusedForLag);
        } else if acked > 0 && store.sessions.get(&session).is_some_and(|row| row.ended.is_none()) {
            // Whoever has acknowledged all of its own is not refused.
            self.breaks("L3");
        }
    }

    /// What a flawed grant read is old by now.
    pub(super) fn write(&mut self, feed: &Feed) {
        let host = &mut self.authority;
        let now = host.clock.now();
        let Some(process) = &mut host.process else { return };
        let Some(stale) = process.stale.take() else { return };
        let (mut hub, id, request) = *stale;
        let input = Input::Renew { stream: StreamId(u64::from(id)), request, token_good: true };
        let effects = hub.step(now, now.real, input.clone());
        for effect in effects {
            if matches!(effect, Effect::Send { .. }) {
                self.hub_effect(feed, effect, &mut Vec::new());
            }
        }
        if let Some(process) = &mut self.authority.process {
            // The grant is written as well; that it was sent already is all that differs.
            process.hub.step(now, now.real, input);
        }
    }

    pub(super) fn hello_done(&mut self, feed: &Feed, id: u8) {
        if let Some(hello) = self.link(id).and_then(|link| link.hello.take()) {
            self.hello(feed, id, *hello);
            self.released(feed);
            self.links_drop();
        }
    }

    fn turn_away(&mut self, id: u8, why: Refusal) {
        let refused = Refused { why, message: String::new() };
        if let Some(link) = self.link(id).filter(|link| link.open_at_verifier) {
            link.down.push(Down::Message(ToVerifier::Refused(refused)));
        }
        self.cut(id);
    }

    /// Judges a head that is shown; says whether the store has stopped over it.
    fn judged(&mut self, feed: &Feed, head: &Head) -> Judgement {
        let store = &self.authority.store;
        let authentic = head.mac == store.head(0).mac;
        let found = judge(head, authentic, &store.head_known(head, self.authority.start));
        let is_ours = store.has(head);
        if let Judgement::Rollback(_) = found {
            feed.saw(Sight::RolledBack);
            if is_ours || !authentic {
                self.breaks("S20");
            }
            self.hub_step(feed, Input::RolledBack { message: String::new() });
        } else if authentic && !is_ours {
            self.breaks("S20");
        }
        found
    }

    /// A head of far ahead, which its bearer made up.
    pub(super) fn forge(&mut self, feed: &Feed) {
        let head =
            Head { revision: revision(1_000), start: start_id(200), chain_hash: Hash32::ZERO, mac: Some(Hash32::ZERO) };
        self.judged(feed, &head);
    }

    fn hello(&mut self, feed: &Feed, id: u8, hello: Hello) {
        let judged = hello.head.as_ref().map(|head| self.judged(feed, head));
        if self.authority.is_stopped() {
            self.turn_away(id, Refusal::Rollback);
            return;
        }
        let host = &mut self.authority;
        let (session, stream) = (hello.session, StreamId(u64::from(id)));
        let opened = revision(host.store.last());
        let mut inputs = Vec::new();
        match host.store.sessions.get(&session) {
            None => {
                let facts = SessionFacts {
                    session,
                    verifier: hello.verifier.clone(),
                    credential: jeton_types::CredentialId::from_bytes([1; 16]),
                    namespaces: hello.namespaces.clone(),
                    opened,
                    place: None,
                };
                host.store.sessions.insert(session, SessionRow { facts: facts.clone(), ended: None });
                inputs.push(Input::SessionOpened(facts));
            }
            Some(row) if row.ended.is_none() => {}
            Some(_) => {
                if let Some(link) = self.link(id).filter(|link| link.open_at_verifier) {
                    link.down.push(Down::Message(ToVerifier::Ended));
                }
                self.cut(id);
                return;
            }
        }
        let foreign = judged == Some(Judgement::Foreign);
        let is_old = judged == Some(Judgement::TooOld)
            || hello.resume.is_some_and(|resume| resume.get() + 1 < host.store.retained_from);
        if is_old {
            feed.saw(Sight::TooOld);
        }
        if foreign {
            feed.saw(Sight::Foreign);
        }
        let resume = hello.resume.filter(|_| !foreign && !is_old);
        let token = self.link(id).map_or(0, |link| {
            link.session = Some(session);
            link.token
        });
        let token = own_token(token);
        inputs.push(Input::StreamOpened { session, stream, epoch: hello.epoch, token, resume });
        for input in inputs {
            self.hub_step(feed, input);
        }
        self.welcome(id, resume, foreign);
    }

    fn welcome(&mut self, id: u8, resume: Option<Revision>, foreign: bool) {
        let (store, start) = (&self.authority.store, self.authority.start);
        let (head, view, authority_time) =
            (store.head(start), store.view(store.last()), self.authority.clock.now().real);
        let (log, seal) = (store.log.clone(), store.seal);
        let Some(place) = self.links.iter().position(|link| link.id == id && link.open_at_authority) else { return };
        let serves = self.verifiers[self.links[place].verifier].serves;
        let link = &mut self.links[place];
        link.fed = true;
        if !link.open_at_verifier {
            return;
        }
        link.down.push(Down::Message(ToVerifier::Welcome(Welcome {
            protocol: PROTOCOL,
            resume,
            mismatch: false,
            head,
            authority_time,
            foreign,
        })));
        match resume {
            None => link.down.push(Down::Snapshot(view)),
            Some(resume) => {
                let after = log.into_iter().filter(|entry| entry.revision > resume.get() && serves.contains(&entry.ns));
                link.down.extend(after.map(|entry| Down::Record(entry, seal)));
            }
        }
    }

    /// The authority learns that a stream is gone.
    pub(super) fn gone(&mut self, feed: &Feed, id: u8) {
        let Some(link) = self.link(id) else { return };
        link.up.clear();
        (link.hello, link.open_at_authority, link.fed) = (None, false, false);
        self.hub_step(feed, Input::StreamClosed { stream: StreamId(u64::from(id)) });
        self.released(feed);
        self.links.retain(|link| link.id != id);
    }

    /// Streams that are closed on both sides and empty need not be remembered.
    fn links_drop(&mut self) {
        let is_up = self.authority.process.is_some();
        self.links.retain(|link| link.open_at_verifier || (is_up && link.start == self.authority.start));
    }

    /// The copy takes the store's place, and the authority starts on it.
    pub(super) fn put_back(&mut self, feed: &Feed, says_so: bool) -> Option<()> {
        let backup = self.authority.backup.take()?;
        self.authority_down();
        let host = &mut self.authority;
        host.store = backup;
        host.fenced = 0;
        host.put_back |= !says_so;
        if says_so {
            // Another incarnation: what was sealed before is nobody's, and whoever knows less than the whole gets no lease.
            host.store.seal += 1;
            let last = host.store.last();
            host.store.floors = [last; FED + 1];
            host.restored = Some(host.clock.now().boot.plus(FORGET_AFTER));
        }
        self.start(feed);
        Some(())
    }

    /// Whatever was granted before a restore has run out, for whoever heard of no other authority.
    pub(super) fn long_pass(&mut self, feed: &Feed) -> Option<()> {
        self.authority.restored.take()?;
        let wait = FORGET_AFTER + Duration::from_secs(1);
        let nanos = wait.as_nanos() as u64;
        self.authority.clock.pass(nanos, 1_000);
        for verifier in &mut self.verifiers {
            verifier.clock.pass(nanos, 1_000);
        }
        self.hub_step(feed, Input::Tick);
        self.look(feed);
        for index in 0..self.verifiers.len() {
            self.verifier_step(feed, index, jeton_feed::verifier::Input::Tick);
        }
        Some(())
    }
}

impl Authority {
    fn acked(&self, session: SessionId) -> u64 {
        let acked = self.process.iter().flat_map(|process| &process.acked).find(|(of, _)| *of == session);
        acked.map_or(0, |(_, acked)| *acked)
    }
}
