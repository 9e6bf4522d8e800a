//! Namespaces, their policies, and the marks that are kept with them.

use jeton_feed::record::Change;
use jeton_lifecycle::{access::Action, issue};
use jeton_types::{NamespaceName, Prefix};
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
    row::run(tx.conn, sql!("policy/insert"), params![revision, name.as_str(), freshness.to_string()])?;
    let created_at = stamp.at;
    let revision = stamp.revision;
    let row = NamespaceRow { name, prefix, freshness, default_ttl, created_at, revision, disabled: None };
    let change = Change::Policy(row.policy());
    Ok((row, change))
}

pub(super) fn find(conn: &Connection, name: &NamespaceName) -> Result<Option<NamespaceRow>, StoreError> {
    Ok(row::one(conn, sql!("namespace/find"), [name.as_str()], row::namespace_row)?)
}

pub(super) fn find_by_prefix(conn: &Connection, prefix: &Prefix) -> Result<Option<NamespaceRow>, StoreError> {
    Ok(row::one(conn, sql!("namespace/find_by_prefix"), [prefix.as_str()], row::namespace_row)?)
}
