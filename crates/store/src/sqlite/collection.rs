//! Collection: verifiers are told to forget what expired long ago (`feed-protocol.md` 25). The rows stay, so that it can still be
//! said what a token was.

use jeton_feed::record::Change;
use jeton_types::{NamespaceName, UnixTime};
use rusqlite::params;

use super::{
    namespace,
    row::{self, sql, time_value},
    tx::{Entry, Tx},
};
use crate::{StoreError, TOKENS_COLLECTED_MAX, actor::Actor, collection, model::TokensCollected};

pub(super) fn collect(
    tx: &mut Tx<'_>,
    name: &NamespaceName,
    expired: UnixTime,
) -> Result<Option<TokensCollected>, StoreError> {
    namespace::find(tx.conn, name)?.ok_or(StoreError::NotFound("namespace"))?;
    let stamp = tx.stamp()?;
    let params = params![name.as_str(), time_value(expired.min(stamp.at)), row::int(TOKENS_COLLECTED_MAX as u64)];
    let found = row::all(tx.conn, sql!("token/list_collectable"), params, |found| {
        Ok((row::token_id(found, 0)?, row::digest(found, 1)?))
    })?;
    if found.is_empty() || name.is_built_in() {
        return Ok(None);
    }
    let count = found.len();
    let reason = collection::reason(count);
    tx.publish(
        stamp,
        Entry {
            actor: &Actor::system(),
            action: collection::ACTION,
            namespace: name,
            object: name.to_string(),
            reason: Some(&reason),
            changes: found.iter().map(|(token, digest)| Change::Collected { digest: *digest, token: *token }).collect(),
            revocation: None,
        },
    )?;
    for (token, _) in found {
        row::run(tx.conn, sql!("token/collect"), params![token.as_bytes(), row::int(stamp.revision.get())])?;
    }
    Ok(Some(TokensCollected { revision: stamp.revision, count }))
}
