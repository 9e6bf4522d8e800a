//! Renewals and what comes of them (`feed-protocol.md` 10 and 14).
//!
//! The lease's generation is read before a renewal leaves and given back with its grant: whatever voids a lease in
//! between, in this session or at the release of an answer, makes the replica refuse the grant.

use jeton_types::{
    Now,
    fault::{Fault, injected},
};

use super::{Effect, Note, Session, State};
use crate::{
    lease::{Lease, Void},
    message::{Grant, ToAuthority},
    numbers::{JUMP_MAX, RENEW_EVERY},
    replica::Replica,
};

/// Renewals whose grants are still awaited on one stream. An older one could only give a lease that has passed already.
const RENEWALS_AWAITED_MAX: usize = 4;

/// A renewal that was sent, and later the lease that came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) request: u64,
    pub(super) sent: Now,
    /// Of the replica's lease, read before the renewal was sent.
    pub(super) generation: u64,
}

impl Session {
    pub(super) fn renew_if_due<R: Replica>(&mut self, now: Now, replica: &R, out: &mut Vec<Effect>) {
        let State::Live(live) = &mut self.state else { return };
        if self.needs_protocol.is_some() || now.boot < live.renew_at {
            return;
        }
        self.requests += 1;
        let request = self.requests;
        if live.renewals.len() == RENEWALS_AWAITED_MAX {
            live.renewals.pop_front();
        }
        live.renewals.push_back(Held { request, sent: now, generation: replica.lease_generation() });
        live.renew_at = now.boot.plus(RENEW_EVERY);
        out.push(Effect::Send(ToAuthority::Renew { request }));
    }

    pub(super) fn grant<R: Replica>(&mut self, now: Now, grant: Grant, replica: &R, out: &mut Vec<Effect>) {
        let State::Live(live) = &mut self.state else { return };
        // Older ones than the last granted are no longer in the list: an older grant never replaces a newer.
        let Some(place) = live.renewals.iter().position(|renewal| renewal.request == grant.request) else { return };
        let renewal = live.renewals[place];
        if !injected(Fault::OlderGrantReplacesNewer) {
            live.renewals.drain(..=place);
        }
        let mut sent = if injected(Fault::LeaseFromReceive) { now } else { renewal.sent };
        let mut generation = renewal.generation;
        if injected(Fault::JumpAcceptsOldGrants) {
            sent.real = now.real.minus(now.boot.since(sent.boot));
            generation = replica.lease_generation();
        }
        let lease = Lease { request: renewal.request, sent, authority_time: grant.authority_time };
        if replica.lease_set(lease, generation) {
            self.held = Some(renewal);
            self.unvouched = false;
            self.backoff.reset();
        } else {
            // Voided since by somebody else: no renewal sent before that counts.
            self.held = None;
            live.renewals.retain(|later| later.generation > renewal.generation);
            live.renew_at = now.boot;
            out.push(Effect::Note(Note::GrantDiscarded));
        }
    }

    /// Looks for a paused machine: by the clocks, and by a void that somebody else put on the lease.
    pub(super) fn jump_look<R: Replica>(&mut self, now: Now, replica: &R, out: &mut Vec<Effect>) {
        let awaited = match &self.state {
            State::Live(live) if !injected(Fault::JumpAcceptsOldGrants) => live.renewals.front(),
            _ => None,
        };
        if self.held.iter().chain(awaited).any(|renewal| now.jump_since(renewal.sent) > JUMP_MAX) {
            return self.jumped(now, replica, out);
        }
        if self.held.is_some_and(|held| held.generation != replica.lease_generation()) {
            self.held = None;
            self.renew_anew(now);
        }
    }

    pub(super) fn jumped<R: Replica>(&mut self, now: Now, replica: &R, out: &mut Vec<Effect>) {
        if !injected(Fault::JumpKeepsGrace) {
            replica.lease_void(Void::Jump);
        }
        self.held = None;
        self.renew_anew(now);
        out.push(Effect::Note(Note::Jump));
    }

    /// Forgets the renewals already sent and sends another with this step.
    fn renew_anew(&mut self, now: Now) {
        if let State::Live(live) = &mut self.state {
            if !injected(Fault::JumpAcceptsOldGrants) {
                live.renewals.clear();
            }
            live.renew_at = now.boot;
        }
    }
}
