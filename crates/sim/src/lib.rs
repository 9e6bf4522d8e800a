//! A small world of one authority and several verifiers, in one thread and with a time of its own.
//!
//! Both sides are the real state machines. The world brings what is around them: machines whose clocks run at different
//! rates and stop, processes that are stopped, killed and started, and a network that delays, stalls and breaks ordered
//! streams. The same plan gives the same world.

#![expect(missing_docs, reason = "the names say it")]
#![expect(clippy::unwrap_used, reason = "a proof: what cannot be is a fault of its own")]

mod authority;
mod check;
mod clock;
mod hub;
mod net;
mod plan;
mod replica;
mod state;
mod store;
mod verifier;

use std::collections::BTreeMap;

use self::{
    authority::{AuthorityEvent, AuthorityHost},
    check::Checker,
    clock::{MILLI, SECOND},
    net::{Link, LinkId},
    plan::SERVED,
    verifier::{VerifierEvent, VerifierHost},
};
pub use self::{
    check::Sightings,
    clock::Rng,
    plan::{Action, Flaw, Plan, RATE_FASTEST, RATE_SLOWEST, VERIFIERS, plan},
};

struct World {
    t: u64,
    queue: BTreeMap<(u64, u64), Event>,
    ordinal: u64,
    rng: Rng,
    plan: Plan,
    authority: AuthorityHost,
    verifiers: Vec<VerifierHost>,
    links: BTreeMap<LinkId, Link>,
    check: Checker,
}

#[derive(Debug, Clone)]
enum Event {
    Act(Action),
    Authority(AuthorityEvent),
    Verifier(usize, VerifierEvent),
}

/// Runs a plan, then waits until every fault has healed and demands that all is well again.
pub fn run(plan: &Plan) -> Result<Sightings, String> {
    let mut world = World::new(plan.clone());
    let mut at = 2 * SECOND;
    for (gap, action) in &plan.actions {
        at += gap * MILLI;
        world.schedule(at, Event::Act(*action));
    }
    // Every fault heals by itself. The longest that may still be under way: a fault of 40 s, a grace of 20 s with its
    // margin, a slow reconnect.
    let end = at + 100 * SECOND;
    world.run_until(end);
    world.end_check();
    match world.check.violation {
        None => Ok(world.check.seen),
        Some(violation) => Err(violation),
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut rng = Rng(plan.seed);
        let authority = AuthorityHost::new(&plan, &mut rng);
        let verifiers = (0..SERVED.len()).map(|index| VerifierHost::new(index, &plan, &authority)).collect();
        let mut world = Self {
            t: 0,
            queue: BTreeMap::new(),
            ordinal: 0,
            rng,
            plan,
            authority,
            verifiers,
            links: BTreeMap::new(),
            check: Checker::default(),
        };
        world.schedule(0, Event::Authority(AuthorityEvent::Start));
        for index in 0..SERVED.len() {
            let at = world.rng.below(300 * MILLI);
            world.schedule(at, Event::Verifier(index, VerifierEvent::Start));
        }
        world
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.ordinal += 1;
        self.queue.insert((at.max(self.t), self.ordinal), event);
    }

    fn run_until(&mut self, end: u64) {
        while self.check.violation.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            if at > end {
                break;
            }
            self.t = at;
            match event {
                Event::Act(action) => self.act(action),
                Event::Authority(event) => self.authority_event(event),
                Event::Verifier(index, event) => self.verifier_event(index, event),
            }
        }
        self.t = end;
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Revoke { .. }
            | Action::RevokeMany { .. }
            | Action::Issue { .. }
            | Action::Policy { .. }
            | Action::RevokeOwn { .. } => {
                self.schedule(self.t, Event::Authority(AuthorityEvent::Mutate(action)));
            }
            Action::Block { verifier, up, down, span } => {
                let until = self.t + span * MILLI;
                let host = &mut self.verifiers[verifier];
                host.up_from = if up { host.up_from.max(until) } else { host.up_from };
                host.down_from = if down { host.down_from.max(until) } else { host.down_from };
            }
            Action::Break { verifier } => self.link_break(verifier),
            Action::Stop { process, span } => {
                let until = odd(self.t + span * MILLI);
                let stopped = match process {
                    None => &mut self.authority.stopped_until,
                    Some(index) => &mut self.verifiers[index].stopped_until,
                };
                *stopped = until.max(*stopped);
            }
            Action::Freeze { process, span } => {
                let until = odd(self.t + span * MILLI);
                match process {
                    None if self.authority.thaw_at.is_none() => {
                        self.authority.freeze(self.t, until);
                        self.schedule(until, Event::Authority(AuthorityEvent::Thaw));
                    }
                    Some(index) if self.verifiers[index].thaw_at.is_none() => {
                        self.verifiers[index].freeze(self.t, until);
                        self.schedule(until, Event::Verifier(index, VerifierEvent::Thaw));
                    }
                    _ => {}
                }
            }
            Action::Stall { verifier, span } => {
                let host = &mut self.verifiers[verifier];
                host.stalled_until = host.stalled_until.max(odd(self.t + span * MILLI));
            }
            Action::Crash { process: None, span } => self.authority_crash(span * MILLI),
            Action::Crash { process: Some(index), span } => self.verifier_crash(index, span * MILLI),
            Action::Rot { verifier, row, how } => {
                self.check.seen.rotten += u64::from(self.verifiers[verifier].rot(row, how, &mut self.rng));
            }
            Action::Leave { verifier, span } => {
                self.schedule(self.t, Event::Verifier(verifier, VerifierEvent::Leave { span: span * MILLI }));
            }
            Action::Copy { disk } => self.state_copy(disk),
            Action::Second => self.state_second(),
        }
    }

    fn end_check(&mut self) {
        if self.check.violation.is_some() || self.plan.flaw.is_some() {
            return;
        }
        let pending = self.check.pending();
        if pending > 0 {
            self.check.violated(|| format!("L1: {pending} receipts are not complete after everything healed"));
        }
        for index in 0..self.verifiers.len() {
            let host = &self.verifiers[index];
            if !host.is_live(self.t) {
                self.check.violated(|| format!("L3: verifier {index} has no lease after everything healed"));
            }
        }
    }
}

/// The end of a stop. Messages arrive at even moments, so that none arrives at the same one and overtakes those that the
/// stop held back.
fn odd(at: u64) -> u64 {
    at | 1
}
