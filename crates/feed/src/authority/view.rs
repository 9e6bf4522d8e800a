//! Sessions as people see them.

use std::time::Duration;

use jeton_types::{Revision, UnixTime};

use super::{fact::SessionFacts, moment::Moment, namespace::Namespaces, session::Session};
use crate::numbers::LEASE;

/// What a session is doing, as far as the authority can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionState {
    /// It has a lease.
    Live,
    /// It has a stream, but its lease ran out: it is behind or stuck.
    Lapsed,
    /// It has a stream and was not granted a lease yet.
    Connecting,
    /// It has neither lease nor stream.
    Silent,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Live, Self::Lapsed, Self::Connecting, Self::Silent];

    /// The word in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Lapsed => "lapsed",
            Self::Connecting => "connecting",
            Self::Silent => "silent",
        }
    }
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One session of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// What never changes.
    pub facts: SessionFacts,
    /// What it is doing.
    pub state: SessionState,
    /// What it acknowledged in this start.
    pub acked: Option<Revision>,
    /// The epoch of its newest stream in this start.
    pub epoch: u64,
    /// Whether it has a stream.
    pub connected: bool,
    /// What is left of its lease, on the authority's clock.
    pub lease_remaining: Duration,
    /// How long the oldest record that it has not acknowledged has been waiting.
    pub lag: Duration,
    /// Its last lease, or the start, if it has been without one for long enough to say so.
    pub silent_since: Option<UnixTime>,
}

impl SessionView {
    pub(super) fn new(
        session: &Session,
        namespaces: &Namespaces,
        started: jeton_types::BootTime,
        moment: Moment,
    ) -> Self {
        let connected = session.stream.is_some();
        let lease_remaining = session.granted.map_or(Duration::ZERO, |granted| granted.plus(LEASE).since(moment.boot));
        let lag_of = |key| namespaces.at(key).lag(session.acked, started, moment.boot);
        Self {
            facts: (*session.facts).clone(),
            state: match (lease_remaining.is_zero(), connected, session.granted) {
                (false, ..) => SessionState::Live,
                (true, true, None) => SessionState::Connecting,
                (true, true, Some(_)) => SessionState::Lapsed,
                (true, false, _) => SessionState::Silent,
            },
            acked: session.acked,
            epoch: session.epoch.unwrap_or_default(),
            connected,
            lease_remaining,
            lag: session.namespaces.iter().copied().map(lag_of).max().unwrap_or_default(),
            silent_since: session.silent_since(started, moment.boot).map(|since| moment.authority_at(since)),
        }
    }
}
