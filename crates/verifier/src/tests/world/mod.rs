//! Random schedules of a session, its replica, verifications that are stopped anywhere, and an authority behind a bad
//! network: the safety properties S1, S3, S6, S7, S9 and S14 hold at every step, and after healing all answers are right.

mod model;
mod moves;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jeton_feed::{
    lease::{Lease, Standing},
    message::ToAuthority,
    numbers::{JUMP_MAX, LEASE, counted_out_after},
    record::Change,
    verifier::{Effect, Input, Session, SessionConfig},
};
use jeton_types::{BootTime, Freshness, Now, SessionId, UnixTime};
use proptest::prelude::*;

use self::{
    model::{Authority, COLLECT_AFTER},
    moves::Meanwhile,
};
use super::{Held, START, acme, hooked::Hooked};
use crate::{
    Code, Computed, MemoryReplica, Outcome, Source, Verdict,
    first_use::{CaughtUp, FirstUse, Ticket},
};

struct World {
    /// Since the start of the world, and how fast the clocks go, in tenths.
    time: Duration,
    rates: (u32, u32),
    now: Now,
    session: Session,
    replica: Arc<MemoryReplica<Hooked>>,
    authority: Authority,
    up: VecDeque<ToAuthority>,
    linked: bool,
    dialling: bool,
    tokens: Vec<Held>,
    ended: HashMap<usize, u64>,
    expiry: HashMap<usize, UnixTime>,
    first_use: FirstUse,
    running: Vec<Verification>,
    waiting: HashMap<Ticket, Verification>,
    seen_revoked: HashSet<usize>,
    /// What the authority has collected.
    collected: HashSet<usize>,
    left: bool,
}

struct Verification {
    which: Which,
    computed: Option<Computed>,
    caught_up: Option<CaughtUp>,
    /// Its issue had returned when the verification began.
    issued: bool,
    /// A complete receipt said at the start of the read that it is dead.
    dead: bool,
    /// Some earlier verification had found it revoked.
    revoked: bool,
    lease: Option<Lease>,
    freshness: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Token(usize),
    Forged { future: bool },
}

impl World {
    fn new(rates: (u32, u32), grace_secs: u64) -> Self {
        let session = SessionConfig {
            verifier: "edge-1".parse().unwrap(),
            session: SessionId::from_bytes([7; 16]),
            namespaces: vec![acme()],
            jitter_seed: 1,
            place: None,
            claims: Vec::new(),
        };
        let mut world = Self {
            time: Duration::ZERO,
            rates,
            now: START,
            session: Session::new(session, START),
            replica: Arc::new(MemoryReplica::new(&[acme()])),
            authority: Authority::new(grace_secs),
            up: VecDeque::new(),
            linked: false,
            dialling: false,
            tokens: Vec::new(),
            ended: HashMap::new(),
            expiry: HashMap::new(),
            first_use: FirstUse::new(),
            running: Vec::new(),
            waiting: HashMap::new(),
            seen_revoked: HashSet::new(),
            collected: HashSet::new(),
            left: false,
        };
        world.input(Input::Tick);
        world
    }

    fn authority_now(&self) -> BootTime {
        BootTime::ZERO.plus(self.time * self.rates.0 / 10)
    }

    fn settle(&mut self) {
        let now = self.authority_now();
        self.authority.settle(now);
    }

    fn advance(&mut self, millis: u64) {
        let span = Duration::from_millis(millis);
        self.time += span;
        self.now = self.now.plus(span * self.rates.1 / 10);
        self.settle();
    }

