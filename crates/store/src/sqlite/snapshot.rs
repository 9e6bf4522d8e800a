//! All that is enforced in some namespaces, as one view of the database has it.

use std::ops::ControlFlow;

use jeton_feed::message::SnapshotPart;
use jeton_types::{NamespaceName, Revision};
use rusqlite::Connection;

use super::{enforced, namespace, open, row::sql};
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
        let set_hash = enforced::set_hash(&view, name)?;
        let mut statement = view.prepare_cached(sql!("token/list_by_namespace"))?;
        let mut rows = statement.query([name.as_str()])?;
        let mut piece = Vec::new();
        loop {
            let next = rows.next()?.map(enforced::entry).transpose()?;
            let last = next.is_none();
            piece.extend(next);
            if piece.len() == ROWS_MAX || last {
                let part = SnapshotPart {
                    namespace: name.clone(),
                    policy: policy.clone(),
                    rows: std::mem::take(&mut piece),
                    set_hash: set_hash.filter(|_| last),
                };
                if sink(SnapshotItem::Rows(part)).is_break() {
                    return Ok(None);
                }
            }
            if last {
                break;
            }
        }
    }
    Ok(Some(head.revision))
}
