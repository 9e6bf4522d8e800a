//! Namespaces, their policies, and the marks that are kept with them.

use jeton_feed::record::Change;
use jeton_lifecycle::{access::Action, issue};
use jeton_types::{Freshness, NamespaceName, Prefix};
use rusqlite::{Connection, params};

use super::{
    access::access_in_tx,
    row::{self, span_value, sql, time_value},
    tx::{Entry, Stamp, Tx},
};
use crate::{
    StoreError,
    model::{Caller, NamespaceNew, NamespaceRow},
};

pub(super) fn create(tx: &mut Tx<'_>, caller: Caller, new: NamespaceNew) -> Result<NamespaceRow, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let _authorized = actor.permit(Action::NamespaceCreate, &new.name)?;
    if let Some(ttl) = new.default_ttl {
        issue::ttl_check(ttl)?;
    }
    if find(tx.conn, &new.name)?.is_some() {
        return Err(StoreError::NameTaken);
    }
    if find_by_prefix(tx.conn, &new.prefix)?.is_some() {
        return Err(StoreError::PrefixTaken);
    }
    let stamp = tx.stamp()?;
    let (namespace, change) = insert(tx, new, stamp)?;
    tx.publish(
        stamp,
        Entry {
            actor: &actor,
            action: "namespace.create",
            namespace: &namespace.name,
            object: namespace.name.to_string(),
            reason: None,
            changes: vec![change],
            revocation: None,
        },
    )?;
    Ok(namespace)
}

/// Writes the rows; the change is for the caller's record.
pub(super) fn insert(tx: &Tx<'_>, new: NamespaceNew, stamp: Stamp) -> Result<(NamespaceRow, Change), StoreError> {
    let NamespaceNew { name, prefix, freshness, default_ttl } = new;
    let revision = row::int(stamp.revision.get());
    row::run(
        tx.conn,
        sql!("namespace/insert"),
        params![
            name.as_str(),
            prefix.as_str(),
            freshness.to_string(),
            default_ttl.map(span_value),
            time_value(stamp.at),
            revision
        ],
    )?;
    policy_add(tx, stamp, &name, freshness)?;
    let created_at = stamp.at;
    let revision = stamp.revision;
    let row = NamespaceRow { name, prefix, freshness, default_ttl, created_at, revision, disabled: None };
    let change = Change::Policy(row.policy());
    Ok((row, change))
}

/// Keeps what holds from this revision on: what a receipt's D is reckoned from, for ever (`feed-protocol.md` 12).
pub(super) fn policy_add(
    tx: &Tx<'_>,
    stamp: Stamp,
    name: &NamespaceName,
    freshness: Freshness,
) -> Result<(), StoreError> {
    let revision = row::int(stamp.revision.get());
    row::run(tx.conn, sql!("policy/insert"), params![revision, name.as_str(), freshness.to_string()])?;
    Ok(())
}

/// Writes everything of a namespace that may change.
pub(super) fn update(tx: &Tx<'_>, row: &NamespaceRow) -> Result<(), StoreError> {
    let off = row.disabled.as_ref();
    row::run(
        tx.conn,
        sql!("namespace/update"),
        params![
            row.name.as_str(),
            row.freshness.to_string(),
            row.default_ttl.map(span_value),
            off.map(|off| time_value(off.at)),
            off.map(|off| *off.revocation.as_bytes()),
            row::int(row.revision.get())
        ],
    )?;
    Ok(())
}

pub(super) fn find(conn: &Connection, name: &NamespaceName) -> Result<Option<NamespaceRow>, StoreError> {
    Ok(row::one(conn, sql!("namespace/find"), [name.as_str()], row::namespace_row)?)
}

pub(super) fn find_by_prefix(conn: &Connection, prefix: &Prefix) -> Result<Option<NamespaceRow>, StoreError> {
    Ok(row::one(conn, sql!("namespace/find_by_prefix"), [prefix.as_str()], row::namespace_row)?)
}
