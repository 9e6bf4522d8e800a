//! The verifications that are made at the verifiers, and what their answers must not be.

use jeton_feed::{lease::Standing, verifier::Input};
use jeton_types::{NamespaceName, TokenId, UnixTime};
use jeton_verifier::{
    Code, Looked, Outcome, Required, Verdict,
    first_use::{CaughtUp, Ticket},
};

use crate::{
    authority::{AuthorityHost, namespace_named},
    clock::{MILLI, SECOND},
    replica::{self, RottingTable},
    verifier::VerifierEvent,
    world::{Event, World},
};

/// How often each process is asked about everything that it must not accept, while something happens and while nothing does.
const PROBE_EVERY: u64 = 250 * MILLI;
const PROBE_EVERY_IDLE: u64 = 30 * SECOND;

/// What one verification read, to be released later.
#[derive(Debug)]
pub(crate) struct Reading {
    token: TokenId,
    looked: Looked,
}

/// When a verification began, on the world's clock and on the authority's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    t: u64,
    authority_time: UnixTime,
}

/// One who waits for the authority's word on a token that was just issued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    ticket: Ticket,
    token: TokenId,
    begun: Begun,
}

impl World {
    fn begun(&self) -> Begun {
        let (_, authority_time) = self.authority.time(self.t);
        Begun { t: self.t, authority_time }
    }

    pub(crate) fn probe_often(&mut self, index: usize, life: u64) {
        if self.verifiers[index].life != life {
            return;
        }
        if self.rng.chance(4) {
            self.copy_write(index);
        }
        let every = if self.is_hot() { PROBE_EVERY } else { PROBE_EVERY_IDLE };
        self.schedule(self.t + every, Event::Verifier(index, VerifierEvent::ProbeOften { life }));
        self.probe_begin(index, life);
    }

    /// Asks every process, at the moment at which a receipt is complete.
    pub(crate) fn probe_all(&mut self) {
        for index in 0..self.verifiers.len() {
            let life = self.verifiers[index].life;
            self.schedule(self.t, Event::Verifier(index, VerifierEvent::ProbeBegin { life }));
        }
    }

    /// The decision point of a verification of tokens that must not be accepted any more, and of some that should be.
    pub(crate) fn probe_begin(&mut self, index: usize, life: u64) {
        let roll = self.rng.next_u64() as usize;
        let host = &self.verifiers[index];
        if host.life != life {
            return;
        }
        let Some(process) = &host.process else { return };
        let now = host.clock.now(self.t);
        let good = host.namespaces.iter().filter_map(|name| self.authority.store.active(name).next());
        let mut asked: Vec<TokenId> = good.map(|entry| entry.token).collect();
        asked.extend(self.check.dead(roll));
        asked.extend(self.expiring.iter().copied());
        let mut readings = Vec::new();
        for token in asked {
            let Some(known) = self.check.tokens.get(&token) else { continue };
            if host.namespaces.contains(&known.namespace)
                && let Ok(looked) = process.replica.look(known.text.as_bytes(), now)
            {
                readings.push(Reading { token, looked });
            }
        }
        self.interval_check(index);
        let takes = self.rng.below(40 * MILLI);
        let event = VerifierEvent::ProbeEnd { life, begun: self.begun(), readings };
        self.schedule(self.t + takes, Event::Verifier(index, event));
    }

    pub(crate) fn probe_end(&mut self, index: usize, life: u64, begun: Begun, readings: Vec<Reading>) {
        for Reading { token, looked } in readings {
            let host = &self.verifiers[index];
            if host.life != life {
                return;
            }
            let Some(process) = &host.process else { return };
            let now = host.clock.now(self.t);
            let outcome = looked.compute(&Required::default(), None).release(now, &process.replica);
            self.answered(index, begun, token, &outcome);
        }
        // Whoever answers tells the session, which may be stalled; the lease is void for the answers as it is.
        let host = &self.verifiers[index];
        if self.t >= host.stalled_until && host.process.as_ref().is_some_and(|process| process.replica.jump_take()) {
            self.verifier_step(index, Input::JumpSeen);
        }
    }

