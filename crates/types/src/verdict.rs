//! What a verification may say, and what it rests on: stable words that callers and metrics match on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a token is good, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictCode {
    /// It is good.
    Valid,
    /// The text is no token at all.
    Malformed,
    /// There is no such token.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Its credential or namespace is disabled.
    Disabled,
    /// It is good, but not for all that was asked.
    InsufficientScope,
    /// It is good, but not from there.
    AddressDenied,
    /// It is good, but asks too often.
    RateLimited,
    /// It cannot be said.
    Stale,
}

impl VerdictCode {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Valid,
        Self::Malformed,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::NotYetValid,
        Self::Disabled,
        Self::InsufficientScope,
        Self::AddressDenied,
        Self::RateLimited,
        Self::Stale,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Disabled => "disabled",
            Self::InsufficientScope => "insufficient_scope",
            Self::AddressDenied => "address_denied",
            Self::RateLimited => "rate_limited",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for VerdictCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A verifier under its lease.
    Replica,
    /// A verifier past its lease, by its namespace's grace.
    Grace,
    /// The authority itself.
    Authority,
}

impl Source {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Grace => "grace",
            Self::Authority => "authority",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_same_everywhere() {
        for code in VerdictCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
        for source in [Source::Replica, Source::Grace, Source::Authority] {
            assert_eq!(serde_json::to_string(&source).unwrap(), format!("\"{source}\""));
        }
    }
}
