//! Ids with a visible prefix, in the TypeID text form: `cred_` and 26 characters of Crockford base32.
//!
//! Those of things are UUIDv7 (RFC 9562), so that they sort by birth; those of processes are 128 random bits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Invalid, time::UnixTime};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARS: usize = 26;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The visible prefix, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// From its 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// From a slice of exactly 16 bytes.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Its 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                fmt::Display::fmt(&Base32(self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or(Invalid($form))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

macro_rules! v7 {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new UUIDv7 from the time and ten random bytes.
            #[must_use]
            pub fn new(now: UnixTime, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid().into_bytes())
            }
        }
    )*};
}

id!(
    /// A credential: `cred_…`.
    CredentialId, "cred", "a credential id is `cred_` and 26 characters"
);
id!(
    /// A token, by its public id: `tok_…`.
    TokenId, "tok", "a token id is `tok_` and 26 characters"
);
id!(
    /// A revocation: `rev_…`.
    RevocationId, "rev", "a revocation id is `rev_` and 26 characters"
);
id!(
    /// A rotation: `rot_…`.
    RotationId, "rot", "a rotation id is `rot_` and 26 characters"
);
id!(
    /// One verifier process as the authority knows it: `ses_…`, 128 random bits.
    SessionId, "ses", "a session id is `ses_` and 26 characters"
);
id!(
    /// One start of the authority: `start_…`, 128 random bits (`feed-protocol.md` 3).
    StartId, "start", "a start id is `start_` and 26 characters"
);
v7!(CredentialId, TokenId, RevocationId, RotationId);

struct Base32([u8; 16]);

impl fmt::Display for Base32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = u128::from_be_bytes(self.0);
        let mut chars = [0; CHARS];
        for char in chars.iter_mut().rev() {
            *char = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        // In one piece: ids are in every answer, record and audit entry.
        f.write_str(std::str::from_utf8(&chars).map_err(|_| fmt::Error)?)
    }
}

fn decode(text: &str) -> Option<[u8; 16]> {
    // 26 characters hold 130 bits: the first is at most 7.
    if text.len() != CHARS || text.as_bytes()[0] > b'7' {
        return None;
    }
    let mut value = 0_u128;
    for char in text.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == char)?;
        value = (value << 5) | digit as u128;
    }
    Some(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_comes_back(bytes: [u8; 16]) {
            let id = TokenId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<TokenId>(), Ok(id));
        }

        #[test]
        fn the_parser_is_total(text in ".*") {
            let _ = text.parse::<CredentialId>();
        }
    }

    #[test]
    fn the_typeid_example() {
        // UUID 01890a5d-ac96-774b-bcce-b302099a8057 is the example of the TypeID specification.
        let bytes = 0x0189_0a5d_ac96_774b_bcce_b302_099a_8057_u128.to_be_bytes();
        assert_eq!(CredentialId::from_bytes(bytes).to_string(), "cred_01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn foreign_forms_are_refused() {
        for text in [
            "",
            "cred_",
            "tok_01h455vb4pex5vsknk084sn02q",
            "cred_81h455vb4pex5vsknk084sn02q",
            "cred_01H455VB4PEX5VSKNK084SN02Q",
        ] {
            assert!(text.parse::<CredentialId>().is_err(), "{text}");
        }
    }
}
