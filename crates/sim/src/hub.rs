//! The driver of the hub: what it says is done, in order, and looked at.

use jeton_feed::{
    authority::{Effect, EvidenceKind, Input},
    message::ToVerifier,
    numbers::{LAG_MAX, POLL_EVERY, counted_out_after},
};
use jeton_types::{Freshness, Now};

use crate::{
    authority::AuthorityEvent,
    clock::MILLI,
    net::Link,
    world::{Event, World},
};

impl World {
    pub(crate) fn hub_step(&mut self, input: Input) {
        let (now, authority_time) = self.authority.time(self.t);
        let Some(hub) = &mut self.authority.hub else { return };
        let effects = hub.step(now, authority_time, input);
        let (mut jumped, mut streams) = (false, false);
        for effect in effects {
            jumped |= effect == Effect::JumpSeen;
            streams |= matches!(effect, Effect::ReceiptComplete(_));
            self.hub_effect(effect, now);
        }
        if jumped {
            self.check.seen.jumps += 1;
            self.note("authority", || "sees that its machine was paused: a new start".to_owned());
            self.check.acked.clear();
            self.check.wait_anew(now.boot);
            let start = self.start_record();
            self.hub_step(Input::Restarted { start });
        }
        if streams {
            self.dead_streams_check();
        }
        self.hub_wake();
    }

    pub(crate) fn hub_wake(&mut self) {
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

    fn hub_effect(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Send { stream, message } => {
                let link = Link::of(stream);
                if !self.is_open_at_authority(link) {
                    return;
                }
                match &message {
                    ToVerifier::Grant(_) => {
                        if let Some(session) = self.links[link].session
                            && let Some(row) = self.authority.store.sessions.get(&session)
                        {
                            self.check.granted(session, &row.facts.namespaces);
                        }
                    }
                    ToVerifier::End { .. } => {
                        self.check.seen.ended_streams += 1;
                        self.note("authority", || format!("ends the session of stream {link}: its token has ended"));
                    }
                    _ => {}
                }
                self.send_urgent(link, message);
            }
            Effect::Cut { stream } => {
                let link = Link::of(stream);
                if self.is_open_at_authority(link) {
                    self.links[link].feeder = None;
                    self.close_down(link);
                    self.schedule(self.t + MILLI, Event::Authority(AuthorityEvent::Closed(link)));
                }
            }
            Effect::ReceiptComplete(receipt) => {
                let log = &self.authority.store.log;
                let place = log.binary_search_by_key(&receipt.revision, |entry| entry.record.revision);
                let Ok(place) = place else { return };
                let tokens = log[place].committed.ended_tokens.clone();
                let took = self.check.complete(&receipt, &tokens, now.boot, self.authority.resumed);
                let names: Vec<String> = tokens.iter().map(|token| self.check.token_name(*token)).collect();
                if let Some(took) = took {
                    let mut lines = Vec::new();
                    for line in &receipt.evidence {
                        let seen = &mut self.check.seen;
                        match line.state {
                            EvidenceKind::Acked => seen.acked += 1,
                            EvidenceKind::Goodbye => seen.goodbye += 1,
                            EvidenceKind::Fenced => seen.fenced += 1,
                            EvidenceKind::Succeeded => seen.succeeded += 1,
                            EvidenceKind::Pending => {
                                self.check.violated(names.clone(), || {
                                    format!("S1, receipt soundness: complete with a pending line {line:?}")
                                });
                            }
                        }
                        if let Some(session) = line.session.filter(|_| self.told) {
                            lines.push(format!("{} {}", self.check.session_name(session), line.state));
                        }
                    }
                    self.note("authority", || {
                        format!("receipt of {} complete after {took} ms: {}", names.join(" "), lines.join(", "))
                    });
                    self.probe_all();
                }
                let (start, at) = (self.authority.start, self.t + self.rng.below(30 * MILLI));
                let receipt = Box::new(receipt);
                self.schedule(at, Event::Authority(AuthorityEvent::Stored { start, receipt }));
            }
            Effect::SessionEnded { session, evidence, at } => {
                let name = self.check.session_name(session);
                self.note("authority", || format!("{name} is over: {evidence}"));
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
        for id in self.links_open() {
            let link = &self.links[id];
            let alive = link.start == start && link.open_at_authority && link.feeder.is_some();
            if alive && self.check.is_dead(link.token) && !self.check.put_back {
                let (who, token) = (self.verifier_name(link.verifier), self.check.token_name(link.token));
                self.check.violated([who.clone(), token.clone()], || {
                    format!("S1, receipt soundness: {who} has a stream of {token}, whose receipt is complete")
                });
            }
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
