//! The words of a token's life.

use std::fmt;

use jeton_types::{TokenId, UnixTime};
use serde::{Deserialize, Serialize};

/// What the decisions need to know of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenFacts {
    /// Its public id.
    pub id: TokenId,
    /// Which version of its credential it is, from 1.
    pub version: u32,
    /// Whether it has been revoked.
    pub ended: bool,
    /// From when it is expired.
    pub expires_at: Option<UnixTime>,
}

impl TokenFacts {
    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: UnixTime) -> State {
        state(self.ended, self.expires_at, now)
    }
}

/// Whether a token is good, as far as its own row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Active,
    /// It was revoked. For good.
    Revoked,
    /// Its time is over.
    Expired,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a token stands among the versions of its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The newest, and active.
    Current,
    /// An older one, and still active: an overlap is under way.
    Previous,
    /// Not active any more.
    Retired,
}

impl Stage {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a token. Revoked absorbs: nothing that happens later makes it anything else. Expired begins with the
/// moment itself.
#[must_use]
pub fn state(ended: bool, expires_at: Option<UnixTime>, now: UnixTime) -> State {
    match expires_at {
        _ if ended => State::Revoked,
        Some(at) if now >= at => State::Expired,
        _ => State::Active,
    }
}

/// The stage of version `version` of a credential whose newest is `newest_version`.
#[must_use]
pub const fn stage(version: u32, newest_version: u32, state: State) -> Stage {
    match state {
        State::Active if version >= newest_version => Stage::Current,
        State::Active => Stage::Previous,
        State::Revoked | State::Expired => Stage::Retired,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ended: bool, expires_at: Option<u64>, now: u64, expect: State) {
        let found = state(ended, expires_at.map(UnixTime::from_micros), UnixTime::from_micros(now));
        assert_eq!(found, expect, "{ended} {expires_at:?} {now}");
    }

    #[test]
    fn states() {
        check(false, None, u64::MAX, State::Active);
        check(false, Some(10), 9, State::Active);
        check(false, Some(10), 10, State::Expired);
        check(false, Some(10), 11, State::Expired);
        check(true, None, 0, State::Revoked);
        check(true, Some(10), 11, State::Revoked);
    }

    #[test]
    fn stages() {
        assert_eq!(stage(2, 2, State::Active), Stage::Current);
        assert_eq!(stage(1, 2, State::Active), Stage::Previous);
        for state in [State::Revoked, State::Expired] {
            assert_eq!(stage(2, 2, state), Stage::Retired);
            assert_eq!(stage(1, 2, state), Stage::Retired);
        }
    }

    proptest! {
        /// Time alone leads from active to expired and nowhere else; revoked stays.
        #[test]
        fn time_goes_one_way(ended: bool, expires_at in proptest::option::of(0..1_000_u64), now in 0..1_000_u64, later in 0..1_000_u64) {
            let at = expires_at.map(UnixTime::from_micros);
            let before = state(ended, at, UnixTime::from_micros(now));
            let after = state(ended, at, UnixTime::from_micros(now + later));
            prop_assert!(before == after || (before, after) == (State::Active, State::Expired));
        }
    }
}
