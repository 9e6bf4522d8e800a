//! All that is enforced in some namespaces, as one view of the database has it.

use std::ops::ControlFlow;

use jeton_feed::record::TokenEntry;
use jeton_types::{NamespaceName, Revision};
use rusqlite::{Connection, Row};

use super::{
    namespace, open,
    row::{self, sql},
};
use crate::{StoreError, model::SnapshotItem};

/// Rows in one piece.
const ROWS_MAX: usize = 500;

pub(super) fn read(
    conn: &Connection,
    namespaces: &[NamespaceName],
    mut sink: impl FnMut(SnapshotItem) -> ControlFlow<()>,
) -> Result<Option<Revision>, StoreError> {
    // Everything below is read in this one view; dropping it ends it.
    let view = conn.unchecked_transaction()?;
    let (head, _) = open::counter(&view)?;
    if sink(SnapshotItem::Begin { at: head.revision }).is_break() {
        return Ok(None);
    }
    for name in namespaces {
        let namespace = namespace::find(&view, name)?.ok_or(StoreError::NotFound("namespace"))?;
        let policy = namespace.policy();
        let mut statement = view.prepare_cached(sql!("token/list_by_namespace"))?;
        let mut rows = statement.query([name.as_str()])?;
        let mut piece = Vec::new();
        let mut sent = 0_usize;
        loop {
            let next = rows.next()?.map(entry).transpose()?;
            let last = next.is_none();
            piece.extend(next);
            if piece.len() == ROWS_MAX || (last && (sent == 0 || !piece.is_empty())) {
                let item = SnapshotItem::Rows {
                    namespace: name.clone(),
                    policy: policy.clone(),
                    rows: std::mem::take(&mut piece),
                };
                if sink(item).is_break() {
                    return Ok(None);
                }
                sent += 1;
            }
            if last {
                break;
            }
        }
    }
    Ok(Some(head.revision))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<TokenEntry> {
    Ok(TokenEntry {
        digest: row::digest(row, 0)?,
        token: row::token_id(row, 1)?,
        credential: row::credential_id(row, 2)?,
        subject: row::subject(row, 3)?,
        scopes: row::scopes(row, 4)?,
        expires_at: row::time_opt(row, 5)?,
        disabled: row.get(7)?,
        ended: row::end_reason(row, 6)?,
    })
}
