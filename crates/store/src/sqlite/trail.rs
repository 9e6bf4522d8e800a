//! The audit trail: its rows, its newest entry, and the chaining of what was written before there was a chain.

use jeton_lifecycle::audit::{Entry, Head, Link};
use jeton_types::{Hash32, NamespaceName, Revision};
use rusqlite::{Connection, Row, params};

use super::row::{self, sql, time_value};
use crate::StoreError;

/// Writes the entry that follows `before`; answers what is the newest then.
pub(super) fn append(conn: &Connection, entry: &Entry, before: Head) -> Result<Head, StoreError> {
    let hash = entry.hash(&before.hash);
    row::run(
        conn,
        sql!("audit/insert"),
        params![
            row::int(entry.seq),
            row::int(entry.revision.get()),
            time_value(entry.at),
            entry.token.as_ref().map(|id| id.as_bytes()),
            entry.credential.as_ref().map(|id| id.as_bytes()),
            entry.address,
            entry.action,
            entry.namespace.as_str(),
            entry.object,
            entry.reason,
            before.hash.as_bytes(),
            hash.as_bytes()
        ],
    )?;
    Ok(Head { seq: entry.seq, hash })
}

/// The entries after place `after`, of one namespace or of all, at most `limit`.
pub(super) fn list(
    conn: &Connection,
    namespace: Option<&NamespaceName>,
    after: u64,
    limit: usize,
) -> Result<Vec<Link>, StoreError> {
    let (after, limit) = (row::int(after), row::int(limit as u64));
    Ok(match namespace {
        None => row::all(conn, sql!("audit/list"), params![after, limit], link)?,
        Some(name) => row::all(conn, sql!("audit/list_by_namespace"), params![after, limit, name.as_str()], link)?,
    })
}

/// The newest entry, as the counter has it.
pub(super) fn head(conn: &Connection) -> Result<Head, StoreError> {
    let found = row::one(conn, sql!("counter/read_audit"), [], head_row)?;
    found.ok_or_else(|| StoreError::Corrupt("the counter row is missing".to_owned()))
}

/// Chains the entries of a database that had no chain. All of them or none, so that it may be tried again.
pub(super) fn chain_begin(conn: &mut Connection) -> Result<(), StoreError> {
    if head(conn)? != Head::START {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut last = Head::START;
    {
        let mut statement = tx.prepare(sql!("audit/list_unchained"))?;
        let mut rows = statement.query([])?;
        while let Some(found) = rows.next()? {
            let entry = entry(found)?;
            let hash = entry.hash(&last.hash);
            let seq = row::int(entry.seq);
            row::run(&tx, sql!("audit/chain_set"), params![seq, last.hash.as_bytes(), hash.as_bytes()])?;
            last = Head { seq: entry.seq, hash };
        }
    }
    row::run(&tx, sql!("counter/advance_audit"), params![row::int(last.seq), last.hash.as_bytes()])?;
    tx.commit()?;
    Ok(())
}

/// The revision of an entry.
pub(super) fn revision(conn: &Connection, seq: u64) -> Result<Revision, StoreError> {
    let found = row::one(conn, sql!("audit/revision_find"), [row::int(seq)], |found| row::revision(found, 0))?;
    found.ok_or_else(|| StoreError::Corrupt(format!("audit entry {seq} is missing")))
}

/// The number of the first entry whose revision is not below this one, out of so many.
pub(super) fn seq(conn: &Connection, of: Revision, entries: u64) -> Result<Option<u64>, StoreError> {
    let (mut low, mut high) = (1, entries + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if revision(conn, middle)? < of { low = middle + 1 } else { high = middle }
    }
    Ok((low <= entries).then_some(low))
}

/// Refuses a trail whose end was cut off: the counter knows the newest entry.
pub(super) fn check(conn: &Connection) -> Result<(), StoreError> {
    let newest = head(conn)?;
    let last = row::one(conn, sql!("audit/last"), [], head_row)?.unwrap_or(Head::START);
    if last == newest {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "the newest audit entry is number {}, and the last one that is there is number {}",
        newest.seq, last.seq
    )))
}

fn head_row(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { seq: row::number(row, 0)?, hash: row::hash(row, 1)? })
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let absent = |hash: Option<Hash32>| hash.unwrap_or(Hash32::ZERO);
    // An entry that lost its hashes is told as what it is: one that does not check.
    Ok(Link { entry: entry(row)?, previous: absent(row::hash_opt(row, 10)?), hash: absent(row::hash_opt(row, 11)?) })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        seq: row::number(row, 0)?,
        revision: row::revision(row, 1)?,
        at: row::time(row, 2)?,
        token: row::bytes_opt(row, 3, jeton_types::TokenId::from_slice)?,
        credential: row::bytes_opt(row, 4, jeton_types::CredentialId::from_slice)?,
        address: row.get(5)?,
        action: row.get(6)?,
        namespace: row::parsed(row, 7)?,
        object: row.get(8)?,
        reason: row.get(9)?,
    })
}
