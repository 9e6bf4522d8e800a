//! A verifier's machine: its process, the driver of its session, and the verifications that it answers.

use jeton_feed::{
    lease::Standing,
    message::{ToAuthority, ToVerifier, Welcome},
    replica::Visible,
    verifier::{Effect, Input, Session, SessionConfig},
};
use jeton_types::{NamespaceName, Revision, SessionId, TokenId};

use crate::{
    Event, World,
    authority::AuthorityHost,
    clock::{MILLI, MachineClock, Rng},
    net::LinkId,
    plan::{Flaw, Plan, Rot, SERVED, TWIN, TWIN_OF},
    replica::{Reading, TestReplica, bytes_of},
    state::{Copy, Folder},
};

/// How often each process is asked about everything that it must not accept.
const PROBE_EVERY: u64 = 250 * MILLI;

pub(crate) struct VerifierHost {
    namespaces: Vec<NamespaceName>,
    pub(crate) clock: MachineClock,
    flaw: Option<Flaw>,
    life: u64,
    pub(super) process: Option<Process>,
    pub(crate) token: TokenId,
    pub(crate) stopped_until: u64,
    pub(crate) stalled_until: u64,
    pub(crate) thaw_at: Option<u64>,
    inbox: Vec<VerifierEvent>,
    /// Nothing sent before gets through.
    pub(crate) up_from: u64,
    pub(crate) down_from: u64,
    pub(crate) folder: Option<Folder>,
    /// It works in the other's folder, whose lock excludes nobody.
    pub(crate) intrudes: bool,
}

pub(super) struct Process {
    pub(super) session: Session,
    pub(super) replica: TestReplica,
    /// It was granted a lease.
    granted: bool,
    warm: bool,
    link: Option<LinkId>,
    /// The stream that is to be opened; another one replaces it.
    attempt: u64,
    /// The earliest tick under way.
    tick_at: u64,
    /// How many snapshots there had been when the table was found to be wrong.
    mistrusted: Option<u64>,
    /// A record of which a part has come.
    half: Option<Revision>,
    /// For the flawed one: where it could go on, and where it says that it can.
    overstated: Option<(Revision, Revision)>,
    /// What was wrong at the last hello.
    hello_wrong: Vec<NamespaceName>,
    /// What of that was wrong when the authority let the stream go on from it, how far it was then, and the snapshots by then.
    welcomed_wrong: Option<(Vec<NamespaceName>, Revision, u64)>,
}

impl Process {
    /// The table was found to be wrong, and no snapshot has come since.
    fn is_mistrusted(&self) -> bool {
        self.mistrusted == Some(self.replica.snapshots.get())
    }

    /// The authority has said what it had to say of the hello, and what was wrong still is.
    fn is_welcomed_wrong(&self) -> bool {
        self.welcomed_wrong.as_ref().is_some_and(|(wrong, head, snapshots)| {
            let still = self.replica.wrong();
            *snapshots == self.replica.snapshots.get()
                && jeton_feed::replica::Replica::watermark(&self.replica) >= *head
                && wrong.iter().any(|name| still.contains(name))
        })
    }
}

#[derive(Debug, Clone)]
pub(crate) enum VerifierEvent {
    Start,
    Thaw,
    /// What was held back while the process was stopped is taken in, in order.
    GoOn,
    /// The newest token is delivered.
    Token,
    Leave {
        span: u64,
    },
    Exit {
        life: u64,
        span: u64,
    },
    Open {
        life: u64,
        attempt: u64,
    },
    Message(LinkId, ToVerifier),
    Closed(LinkId),
    Tick {
        life: u64,
        at: u64,
    },
    ProbeOften {
        life: u64,
    },
    ProbeBegin {
        life: u64,
    },
    ProbeEnd {
        life: u64,
        begun: u64,
        readings: Vec<Reading>,
    },
}

