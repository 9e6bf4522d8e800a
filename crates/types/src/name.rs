//! Names that people choose: of namespaces, credentials, verifiers and labels.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Invalid,
    limits::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, NAME_BYTES_MAX, NAMESPACE_BYTES_MAX},
};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $good:path, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// What such a name looks like.
            pub const FORM: Invalid = Invalid($form);

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                if $good(text) { Ok(Self(text.into())) } else { Err(Self::FORM) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a namespace. [`NamespaceName::BUILT_IN`] is the one that holds Jeton's own tokens.
    NamespaceName, namespace_good,
    "a namespace is 1 to 63 characters of a-z, 0-9 and -, and begins with a letter"
);
name!(
    /// The name of a credential within its namespace.
    CredentialName, name_good,
    "a credential's name is 1 to 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
);
name!(
    /// The name of a verifier, usually its host's. `authority` is reserved for the authority itself.
    VerifierName, name_good,
    "a verifier's name is 1 to 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
);

impl NamespaceName {
    /// The built-in namespace of administration.
    pub const BUILT_IN: &'static str = "jeton";

    /// The built-in namespace `jeton`.
    #[must_use]
    pub fn built_in() -> Self {
        Self(Self::BUILT_IN.into())
    }

    /// Whether this is the built-in namespace, which is strict and never fed (`feed-protocol.md` 20).
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        &*self.0 == Self::BUILT_IN
    }
}

impl VerifierName {
    /// The name by which the authority lists itself in a receipt.
    pub const AUTHORITY: &'static str = "authority";

    /// The authority's own name.
    #[must_use]
    pub fn authority() -> Self {
        Self(Self::AUTHORITY.into())
    }

    /// Whether this is the reserved name of the authority.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        &*self.0 == Self::AUTHORITY
    }
}

/// One label of a credential, `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// The key.
    pub key: Box<str>,
    /// The value, possibly empty.
    pub value: Box<str>,
}

impl Label {
    /// What a label looks like.
    pub const FORM: Invalid = Invalid(
        "a label is `key=value`: a key of 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_`, `-` and `/`, and a printable \
         value of at most 256 bytes",
    );

    /// From its two halves.
    ///
    /// # Errors
    /// [`Label::FORM`] if either is not of its form.
    pub fn new(key: &str, value: &str) -> Result<Self, Invalid> {
        let key_good = (1..=LABEL_KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
        let value_good = value.len() <= LABEL_VALUE_BYTES_MAX && !value.chars().any(char::is_control);
        if key_good && value_good { Ok(Self { key: key.into(), value: value.into() }) } else { Err(Self::FORM) }
    }
}

impl FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or(Self::FORM)?;
        Self::new(key, value)
    }
}

fn namespace_good(text: &str) -> bool {
    (1..=NAMESPACE_BYTES_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn name_good(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["acme", "a", "team-7"] {
            assert!(good.parse::<NamespaceName>().is_ok(), "{good}");
        }
        for bad in ["", "Acme", "7up", "-a", "a_b", "a/b", &"a".repeat(64)] {
            assert!(bad.parse::<NamespaceName>().is_err(), "{bad}");
        }
        for good in ["billing", "edge-1", "A.b_c-9", "9"] {
            assert!(good.parse::<CredentialName>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "a b", "a/b", "é", &"a".repeat(129)] {
            assert!(bad.parse::<CredentialName>().is_err(), "{bad}");
        }
        assert_eq!("team=core=1".parse::<Label>(), Label::new("team", "core=1"));
        for bad in ["", "=", "=v", "k", "k =v", "k=\n"] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
    }
}
