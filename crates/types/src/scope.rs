use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Invalid,
    limits::{SCOPE_BYTES_MAX, SCOPES_MAX},
};

/// One scope: a scope-token of RFC 6749, 3.3, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = (1..=SCOPE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if good {
            Ok(Self(text.into()))
        } else {
            Err(Invalid("a scope is 1 to 128 printable ASCII characters without space, quote and backslash"))
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A set of scopes: sorted, without doubles, at most 64. Copies share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// The set of `scopes`.
    ///
    /// # Errors
    /// If there are more than 64 different ones.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, Invalid> {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.len() > SCOPES_MAX {
            return Err(Invalid("a credential holds at most 64 scopes"));
        }
        Ok(Self(scopes.into()))
    }

    /// Parses one scope after the other.
    ///
    /// # Errors
    /// If one is not of its form, or there are more than 64 different ones.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let scopes: Vec<Scope> = texts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Self::new(scopes)
    }

    /// Whether `scope` is in the set.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.binary_search_by(|known| known.as_str().cmp(scope)).is_ok()
    }

    /// Whether all of `wanted` is in the set.
    #[must_use]
    pub fn covers(&self, wanted: &Self) -> bool {
        wanted.iter().all(|scope| self.contains(scope.as_str()))
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ScopeSet {
    /// Joined by spaces, as in OAuth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<Scope>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_and_covers_its_parts() {
        let set = ScopeSet::parse(["orders:write", "orders:read", "orders:read"]).unwrap();
        assert_eq!(set.to_string(), "orders:read orders:write");
        assert!(set.covers(&ScopeSet::parse(["orders:read"]).unwrap()));
        assert!(set.covers(&ScopeSet::default()));
        assert!(!set.covers(&ScopeSet::parse(["orders:read", "x"]).unwrap()));
        for bad in ["", "a b", "a\"", "a\\", "a\n"] {
            assert!(ScopeSet::parse([bad]).is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert!(ScopeSet::parse(many.iter().map(String::as_str)).is_err());
    }
}