impl VerifierHost {
    pub(crate) fn new(index: usize, plan: &Plan, authority: &AuthorityHost) -> Self {
        let rate = match plan.flaw {
            Some(Flaw::DriftBeyondMargin) => 600_000,
            _ => plan.verifier_rates[index],
        };
        Self {
            namespaces: SERVED[index].iter().map(|name| name.parse().unwrap()).collect(),
            clock: MachineClock::new(rate, 1_000 * (index as u64 + 1)),
            flaw: plan.flaw,
            life: 0,
            process: None,
            token: authority.verifier_tokens[index],
            stopped_until: 0,
            stalled_until: 0,
            thaw_at: None,
            inbox: Vec::new(),
            up_from: 0,
            down_from: 0,
            folder: Folder::of(index, plan.flaw),
            intrudes: false,
        }
    }

    pub(crate) fn freeze(&mut self, t: u64, until: u64) {
        self.clock.freeze(t, true);
        self.thaw_at = Some(until);
        self.stopped_until = self.stopped_until.max(until);
    }

    pub(crate) fn is_live(&self, t: u64) -> bool {
        self.process.as_ref().is_some_and(|process| process.replica.is_live(self.clock.now(t)))
    }

    /// Lets a row of the table rot, if there is one; says whether there was.
    pub(crate) fn rot(&self, row: usize, how: Rot, rng: &mut Rng) -> bool {
        self.process.as_ref().is_some_and(|process| process.replica.rot(row, how, rng))
    }

    /// The session of its process, if it has one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        Some(self.process.as_ref()?.session.config().session)
    }

    fn reachable(&self, t: u64) -> bool {
        t >= self.up_from && t >= self.down_from
    }
}

impl World {
    pub(crate) fn verifier_event(&mut self, index: usize, event: VerifierEvent) {
        let host = &mut self.verifiers[index];
        match &event {
            VerifierEvent::Thaw | VerifierEvent::Start | VerifierEvent::Exit { .. } => {}
            VerifierEvent::ProbeOften { .. } | VerifierEvent::ProbeBegin { .. } | VerifierEvent::ProbeEnd { .. } => {
                if self.t < host.stopped_until {
                    self.schedule(self.verifiers[index].stopped_until, Event::Verifier(index, event));
                    return;
                }
            }
            VerifierEvent::GoOn => {
                let held_until = host.stopped_until.max(host.stalled_until);
                if self.t < held_until {
                    self.schedule(held_until, Event::Verifier(index, VerifierEvent::GoOn));
                    return;
                }
                for event in std::mem::take(&mut host.inbox) {
                    self.verifier_take(index, event);
                }
                return;
            }
            _ => {
                let held_until = host.stopped_until.max(host.stalled_until);
                if self.t < held_until || !host.inbox.is_empty() {
                    host.inbox.push(event);
                    if self.verifiers[index].inbox.len() == 1 {
                        self.schedule(held_until, Event::Verifier(index, VerifierEvent::GoOn));
                    }
                    return;
                }
            }
        }
        self.verifier_take(index, event);
    }

    fn verifier_take(&mut self, index: usize, event: VerifierEvent) {
        let host = &mut self.verifiers[index];
        match event {
            VerifierEvent::Thaw => {
                host.clock.freeze(self.t, false);
                host.thaw_at = None;
            }
            VerifierEvent::GoOn => {}
            VerifierEvent::Start => self.verifier_start(index),
            VerifierEvent::Token => {
                host.token = self.authority.verifier_tokens[index];
                self.verifier_step(index, Input::TokenChanged);
            }
            VerifierEvent::Leave { span } => {
                let life = host.life;
                self.verifier_step(index, Input::Leave);
                // A flawed one answers on until it exits.
                self.schedule(self.t + 2_000 * MILLI, Event::Verifier(index, VerifierEvent::Exit { life, span }));
            }
            VerifierEvent::Exit { life, span } => {
                if host.life == life && host.process.is_some() {
                    self.verifier_crash(index, span);
                }
            }
            VerifierEvent::Open { life, attempt } => self.verifier_open(index, life, attempt),
            VerifierEvent::Message(link, message) => {
                if self.is_current(index, link) && !self.links[&link].broken {
                    self.verifier_step(index, Input::Message(message));
                }
            }
            VerifierEvent::Closed(link) => {
                if self.is_current(index, link) {
                    self.links.get_mut(&link).unwrap().open_at_verifier = false;
                    self.verifiers[index].process.as_mut().unwrap().link = None;
                    self.verifier_step(index, Input::Disconnected);
                }
            }
            VerifierEvent::Tick { life, at } => {
                if host.life == life
                    && let Some(process) = &mut host.process
                    && process.tick_at == at
                {
                    process.tick_at = u64::MAX;
                    self.verifier_step(index, Input::Tick);
                }
            }
            VerifierEvent::ProbeOften { life } => {
                if host.life == life {
                    if self.rng.chance(4) {
                        self.copy_write(index);
                    }
                    self.schedule(self.t + PROBE_EVERY, Event::Verifier(index, VerifierEvent::ProbeOften { life }));
                    self.probe_begin(index, life);
                }
            }
            VerifierEvent::ProbeBegin { life } => self.probe_begin(index, life),
            VerifierEvent::ProbeEnd { life, begun, readings } => self.probe_end(index, life, begun, &readings),
        }
    }

