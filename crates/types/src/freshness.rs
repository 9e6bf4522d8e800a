//! What a namespace chooses to do when a verifier is cut off from the authority.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Invalid, Span, limits::GRACE_MAX};

/// The freshness policy of a namespace (`feed-protocol.md` 14): how long after its lease a verifier may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Stop at once: every answer past the lease is `stale`.
    Strict,
    /// Go on with what is known for this long after the lease, then stop. Never zero, at most one hour.
    Grace(Span),
}

impl Freshness {
    /// What a namespace has that says nothing: five minutes.
    pub const DEFAULT: Self = Self::Grace(Span::from_secs(300));

    /// The grace D; zero when strict.
    #[must_use]
    pub const fn grace(self) -> Duration {
        match self {
            Self::Strict => Duration::ZERO,
            Self::Grace(span) => span.duration(),
        }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Freshness {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const FORM: Invalid = Invalid("freshness is `strict` or `grace=D` with D from 1s to 1h, such as `grace=5m`");
        if text == "strict" {
            return Ok(Self::Strict);
        }
        let span: Span = text.strip_prefix("grace=").ok_or(FORM)?.parse().map_err(|_| FORM)?;
        if span.duration() < Duration::from_secs(1) || span.duration() > GRACE_MAX {
            return Err(FORM);
        }
        Ok(Self::Grace(span))
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict => f.write_str("strict"),
            Self::Grace(span) => write!(f, "grace={span}"),
        }
    }
}

impl Serialize for Freshness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Freshness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
