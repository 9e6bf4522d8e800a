//! Streams, acknowledgements, grants and goodbyes (`feed-protocol.md` 6, 7, 9, 13).

use std::ops::Bound::{Excluded, Included, Unbounded};

use jeton_types::{
    BootTime, Revision, SessionId, TokenId,
    fault::{Fault, injected},
};

use super::{
    Hub,
    fact::{Effect, SessionFacts, StreamId},
    moment::Moment,
    namespace::NamespaceKey,
    receipt::LineState,
    session::{NEVER, Session, Stream, StreamState, Waiting},
};
use crate::{
    message::{Grant, ToVerifier},
    numbers::{END_WAIT, FORGET_AFTER, POLL_EVERY},
};

const REASON_ENDED: &str = "the token of this session was revoked; give the verifier another one";
const REASON_NOT_GOOD: &str = "the token of this session expired or lost its role; give the verifier another one";

impl Hub {
    pub(super) fn session_opened(&mut self, facts: SessionFacts, moment: Moment, effects: &mut Vec<Effect>) {
        let (session, opened) = (facts.session, facts.opened);
        if self.sessions.contains_key(&session) {
            return;
        }
        self.session_add(facts, Some(moment.boot));
        self.wake_by(moment.boot.plus(FORGET_AFTER));
        self.lines_add(session, opened, None, effects);
    }

    pub(super) fn stream_opened(
        &mut self,
        session: SessionId,
        stream: StreamId,
        epoch: u64,
        token: TokenId,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.streams.insert(stream, Stream { session, token, state: StreamState::Cut });
        let Some(found) = self.sessions.get_mut(&session) else {
            effects.push(Effect::Send { stream, message: ToVerifier::Ended });
            effects.push(Effect::Cut { stream });
            return;
        };
        if found.epoch.is_some_and(|known| epoch <= known) {
            effects.push(Effect::Cut { stream });
            return;
        }
        found.epoch = Some(epoch);
        if let Some(older) = found.stream {
            self.stream_cut(older, moment, effects);
        }
        if let Some(found) = self.sessions.get_mut(&session) {
            found.stream = Some(stream);
        }
        if let Some(opened) = self.streams.get_mut(&stream) {
            opened.state = StreamState::Open;
        }
        // The hello was a verification of its token, begun before the token ended.
        let ended = self.ended_tokens.iter().find(|(_, tokens)| tokens.contains(&token)).map(|(by, _)| *by);
        if let Some(by) = ended {
            self.stream_end(stream, Some(by), moment, effects);
        }
    }

