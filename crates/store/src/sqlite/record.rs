//! The records of the log, as rows.

use jeton_feed::record::Record;
use jeton_types::Revision;
use rusqlite::{Connection, Row, params};

use super::row::{self, sql};
use crate::{StoreError, record_code};

/// The records above `after` up to and including `upto`, at most `limit`.
pub(super) fn list(
    conn: &Connection,
    after: Revision,
    upto: Revision,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut statement = conn.prepare_cached(sql!("record/list"))?;
    let mut rows = statement.query(params![row::int(after.get()), row::int(upto.get()), row::int(limit as u64)])?;
    let mut records = Vec::new();
    while let Some(found) = rows.next()? {
        records.push(record(found)?);
    }
    Ok(records)
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
