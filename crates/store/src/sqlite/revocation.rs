//! Revocations: the one way by which tokens end, and the receipts of it.

use jeton_feed::record::{Change, EndReason};
use jeton_lifecycle::{access::Action, revocation};
use jeton_types::{RevocationId, TokenId, limits::REVOKE_TOKENS_MAX};
use rusqlite::{Connection, params};
use serde_json::json;

use super::{
    access::{Actor, access_in_tx},
    credential, namespace,
    row::{self, end_reason_value, sql, time_value},
    token,
    tx::{Entry, Tx},
};
use crate::{
    StoreError,
    model::{
        Caller, CredentialRef, CredentialRow, RevocationRow, RevokeNew, Revoked, Selector, StoredReceipt, TokenRow,
    },
};

pub(super) fn create(tx: &mut Tx<'_>, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let (credential, tokens) = select(tx, &actor, &new)?;
    let facts: Vec<_> = tokens.iter().map(TokenRow::facts).collect();
    let ends = revocation::ends(&facts);
    if ends.is_empty() {
        return earlier(tx, &tokens);
    }
    if ends.len() > REVOKE_TOKENS_MAX {
        return Err(StoreError::TooMany { count: ends.len() });
    }
    let stamp = tx.stamp()?;
    let reason = EndReason::Revoked;
    let revocation = RevocationRow {
        id: RevocationId::new(stamp.at, tx.random()),
        namespace: credential.namespace.clone(),
        revision: stamp.revision,
        committed_at: stamp.at,
        actor: actor.name(),
        reason: new.reason,
        count: ends.len() as u64,
        selector: selector_text(&new.selector, &credential, &ends),
        receipt: None,
    };
    insert(tx.conn, &revocation)?;
    let mut changes = Vec::with_capacity(ends.len());
    for token in tokens.iter().filter(|token| token.ended.is_none()) {
        row::run(
            tx.conn,
            sql!("token/end"),
            params![token.id.as_bytes(), end_reason_value(reason), time_value(stamp.at), revocation.id.as_bytes()],
        )?;
        changes.push(Change::End { digest: token.digest, token: token.id, reason });
    }
    tx.publish(
        stamp,
        Entry {
            actor: &actor,
            action: "revocation.create",
            namespace: &revocation.namespace,
            object: revocation.id.to_string(),
            reason: revocation.reason.as_deref(),
            changes,
            revocation: Some(revocation.id),
        },
    )?;
    Ok(Revoked { revocation, tokens: ends, fresh: true })
}

/// Keeps a receipt, unless there is one: a complete receipt is never retracted. Raises the namespace's floor in the same
/// transaction (`protocol.md` 13).
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

/// What is selected, if the actor may end it: tokens of one credential, so of one namespace.
fn select(tx: &Tx<'_>, actor: &Actor, new: &RevokeNew) -> Result<(CredentialRow, Vec<TokenRow>), StoreError> {
    let within = new.namespace.as_ref();
    if let Some(namespace) = within
        && !namespace.is_built_in()
    {
        let _authorized = actor.permit(Action::Revoke, namespace)?;
        namespace::find(tx.conn, namespace)?.ok_or(StoreError::NotFound("namespace"))?;
    }
    // A token outside of the namespace that is asked for is as good as none, before anything is said of rights.
    let inside = |token: &TokenRow| within.is_none_or(|namespace| *namespace == token.namespace);
    let (of, token) = match &new.selector {
        Selector::Credential(named) => (named.clone(), None),
        Selector::Token(id) => {
            let token = token::find(tx.conn, *id)?.filter(inside).ok_or(StoreError::NotFound("token"))?;
            (CredentialRef::Id(token.credential), Some(token))
        }
        Selector::Secret { digest, prefix } => {
            // The digest covers the body alone; a text with another namespace's prefix is not this token.
            let home = namespace::find_by_prefix(tx.conn, prefix)?.ok_or(StoreError::NothingMatched)?;
            let (token, _) = token::find_by_digest(tx.conn, digest)?
                .filter(|(token, _)| token.namespace == home.name && inside(token))
                .ok_or(StoreError::NothingMatched)?;
            (CredentialRef::Id(token.credential), Some(token))
        }
    };
    let credential = credential::find_permitted(tx, actor, Action::Revoke, &of, within)?;
    let tokens = match token {
        Some(token) => vec![token],
        None => token::list(tx.conn, credential.id)?,
    };
    if tokens.is_empty() {
        return Err(StoreError::NothingMatched);
    }
    Ok((credential, tokens))
}

/// The latest of the revocations that ended these tokens.
fn earlier(tx: &Tx<'_>, tokens: &[TokenRow]) -> Result<Revoked, StoreError> {
    let mut latest: Option<RevocationRow> = None;
    for ended in tokens.iter().filter_map(|token| token.ended) {
        if latest.as_ref().is_some_and(|found| found.id == ended.revocation) {
            continue;
        }
        let found = find(tx.conn, ended.revocation)?
            .ok_or_else(|| StoreError::Corrupt(format!("{} is missing", ended.revocation)))?;
        if latest.as_ref().is_none_or(|known| known.revision < found.revision) {
            latest = Some(found);
        }
    }
    let revocation = latest.ok_or(StoreError::NothingMatched)?;
    let tokens =
        row::all(tx.conn, sql!("revocation/token_list"), [revocation.id.as_bytes()], |found| row::token_id(found, 0))?;
    Ok(Revoked { revocation, tokens, fresh: false })
}

/// What was selected, in a form that may be shown: a secret is told by the token that it was of.
fn selector_text(selector: &Selector, credential: &CredentialRow, ends: &[TokenId]) -> String {
    match selector {
        Selector::Credential(_) => json!({ "credential": credential.id }),
        Selector::Token(id) => json!({ "token_id": id }),
        Selector::Secret { .. } => json!({ "secret_of": ends.first() }),
    }
    .to_string()
}

fn insert(conn: &Connection, revocation: &RevocationRow) -> Result<(), StoreError> {
    row::run(
        conn,
        sql!("revocation/insert"),
        params![
            revocation.id.as_bytes(),
            revocation.namespace.as_str(),
            row::int(revocation.revision.get()),
            time_value(revocation.committed_at),
            revocation.actor,
            revocation.reason,
            row::int(revocation.count),
            revocation.selector
        ],
    )?;
    Ok(())
}
