//! When a receipt is complete (`feed-protocol.md` 11, 12, 19, 20), and what time alone decides.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use jeton_types::{
    Revision, SessionId, TokenId,
    fault::{Fault, injected},
};

use super::{
    Hub,
    fact::{Committed, Effect},
    moment::Moment,
    namespace::{Namespace, NamespaceKey},
    receipt::{LineState, Receipt, Unstored},
    session::{NEVER, StreamState},
};
use crate::{
    message::ToVerifier,
    numbers::{FORGET_AFTER, HEARTBEAT_EVERY},
};

/// How long a complete receipt may take to be stored before it is told again.
const STORE_PATIENCE: std::time::Duration = HEARTBEAT_EVERY;

impl Hub {
    pub(super) fn committed(&mut self, committed: Committed, moment: Moment, effects: &mut Vec<Effect>) {
        if committed.revision <= self.fed {
            return;
        }
        self.fed = committed.revision;
        self.head = committed.head;
        let key = self.namespaces.key(&committed.namespace);
        // Not since it is known here: a grant that the hub makes late must not be one that the bound forbids.
        let at = committed.boot.min(moment.boot);
        self.namespaces.at_mut(key).record_add(committed.revision, at);
        if let Some(freshness) = committed.policy {
            self.namespaces.policy_add(key, committed.revision, freshness);
        }
        if key == self.built_in && !committed.ended_tokens.is_empty() {
            self.tokens_end(committed.revision, committed.ended_tokens, moment, effects);
        }
        if let Some(revocation) = committed.revocation {
            let receipt = Receipt::new(revocation, committed.revision, committed.committed_at, moment.boot, Vec::new());
            self.unreleased.insert(committed.revision, key);
            self.receipt_begin(key, receipt, moment);
            effects.push(Effect::ReceiptProgress { revocation });
            self.authority_settle(moment, effects);
        }
    }

    /// Takes a receipt in, with a line for every session that could know less.
    pub(super) fn receipt_begin(&mut self, key: NamespaceKey, mut receipt: Receipt, moment: Moment) {
        let namespace = self.namespaces.at_mut(key);
        for session in self.sessions.values_mut() {
            if !session.serves(key) || session.view >= receipt.revision {
                continue;
            }
            if injected(Fault::SkipSession) && session.stream.is_none() {
                continue;
            }
            let out_at = session.counted_out_at(&namespace.policies, receipt.revision, receipt.committed, self.started);
            let state = if session.acked.is_some_and(|acked| acked >= receipt.revision) {
                LineState::Acked(moment.authority)
            } else if out_at <= moment.boot {
                LineState::Fenced {
                    at: moment.authority,
                    silent_since: moment.authority_at(session.silent_from(self.started)),
                }
            } else {
                session.fence_check = session.fence_check.min(out_at);
                self.wakeup = self.wakeup.min(out_at);
                LineState::Pending
            };
            receipt.set(&session.facts, state);
        }
        self.revocations.insert(receipt.revocation, (key, receipt.revision));
        namespace.pending.insert(receipt.revision, receipt);
    }

    /// Acknowledges for the authority itself what it may: its own verifications on an older view are released, and no
    /// stream of a token that ended with the record is left.
    pub(super) fn authority_settle(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let (streams, built_in) = (&self.streams, self.built_in);
        let has_stream = |revision| streams.values().any(|stream| stream.ended_by() == Some(revision));
        let ready: Vec<(NamespaceKey, Revision)> = self
            .unreleased
            .range(..=self.released)
            .filter(|(revision, key)| **key != built_in || !has_stream(**revision) || injected(Fault::HelloBeforeCut))
            .map(|(revision, key)| (*key, *revision))
            .collect();
        for (key, revision) in &ready {
            self.unreleased.remove(revision);
            if let Some(receipt) = self.namespaces.at_mut(*key).pending.get_mut(revision) {
                receipt.authority_acked(moment.authority);
            }
        }
        // Every later hello looks its token up in a view that has the end.
        let released = self.released;
        self.ended_tokens.retain(|by, _| *by > released);
        self.receipts_changed(&ready, moment, effects);
    }

    /// Tells of receipts whose lines changed, or completes them. The floor rises here, before anything is told.
    pub(super) fn receipts_changed(
        &mut self,
        changed: &[(NamespaceKey, Revision)],
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        for (key, revision) in changed {
            let namespace = self.namespaces.at_mut(*key);
            let Some(receipt) = namespace.pending.get(revision) else { continue };
            let revocation = receipt.revocation;
            if !receipt.is_unblocked() {
                effects.push(Effect::ReceiptProgress { revocation });
                continue;
            }
            namespace.floor = namespace.floor.max(*revision);
            let facts = receipt.facts(&namespace.name, Some(moment.authority), |_| None);
            namespace.pending.remove(revision);
            self.revocations.remove(&revocation);
            self.unstored.insert(revocation, Unstored::new(facts.clone(), moment));
            self.wake_by(moment.boot.plus(STORE_PATIENCE));
            effects.push(Effect::ReceiptComplete(facts));
        }
    }