    fn verifier_start(&mut self, index: usize) {
        let session = SessionId::from_bytes(bytes_of(&mut self.rng));
        let name = if index == TWIN { TWIN_OF } else { index };
        let (place, claims) = self.state_open(index).unzip();
        self.state_add(index, session);
        let copy = self.copy_read(index);
        let config = SessionConfig {
            verifier: format!("edge-{name}").parse().unwrap(),
            session,
            namespaces: self.verifiers[index].namespaces.clone(),
            jitter_seed: self.rng.next_u64(),
            place,
            claims: claims.unwrap_or_default(),
        };
        let host = &mut self.verifiers[index];
        host.life += 1;
        let life = host.life;
        let (now, namespaces) = (host.clock.now(self.t), host.namespaces.clone());
        let warm = copy.is_some();
        let (session, replica) = match copy {
            None => (Session::new(config, now), TestReplica::new(namespaces, host.flaw)),
            Some(Copy { replica, watermark, head, .. }) => (
                Session::resuming(config, now, Visible::up_to(watermark), watermark, head),
                TestReplica::warm(namespaces, host.flaw, replica, watermark),
            ),
        };
        host.process = Some(Process {
            session,
            replica,
            granted: false,
            warm,
            link: None,
            attempt: 0,
            tick_at: u64::MAX,
            mistrusted: None,
            half: None,
            overstated: None,
            hello_wrong: Vec::new(),
            welcomed_wrong: None,
        });
        self.verifier_step(index, Input::Tick);
        self.schedule(self.t, Event::Verifier(index, VerifierEvent::ProbeOften { life }));
    }

