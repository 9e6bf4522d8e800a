use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;

/// Bytes of the longest prefix.
pub(crate) const BYTES_MAX: usize = 24;

/// What the tokens of a namespace begin with, so that a secret scanner can find them:
/// `[a-z][a-z0-9]*(_[a-z0-9]+)*`, 2 to 24 characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// The prefix of the built-in namespace.
    pub const BUILT_IN: &'static str = "jtn";

    /// The prefix of the built-in namespace.
    #[must_use]
    pub fn built_in() -> Self {
        Self(Self::BUILT_IN.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn good(text: &[u8]) -> bool {
        (2..=BYTES_MAX).contains(&text.len())
            && text[0].is_ascii_lowercase()
            && text.split(|byte| *byte == b'_').all(|part| {
                !part.is_empty() && part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
    }
}

impl FromStr for Prefix {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if Self::good(text.as_bytes()) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid("a prefix is 2 to 24 characters, words of a-z and 0-9 joined by `_`, such as `acme_live`"))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["jtn", "acme_live", "a1", "a_1_b", &"a".repeat(24)] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        for bad in ["", "a", "1a", "_a", "a_", "a__b", "A_b", "a-b", &"a".repeat(25)] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