    fn input(&mut self, input: Input) {
        let replica = Arc::clone(&self.replica);
        for effect in self.session.step(self.now, input, &*replica) {
            match effect {
                Effect::Connect { .. } => (self.dialling, self.linked) = (true, false),
                Effect::Disconnect => {
                    if self.left {
                        self.up(usize::MAX);
                    }
                    (self.dialling, self.linked) = (false, false);
                }
                Effect::Send(message) => {
                    if self.linked {
                        self.up.push_back(message);
                    }
                }
                Effect::Asked { request } => self.first_use.sent(self.now.boot, request),
                Effect::Watermark { request } => {
                    let answered = self.first_use.answered(request);
                    for ticket in answered.tickets {
                        let verification = self.waiting.remove(&ticket).unwrap();
                        self.running.push(Verification {
                            caught_up: Some(answered.caught_up),
                            computed: None,
                            ..verification
                        });
                    }
                }
                Effect::AsksFailed => {
                    for ticket in self.first_use.failed() {
                        self.waiting.remove(&ticket).unwrap();
                    }
                }
                Effect::Mistrusted => panic!("nothing alters this table"),
                Effect::Lost(_) | Effect::Note(_) | Effect::Succeeded { .. } => {}
            }
        }
    }

    fn up(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.up.pop_front() else { break };
            let now = self.authority_now();
            self.authority.hear(now, message);
        }
        self.settle();
    }

    fn down(&mut self, count: usize) {
        for _ in 0..count {
            if !self.linked {
                break;
            }
            let Some(message) = self.authority.down.pop_front() else { break };
            self.input(Input::Message(message));
        }
    }

    fn cut(&mut self, told: bool) {
        self.up.clear();
        self.authority.cut();
        if std::mem::take(&mut self.linked) && told {
            self.input(Input::Disconnected);
        }
    }

    fn dial(&mut self) {
        if std::mem::take(&mut self.dialling) {
            self.up.clear();
            self.authority.cut();
            self.linked = true;
            self.input(Input::Connected);
        }
    }

    /// S3: while the verifier would answer, the authority does not count it out.
    fn contained(&self) -> Result<(), TestCaseError> {
        if let (Some(lease), Some(served)) = (self.replica.lease(), self.replica.namespaces().first())
            && let Standing::Live(_) | Standing::Grace(_) = lease.standing(self.now, served.freshness)
        {
            let silent = self.authority.silent_for(self.authority_now());
            prop_assert!(silent <= counted_out_after(served.freshness.grace()), "S3: {silent:?} without a grant");
        }
        Ok(())
    }

    fn meanwhile(&mut self, what: Meanwhile) {
        self.advance(what.millis);
        self.up(what.up);
        self.down(what.down);
    }

    fn tick(&mut self) {
        self.input(Input::Tick);
        for ticket in self.first_use.tick(self.now.boot) {
            self.waiting.remove(&ticket).unwrap();
        }
    }

    fn healthy(&mut self) {
        for _ in 0..3 {
            self.dial();
            self.up(usize::MAX);
            self.down(usize::MAX);
            self.ask();
        }
    }

    fn ask(&mut self) {
        if self.first_use.wants_ask(self.now.boot) {
            self.input(Input::AskWatermark);
        }
    }

    fn issue(&mut self, expires_in_millis: Option<u64>) {
        let (number, now) = (self.tokens.len(), self.authority_now());
        let held = Held::new("acme_live", self.authority.next(), number as u8);
        let mut entry = held.entry();
        entry.expires_at = expires_in_millis.map(|millis| Authority::time(now).plus(Duration::from_millis(millis)));
        self.expiry.extend(entry.expires_at.map(|at| (number, at)));
        self.authority.commit(now, vec![Change::Token(entry)], false);
        self.tokens.push(held);
    }

    fn revoke(&mut self, which: usize) {
        let Some(which) = which.checked_rem(self.tokens.len()) else { return };
        if !self.ended.contains_key(&which) && !self.collected.contains(&which) {
            let now = self.authority_now();
            let at = self.authority.commit(now, vec![self.tokens[which].end()], true);
            self.ended.insert(which, at);
        }
    }

    fn collect(&mut self) {
        let now = self.authority_now();
        for token in self.authority.collect(now) {
            self.collected.extend(self.tokens.iter().position(|held| held.id == token));
        }
    }

    fn deadline(&mut self, which: usize) {
        let Some(which) = which.checked_rem(self.tokens.len()).filter(|which| !self.collected.contains(which)) else {
            return;
        };
        let now = self.authority_now();
        let (held, expires_at) = (&self.tokens[which], Authority::time(now).plus(Duration::from_secs(10)));
        let change = Change::Deadline { digest: held.digest, token: held.id, expires_at };
        self.authority.commit(now, vec![change], false);
        let nearest = self.expiry.get(&which).map_or(expires_at, |known| expires_at.min(*known));
        self.expiry.insert(which, nearest);
    }

    fn dead(&self, which: Which) -> bool {
        let Which::Token(which) = which else { return false };
        self.ended.get(&which).is_some_and(|at| self.authority.is_complete(*at))
    }

    fn text(&self, which: Which) -> Vec<u8> {
        match which {
            Which::Token(which) => self.tokens[which].text.clone(),
            Which::Forged { future } => {
                let birth = if future { self.authority.head + 1_000_000 } else { self.authority.head };
                Held::new("acme_live", birth, 255).text
            }
        }
    }

    fn which(&self, which: usize) -> Which {
        match which % (self.tokens.len() + 2) {
            0 => Which::Forged { future: true },
            1 => Which::Forged { future: false },
            token => Which::Token(token - 2),
        }
    }

    fn released(&mut self, verification: Verification, outcome: Outcome) -> Result<(), TestCaseError> {
        match outcome {
            Outcome::Answer(verdict) => self.answered(&verification, &verdict),
            Outcome::NeedsWatermark(_) => {
                prop_assert!(verification.caught_up.is_none(), "asked twice");
                if let Ok(ticket) = self.first_use.join(self.now.boot, None) {
                    self.waiting.insert(ticket, verification);
                }
                Ok(())
            }
            Outcome::Stale(_) => Ok(()),
        }
    }

    fn answered(&mut self, verification: &Verification, verdict: &Verdict) -> Result<(), TestCaseError> {
        let Verification { which, issued, dead, revoked, lease, freshness, .. } = *verification;
        if verdict.code() == Code::Revoked {
            let Which::Token(which) = which else { panic!("a forged token was revoked") };
            prop_assert!(self.ended.contains_key(&which), "S10: revoked, and nobody did");
            self.seen_revoked.insert(which);
            return Ok(());
        }
        // S6: inside the lease that was there before the read, and no jump since.
        let lease = lease.unwrap();
        let own = self.now.boot.since(lease.sent.boot);
        prop_assert!(self.now.jump_since(lease.sent) <= JUMP_MAX, "S6: over a jump");
        match verdict.source() {
            Source::Replica => prop_assert!(own < LEASE, "S6: past the lease"),
            Source::Grace => prop_assert!(own >= LEASE && own < LEASE + freshness.grace(), "S6: past grace"),
            Source::Authority => panic!("no authority here"),
        }
        let estimate = lease.authority_time.plus(own);
        prop_assert!(verdict.not_after().unwrap() >= estimate.min(verdict.expires_at().unwrap_or(estimate)));
        let now = Authority::time(self.authority_now());
        match (verdict.code(), which) {
            (Code::Valid, Which::Token(which)) => {
                prop_assert!(!dead, "S1: valid after its receipt was complete");
                prop_assert!(!revoked, "S7: resurrected");
                let over = self.expiry.get(&which).is_some_and(|at| now >= at.plus(COLLECT_AFTER));
                prop_assert!(!over, "25: valid once it may have been collected");
                // S14: never late, but for a pause too short to be a jump.
                if let Some(expires_at) = self.expiry.get(&which) {
                    let known = verdict.expires_at() == Some(*expires_at);
                    prop_assert!(!known || now < expires_at.plus(JUMP_MAX * 11 / 10), "S14: late");
                }
            }
            (Code::Unknown, Which::Token(which)) if self.collected.contains(&which) => {
                let over = self.expiry.get(&which).is_some_and(|at| now >= at.plus(COLLECT_AFTER));
                prop_assert!(over, "25: forgotten before its time");
            }
            (Code::Unknown, _) => prop_assert!(!issued, "S9: unknown, though its issue had returned"),
            (Code::Expired, Which::Token(which)) => prop_assert!(self.expiry.contains_key(&which)),
            (code, which) => prop_assert!(false, "{code} for {which:?}"),
        }
        Ok(())
    }
}
