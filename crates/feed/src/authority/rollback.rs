//! What the hub does once a rollback is known (`feed-protocol.md` 26): nothing that anybody could trust.
//!
//! Every stream is told and cut. No lease is granted any more, no session is opened, no receipt becomes complete, until
//! another process starts from data that are whole.

use super::{Hub, fact::Effect, fact::Input, fact::StreamId, session::NEVER, session::StreamState};
use crate::message::{Refusal, Refused, ToVerifier};

impl Hub {
    /// Whether a rollback is known.
    #[must_use]
    pub const fn is_rolled_back(&self) -> bool {
        self.rolled_back.is_some()
    }

    pub(super) fn roll_back(&mut self, message: String, effects: &mut Vec<Effect>) {
        self.rolled_back = Some(message);
        let open: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.state != StreamState::Cut)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in open {
            self.turn_away(stream, effects);
        }
        self.wakeup = NEVER;
    }

    /// Takes an input of which nothing may come.
    pub(super) fn rolled_back_step(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::StreamOpened { stream, .. } => self.turn_away(stream, effects),
            Input::StreamClosed { stream } => drop(self.streams.remove(&stream)),
            _ => {}
        }
    }

    fn turn_away(&mut self, stream: StreamId, effects: &mut Vec<Effect>) {
        if let Some(found) = self.streams.get_mut(&stream) {
            found.state = StreamState::Cut;
        }
        let message = self.rolled_back.clone().unwrap_or_default();
        let refused = Refused { why: Refusal::Rollback, message };
        effects.push(Effect::Send { stream, message: ToVerifier::Refused(refused) });
        effects.push(Effect::Cut { stream });
    }
}