    /// A session that comes with older state than the head at its registration knows only that.
    pub(super) fn view_lower(
        &mut self,
        session: SessionId,
        stream: StreamId,
        resume: Revision,
        effects: &mut Vec<Effect>,
    ) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        if found.stream != Some(stream) || found.acked.is_some() || resume >= found.view {
            return;
        }
        let before = std::mem::replace(&mut found.view, resume);
        self.lines_add(session, resume, Some(before), effects);
    }

    pub(super) fn stream_closed(&mut self, stream: StreamId, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(closed) = self.streams.remove(&stream) else { return };
        self.stream_leave(closed.session, stream);
        if closed.ended_by().is_some() {
            self.authority_settle(moment, effects);
        }
    }

    pub(super) fn ack(&mut self, stream: StreamId, revision: Revision, moment: Moment, effects: &mut Vec<Effect>) {
        if injected(Fault::StaleAckNewEpoch) {
            return self.ack_of_name(stream, revision, moment, effects);
        }
        let Some((id, _)) = self.stream_current(stream) else { return };
        self.acked(id, revision, moment, effects);
    }

    fn acked(&mut self, id: SessionId, revision: Revision, moment: Moment, effects: &mut Vec<Effect>) {
        self.heard(id, moment);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.acked.is_some_and(|acked| revision <= acked) {
            return;
        }
        let before = session.acked.replace(revision).unwrap_or(Revision::ZERO);
        if session.fence_check != NEVER {
            // The grace that counts may have become shorter.
            session.fence_check = session.counted_out_first(self.started);
            self.wakeup = self.wakeup.min(moment.boot.plus(POLL_EVERY));
        }
        let mut changed = Vec::new();
        for key in &session.namespaces {
            let pending = &mut self.namespaces.at_mut(*key).pending;
            for (at, receipt) in pending.range_mut((Excluded(before), Included(revision))) {
                let has_line = receipt.state(id).is_some();
                if has_line && receipt.set(&session.facts, LineState::Acked(moment.authority)) {
                    changed.push((*key, *at));
                }
            }
        }
        self.receipts_changed(&changed, moment, effects);
        self.waiting_grant(id, moment, effects);
    }

    pub(super) fn renew(
        &mut self,
        stream: StreamId,
        request: u64,
        token_good: bool,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some((id, StreamState::Open)) = self.stream_current(stream) else { return };
        if !token_good {
            self.stream_end(stream, None, moment, effects);
            return;
        }
        self.heard(id, moment);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.waiting = Some(Waiting { request, since: moment.boot });
        }
        self.waiting_grant(id, moment, effects);
    }

    pub(super) fn goodbye(&mut self, stream: StreamId, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(id) = self.streams.get(&stream).map(|stream| stream.session) else { return };
        self.session_end(id, LineState::Goodbye(moment.authority), moment, effects);
    }

    /// Ends a session by its own goodbye or a claim of succession: every receipt that waits for it has its answer.
    pub(super) fn session_end(&mut self, id: SessionId, by: LineState, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.remove(&id) else { return };
        // Durable before any receipt that rests on it.
        effects.push(Effect::SessionEnded { session: id, evidence: by.kind(), at: moment.authority });
        if let Some(stream) = session.stream {
            self.stream_cut(stream, moment, effects);
        }
        let mut changed = Vec::new();
        for key in &session.namespaces {
            for (at, receipt) in &mut self.namespaces.at_mut(*key).pending {
                let has_line = receipt.state(id).is_some();
                if has_line && receipt.set(&session.facts, by) {
                    changed.push((*key, *at));
                }
            }
        }
        self.receipts_changed(&changed, moment, effects);
    }

    /// Tells a stream that its token ended, and gives it [`END_WAIT`] for its goodbye.
    pub(super) fn stream_end(
        &mut self,
        stream: StreamId,
        by: Option<Revision>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(ending) = self.streams.get_mut(&stream) else { return };
        match &mut ending.state {
            StreamState::Cut => return,
            StreamState::Ending { by: known, .. } => {
                *known = known.or(by);
                return;
            }
            StreamState::Open => {}
        }
        let until = moment.boot.plus(END_WAIT);
        ending.state = StreamState::Ending { until, by };
        if let Some(session) = self.sessions.get_mut(&ending.session) {
            session.waiting = None;
        }
        let reason = if by.is_some() { REASON_ENDED } else { REASON_NOT_GOOD };
        effects.push(Effect::Send { stream, message: ToVerifier::End { reason: reason.to_owned() } });
        self.wake_by(until);
    }

    /// Cuts a stream; what it was to the authority's own acknowledgement is settled with it.
    pub(super) fn stream_cut(&mut self, stream: StreamId, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(cut) = self.streams.get_mut(&stream) else { return };
        let (session, ended_by) = (cut.session, cut.ended_by());
        if cut.state == StreamState::Cut {
            return;
        }
        cut.state = StreamState::Cut;
        self.stream_leave(session, stream);
        effects.push(Effect::Cut { stream });
        if ended_by.is_some() {
            self.authority_settle(moment, effects);
        }
    }

    /// The session of a stream that is its newest and not cut.
    pub(super) fn stream_current(&self, stream: StreamId) -> Option<(SessionId, StreamState)> {
        let found = self.streams.get(&stream)?;
        (found.state != StreamState::Cut).then_some((found.session, found.state))
    }

    /// As [`Self::ack`] must not be: for every session of the verifier's name, and from any stream.
    fn ack_of_name(&mut self, stream: StreamId, revision: Revision, moment: Moment, effects: &mut Vec<Effect>) {
        let sent = self.streams.get(&stream).and_then(|stream| self.sessions.get(&stream.session));
        let Some(verifier) = sent.map(|session| session.facts.verifier.clone()) else { return };
        let named = self.sessions.iter().filter(|(_, session)| session.facts.verifier == verifier);
        for id in named.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.acked(id, revision, moment, effects);
        }
    }

    /// A message that is no grant shows nothing: a stuck apply path still sends (`feed-protocol.md` 11).
    fn heard(&mut self, id: SessionId, moment: Moment) {
        if injected(Fault::SilenceAnyMessage)
            && let Some(session) = self.sessions.get_mut(&id)
            && session.granted.is_some()
        {
            session.granted = Some(moment.boot);
        }
    }

    fn stream_leave(&mut self, session: SessionId, stream: StreamId) {
        if let Some(session) = self.sessions.get_mut(&session)
            && session.stream == Some(stream)
        {
            session.stream = None;
            session.waiting = None;
        }
    }

    /// Grants the renewal that waits, if the session is far enough.
    fn waiting_grant(&mut self, id: SessionId, moment: Moment, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (Some(waiting), Some(stream), Some(acked)) = (session.waiting, session.stream, session.acked) else {
            return;
        };
        if !waiting.is_worth(moment.boot) {
            session.waiting = None;
            return;
        }
        let namespaces = &mut self.namespaces;
        if injected(Fault::FloorForAllNamespaces) && namespaces.keys().any(|key| acked < namespaces.at(key).floor) {
            return;
        }
        let far_enough = |key: &NamespaceKey| {
            let namespace = namespaces.at_mut(*key);
            (acked >= namespace.floor || injected(Fault::NoFloorOnGrant)) && acked >= namespace.due(moment.boot)
        };
        if !session.namespaces.iter().all(far_enough) {
            return;
        }
        session.waiting = None;
        session.granted = Some(moment.boot);
        let grant = Grant { request: waiting.request, authority_time: moment.authority };
        effects.push(Effect::Send { stream, message: ToVerifier::Grant(grant) });
        // Records of the last second: this session is alive again and may not have them.
        self.lines_add(id, acked, None, effects);
    }

    /// Makes the session's line pending in every pending receipt above `after` (and up to `until`).
    fn lines_add(&mut self, id: SessionId, after: Revision, until: Option<Revision>, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Session { facts, namespaces, .. } = session;
        let mut added = false;
        for key in namespaces {
            let pending = &mut self.namespaces.at_mut(*key).pending;
            for receipt in pending.range_mut((Excluded(after), until.map_or(Unbounded, Included))).map(|(_, it)| it) {
                if receipt.set(facts, LineState::Pending) {
                    effects.push(Effect::ReceiptProgress { revocation: receipt.revocation });
                    added = true;
                }
            }
        }
        if added {
            session.fence_check = session.fence_check.min(session.counted_out_first(self.started));
            let at: BootTime = session.fence_check;
            self.wake_by(at);
        }
    }
}