    pub(crate) fn verifier_crash(&mut self, index: usize, down: u64) {
        let host = &mut self.verifiers[index];
        if host.process.take().is_none() {
            return;
        }
        host.life += 1;
        let life = host.life;
        let open: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.verifier == index && link.life < life && link.open_at_verifier)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.close_up(id);
        }
        self.schedule(self.t + down, Event::Verifier(index, VerifierEvent::Start));
    }

    fn verifier_step(&mut self, index: usize, mut input: Input) {
        let host = &mut self.verifiers[index];
        let now = host.clock.now(self.t);
        let Some(process) = &mut host.process else { return };
        process.replica.clock.set(now);
        if let (Some((could, _)), Input::Message(ToVerifier::Welcome(Welcome { resume: Some(resume), .. }))) =
            (process.overstated, &mut input)
        {
            *resume = could;
        }
        let welcome = match &input {
            Input::Message(ToVerifier::Welcome(Welcome { resume: Some(_), head, .. })) => Some(head.revision),
            _ => None,
        };
        let half = match &input {
            Input::Message(ToVerifier::Frame(frame)) => {
                process.half = (!frame.last).then_some(frame.record.revision);
                process.half
            }
            Input::Message(ToVerifier::SnapshotBegin { .. }) => {
                process.half = None;
                None
            }
            _ => None,
        };
        let granted = matches!(input, Input::Message(ToVerifier::Grant(_)));
        let effects = process.session.step(now, input, &process.replica);
        if granted && !process.granted {
            process.granted = true;
            self.check.seen.warm_grants += u64::from(process.warm && process.replica.snapshots.get() == 0);
        }
        if let Some(head) = welcome {
            let wrong = std::mem::take(&mut process.hello_wrong);
            process.welcomed_wrong = Some((wrong, head, process.replica.snapshots.get()));
        }
        if let Some(revision) = process.replica.unnoticed.take() {
            self.check.violated(|| format!("S21: verifier {index} applied {revision} to a wrong table"));
        } else if granted && process.is_welcomed_wrong() {
            self.check
                .violated(|| format!("S21: verifier {index} has a lease on a table that its hello showed to be wrong"));
        }
        if let Some(revision) = half.filter(|_| self.plan.flaw == Some(Flaw::AckAtFirstFrame))
            && let Some(link) = process.link
        {
            self.send_up(link, ToAuthority::Ack { revision });
        }
        let mut lost = false;
        for effect in effects {
            lost |= matches!(effect, Effect::Lost(_));
            self.verifier_effect(index, effect);
        }
        if lost && self.plan.flaw != Some(Flaw::AnswerAfterGoodbye) {
            self.verifier_step(index, Input::Tick);
        }
        self.verifier_wake(index);
    }

    fn verifier_effect(&mut self, index: usize, effect: Effect) {
        let roll = self.rng.below(20 * MILLI);
        let host = &mut self.verifiers[index];
        let life = host.life;
        let Some(process) = &mut host.process else { return };
        match effect {
            Effect::Connect { after } => {
                process.attempt += 1;
                let attempt = process.attempt;
                let at = self.t + host.clock.lasts(after) + roll;
                self.schedule(at, Event::Verifier(index, VerifierEvent::Open { life, attempt }));
            }
            Effect::Disconnect => {
                process.attempt += 1;
                if let Some(link) = process.link.take() {
                    self.close_up(link);
                }
            }
            Effect::Send(mut message) => {
                if let ToAuthority::Hello(hello) = &mut message {
                    process.hello_wrong = process.replica.wrong();
                    let half = process.half.take();
                    self.check.seen.halves += u64::from(half.is_some());
                    process.overstated = hello.resume.zip(half);
                    if host.flaw == Some(Flaw::ResumeAfterFirstFrame) && process.overstated.is_some() {
                        hello.resume = half;
                    }
                }
                if let (Some((_, said)), ToAuthority::Ack { revision }) = (process.overstated, &mut message)
                    && host.flaw == Some(Flaw::ResumeAfterFirstFrame)
                {
                    *revision = said.max(*revision);
                }
                if process.is_mistrusted() && matches!(message, ToAuthority::Ack { .. }) {
                    self.check.violated(|| format!("S21: verifier {index} acknowledges without a snapshot"));
                }
                if let Some(link) = process.link {
                    self.send_up(link, message);
                }
            }
            Effect::Lost(_) => {
                let id = SessionId::from_bytes(bytes_of(&mut self.rng));
                process.session = process.session.successor(id, host.clock.now(self.t));
                self.state_add(index, id);
            }
            Effect::Succeeded { sessions } => self.state_drop(index, &sessions),
            Effect::Note(jeton_feed::verifier::Note::Jump) => self.check.seen.jumps += 1,
            Effect::Mistrusted => {
                process.mistrusted = Some(process.replica.snapshots.get());
                self.check.seen.mistrusted += 1;
                self.copy_discard(index);
            }
            Effect::Asked { .. } | Effect::Watermark { .. } | Effect::AsksFailed | Effect::Note(_) => {}
        }
    }

    fn verifier_open(&mut self, index: usize, life: u64, attempt: u64) {
        let reachable = self.authority.is_up() && self.verifiers[index].reachable(self.t);
        let host = &mut self.verifiers[index];
        let token = host.token;
        let Some(process) = host.process.as_mut().filter(|process| process.attempt == attempt) else { return };
        if host.life != life {
            return;
        }
        if !reachable {
            self.verifier_step(index, Input::Disconnected);
            return;
        }
        if let Some(older) = process.link.take() {
            self.close_up(older);
        }
        let link = self.link_open(index, life, token);
        if let Some(process) = &mut self.verifiers[index].process {
            process.link = Some(link);
        }
        self.verifier_step(index, Input::Connected);
    }

    fn verifier_wake(&mut self, index: usize) {
        let host = &mut self.verifiers[index];
        let life = host.life;
        let Some(process) = &mut host.process else { return };
        let wakeup = process.session.next_wakeup();
        if wakeup.as_nanos() == u64::MAX {
            return;
        }
        let at = host.clock.reaches(self.t, wakeup).max(self.t + 1);
        if at < process.tick_at {
            process.tick_at = at;
            self.schedule(at, Event::Verifier(index, VerifierEvent::Tick { life, at }));
        }
    }

    fn is_current(&self, index: usize, link: LinkId) -> bool {
        self.verifiers[index].process.as_ref().is_some_and(|process| process.link == Some(link))
    }

    /// Asks every process, at the moment at which a receipt is complete.
    pub(crate) fn probe_all(&mut self) {
        for index in 0..self.verifiers.len() {
            let life = self.verifiers[index].life;
            self.schedule(self.t, Event::Verifier(index, VerifierEvent::ProbeBegin { life }));
        }
    }

    /// The decision point of a verification of every token that must not be accepted any more.
    fn probe_begin(&mut self, index: usize, life: u64) {
        let host = &self.verifiers[index];
        if host.life != life {
            return;
        }
        let Some(process) = &host.process else { return };
        let now = host.clock.now(self.t);
        let dead = self.check.dead(self.t);
        let readings: Vec<Reading> =
            host.namespaces.iter().filter_map(|name| process.replica.read(now, name, &dead)).collect();
        self.interval_check(index, &readings);
        let takes = self.rng.below(40 * MILLI);
        let event = VerifierEvent::ProbeEnd { life, begun: self.t, readings };
        self.schedule(self.t + takes, Event::Verifier(index, event));
    }

    fn probe_end(&mut self, index: usize, life: u64, begun: u64, readings: &[Reading]) {
        let host = &self.verifiers[index];
        if host.life != life {
            return;
        }
        let Some(process) = &host.process else { return };
        let now = host.clock.now(self.t);
        let mut jumped = false;
        for reading in readings {
            let standing = process.replica.standing(now, reading);
            if process.is_mistrusted() && matches!(standing, Some(Standing::Live(_) | Standing::Grace(_))) {
                self.check.violated(|| format!("S21: verifier {index} answers from a wrong table"));
            }
            if !process.granted && matches!(standing, Some(Standing::Live(_) | Standing::Grace(_))) {
                self.check.violated(|| format!("S5: verifier {index} answers before it was granted a lease"));
            }
            jumped |= standing == Some(Standing::Jumped);
            match standing {
                Some(Standing::Live(_)) => self.check.seen.answers_live += 1,
                Some(Standing::Grace(_)) => self.check.seen.answers_in_grace += 1,
                _ => {
                    self.check.seen.stale += 1;
                    continue;
                }
            }
            for token in &reading.good {
                self.check.accepted(&format!("verifier {index} in {}", reading.namespace), *token, begun);
            }
        }
        // Whoever answers tells the session, which may be stalled; the lease is void for the answers as it is.
        if jumped && self.t >= self.verifiers[index].stalled_until {
            self.verifier_step(index, Input::JumpSeen);
        }
    }

    /// S3, from the verifier's side: whoever may answer on less than a pending revocation is not counted out for it.
    fn interval_check(&mut self, index: usize, readings: &[Reading]) {
        let host = &self.verifiers[index];
        let Some(process) = &host.process else { return };
        let now = host.clock.now(self.t);
        let session = process.session.config().session;
        let watermark = jeton_feed::replica::Replica::watermark(&process.replica);
        for reading in readings {
            let may_answer =
                matches!(process.replica.standing(now, reading), Some(Standing::Live(_) | Standing::Grace(_)));
            for receipt in self.authority.receipts_pending(self.t, &reading.namespace) {
                let Some(fenced) = AuthorityHost::is_fenced(&receipt, session) else { continue };
                self.check.fence_seen(receipt.revocation, session, fenced);
                if may_answer && watermark < receipt.revision {
                    self.check.may_answer(session, &receipt, self.t, fenced);
                }
            }
        }
    }
}
