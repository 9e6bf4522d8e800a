//! What is alike for many tokens, held once.

use std::{collections::HashSet, sync::Arc};

use jeton_feed::record::TokenEntry;
use jeton_types::{AddressList, ScopeSet};

/// The part of an entry of which a namespace knows few kinds, however many tokens it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rights {
    pub(super) scopes: ScopeSet,
    pub(super) addresses: AddressList,
}

/// Every kind that a table holds. Only its writer comes here.
#[derive(Debug, Default)]
pub(super) struct Known {
    kinds: HashSet<Arc<Rights>>,
    /// At how many kinds those that no row holds any more are dropped.
    sweep_at: usize,
}

/// Fewer kinds than this are not worth a sweep.
const SWEEP_MIN: usize = 1024;

impl Known {
    /// The one copy of this entry's rights.
    pub(super) fn of(&mut self, entry: &TokenEntry) -> Arc<Rights> {
        let rights = Rights { scopes: entry.scopes.clone(), addresses: entry.addresses.clone() };
        if let Some(known) = self.kinds.get(&rights) {
            return Arc::clone(known);
        }
        if self.kinds.len() >= self.sweep_at {
            self.kinds.retain(|rights| Arc::strong_count(rights) > 1);
            // Twice of what is left, so that the sweeps together cost no more than the insertions.
            self.sweep_at = SWEEP_MIN.max(2 * self.kinds.len());
        }
        let rights = Arc::new(rights);
        self.kinds.insert(Arc::clone(&rights));
        rights
    }
}

#[cfg(test)]
mod tests {
    use jeton_types::{CredentialId, Digest, TokenId};

    use super::*;

    fn entry(scope: &str) -> TokenEntry {
        TokenEntry {
            digest: Digest::from_bytes([0; 32]),
            token: TokenId::from_bytes([0; 16]),
            credential: CredentialId::from_bytes([0; 16]),
            subject: None,
            scopes: ScopeSet::parse([scope]).unwrap(),
            expires_at: None,
            addresses: AddressList::default(),
            disabled: false,
            ended: None,
        }
    }

    #[test]
    fn equals_share_and_what_nobody_holds_goes() {
        let mut known = Known::default();
        let held = known.of(&entry("orders:read"));
        assert!(Arc::ptr_eq(&held, &known.of(&entry("orders:read"))));
        for number in 0..10 * SWEEP_MIN {
            drop(known.of(&entry(&number.to_string())));
            assert!(known.kinds.len() <= SWEEP_MIN, "{}", known.kinds.len());
        }
        assert!(Arc::ptr_eq(&held, &known.of(&entry("orders:read"))), "what is held stays");
    }
}
