//! The world: what is scheduled, what is done to it, and how it ends.

use jeton_types::{Now, TokenId};

use crate::{
    authority::{AuthorityEvent, AuthorityHost, rng_of},
    check::{Checker, Violation},
    clock::{MILLI, Rng, SECOND},
    net::{Link, LinkId},
    plan::{Action, Ending, Plan, TWIN, TWIN_OF},
    queue::Queue,
    sightings::Sightings,
    store::Store,
    trace::Trace,
    verifier::{VerifierEvent, VerifierHost},
};

/// How long after something happened it is looked at closely.
const HOT: u64 = 60 * SECOND;
/// Every fault heals by itself. The longest that may still be under way: a fault of 40 s, a grace of 20 s with its margin, a
/// slow reconnect, data that are put right.
const SETTLE: u64 = 110 * SECOND;
/// The slowest network of a world that is to be well again.
const DELAY_MAX_IN_THE_END: u64 = 800;
/// How long a core that healed may take to be live again: a wait before its reconnect (two seconds; ten, for one that was
/// refused), and two heartbeats.
const CORE_LIVE_WITHIN: u64 = 14 * SECOND;
/// A receipt of a healthy network: one push, one acknowledgement, and what the driver takes.
const HEALTHY_RECEIPT: u64 = 150 * MILLI;

pub(crate) struct World {
    pub(crate) t: u64,
    queue: Queue<Event>,
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) authority: AuthorityHost,
    pub(crate) verifiers: Vec<VerifierHost>,
    pub(crate) links: Vec<Link>,
    /// Those that may be open.
    pub(crate) open: Vec<LinkId>,
    pub(crate) check: Checker,
    pub(crate) trace: Trace,
    pub(crate) told: bool,
    hot_until: u64,
    /// Tokens that expire by themselves, the newest.
    pub(crate) expiring: Vec<TokenId>,
    /// Data that are kept aside, and the true ones while those are in their place.
    backup: Option<Box<Store>>,
    pub(crate) lost: Option<Box<Store>>,
    /// The faults were stopped; this verifier stays cut off.
    pub(crate) calm: bool,
    cut: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum Event {
    Act(Action),
    /// A person puts the true data back.
    Recover,
    /// The network is no slower than this from here on.
    Calm,
    HealCore,
    /// The core must be live.
    CoreLive,
    /// A revocation, and the receipt that it must have by then.
    Healthy {
        receipts: u64,
        revoked: bool,
    },
    Authority(AuthorityEvent),
    Verifier(usize, VerifierEvent),
}

impl Event {
    const fn kind(&self) -> u64 {
        match self {
            Self::Act(_) => 1,
            Self::Recover => 2,
            Self::Calm => 3,
            Self::HealCore => 4,
            Self::CoreLive => 5,
            Self::Healthy { .. } => 6,
            Self::Authority(event) => {
                16 + match event {
                    AuthorityEvent::Message(link, _) => 16 + (*link as u64) * 64,
                    AuthorityEvent::Tick { .. } => 1,
                    AuthorityEvent::Heartbeat { .. } => 2,
                    _ => 3,
                }
            }
            Self::Verifier(index, event) => {
                (1 << 32)
                    + (*index as u64) * 64
                    + match event {
                        VerifierEvent::Message(..) => 1,
                        VerifierEvent::Tick { .. } => 2,
                        VerifierEvent::ProbeEnd { readings, .. } => 16 + readings.len() as u64,
                        _ => 3,
                    }
            }
        }
    }
}

/// What came of a world.
#[derive(Debug)]
pub struct Outcome {
    /// How often each thing happened.
    pub seen: Sightings,
    /// The first property that did not hold.
    pub violation: Option<Violation>,
    /// What happened.
    pub trace: Trace,
    /// How long it was, in nanoseconds of its own time.
    pub lasted: u64,
}

/// Runs a plan to its end, and demands that all is well then. Keeps words too, if it is to be told.
#[must_use]
pub fn run(plan: &Plan, told: bool) -> Outcome {
    let mut world = World::new(plan.clone(), told);
    let mut at = 2 * SECOND;
    for (gap, action) in &plan.actions {
        at += gap * MILLI;
        world.schedule(at, Event::Act(*action));
    }
    let end = match plan.ending {
        Ending::Heals => {
            world.schedule(at + 40 * SECOND, Event::Calm);
            at + SETTLE
        }
        Ending::Core { .. } => {
            world.schedule(at, Event::HealCore);
            world.schedule(at + CORE_LIVE_WITHIN, Event::CoreLive);
            at + SETTLE
        }
    };
    world.run_until(end);
    world.end_check();
    Outcome { seen: world.check.seen, violation: world.check.violation, trace: world.trace, lasted: world.t }
}

