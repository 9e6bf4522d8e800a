//! What is stored in place of a token.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::base62::BODY_CHARS;

/// The scheme by which a digest was made; kept in each row, so that another one can be introduced beside it.
pub const SCHEME: u8 = 1;

/// With the 43 characters of a body these 12 bytes make 55: the most that SHA-256 takes in one compression.
const DOMAIN: &[u8; 12] = b"jeton.tok.1:";

/// SHA-256 over a domain tag and the body of a token: the lookup key, and all that is stored of the secret. 192 random
/// bits need no slow hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of_body(body: &[u8; BODY_CHARS]) -> Self {
        Self(Sha256::new().chain_update(DOMAIN).chain_update(body).finalize().into())
    }

    /// A digest as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A digest as it was stored; nothing unless there are exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a trace.
        write!(f, "Digest({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}