    /// Whether anything can be said against an answer.
    fn answered(&mut self, index: usize, begun: Begun, token: TokenId, outcome: &Outcome) {
        let host = &self.verifiers[index];
        let (Some(process), Some(known)) = (&host.process, self.check.tokens.get(&token)) else { return };
        let Outcome::Answer(verdict) = outcome else {
            self.check.seen.stale += u64::from(matches!(outcome, Outcome::Stale(_)));
            return;
        };
        if host.tainted {
            return;
        }
        let (who, name) = (self.verifier_name(index), known.name.clone());
        let (issued, expires, namespace) = (known.issued, known.expires_at.is_some(), known.namespace.clone());
        let (mistrusted, granted) = (process.is_mistrusted(), process.granted);
        let subjects = [who.clone(), name.clone()];
        let is_wrong =
            !replica::any_table(&process.replica, std::slice::from_ref(&namespace), RottingTable::is_wrong).is_empty();
        if mistrusted {
            let code = verdict.code();
            self.check.violated(subjects.clone(), || {
                format!("S21, set hash: {who} answers {code:?} from a table that was found to be wrong")
            });
        }
        // What has ended has ended, lease or none.
        if !granted && verdict.code() != Code::Revoked {
            self.check
                .violated(subjects.clone(), || format!("S5, leases: {who} answers before it was granted a lease"));
        }
        if is_wrong {
            return;
        }
        match verdict.code() {
            Code::Valid => self.valid(index, begun, token, verdict),
            Code::Unknown => {
                if issued <= begun.t {
                    self.check.violated(subjects, || {
                        format!("S9, first use: {who} calls {name} unknown, which had been issued")
                    });
                }
            }
            Code::Revoked => {
                if self.authority.store.is_active(&namespace, token) && !self.check.put_back {
                    self.check.violated(subjects, || {
                        format!("S10, three-valued: {who} calls {name} revoked, which it is not")
                    });
                }
            }
            Code::Expired if expires => self.check.seen.expired += 1,
            other => self.check.violated(subjects, || format!("S10, three-valued: {who} answers {other:?} for {name}")),
        }
    }

    fn valid(&mut self, index: usize, begun: Begun, token: TokenId, verdict: &Verdict) {
        let who = self.verifier_name(index);
        match verdict.source() {
            jeton_verifier::Source::Grace => self.check.seen.answers_in_grace += 1,
            _ => self.check.seen.answers_live += 1,
        }
        self.check.accepted(&who, token, begun.t);
        let Some(known) = self.check.tokens.get(&token) else { return };
        let authority_time = begun.authority_time;
        if let Some(expires_at) = known.expires_at.filter(|expires_at| authority_time >= *expires_at) {
            let name = known.name.clone();
            let late = authority_time.since(expires_at);
            self.check.violated([who.clone(), name.clone()], || {
                format!("S14, expiry: {who} accepts {name}, which expired {late:?} before on the authority's clock")
            });
        }
    }

    /// S3, from the verifier's side: whoever may answer on less than a pending revocation is not counted out for it.
    fn interval_check(&mut self, index: usize) {
        let host = &self.verifiers[index];
        let Some(process) = &host.process else { return };
        if self.check.pending() == 0 || host.tainted || self.check.put_back {
            return;
        }
        let Some(lease) = process.replica.lease() else { return };
        let now = host.clock.now(self.t);
        let session = process.session.config().session;
        let watermark = process.replica.watermark();
        for served in process.replica.namespaces() {
            let may_answer = matches!(lease.standing(now, served.freshness), Standing::Live(_) | Standing::Grace(_));
            for receipt in self.authority.receipts_pending(self.t, &served.name) {
                let Some(fenced) = AuthorityHost::is_fenced(&receipt, session) else { continue };
                self.check.fence_seen(receipt.revocation, session, fenced);
                if may_answer && watermark < receipt.revision && fenced {
                    self.check.may_answer(session, &receipt);
                }
            }
        }
    }

