//! Claims of succession (`feed-protocol.md` 27).

use jeton_types::SessionId;

use super::{
    Hub,
    fact::{Effect, StreamId},
    moment::Moment,
    receipt::LineState,
};
use crate::message::ToVerifier;

impl Hub {
    /// Ends those of the claimed sessions whose hello named the same place and verifier. One that is not known here has
    /// ended, or its hello has not arrived; that is looked up outside. One that is another's stays as it is, and is not
    /// confirmed.
    pub(super) fn claimed(
        &mut self,
        stream: StreamId,
        mut sessions: Vec<SessionId>,
        moment: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(by) = self.stream_current(stream).and_then(|(id, _)| self.sessions.get(&id)) else { return };
        let by = by.facts.clone();
        sessions.retain(|id| {
            *id != by.session && self.sessions.get(id).is_none_or(|session| session.facts.is_succeeded_by(&by))
        });
        for id in &sessions {
            let open = self.sessions.get(id).and_then(|session| session.stream);
            if let Some(open) = open {
                // The process is gone. Should the machine have been cloned alive, its twin stops here.
                effects.push(Effect::Send { stream: open, message: ToVerifier::Ended });
            }
            self.session_end(*id, LineState::Succeeded(moment.authority), moment, effects);
        }
        if by.place.is_some() && !sessions.is_empty() {
            let at = moment.authority;
            effects.push(Effect::ClaimsSettle { stream, by: Box::new((*by).clone()), sessions, at });
        }
    }
}
