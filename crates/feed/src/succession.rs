//! Succession (`feed-protocol.md` 27): a process that took the place of another ends the sessions of that one.
//!
//! A place is a file that one process at a time holds a lock on, on one kernel. Whoever holds it knows that every process
//! which held it before is gone, and with it everybody who could still answer under one of its sessions. So it may end
//! those sessions at the authority at once, where silence would take L and grace.
//!
//! What [`Lock`] decides: which sessions of the lock file a new process may claim. What the authority decides is in
//! `authority`: whether a claim fits the hello of the session that is claimed.

use jeton_types::{Place, SessionId};

/// Sessions that one hello may claim, and that a lock file keeps.
pub const CLAIMS_MAX: usize = 64;

/// What a lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Where the file was when its list was begun.
    pub place: Place,
    /// The sessions opened under it whose end nobody has confirmed, oldest first.
    pub sessions: Vec<SessionId>,
}

impl Lock {
    /// What may be claimed by the process that holds the lock at `here` and has read the file before adding a session
    /// of its own. A file that was copied, restored or moved to another machine says another place than the one it is
    /// in: its sessions may be alive where it came from.
    #[must_use]
    pub fn claims(&self, here: Place) -> &[SessionId] {
        if self.place == here { &self.sessions[self.sessions.len().saturating_sub(CLAIMS_MAX)..] } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_place_claims() {
        let place = Place { boot: [1; 16], device: 2, inode: 3 };
        let sessions: Vec<_> = (0..70).map(|number| SessionId::from_bytes([number; 16])).collect();
        let lock = Lock { place, sessions };
        assert_eq!(lock.claims(place), &lock.sessions[6..], "the newest");
        for elsewhere in [Place { boot: [9; 16], ..place }, Place { device: 9, ..place }, Place { inode: 9, ..place }] {
            assert!(lock.claims(elsewhere).is_empty(), "{elsewhere:?}");
        }
    }
}
