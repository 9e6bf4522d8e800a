//! Verifiers are told to forget what expired long ago.

use jeton_feed::record::Change;
use jeton_types::{NamespaceName, UnixTime};

use super::state::{Draft, Entry};
use crate::{
    StoreError, TOKENS_COLLECTED_MAX,
    actor::Actor,
    collection,
    model::{TokenRow, TokensCollected},
};

impl Draft<'_> {
    pub(super) fn tokens_collect(
        &mut self,
        name: &NamespaceName,
        expired: UnixTime,
    ) -> Result<Option<TokensCollected>, StoreError> {
        self.state.namespace(name)?;
        let stamp = self.stamp()?;
        let goes = |token: &&TokenRow| {
            let over = token.expires_at.is_some_and(|at| at <= expired && at <= stamp.at);
            over && token.collected.is_none() && token.namespace == *name && !name.is_built_in()
        };
        let mut found: Vec<TokenRow> = self.state.tokens.values().filter(goes).cloned().collect();
        found.sort_by_key(|token| (token.expires_at, token.id));
        found.truncate(TOKENS_COLLECTED_MAX);
        if found.is_empty() {
            return Ok(None);
        }
        let entry = Entry {
            actor: &Actor::system(),
            action: collection::ACTION,
            namespace: name,
            object: name.to_string(),
            reason: Some(collection::reason(found.len())),
            changes: found.iter().map(|token| Change::Collected { digest: token.digest, token: token.id }).collect(),
            revocation: None,
        };
        self.publish(stamp, entry)?;
        for token in &found {
            if let Some(row) = self.state.tokens.get_mut(&token.id) {
                row.collected = Some(stamp.revision);
            }
        }
        Ok(Some(TokensCollected { revision: stamp.revision, count: found.len() }))
    }
}
