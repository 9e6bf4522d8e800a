//! What is enforced in a namespace, and the one hash over it (`feed-protocol.md` 24).
//!
//! The hash is kept in the namespace's row, and goes into each record. A mutation changes it by the rows that it changes:
//! each as the database has it is taken out, and put in again as the record makes it. So a row that changed by itself
//! makes the hash wrong for good, and whoever has a right one notices.

use std::collections::HashMap;

use jeton_feed::{
    record::{Change, Policy, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{Digest, Hash32, NamespaceName, TokenId};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{
    namespace,
    row::{self, sql},
    tx::Stamp,
};
use crate::{StoreError, model::SetHashRow};

/// The hash after `changes`. To be called before the rows are written that these speak of; tokens that are born with
/// them may be there, and a namespace that is created with them is.
pub(super) fn set_hash_after(
    conn: &Connection,
    namespace: &NamespaceName,
    before: Option<Hash32>,
    stamp: Stamp,
    changes: &[Change],
) -> Result<SetHash, StoreError> {
    let mut rows = Rows { conn, stamp, touched: HashMap::new() };
    let mut policy = None;
    for change in changes {
        match change {
            Change::Policy(after) => policy = Some(after),
            Change::Token(entry) => {
                let row = rows.touch(&entry.digest)?;
                row.after = Some(entry.clone().settled(row.after.as_ref()));
            }
            Change::Deadline { digest, token, expires_at } => rows.must_touch(digest, *token)?.deadline(*expires_at),
            Change::End { digest, token, reason } => rows.must_touch(digest, *token)?.end(*reason),
            Change::Collected { digest, token } => {
                rows.must_touch(digest, *token)?;
                rows.touch(digest)?.after = None;
            }
            Change::Start(_) | Change::Unknown { .. } => {}
        }
    }
    let mut sum = before.map_or(SetHash::EMPTY, SetHash::of_hash);
    if let Some(after) = policy {
        if before.is_some() {
            let before = policy_of(conn, namespace)?;
            sum = sum.minus(SetHash::of_policy(namespace, &before));
        }
        sum = sum.plus(SetHash::of_policy(namespace, after));
    }
    Ok(rows.touched.values().fold(sum, |sum, row| {
        let hash = |entry: &Option<TokenEntry>| entry.as_ref().map_or(SetHash::EMPTY, SetHash::of_entry);
        sum.minus(hash(&row.before)).plus(hash(&row.after))
    }))
}

/// The rows that one record changes.
struct Rows<'a> {
    conn: &'a Connection,
    stamp: Stamp,
    touched: HashMap<Digest, Touched>,
}

struct Touched {
    before: Option<TokenEntry>,
    after: Option<TokenEntry>,
}

impl Rows<'_> {
    fn touch(&mut self, digest: &Digest) -> Result<&mut Touched, StoreError> {
        use std::collections::hash_map::Entry;
        Ok(match self.touched.entry(*digest) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let params = params![digest.as_bytes(), row::int(self.stamp.revision.get())];
                let before = row::one(self.conn, sql!("token/find_enforced"), params, entry)?;
                place.insert(Touched { after: before.clone(), before })
            }
        })
    }

    fn must_touch(&mut self, digest: &Digest, token: TokenId) -> Result<&mut TokenEntry, StoreError> {
        let found = self.touch(digest)?.after.as_mut();
        found.ok_or_else(|| StoreError::Corrupt(format!("{token} is to be changed and is missing")))
    }
}

/// A row of a token joined with its credential, as it is enforced.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<TokenEntry> {
    Ok(TokenEntry {
        digest: row::digest(row, 0)?,
        token: row::token_id(row, 1)?,
        credential: row::credential_id(row, 2)?,
        subject: row::subject(row, 3)?,
        scopes: row::scopes(row, 4)?,
        expires_at: row::time_opt(row, 5)?,
        addresses: row::addresses(row, 8)?,
        disabled: row.get(7)?,
        ended: row::end_reason(row, 6)?,
    })
}

/// The hash of a namespace, as it is kept.
pub(super) fn set_hash(conn: &Connection, namespace: &NamespaceName) -> Result<Option<Hash32>, StoreError> {
    let found = row::one(conn, sql!("namespace/set_hash_find"), [namespace.as_str()], |found| row::hash_opt(found, 0))?;
    Ok(found.flatten())
}

/// The hashes of all namespaces, as they are kept.
pub(super) fn set_hashes(conn: &Connection) -> Result<Vec<SetHashRow>, StoreError> {
    Ok(row::all(conn, sql!("namespace/set_hash_list"), [], |found| {
        Ok(SetHashRow {
            namespace: row::parsed(found, 0)?,
            last_record: row::revision(found, 1)?,
            set_hash: row::hash(found, 2)?,
        })
    })?)
}

/// Sums up the namespaces of a database that had no hashes. All of them or none, so that it may be tried again.
pub(super) fn set_hash_begin(conn: &mut Connection) -> Result<(), StoreError> {
    let missing: Vec<NamespaceName> =
        row::all(conn, sql!("namespace/set_hash_missing"), [], |found| row::parsed(found, 0))?;
    if missing.is_empty() {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for name in missing {
        let sum = sum_up(&tx, &name)?.to_hash();
        row::run(&tx, sql!("namespace/set_hash_set"), params![name.as_str(), sum.as_bytes()])?;
    }
    tx.commit()?;
    Ok(())
}

/// The sum over all that is enforced in a namespace, row by row.
pub(super) fn sum_up(conn: &Connection, namespace: &NamespaceName) -> Result<SetHash, StoreError> {
    let mut sum = SetHash::of_policy(namespace, &policy_of(conn, namespace)?);
    let mut statement = conn.prepare_cached(sql!("token/list_by_namespace"))?;
    let mut rows = statement.query([namespace.as_str()])?;
    while let Some(found) = rows.next()? {
        sum = sum.plus(SetHash::of_entry(&entry(found)?));
    }
    Ok(sum)
}

fn policy_of(conn: &Connection, name: &NamespaceName) -> Result<Policy, StoreError> {
    Ok(namespace::find(conn, name)?.ok_or(StoreError::NotFound("namespace"))?.policy())
}
