//! What a revocation ends. Everything that ends a token's authority for good goes through here.

use std::fmt;

use jeton_types::TokenId;
use serde::{Deserialize, Serialize};

use crate::token::TokenFacts;

/// What a revision took away. Each has a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Tokens ended, for good.
    #[default]
    Revoke,
    /// A credential was deleted, for good, and its tokens ended with it.
    Delete,
    /// A credential, or a namespace, was switched off, until a later revision switches it on again.
    Disable,
    /// A credential lost scopes.
    Narrow,
    /// Tokens expire earlier.
    Expire,
    /// A namespace's grace became shorter: who is cut off stops earlier.
    Tighten,
}

impl Effect {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Revoke, Self::Delete, Self::Disable, Self::Narrow, Self::Expire, Self::Tighten];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Delete => "delete",
            Self::Disable => "disable",
            Self::Narrow => "narrow",
            Self::Expire => "expire",
            Self::Tighten => "tighten",
        }
    }

    /// The effect of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == word)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tokens that a revocation of `tokens` ends: all that no earlier one has. Expired ones too, since a verifier's
/// reckoning of time is only an estimate, and a tombstone says why (`feed-protocol.md` 19).
#[must_use]
pub fn ends(tokens: &[TokenFacts]) -> Vec<TokenId> {
    tokens.iter().filter(|token| !token.ended).map(|token| token.id).collect()
}

#[cfg(test)]
mod tests {
    use jeton_types::UnixTime;
    use proptest::prelude::*;

    use super::*;

    fn tokens() -> impl Strategy<Value = Vec<TokenFacts>> {
        let one = (any::<bool>(), proptest::option::of(0..9_u64));
        proptest::collection::vec(one, 0..9).prop_map(|tokens| {
            let facts = |(place, (ended, expires_at)): (usize, (bool, Option<u64>))| TokenFacts {
                id: TokenId::from_bytes([place as u8; 16]),
                version: place as u32 + 1,
                ended,
                expires_at: expires_at.map(UnixTime::from_micros),
            };
            tokens.into_iter().enumerate().map(facts).collect()
        })
    }

    proptest! {
        #[test]
        fn a_second_time_ends_nothing(mut tokens in tokens()) {
            let ended = ends(&tokens);
            prop_assert!(tokens.iter().all(|token| token.ended != ended.contains(&token.id)));
            for token in &mut tokens {
                token.ended |= ended.contains(&token.id);
            }
            prop_assert_eq!(ends(&tokens), []);
        }
    }
}
