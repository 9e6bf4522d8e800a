//! Revocations: what they end, and the receipts of all that ends.

use jeton_feed::record::Change;
use jeton_lifecycle::Effect;
use jeton_types::{RevocationId, TokenId, limits::REVOKE_TOKENS_MAX};
use rusqlite::{Connection, params};

use super::{
    access::{access_in_tx, access_in_view},
    ending::{self, Ending, REASON},
    namespace,
    row::{self, sql, time_value},
    select::{Selected, select},
    token,
    tx::Tx,
};
use crate::{
    StoreError,
    actor::Actor,
    model::{Burn, Caller, RevocationRow, RevokeNew, RevokePreview, Revoked, Selector, StoredReceipt},
};

/// Tokens that a preview lists.
const PREVIEW_MAX: usize = 100;

pub(super) fn create(tx: &mut Tx<'_>, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let selected = select(tx.conn, &actor, &new)?;
    revoke(tx, &actor, selected, new.reason, "revocation.create")
}

/// What a revocation would end. Asks for the same rights, and changes nothing.
pub(super) fn preview(
    conn: &Connection,
    caller: Caller,
    now: jeton_types::UnixTime,
    new: &RevokeNew,
) -> Result<RevokePreview, StoreError> {
    let view = conn.unchecked_transaction()?;
    let actor = access_in_view(&view, caller, now)?;
    let Selected { tokens, count, .. } = select(&view, &actor, new)?;
    let tokens = tokens.into_iter().take(PREVIEW_MAX).map(|(id, _)| id).collect();
    Ok(RevokePreview { count: count as u64, tokens })
}

/// Ends the token whose secret somebody holds. Holding it is the right to, so the token itself is the actor.
pub(super) fn burn(tx: &mut Tx<'_>, burn: &Burn) -> Result<Option<Revoked>, StoreError> {
    let Some(home) = namespace::find_by_prefix(tx.conn, &burn.prefix)? else { return Ok(None) };
    let found = token::find_by_digest(tx.conn, &burn.digest)?.filter(|(token, _)| token.namespace == home.name);
    let Some((token, credential)) = found.filter(|(token, _)| token.lives() || token.ended.is_some()) else {
        return Ok(None);
    };
    let actor = Actor::holder(token.id, credential.id, burn.address);
    let new = RevokeNew {
        namespace: Some(home.name),
        selector: Selector::secret(burn.digest, burn.prefix.clone()),
        reason: burn.reason.clone(),
    };
    // The rights that `select` asks for are those of whoever names a thing; this one holds it.
    let selected = select(tx.conn, &Actor::system(), &new)?;
    revoke(tx, &actor, selected, new.reason, "token.burn").map(Some)
}

fn revoke(
    tx: &mut Tx<'_>,
    actor: &Actor,
    selected: Selected,
    reason: Option<String>,
    action: &'static str,
) -> Result<Revoked, StoreError> {
    if selected.count > REVOKE_TOKENS_MAX {
        return Err(StoreError::TooMany { count: selected.count });
    }
    if selected.tokens.is_empty() {
        return earlier(tx.conn, selected.earlier.ok_or(StoreError::LongExpired)?);
    }
    let stamp = tx.stamp()?;
    let changes = selected.tokens.iter().map(|(token, digest)| ends(*token, *digest)).collect();
    let revocation = ending::end(
        tx,
        stamp,
        Ending {
            actor,
            effect: Effect::Revoke,
            action,
            namespace: &selected.namespace,
            object: None,
            reason,
            selector: selected.text,
            count: selected.count as u64,
            changes,
        },
    )?;
    Ok(Revoked { revocation, tokens: selected.tokens.into_iter().map(|(id, _)| id).collect(), fresh: true })
}

/// The change that ends a token.
pub(super) const fn ends(token: TokenId, digest: jeton_types::Digest) -> Change {
    Change::End { digest, token, reason: REASON }
}

/// What had ended already, as the revocation did that ended it.
fn earlier(conn: &Connection, id: RevocationId) -> Result<Revoked, StoreError> {
    let revocation = must_find(conn, id)?;
    let tokens = row::all(conn, sql!("revocation/token_list"), [id.as_bytes()], |found| row::token_id(found, 0))?;
    Ok(Revoked { revocation, tokens, fresh: false })
}

/// Keeps a receipt, unless there is one: a complete receipt is never retracted. Raises the namespace's floor in the same
/// transaction (`feed-protocol.md` 13).
pub(super) fn receipt_store(
    tx: &Tx<'_>,
    id: RevocationId,
    receipt: &StoredReceipt,
) -> Result<StoredReceipt, StoreError> {
    let revocation = find(tx.conn, id)?.ok_or(StoreError::NotFound("revocation"))?;
    if let Some(kept) = revocation.receipt {
        return Ok(kept);
    }
    row::run(
        tx.conn,
        sql!("revocation/receipt_set"),
        params![id.as_bytes(), time_value(receipt.completed_at), receipt.evidence, receipt.jws],
    )?;
    let revision = row::int(revocation.revision.get());
    row::run(tx.conn, sql!("namespace/floor_raise"), params![revocation.namespace.as_str(), revision])?;
    Ok(receipt.clone())
}

pub(super) fn find(conn: &Connection, id: RevocationId) -> Result<Option<RevocationRow>, StoreError> {
    Ok(row::one(conn, sql!("revocation/find"), [id.as_bytes()], row::revocation_row)?)
}

/// One that another row names.
pub(super) fn must_find(conn: &Connection, id: RevocationId) -> Result<RevocationRow, StoreError> {
    find(conn, id)?.ok_or_else(|| StoreError::Corrupt(format!("{id} is missing")))
}

pub(super) fn find_by_token(conn: &Connection, token: TokenId) -> Result<Option<RevocationRow>, StoreError> {
    Ok(row::one(conn, sql!("revocation/find_by_token"), [token.as_bytes()], row::revocation_row)?)
}

pub(super) fn list(
    conn: &Connection,
    after: Option<RevocationId>,
    limit: usize,
) -> Result<Vec<RevocationRow>, StoreError> {
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    Ok(row::all(conn, sql!("revocation/list"), params![after, row::int(limit as u64)], row::revocation_row)?)
}
