//! What a revocation ends. Everything that ends a token's authority for good goes through here.

use jeton_types::TokenId;

use crate::token::TokenFacts;

/// The tokens that a revocation of `tokens` ends: all that no earlier one has. Expired ones too, since a verifier's
/// reckoning of time is only an estimate, and a tombstone says why (`protocol.md` 19).
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
