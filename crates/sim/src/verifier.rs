//! A verifier's machine: its process, and the driver of its session.

use jeton_feed::{
    message::{Hello, ToAuthority, ToVerifier, Welcome},
    replica::Visible,
    verifier::{Effect, Input, Note, Session, SessionConfig},
};
use jeton_types::{
    NamespaceName, Revision, SessionId, TokenId,
    fault::{Fault, injected},
};
use jeton_verifier::first_use::FirstUse;

use crate::{
    ask::{Asker, Begun, Reading},
    authority::namespace_named,
    clock::{MILLI, MachineClock, Rng},
    net::LinkId,
    plan::{Plan, Rot, TWIN, TWIN_OF, served},
    replica::{self, Replica, RottingTable},
    state::{Copy, Folder},
    world::{Event, World},
};

pub(crate) struct VerifierHost {
    pub(crate) namespaces: Vec<NamespaceName>,
    pub(crate) clock: MachineClock,
    pub(crate) life: u64,
    pub(crate) process: Option<Process>,
    pub(crate) token: TokenId,
    pub(crate) stopped_until: u64,
    pub(crate) stalled_until: u64,
    pub(crate) thaw_at: Option<u64>,
    inbox: Vec<VerifierEvent>,
    /// Nothing sent before gets through.
    pub(crate) up_from: u64,
    pub(crate) down_from: u64,
    pub(crate) folder: Option<Folder>,
    /// What becomes of the next copy: whether it is torn, or not made at all.
    pub(crate) copy_fails: Option<bool>,
    /// It works in the other's folder, whose lock excludes nobody.
    pub(crate) intrudes: bool,
    /// Its next hello shows a head that nobody sealed.
    pub(crate) forges: bool,
    /// It was fed from data that were put back: what it holds is of no history that counts.
    pub(crate) tainted: bool,
}

pub(crate) struct Process {
    pub(crate) session: Session,
    pub(crate) replica: Replica,
    pub(crate) first_use: FirstUse,
    pub(crate) askers: Vec<Asker>,
    /// It was granted a lease.
    pub(crate) granted: bool,
    warm: bool,
    link: Option<LinkId>,
    /// The stream that is to be opened; another one replaces it.
    attempt: u64,
    /// The earliest tick under way.
    tick_at: u64,
    /// Snapshots that were put in force, and how many there had been when the table was found to be wrong.
    snapshots: u64,
    mistrusted: Option<u64>,
    /// A record of which a part has come.
    half: Option<Revision>,
    /// For the fault of that name: where it could go on, and where it says that it can.
    overstated: Option<(Revision, Revision)>,
    /// What was wrong at the last hello.
    hello_wrong: Vec<NamespaceName>,
    /// What of that was wrong when the authority let the stream go on from it, how far it was then, and the snapshots by then.
    welcomed_wrong: Option<(Vec<NamespaceName>, Revision, u64)>,
    /// The last hello, the token it came with, and what was acknowledged first.
    pub(crate) first_said: Option<(Hello, TokenId, Option<Revision>)>,
}

impl Process {
    /// The table was found to be wrong, and no snapshot has come since.
    pub(crate) fn is_mistrusted(&self) -> bool {
        self.mistrusted == Some(self.snapshots)
    }

    /// The authority has said what it had to say of the hello, and what was wrong still is.
    fn is_welcomed_wrong(&self, namespaces: &[NamespaceName]) -> bool {
        self.welcomed_wrong.as_ref().is_some_and(|(wrong, head, snapshots)| {
            let still = replica::any_table(&self.replica, namespaces, RottingTable::is_written_wrong);
            *snapshots == self.snapshots
                && self.replica.watermark() >= *head
                && wrong.iter().any(|name| still.contains(name))
        })
    }
}

#[derive(Debug)]
pub(crate) enum VerifierEvent {
    Start {
        life: u64,
    },
    Thaw {
        at: u64,
    },
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
        begun: Begun,
        readings: Vec<Reading>,
    },
    Present {
        life: u64,
        token: TokenId,
    },
    FirstUseTick {
        life: u64,
    },
}

impl VerifierHost {
    pub(crate) fn new(index: usize, plan: &Plan, token: TokenId) -> Self {
        let rate = if injected(Fault::DriftBeyondMargin) { 600_000 } else { plan.verifier_rate(index) };
        Self {
            namespaces: served(index).iter().map(|name| namespace_named(name)).collect(),
            clock: MachineClock::new(rate, 1_000 * (index as u64 + 1)),
            life: 0,
            process: None,
            token,
            stopped_until: 0,
            stalled_until: 0,
            thaw_at: None,
            inbox: Vec::new(),
            up_from: 0,
            down_from: 0,
            folder: Folder::of(index),
            copy_fails: None,
            intrudes: false,
            forges: false,
            tainted: false,
        }
    }