    /// Counts every interval from here on, as a new start would (`feed-protocol.md` 3).
    pub(super) fn restart(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        self.started = moment.boot;
        for session in self.sessions.values_mut() {
            session.restart();
        }
        for (stream, cut) in &mut self.streams {
            if cut.state != StreamState::Cut {
                cut.state = StreamState::Cut;
                effects.push(Effect::Cut { stream: *stream });
            }
        }
        for key in self.namespaces.keys() {
            self.namespaces.at_mut(key).restart(|session| self.sessions.contains_key(&session));
        }
        self.settle_all = true;
        self.wakeup = moment.boot;
    }

    pub(super) fn tick(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        self.endings_expire(moment, effects);
        let mut changed = self.sessions_fence(moment);
        if std::mem::take(&mut self.settle_all) {
            self.authority_settle(moment, effects);
            for key in self.namespaces.keys() {
                let unblocked = self.namespaces.at(key).pending.values().filter(|receipt| receipt.is_unblocked());
                changed.extend(unblocked.map(|receipt| (key, receipt.revision)));
            }
        }
        let changed: Vec<_> = changed.into_iter().collect();
        self.receipts_changed(&changed, moment, effects);
        self.sessions_forget(moment, effects);
        for unstored in self.unstored.values_mut() {
            if moment.since(unstored.told) >= STORE_PATIENCE {
                unstored.told = moment.boot;
                effects.push(Effect::ReceiptComplete(unstored.facts.clone()));
            }
        }
        self.wakeup = self.wakeup_next();
    }

    /// Tells the streams of tokens that just ended.
    fn tokens_end(&mut self, by: Revision, tokens: Vec<TokenId>, moment: Moment, effects: &mut Vec<Effect>) {
        let streams: Vec<_> =
            self.streams.iter().filter(|(_, stream)| tokens.contains(&stream.token)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.stream_end(stream, Some(by), moment, effects);
        }
        self.ended_tokens.insert(by, tokens);
    }

    fn endings_expire(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let is_over = |state| matches!(state, StreamState::Ending { until, .. } if until <= moment.boot);
        let over: Vec<_> = self.streams.iter().filter(|(_, stream)| is_over(stream.state)).map(|(id, _)| *id).collect();
        for stream in over {
            self.stream_cut(stream, moment, effects);
        }
    }

    /// Counts out whom time has counted out; the receipts that this changed.
    fn sessions_fence(&mut self, moment: Moment) -> BTreeSet<(NamespaceKey, Revision)> {
        let mut changed = BTreeSet::new();
        for (id, session) in &mut self.sessions {
            if session.fence_check > moment.boot {
                continue;
            }
            let mut next = NEVER;
            let silent_since = moment.authority_at(session.silent_from(self.started));
            for key in &session.namespaces {
                let Namespace { policies, pending, .. } = self.namespaces.at_mut(*key);
                for (revision, receipt) in pending.range_mut((Excluded(session.known()), Unbounded)) {
                    if receipt.state(*id) != Some(LineState::Pending) {
                        continue;
                    }
                    let out_at = session.counted_out_at(policies, *revision, receipt.committed, self.started);
                    if out_at <= moment.boot {
                        receipt.set(&session.facts, LineState::Fenced { at: moment.authority, silent_since });
                        changed.insert((*key, *revision));
                    } else {
                        next = next.min(out_at);
                    }
                }
            }
            session.fence_check = next;
        }
        changed
    }

    /// Lets go of sessions that no receipt waits for and that have been silent for longer than any grace.
    fn sessions_forget(&mut self, moment: Moment, effects: &mut Vec<Effect>) {
        let started = self.started;
        let forgotten: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.fence_check == NEVER)
            .filter(|(_, session)| moment.since(session.silent_from(started)) >= FORGET_AFTER)
            .map(|(id, _)| *id)
            .collect();
        for id in forgotten {
            let stream = self.sessions.remove(&id).and_then(|session| session.stream);
            effects.push(Effect::SessionForgotten { session: id });
            if let Some(stream) = stream {
                effects.push(Effect::Send { stream, message: ToVerifier::Ended });
                self.stream_cut(stream, moment, effects);
            }
        }
    }

    fn wakeup_next(&self) -> jeton_types::BootTime {
        let endings = self.streams.values().filter_map(|stream| match stream.state {
            StreamState::Ending { until, .. } => Some(until),
            StreamState::Open | StreamState::Cut => None,
        });
        let fences = self.sessions.values().map(|session| session.fence_check);
        let forgets = self.sessions.values().filter(|session| session.fence_check == NEVER);
        let forgets = forgets.map(|session| session.silent_from(self.started).plus(FORGET_AFTER));
        let repeats = self.unstored.values().map(|unstored| unstored.told.plus(STORE_PATIENCE));
        endings.chain(fences).chain(forgets).chain(repeats).min().unwrap_or(NEVER)
    }
}
