//! The driver of the hub: what it says is done, in order, and looked at.

use jeton_feed::{
    authority::{Effect, EvidenceKind, Input},
    message::ToVerifier,
    numbers::{LAG_MAX, POLL_EVERY, counted_out_after},
};
use jeton_types::{Freshness, Now};

use super::{Event, World, authority::AuthorityEvent, clock::MILLI, net::Link};

impl World {
    pub(crate) fn hub_step(&mut self, input: Input) {
        let (now, authority_time) = self.authority.time(self.t);
        let Some(hub) = &mut self.authority.hub else { return };
        let effects = hub.step(now, authority_time, input);
        let mut jumped = false;
        for effect in effects {
            jumped |= effect == Effect::JumpSeen;
            self.hub_effect(effect, now);
        }
        if jumped {
            self.check.seen.jumps += 1;
            self.check.acked.clear();
            self.check.wait_anew(now.boot);
            let start = self.start_record();
            self.hub_step(Input::Restarted { start });
        }
        self.dead_streams_check();
        let host = &mut self.authority;
        let Some(hub) = &host.hub else { return };
        if hub.next_wakeup().as_nanos() == u64::MAX {
            return;
        }
        let (start, at) = (host.start, host.clock.reaches(self.t, hub.next_wakeup()).max(self.t + 1));
        if at < host.tick_at {
            host.tick_at = at;
            self.schedule(at, Event::Authority(AuthorityEvent::Tick { start, at }));
        }
    }

    pub(crate) fn hub_effect(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Send { stream, message } => {
                if !self.is_open_at_authority(stream.0) {
                    return;
                }
                match &message {
                    ToVerifier::Grant(_) => {
                        let session = self.links[&stream.0].session.unwrap();
                        let namespaces = self.authority.store.sessions[&session].facts.namespaces.clone();
                        self.check.granted(session, &namespaces);
                    }
                    ToVerifier::End { .. } => self.check.seen.ended_streams += 1,
                    _ => {}
                }
                self.send_urgent(stream.0, message);
            }
            Effect::Cut { stream } => {
                if self.is_open_at_authority(stream.0) {
                    self.links.get_mut(&stream.0).unwrap().feeder = None;
                    self.close_down(stream.0);
                    self.schedule(self.t + MILLI, Event::Authority(AuthorityEvent::Closed(stream.0)));
                }
            }
            Effect::ReceiptComplete(receipt) => {
                let log = &self.authority.store.log;
                let entry = log.iter().find(|entry| entry.record.revision == receipt.revision).unwrap();
                self.check.complete(&receipt, &entry.committed.ended_tokens, now.boot, self.t);
                for line in &receipt.evidence {
                    match line.state {
                        EvidenceKind::Acked => self.check.seen.acked += 1,
                        EvidenceKind::Goodbye => self.check.seen.goodbye += 1,
                        EvidenceKind::Fenced => self.check.seen.fenced += 1,
                        EvidenceKind::Succeeded => self.check.seen.succeeded += 1,
                        EvidenceKind::Pending => {
                            self.check.violated(|| format!("S1: complete with a line {line:?}"));
                        }
                    }
                }
                self.probe_all();
                let (start, at) = (self.authority.start, self.t + self.rng.below(30 * MILLI));
                let receipt = Box::new(receipt);
                self.schedule(at, Event::Authority(AuthorityEvent::Stored { start, receipt }));
            }
            Effect::SessionEnded { session, evidence, at } => {
                if evidence == EvidenceKind::Succeeded {
                    self.succession_check(session);
                }
                if let Some(row) = self.authority.store.sessions.get_mut(&session) {
                    row.ended = Some((evidence, at));
                }
            }
            Effect::ClaimsSettle { stream, by, sessions, at } => self.claims_settle(stream, &by, sessions, at),
            Effect::SessionForgotten { session } => {
                self.authority.store.sessions.remove(&session);
            }
            Effect::ReceiptProgress { .. } | Effect::JumpSeen => {}
        }
    }

    /// S1 for the built-in namespace: no stream is left of a token whose receipt is complete.
    pub(crate) fn dead_streams_check(&mut self) {
        let start = self.authority.start;
        let alive = |link: &&Link| link.start == start && link.open_at_authority && link.feeder.is_some();
        let dead = self.links.values().filter(alive).find(|link| self.check.is_dead(link.token));
        if let Some(link) = dead {
            let text = format!("S1: verifier {} has a stream of {} at {}", link.verifier, link.token, self.t);
            self.check.violated(|| text);
        }
    }

    pub(crate) fn bound_check(&mut self) {
        let boot = self.authority.clock.now(self.t).boot;
        // A stopped process cannot look; give it a poll when it goes on.
        if boot.since(self.authority.resumed) < POLL_EVERY {
            return;
        }
        let graces = &self.authority.graces;
        self.check.bounded(boot, |namespace| {
            let grace = graces.get(namespace).copied().unwrap_or(Freshness::Strict).grace();
            LAG_MAX + counted_out_after(grace) + POLL_EVERY
        });
    }
}