impl World {
    fn new(plan: Plan, told: bool) -> Self {
        let mut world = Self {
            t: 0,
            queue: Queue::new(),
            rng: rng_of(&plan),
            authority: AuthorityHost::new(&plan),
            verifiers: Vec::new(),
            links: Vec::new(),
            open: Vec::new(),
            check: Checker::default(),
            trace: if told { Trace::told() } else { Trace::default() },
            told,
            hot_until: HOT,
            expiring: Vec::new(),
            backup: None,
            lost: None,
            calm: false,
            cut: None,
            plan,
        };
        world.found();
        for index in 0..world.plan.verifiers {
            let token = world.authority.verifier_tokens[index];
            world.verifiers.push(VerifierHost::new(index, &world.plan, token));
            let at = world.rng.below(300 * MILLI);
            world.schedule(at, Event::Verifier(index, VerifierEvent::Start { life: 0 }));
        }
        world.schedule(0, Event::Authority(AuthorityEvent::Start { start: 0 }));
        world
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.queue.push(at.max(self.t), event);
    }

    pub(crate) fn note(&mut self, who: &str, what: impl FnOnce() -> String) {
        if self.told {
            self.trace.note(self.t, || who.to_owned(), what);
        }
    }

    /// Something happened lately, or a receipt is pending: it is worth a close look.
    pub(crate) fn is_hot(&self) -> bool {
        self.t < self.hot_until || self.check.pending() > 0
    }

    fn run_until(&mut self, end: u64) {
        while self.check.violation.is_none() {
            let Some((at, event)) = self.queue.pop(end) else {
                self.t = end;
                return;
            };
            self.t = at;
            self.check.t = at;
            self.trace.event(at, event.kind());
            match event {
                Event::Act(action) => self.act(action),
                Event::Authority(event) => self.authority_event(event),
                Event::Verifier(index, event) => self.verifier_event(index, event),
                Event::Recover => self.recover(),
                Event::Calm => self.plan.delay_max = self.plan.delay_max.min(DELAY_MAX_IN_THE_END),
                Event::HealCore => self.heal_core(),
                Event::CoreLive => self.core_live(),
                Event::Healthy { receipts, revoked } => self.healthy(receipts, revoked),
            }
        }
    }

    fn process_name(&self, process: Option<usize>) -> String {
        process.map_or_else(|| "authority".to_owned(), |index| self.verifier_name(index))
    }

