use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Invalid, time::UnixTime};

/// The order of everything that happens: strictly increasing, near microseconds since the Unix epoch, below 2^53 so
/// that any JSON reader holds it exactly (`feed-protocol.md` 1). It orders; its nearness to a clock is only a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Revision(u64);

impl Revision {
    /// Before everything.
    pub const ZERO: Self = Self(0);
    /// The first number that is no revision.
    pub const LIMIT: u64 = 1 << 53;

    /// A revision, or nothing at or above 2^53.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value < Self::LIMIT { Some(Self(value)) } else { None }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision after this one: `max(self + 1, now)`. Nothing once the numbers are used up (in the year 2255).
    #[must_use]
    pub const fn next(self, now: UnixTime) -> Option<Self> {
        let after = self.0 + 1;
        Self::new(if now.as_micros() > after { now.as_micros() } else { after })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl TryFrom<u64> for Revision {
    type Error = Invalid;

    fn try_from(value: u64) -> Result<Self, Invalid> {
        Self::new(value).ok_or(FORM)
    }
}

impl FromStr for Revision {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse::<u64>().map_err(|_| FORM)?.try_into()
    }
}

const FORM: Invalid = Invalid("a revision is a whole number below 2^53");
