//! The one mutator: everything that ends authority, or takes some of it away, goes through [`end`], and so has a
//! revision, a row that its receipt is kept in, and one record that says all of it.

use jeton_feed::record::{Change, EndReason};
use jeton_lifecycle::Effect;
use jeton_types::{NamespaceName, RevocationId};
use rusqlite::{Connection, params};

use super::{
    row::{self, end_reason_value, sql, time_value},
    tx::{Entry, Stamp, Tx},
};
use crate::{StoreError, actor::Actor, model::RevocationRow};

/// Why tokens end.
pub(super) const REASON: EndReason = EndReason::Revoked;

/// How many tokens one statement ends.
const ENDED_AT_ONCE: usize = 1_000;

/// What is to be ended.
pub(super) struct Ending<'a> {
    pub(super) actor: &'a Actor,
    pub(super) effect: Effect,
    /// Resource and verb, for the audit.
    pub(super) action: &'static str,
    pub(super) namespace: &'a NamespaceName,
    /// What was changed, for the audit; the revocation itself unless given.
    pub(super) object: Option<String>,
    pub(super) reason: Option<String>,
    /// What was selected, as JSON without any secret.
    pub(super) selector: String,
    /// How many tokens this touches.
    pub(super) count: u64,
    /// What the record says. Ends and deadlines are written to their tokens here.
    pub(super) changes: Vec<Change>,
}

/// Ends it. What else changes in the same transaction is the caller's to write.
pub(super) fn end(tx: &mut Tx<'_>, stamp: Stamp, ending: Ending<'_>) -> Result<RevocationRow, StoreError> {
    let revocation = RevocationRow {
        id: RevocationId::new(stamp.at, tx.random()),
        namespace: ending.namespace.clone(),
        effect: ending.effect,
        revision: stamp.revision,
        committed_at: stamp.at,
        actor: ending.actor.name(),
        reason: ending.reason,
        count: ending.count,
        selector: ending.selector,
        receipt: None,
    };
    insert(tx.conn, &revocation)?;
    let record = tx.publish(
        stamp,
        Entry {
            actor: ending.actor,
            action: ending.action,
            namespace: &revocation.namespace,
            object: ending.object.unwrap_or_else(|| revocation.id.to_string()),
            reason: revocation.reason.as_deref(),
            changes: ending.changes,
            revocation: Some(revocation.id),
        },
    )?;
    let mut ended = Vec::new();
    for change in &record.changes {
        match change {
            Change::End { token, reason: EndReason::Revoked, .. } => ended.push(*token),
            Change::Deadline { token, expires_at, .. } => {
                row::run(tx.conn, sql!("token/deadline_set"), params![token.as_bytes(), time_value(*expires_at)])?;
            }
            Change::Policy(_)
            | Change::Token(_)
            | Change::Collected { .. }
            | Change::Start(_)
            | Change::Unknown { .. } => {}
        }
    }
    // Many at a time: each statement here that refers to another table costs a walk over all that the savepoint has to undo.
    for some in ended.chunks(ENDED_AT_ONCE) {
        let ids = some
            .iter()
            .map(|token| format!("{:032x}", u128::from_be_bytes(*token.as_bytes())))
            .collect::<Vec<_>>()
            .join("\",\"");
        let ids = format!("[\"{ids}\"]");
        row::run(
            tx.conn,
            sql!("token/end"),
            params![ids, end_reason_value(REASON), time_value(stamp.at), revocation.id.as_bytes()],
        )?;
    }
    Ok(revocation)
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
            revocation.selector,
            revocation.effect.as_str()
        ],
    )?;
    Ok(())
}