    fn act(&mut self, action: Action) {
        if self.calm {
            return;
        }
        self.hot_until = self.t + HOT;
        match action {
            Action::Revoke { .. }
            | Action::RevokeMany { .. }
            | Action::Issue { .. }
            | Action::IssueShort { .. }
            | Action::FirstUse { .. }
            | Action::Policy { .. }
            | Action::RevokeOwn { .. } => {
                self.schedule(self.t, Event::Authority(AuthorityEvent::Mutate(action)));
            }
            Action::Block { verifier, up, down, span } => {
                let until = self.t + span * MILLI;
                let host = &mut self.verifiers[verifier];
                host.up_from = if up { host.up_from.max(until) } else { host.up_from };
                host.down_from = if down { host.down_from.max(until) } else { host.down_from };
                let seen = &mut self.check.seen;
                *(if up && down { &mut seen.blocked } else { &mut seen.blocked_one_way }) += 1;
                let (who, what) = (self.verifier_name(verifier), ["hears nothing", "is not heard", "is cut off"]);
                let what = what[if up && down { 2 } else { usize::from(up) }];
                self.note(&who, || format!("{what} for {span} ms"));
            }
            Action::Break { verifier } => {
                self.check.seen.resets += 1;
                self.note(&self.verifier_name(verifier), || "its connection is reset".to_owned());
                self.link_break(verifier, true);
            }
            Action::Echo { verifier } => self.echo(verifier),
            Action::Stop { process, span } => {
                let until = odd(self.t + span * MILLI);
                let stopped = match process {
                    None => &mut self.authority.stopped_until,
                    Some(index) => &mut self.verifiers[index].stopped_until,
                };
                *stopped = until.max(*stopped);
                self.check.seen.processes_stopped += 1;
                self.note(&self.process_name(process), || format!("its process is stopped for {span} ms"));
            }
            Action::Freeze { process, span } => self.freeze(process, span),
            Action::Slew { process, rate } => {
                self.check.seen.slews += 1;
                self.note(&self.process_name(process), || {
                    format!("its clock runs at {}.{:02} %", rate / 10_000, rate / 100 % 100)
                });
                match process {
                    None => {
                        self.authority.clock.slew(self.t, rate);
                        self.authority.tick_at = u64::MAX;
                        self.hub_wake();
                    }
                    Some(index) => {
                        self.verifiers[index].clock.slew(self.t, rate);
                        self.verifier_wake_anew(index);
                    }
                }
            }
            Action::Step { process, millis } => {
                self.check.seen.real_time_set += 1;
                self.note(&self.process_name(process), || format!("its real time is set by {millis} ms"));
                let clock = match process {
                    None => &mut self.authority.clock,
                    Some(index) => &mut self.verifiers[index].clock,
                };
                clock.step(self.t, millis);
            }
            Action::Stall { verifier, span } => {
                let until = odd(self.t + span * MILLI);
                let host = &mut self.verifiers[verifier];
                host.stalled_until = host.stalled_until.max(until);
                self.note(&self.verifier_name(verifier), || format!("its apply path hangs for {span} ms"));
            }
            Action::Crash { process: None, span } => self.authority_crash(span * MILLI),
            Action::Crash { process: Some(index), span } => self.verifier_crash(index, span * MILLI),
            Action::Rot { verifier, row, how } => {
                if self.verifiers[verifier].rot(row, how, &mut self.rng) {
                    self.check.seen.rotten += 1;
                    self.note(&self.verifier_name(verifier), || format!("a row of its table rots: {how:?}"));
                }
            }
            Action::Leave { verifier, span } => {
                self.schedule(self.t, Event::Verifier(verifier, VerifierEvent::Leave { span: span * MILLI }));
            }
            Action::Copy { disk } => self.state_copy(disk),
            Action::Second => self.state_second(),
            Action::CopyFails { verifier, torn } => self.verifiers[verifier].copy_fails = Some(torn),
            Action::Disk { span } => {
                self.note("authority", || format!("its disk fails for {span} ms"));
                self.authority.disk_bad_until = self.authority.disk_bad_until.max(self.t + span * MILLI);
            }
            Action::Cut { keep } => {
                let (_, now) = self.authority.time(self.t);
                if self.authority.store.cut(now.minus(std::time::Duration::from_millis(keep))) {
                    self.check.seen.cuts += 1;
                    self.note("authority", || format!("cuts its log: {keep} ms are kept"));
                }
            }
            Action::Backup => {
                if self.lost.is_none() {
                    self.note("world", || "the authority's data are kept aside".to_owned());
                    self.backup = Some(Box::new(self.authority.store.clone()));
                }
            }
            Action::Restore { span } => self.put_back(span),
            Action::Forge { verifier } => self.verifiers[verifier].forges = true,
        }
    }

    fn freeze(&mut self, process: Option<usize>, span: u64) {
        let until = odd(self.t + span * MILLI);
        match process {
            None if self.authority.thaw_at.is_none() => {
                self.authority.freeze(self.t, until);
                self.schedule(until, Event::Authority(AuthorityEvent::Thaw { at: until }));
            }
            Some(index) if self.verifiers[index].thaw_at.is_none() => {
                self.verifiers[index].freeze(self.t, until);
                self.schedule(until, Event::Verifier(index, VerifierEvent::Thaw { at: until }));
            }
            _ => return,
        }
        self.check.seen.machines_paused += 1;
        self.note(&self.process_name(process), || format!("its machine is paused for {span} ms"));
    }

    /// The data that were kept aside take the place of what there is. Whoever has seen more shows it, or nobody can.
    fn put_back(&mut self, span: u64) {
        let Some(backup) = self.backup.take().filter(|_| self.lost.is_none() && self.authority.is_up()) else { return };
        if backup.revision() == self.authority.store.revision() {
            return;
        }
        self.check.seen.put_back += 1;
        self.note("world", || "the authority's data are put back to what was kept aside".to_owned());
        self.authority_crash(200 * MILLI);
        self.lost = Some(Box::new(std::mem::replace(&mut self.authority.store, *backup)));
        self.check.put_back = true;
        self.schedule(self.t + span * MILLI, Event::Recover);
    }

    /// A person starts the authority from the true data, and begins anew with every verifier that was fed meanwhile.
    fn recover(&mut self) {
        let Some(truth) = self.lost.take() else { return };
        self.note("world", || "a person puts the true data in their place".to_owned());
        if !self.authority.is_up() {
            // It is on its way up; that start is of the data that go.
            self.authority.start += 1;
            let start = self.authority.start;
            self.schedule(self.t + 200 * MILLI, Event::Authority(AuthorityEvent::Start { start }));
        }
        self.authority_crash(200 * MILLI);
        self.authority.store = *truth;
        self.check.put_back = false;
        self.check.acked.clear();
        let shares = |index| index == TWIN || index == TWIN_OF;
        let twins = self.verifiers.iter().enumerate().any(|(index, host)| host.tainted && shares(index));
        for index in 0..self.verifiers.len() {
            if self.verifiers[index].tainted || (twins && shares(index)) {
                if let Some(folder) = &mut self.verifiers[index].folder {
                    folder.copy = None;
                }
                self.verifiers[index].token = self.authority.verifier_tokens[index];
                self.verifier_crash(index, 100 * MILLI);
                self.verifiers[index].tainted = false;
            }
        }
    }