    pub(crate) fn freeze(&mut self, t: u64, until: u64) {
        self.clock.freeze(t, true);
        self.thaw_at = Some(until);
        self.stopped_until = self.stopped_until.max(until);
    }

    pub(crate) fn is_live(&self, t: u64) -> bool {
        let now = self.clock.now(t);
        self.process.as_ref().and_then(|process| process.replica.lease()).is_some_and(|lease| {
            matches!(lease.standing(now, jeton_types::Freshness::Strict), jeton_feed::lease::Standing::Live(_))
        })
    }

    /// Lets a row of the table rot, if there is one; says whether there was.
    pub(crate) fn rot(&self, row: usize, how: Rot, rng: &mut Rng) -> bool {
        let Some(tables) = self.process.as_ref().and_then(|process| process.replica.tables()) else { return false };
        let name = &self.namespaces[row % self.namespaces.len()];
        tables.of(name).is_some_and(|(_, table)| table.rot(row, how, rng))
    }

    /// The session of its process, if it has one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        Some(self.process.as_ref()?.session.config().session)
    }

    pub(crate) const fn reachable(&self, t: u64) -> bool {
        t >= self.up_from && t >= self.down_from
    }
}

impl World {
    pub(crate) fn verifier_event(&mut self, index: usize, event: VerifierEvent) {
        let host = &mut self.verifiers[index];
        match &event {
            VerifierEvent::Thaw { .. } | VerifierEvent::Start { .. } | VerifierEvent::Exit { .. } => {}
            VerifierEvent::ProbeOften { .. }
            | VerifierEvent::ProbeBegin { .. }
            | VerifierEvent::ProbeEnd { .. }
            | VerifierEvent::Present { .. } => {
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
            VerifierEvent::Thaw { at } => {
                if host.thaw_at == Some(at) {
                    host.clock.freeze(self.t, false);
                    host.thaw_at = None;
                }
            }
            VerifierEvent::GoOn => {}
            VerifierEvent::Start { life } => {
                if host.life == life && host.process.is_none() {
                    self.verifier_start(index);
                }
            }
            VerifierEvent::Token => {
                host.token = self.authority.verifier_tokens[index];
                self.verifier_step(index, Input::TokenChanged);
            }
            VerifierEvent::Leave { span } => {
                let life = host.life;
                self.note(&self.verifier_name(index), || "says goodbye".to_owned());
                self.verifier_step(index, Input::Leave);
                // One that answers on after its goodbye has time to be seen.
                self.schedule(self.t + 2_000 * MILLI, Event::Verifier(index, VerifierEvent::Exit { life, span }));
            }
            VerifierEvent::Exit { life, span } => {
                if host.life == life && host.process.is_some() {
                    self.verifier_crash(index, span);
                }
            }
            VerifierEvent::Open { life, attempt } => self.verifier_open(index, life, attempt),
            VerifierEvent::Message(link, message) => {
                if self.is_current(index, link) && !self.links[link].broken {
                    self.verifier_step(index, Input::Message(message));
                }
            }
            VerifierEvent::Closed(link) => {
                if self.is_current(index, link) {
                    self.links[link].open_at_verifier = false;
                    if let Some(process) = &mut self.verifiers[index].process {
                        process.link = None;
                    }
                    self.verifier_step(index, Input::Disconnected);
                } else {
                    self.links[link].open_at_verifier = false;
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
            VerifierEvent::ProbeOften { life } => self.probe_often(index, life),
            VerifierEvent::ProbeBegin { life } => self.probe_begin(index, life),
            VerifierEvent::ProbeEnd { life, begun, readings } => self.probe_end(index, life, begun, readings),
            VerifierEvent::Present { life, token } => self.present(index, life, token),
            VerifierEvent::FirstUseTick { life } => {
                if host.life == life {
                    self.first_use_tick(index);
                }
            }
        }
    }

    fn verifier_start(&mut self, index: usize) {
        let session = SessionId::from_bytes(self.rng.bytes());
        let name = if index == TWIN { TWIN_OF } else { index };
        let (place, claims) = self.state_open(index).unzip();
        self.state_add(index, session);
        let copy = self.copy_read(index);
        #[expect(clippy::unwrap_used, reason = "a number makes a good name")]
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
        let now = host.clock.now(self.t);
        let warm = copy.is_some();
        let (session, replica) = match copy {
            None => (Session::new(config, now), Replica::new(&host.namespaces)),
            Some(Copy { replica, watermark, head, .. }) => (
                Session::resuming(config, now, Visible::up_to(watermark), watermark, head),
                replica::warm(&host.namespaces, replica, watermark),
            ),
        };
        host.process = Some(Process {
            session,
            replica,
            first_use: FirstUse::new(),
            askers: Vec::new(),
            granted: false,
            warm,
            link: None,
            attempt: 0,
            tick_at: u64::MAX,
            snapshots: 0,
            mistrusted: None,
            half: None,
            overstated: None,
            hello_wrong: Vec::new(),
            welcomed_wrong: None,
            first_said: None,
        });
        self.session_named(index);
        let who = self.verifier_name(index);
        self.note(&who, || format!("starts{}", if warm { " on the copy of its replica" } else { "" }));
        self.verifier_step(index, Input::Tick);
        self.schedule(self.t, Event::Verifier(index, VerifierEvent::ProbeOften { life }));
    }

    fn session_named(&mut self, index: usize) {
        let host = &self.verifiers[index];
        if let Some(session) = host.session() {
            let name = format!("edge-{index}/{}", self.check.sessions.len() + 1);
            self.check.sessions.insert(session, name);
        }
    }

    pub(crate) fn verifier_crash(&mut self, index: usize, down: u64) {
        let host = &mut self.verifiers[index];
        if host.process.take().is_none() {
            return;
        }
        host.life += 1;
        let life = host.life;
        self.check.seen.crashes += 1;
        self.note(&self.verifier_name(index), || "its process ends".to_owned());
        for id in self.links_open() {
            let link = &self.links[id];
            if link.verifier == index && link.life < life && link.open_at_verifier {
                self.close_up(id);
            }
        }
        self.schedule(self.t + down, Event::Verifier(index, VerifierEvent::Start { life }));
    }

    pub(crate) fn verifier_step(&mut self, index: usize, mut input: Input) {
        let host = &mut self.verifiers[index];
        let now = host.clock.now(self.t);
        let Some(process) = &mut host.process else { return };
        if let (Some((could, _)), Input::Message(ToVerifier::Welcome(Welcome { resume: Some(resume), .. }))) =
            (process.overstated, &mut input)
        {
            *resume = could;
        }
        let (mut welcome, mut half, mut applied, mut granted) = (None, None, None, false);
        match &input {
            Input::Message(ToVerifier::Welcome(Welcome { resume: Some(_), head, .. })) => welcome = Some(head.revision),
            Input::Message(ToVerifier::Frame(frame)) => {
                process.half = (!frame.last).then_some(frame.record.revision);
                half = process.half;
                applied = frame.last.then(|| frame.record.namespace.clone());
            }
            Input::Message(ToVerifier::Record(record)) => applied = Some(record.namespace.clone()),
            Input::Message(ToVerifier::SnapshotBegin { .. }) => process.half = None,
            Input::Message(ToVerifier::Grant(_)) => granted = true,
            _ => {}
        }
        let effects = process.session.step(now, input, &process.replica);
        if granted && !process.granted && process.replica.lease().is_some() {
            process.granted = true;
            self.check.seen.warm_grants += u64::from(process.warm && process.snapshots == 0);
        }
        if let Some(head) = welcome {
            let wrong = std::mem::take(&mut process.hello_wrong);
            process.welcomed_wrong = Some((wrong, head, process.snapshots));
        }
        let acks = effects.iter().any(|effect| matches!(effect, Effect::Send(ToAuthority::Ack { .. })));
        let unnoticed = applied.filter(|name| {
            acks && !replica::any_table(&process.replica, std::slice::from_ref(name), RottingTable::is_written_wrong)
                .is_empty()
        });
        let welcomed_wrong = granted && process.welcomed_wrong.is_some() && process.is_welcomed_wrong(&host.namespaces);
        let link = process.link;
        if unnoticed.is_some() || welcomed_wrong {
            let (who, how) =
                (self.verifier_name(index), if granted { "has a lease on" } else { "applied a record to" });
            self.check.violated([who.clone()], || format!("S21, set hash: {who} {how} a table that is wrong"));
        }
        if let Some(revision) = half.filter(|_| injected(Fault::AckAtFirstFrame))
            && let Some(link) = link
        {
            self.send_up(link, ToAuthority::Ack { revision });
        }
        let mut lost = false;
        for effect in effects {
            lost |= matches!(effect, Effect::Lost(_));
            self.verifier_effect(index, effect);
        }
        if lost && !injected(Fault::GoodbyeBeforeStop) {
            self.verifier_step(index, Input::Tick);
        }
        self.verifier_wake(index);
    }

    fn verifier_effect(&mut self, index: usize, effect: Effect) {
        let host = &mut self.verifiers[index];
        let life = host.life;
        let Some(process) = &mut host.process else { return };
        match effect {
            Effect::Connect { after } => {
                process.attempt += 1;
                let attempt = process.attempt;
                let at = self.t + host.clock.lasts(after) + self.rng.below(20 * MILLI);
                self.schedule(at, Event::Verifier(index, VerifierEvent::Open { life, attempt }));
            }
            Effect::Disconnect => {
                process.attempt += 1;
                if let Some(link) = process.link.take() {
                    self.close_up(link);
                }
            }
            Effect::Send(mut message) => {
                match &mut message {
                    ToAuthority::Hello(hello) => {
                        process.hello_wrong =
                            replica::any_table(&process.replica, &host.namespaces, RottingTable::is_written_wrong);
                        let half = process.half.take();
                        self.check.seen.halves += u64::from(half.is_some());
                        process.overstated = hello.resume.zip(half);
                        if injected(Fault::ResumeAfterFirstFrame) && process.overstated.is_some() {
                            hello.resume = half;
                        }
                        process.first_said = Some((hello.clone(), host.token, None));
                        if let Some(head) = hello.head.as_mut().filter(|_| std::mem::take(&mut host.forges)) {
                            self.check.seen.heads_forged += 1;
                            (head.mac, head.start) = (None, jeton_types::StartId::from_bytes([9; 16]));
                        }
                    }
                    ToAuthority::Ack { revision } => {
                        if let Some((_, said)) = process.overstated
                            && injected(Fault::ResumeAfterFirstFrame)
                        {
                            *revision = said.max(*revision);
                        }
                        if let Some((_, _, acked)) = &mut process.first_said {
                            acked.get_or_insert(*revision);
                        }
                    }
                    _ => {}
                }
                let wrong = process.is_mistrusted() && matches!(message, ToAuthority::Ack { .. });
                let link = process.link;
                if wrong {
                    let who = self.verifier_name(index);
                    self.check
                        .violated([who.clone()], || format!("S21, set hash: {who} acknowledges without a snapshot"));
                }
                if let Some(link) = link {
                    self.send_up(link, message);
                }
            }
            Effect::Lost(_) => {
                let id = SessionId::from_bytes(self.rng.bytes());
                process.session = process.session.successor(id, host.clock.now(self.t));
                self.session_named(index);
                self.state_add(index, id);
            }
            Effect::Succeeded { sessions } => self.state_drop(index, &sessions),
            Effect::Mistrusted => {
                process.mistrusted = Some(process.snapshots);
                self.check.seen.mistrusted += 1;
                self.note(&self.verifier_name(index), || "finds its table wrong".to_owned());
                self.copy_discard(index);
            }
            Effect::Note(Note::Snapshot { .. }) => process.snapshots += 1,
            Effect::Note(Note::Jump) => {
                self.check.seen.jumps += 1;
                self.note(&self.verifier_name(index), || {
                    "sees that its machine was paused: no lease, no grace".to_owned()
                });
            }
            Effect::Note(Note::Welcomed { resume, .. }) => {
                let how = if resume.is_some() { "goes on" } else { "gets a snapshot" };
                self.note(&self.verifier_name(index), || format!("is welcomed and {how}"));
            }
            Effect::Note(Note::StreamSilent) => {
                self.note(&self.verifier_name(index), || "hears nothing, and gives its stream up".to_owned());
            }
            Effect::Asked { request } => self.asked(index, request),
            Effect::Watermark { request } => self.watermark_came(index, request),
            Effect::AsksFailed => self.asks_failed(index),
            Effect::Note(_) => {}
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

    pub(crate) fn verifier_wake(&mut self, index: usize) {
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

    /// A clock runs at another rate: what was to happen by it happens at another moment.
    pub(crate) fn verifier_wake_anew(&mut self, index: usize) {
        if let Some(process) = &mut self.verifiers[index].process {
            process.tick_at = u64::MAX;
        }
        self.verifier_wake(index);
    }

    fn is_current(&self, index: usize, link: LinkId) -> bool {
        self.verifiers[index].process.as_ref().is_some_and(|process| process.link == Some(link))
    }

    pub(crate) fn verifier_name(&self, index: usize) -> String {
        format!("edge-{index}")
    }
}