    /// A token that was just issued is presented at one of those that serve its namespace.
    pub(crate) fn first_use(&mut self, token: TokenId, namespace: &str, place: usize) {
        let name: NamespaceName = namespace_named(namespace);
        let serving: Vec<usize> =
            (0..self.verifiers.len()).filter(|index| self.verifiers[*index].namespaces.contains(&name)).collect();
        if serving.is_empty() {
            return;
        }
        let index = serving[place % serving.len()];
        // Now and then two at once.
        for _ in 0..=u64::from(self.rng.chance(30)) {
            let (life, at) = (self.verifiers[index].life, self.t + self.rng.below(5 * MILLI));
            self.schedule(at, Event::Verifier(index, VerifierEvent::Present { life, token }));
        }
    }

    pub(crate) fn present(&mut self, index: usize, life: u64, token: TokenId) {
        let begun = self.begun();
        let host = &mut self.verifiers[index];
        let now = host.clock.now(self.t);
        let Some(process) = host.process.as_mut().filter(|_| host.life == life) else { return };
        let Some(known) = self.check.tokens.get(&token) else { return };
        self.check.seen.first_uses += 1;
        let outcome = process.replica.verify(known.text.as_bytes(), &Required::default(), None, || now);
        if !matches!(outcome, Outcome::NeedsWatermark(_)) {
            self.check.seen.first_uses_good +=
                u64::from(matches!(&outcome, Outcome::Answer(verdict) if verdict.valid()));
            self.answered(index, begun, token, &outcome);
            return;
        }
        self.check.seen.first_uses_joined += u64::from(process.first_use.waiting() > 0);
        let Ok(ticket) = process.first_use.join(now.boot, None) else { return };
        process.askers.push(Asker { ticket, token, begun });
        self.first_use_tick(index);
    }

    /// Asks if it is time to, and lets those go who have waited for too long. A stalled apply path asks nothing.
    pub(crate) fn first_use_tick(&mut self, index: usize) {
        let host = &mut self.verifiers[index];
        let now = host.clock.now(self.t);
        let stalled = self.t < host.stalled_until;
        let Some(process) = &mut host.process else { return };
        let gone = process.first_use.tick(now.boot);
        process.askers.retain(|asker| !gone.contains(&asker.ticket));
        self.check.seen.first_uses_timed_out += gone.len() as u64;
        if !stalled && process.first_use.wants_ask(now.boot) {
            self.verifier_step(index, Input::AskWatermark);
        }
        let host = &self.verifiers[index];
        let Some(wakeup) = host.process.as_ref().and_then(|process| process.first_use.next_wakeup()) else { return };
        let (life, at) = (host.life, host.clock.reaches(self.t, wakeup).max(self.t + MILLI));
        self.schedule(at, Event::Verifier(index, VerifierEvent::FirstUseTick { life }));
    }

    pub(crate) fn asked(&mut self, index: usize, request: u64) {
        let host = &mut self.verifiers[index];
        let now = host.clock.now(self.t);
        if let Some(process) = &mut host.process {
            self.check.seen.first_uses_asked += 1;
            process.first_use.sent(now.boot, request);
        }
    }

    pub(crate) fn watermark_came(&mut self, index: usize, request: u64) {
        let host = &mut self.verifiers[index];
        let Some(process) = &mut host.process else { return };
        let answered = process.first_use.answered(request);
        if let Some(sent) = answered.sent {
            process.replica.confirm(sent);
        }
        let (served, wait): (Vec<_>, Vec<_>) =
            process.askers.drain(..).partition(|asker| answered.tickets.contains(&asker.ticket));
        process.askers = wait;
        for asker in served {
            self.look_again(index, asker, answered.caught_up);
        }
    }

    fn look_again(&mut self, index: usize, asker: Asker, caught_up: CaughtUp) {
        let host = &self.verifiers[index];
        let now = host.clock.now(self.t);
        let (Some(process), Some(known)) = (&host.process, self.check.tokens.get(&asker.token)) else { return };
        let outcome =
            process.replica.verify_caught_up(known.text.as_bytes(), &Required::default(), None, caught_up, || now);
        self.check.seen.first_uses_good += u64::from(matches!(&outcome, Outcome::Answer(verdict) if verdict.valid()));
        self.answered(index, asker.begun, asker.token, &outcome);
    }

    pub(crate) fn asks_failed(&mut self, index: usize) {
        if let Some(process) = &mut self.verifiers[index].process
            && process.first_use.waiting() > 0
        {
            process.first_use.failed();
            process.askers.clear();
        }
    }
}
