//! The records of the log, as rows.

use jeton_feed::record::Record;
use jeton_types::{Revision, UnixTime};
use rusqlite::{Connection, Row, params};

use super::{
    row::{self, sql},
    trail,
    tx::Tx,
};
use crate::{
    RECORDS_CUT_MAX, StoreError,
    commit_log::BATCH_CHANGES_MAX,
    model::{RecordsCut, Retention},
    record_code,
};

/// The records above `after` up to and including `upto`, at most `limit`, if the log still has all of them.
pub(super) fn list(
    conn: &Connection,
    after: Revision,
    upto: Revision,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    // One view, or the log could be cut between the two looks.
    let conn = conn.unchecked_transaction()?;
    let reach = row::one(&conn, sql!("record/reach"), [], |found| row::revision(found, 0))?.unwrap_or_default();
    if after < reach {
        return Err(StoreError::LogCut { retained_from: reach });
    }
    let mut statement = conn.prepare_cached(sql!("record/list"))?;
    let mut rows = statement.query(params![row::int(after.get()), row::int(upto.get()), row::int(limit as u64)])?;
    let (mut records, mut changes) = (Vec::new(), 0);
    while let Some(found) = rows.next()? {
        let record = record(found)?;
        changes += record.changes.len();
        if changes > BATCH_CHANGES_MAX && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    Ok(records)
}

pub(super) fn find(conn: &Connection, revision: Revision) -> Result<Option<Record>, StoreError> {
    let mut statement = conn.prepare_cached(sql!("record/find"))?;
    let mut rows = statement.query([row::int(revision.get())])?;
    rows.next()?.map(record).transpose()
}

/// Cuts off the oldest that need not be kept.
pub(super) fn cut(tx: &Tx<'_>, keep: Retention) -> Result<RecordsCut, StoreError> {
    let conn = tx.conn;
    let entries = trail::head(conn)?.seq;
    // Each record has one audit entry, numbered without a gap: so the log is counted without being read.
    let beyond = match entries.checked_sub(keep.records_max) {
        Some(seq) if seq > 0 => trail::revision(conn, seq)?,
        _ => Revision::ZERO,
    };
    let oldest = row::all(conn, sql!("record/list_oldest"), [row::int(RECORDS_CUT_MAX as u64)], |found| {
        Ok((row::revision(found, 0)?, row::time(found, 1)?))
    })?;
    let goes = |(revision, committed_at): &&(Revision, UnixTime)| *committed_at < keep.after || *revision <= beyond;
    let mut cut = 0;
    if let Some((upto, _)) = oldest.iter().take_while(goes).last() {
        cut = row::run(conn, sql!("record/cut"), [row::int(upto.get())])?;
    }
    let first = row::one(conn, sql!("record/first"), [], |found| row::revision(found, 0))?.unwrap_or_default();
    let retained = match trail::seq(conn, first, entries)? {
        Some(seq) => entries + 1 - seq,
        None => 0,
    };
    Ok(RecordsCut { cut, retained })
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let revision = row::revision(row, 0)?;
    let changes = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(Record {
        revision,
        predecessor: row::revision(row, 1)?,
        namespace: row::parsed(row, 2)?,
        start: row::start(row, 3)?,
        chain_hash: row::hash(row, 4)?,
        set_hash: row::hash_opt(row, 5)?,
        committed_at: row::time(row, 6)?,
        changes: record_code::decode(revision, changes)?,
    })
}
