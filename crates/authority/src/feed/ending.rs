//! Sessions that ended a moment ago, as long as somebody may still believe them alive.
//!
//! The hub forgets a session when it ends, and the registry learns of it a commit later. A hello that looks the session
//! up in between must not open it again.

use std::collections::HashMap;

use jeton_types::SessionId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Whether the end is in the registry.
    ended: HashMap<SessionId, bool>,
    /// Hellos that are looking a session up in the registry.
    looking: HashMap<SessionId, usize>,
}

impl Endings {
    /// The hub has let go of a session.
    pub(super) fn ended(&mut self, session: SessionId) {
        self.ended.insert(session, false);
    }

    /// The registry knows.
    pub(super) fn recorded(&mut self, session: SessionId) {
        if self.looking.contains_key(&session) {
            self.ended.insert(session, true);
        } else {
            self.ended.remove(&session);
        }
    }

    /// A hello begins to look a session up.
    pub(super) fn look(&mut self, session: SessionId) {
        *self.looking.entry(session).or_default() += 1;
    }

    /// A hello has acted on what it found.
    pub(super) fn looked(&mut self, session: SessionId) {
        let Some(count) = self.looking.get_mut(&session) else { return };
        *count -= 1;
        if *count == 0 {
            self.looking.remove(&session);
            if self.ended.get(&session) == Some(&true) {
                self.ended.remove(&session);
            }
        }
    }

    /// Whether the session has ended, whatever a look into the registry said that began earlier.
    pub(super) fn has_ended(&self, session: SessionId) -> bool {
        self.ended.contains_key(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    #[test]
    fn an_end_is_remembered_until_the_registry_has_it() {
        let mut endings = Endings::default();
        assert!(!endings.has_ended(SESSION));
        endings.ended(SESSION);
        assert!(endings.has_ended(SESSION));
        endings.recorded(SESSION);
        assert!(!endings.has_ended(SESSION));
    }

    #[test]
    fn a_look_that_began_before_the_record_still_finds_the_end() {
        let mut endings = Endings::default();
        endings.look(SESSION);
        endings.look(SESSION);
        endings.ended(SESSION);
        endings.recorded(SESSION);
        assert!(endings.has_ended(SESSION));
        endings.looked(SESSION);
        assert!(endings.has_ended(SESSION), "the other one is still looking");
        endings.looked(SESSION);
        assert!(!endings.has_ended(SESSION));
        endings.look(SESSION);
        endings.ended(SESSION);
        endings.looked(SESSION);
        assert!(endings.has_ended(SESSION), "not in the registry yet");
    }
}