    /// Liveness: no fault goes on, none comes, and all but one have a healthy network.
    fn heal_core(&mut self) {
        let Ending::Core { cut, heard } = self.plan.ending else { return };
        self.calm = true;
        self.cut = Some(cut);
        self.hot_until = u64::MAX;
        self.check.seen.cores_healed += 1;
        let who = self.verifier_name(cut);
        self.note("world", || {
            format!(
                "every fault stops, but that {who} {} for good",
                if heard { "hears nothing" } else { "is not heard" }
            )
        });
        self.recover();
        self.plan.delay_max = self.plan.delay_max.min(20);
        let until = odd(self.t);
        self.authority.disk_bad_until = self.t;
        self.authority.stopped_until = self.authority.stopped_until.min(until);
        if let Some(at) = self.authority.thaw_at {
            self.schedule(until, Event::Authority(AuthorityEvent::Thaw { at }));
        }
        self.schedule(until, Event::Authority(AuthorityEvent::GoOn));
        let start = self.authority.start;
        self.schedule(until, Event::Authority(AuthorityEvent::Start { start }));
        for index in 0..self.verifiers.len() {
            let host = &mut self.verifiers[index];
            host.stopped_until = host.stopped_until.min(until);
            host.stalled_until = host.stalled_until.min(until);
            (host.up_from, host.down_from) = (0, 0);
            if index == cut {
                *(if heard { &mut host.down_from } else { &mut host.up_from }) = u64::MAX / 4;
            }
            let (life, thaw) = (host.life, host.thaw_at);
            if let Some(at) = thaw {
                self.schedule(until, Event::Verifier(index, VerifierEvent::Thaw { at }));
            }
            for event in [VerifierEvent::GoOn, VerifierEvent::Token, VerifierEvent::Start { life }] {
                self.schedule(until, Event::Verifier(index, event));
            }
            if index != cut {
                self.link_break(index, false);
            }
        }
        // What waited before may have waited for what was stopped.
        let now: Now = self.authority.clock.now(self.t);
        self.check.wait_anew(now.boot);
    }

    /// L3: whoever is in the core has a lease, whatever became of the one beside it.
    fn core_live(&mut self) {
        for index in 0..self.verifiers.len() {
            if self.cut == Some(index) || self.verifiers[index].intrudes {
                continue;
            }
            if self.verifiers[index].is_live(self.t) {
                self.check.seen.live_again += 1;
            } else {
                let who = self.verifier_name(index);
                self.check.violated([who.clone()], || {
                    format!(
                        "L3, live again: {who} has no lease {} s after everything but one verifier healed",
                        CORE_LIVE_WITHIN / SECOND
                    )
                });
            }
        }
        // The one that is cut off is counted out by then, so nobody waits for it.
        self.schedule(self.t + 60 * SECOND, Event::Healthy { receipts: 0, revoked: false });
    }

    /// L2: with a healthy network a receipt costs one push and one acknowledgement.
    fn healthy(&mut self, receipts: u64, revoked: bool) {
        if !revoked {
            let receipts = self.check.seen.receipts;
            let revoke = Action::Revoke { namespace: 0 };
            self.schedule(self.t, Event::Authority(AuthorityEvent::Mutate(revoke)));
            self.schedule(self.t + HEALTHY_RECEIPT, Event::Healthy { receipts, revoked: true });
        } else if self.check.seen.receipts == receipts && self.check.pending() > 0 {
            self.check.violated([], || {
                format!(
                    "L2, one push and one acknowledgement: no receipt {} ms after a revocation",
                    HEALTHY_RECEIPT / MILLI
                )
            });
        }
    }

    fn end_check(&mut self) {
        if self.check.violation.is_some() {
            return;
        }
        let pending = self.check.pending();
        if pending > 0 {
            self.check.violated([], || format!("L1, receipts complete: {pending} are not after everything healed"));
        }
        for index in 0..self.verifiers.len() {
            let host = &self.verifiers[index];
            if self.cut != Some(index) && !host.intrudes && !host.is_live(self.t) {
                let who = self.verifier_name(index);
                self.check
                    .violated([who.clone()], || format!("L3, live again: {who} has no lease after everything healed"));
            }
        }
    }
}

/// The end of a stop. Messages arrive at even moments, so that none arrives at the same one and overtakes those that the
/// stop held back.
const fn odd(at: u64) -> u64 {
    at | 1
}
