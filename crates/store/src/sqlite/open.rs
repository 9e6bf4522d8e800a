//! Opening the database: what is refused, what is set, and how the schema gets there.

use std::{fs, io, path::Path};

use jeton_feed::record::Head;
use jeton_types::{Hash32, Revision, StartId, UnixTime};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};

use super::{
    enforced,
    row::{self, sql},
    trail,
};
use crate::StoreError;

/// The file in the data folder.
pub(super) const FILE: &str = "jeton.db";
/// `JETN`: how SQLite's file header says whose it is.
const APPLICATION_ID: i32 = 0x4a45_544e;
/// Up to 3.51.2 resetting the log could corrupt a database.
const SQLITE_OLDEST: i32 = 3_051_003;
/// In order; the place of each is the `user_version` before it.
const MIGRATIONS: &[&str] = &[
    sql!("migrations/0001_initial"),
    sql!("migrations/0002_ends"),
    sql!("migrations/0003_audit_chain"),
    sql!("migrations/0004_idempotency"),
    sql!("migrations/0005_set_hash"),
    sql!("migrations/0006_session_place"),
    sql!("migrations/0007_addresses"),
    sql!("migrations/0008_collected"),
    sql!("migrations/0009_usage"),
];
const STATEMENTS_CACHED: usize = 96;

/// Opens, checks and migrates; the connection is the writer's.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_OLDEST {
        return Err(StoreError::SqliteTooOld(rusqlite::version()));
    }
    create_private(path).map_err(|error| cannot_open(path, &error))?;
    let mut conn = connect(path)?;
    adopt(&mut conn, path)?;
    check(&conn)?;
    Ok(conn)
}

/// Opens the writer's connection anew, after a commit that failed.
pub(super) fn reopen(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path)?;
    configure(&conn)?;
    Ok(conn)
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path)?;
    conn.pragma_update(None, "query_only", true)?;
    close_plainly(&conn)?;
    // The first read opens the log. Now, while there are file descriptors for it.
    counter(&conn)?;
    Ok(conn)
}

/// Keeps a connection from copying the log into the database when it closes, which it would do without a word of how
/// that went.
pub(super) fn close_plainly(conn: &Connection) -> Result<(), StoreError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// Where the log stands, and how far authority time has come.
pub(super) fn counter(conn: &Connection) -> Result<(Head, UnixTime), StoreError> {
    let found = row::one(conn, sql!("counter/read"), [], |found| {
        let head = Head {
            revision: row::revision(found, 0)?,
            start: row::start(found, 1)?,
            chain_hash: row::hash(found, 2)?,
            mac: None,
        };
        Ok((head, row::time(found, 3)?))
    })?;
    found.ok_or_else(|| StoreError::Corrupt("the counter row is missing".to_owned()))
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // SQLite gives its log the same mode.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn cannot_open(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("cannot open {}: {error}", path.display()))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, &error))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Plans that do not hang on the values: else SQLite compiles some statements anew each time that they are bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// Refuses what is another's; makes ours what it should be.
fn adopt(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // Looked at before anything is set, so that a foreign file stays as it was.
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: usize = conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let new = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !new {
        return Err(StoreError::Foreign(format!("{} belongs to another program", path.display())));
    }
    if version > MIGRATIONS.len() {
        return Err(StoreError::Foreign(format!(
            "{} has schema {version}, and this one knows {} at most: use a later jeton",
            path.display(),
            MIGRATIONS.len()
        )));
    }
    configure(conn)?;
    migrate(conn, version)?;
    trail::chain_begin(conn)?;
    enforced::set_hash_begin(conn)
}

fn configure(conn: &Connection) -> Result<(), StoreError> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!("the file system does not allow a write-ahead log ({mode})")));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // What a savepoint may have to undo stays in memory: another file system's room, or lack of it, is not our business.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // What is shredded is overwritten, and does not wait in a free page.
    conn.pragma_update(None, "secure_delete", true)?;
    // The writer cuts the log itself: SQLite's own way to do it hides a failed sync.
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    close_plainly(conn)
}

fn migrate(conn: &mut Connection, from: usize) -> Result<(), StoreError> {
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(from) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        apply(&tx, migration)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", row::int(version as u64 + 1))?;
        tx.commit()?;
    }
    Ok(())
}

/// Statement by statement; each ends a line. SQLite has no `ADD COLUMN IF NOT EXISTS`, so here is one.
fn apply(conn: &Connection, migration: &str) -> Result<(), StoreError> {
    for statement in migration.split_inclusive(";\n") {
        let code =
            statement.lines().find(|line| !line.trim().is_empty() && !line.starts_with("--")).unwrap_or_default();
        let words: Vec<&str> = code.split_whitespace().collect();
        if let ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] = *words.as_slice()
            && row::one(conn, sql!("schema/column_find"), [table, column], |_| Ok(()))?.is_some()
        {
            continue;
        }
        conn.execute_batch(statement)?;
    }
    Ok(())
}

/// Refuses a database that contradicts itself.
fn check(conn: &Connection) -> Result<(), StoreError> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Corrupt(found));
    }
    let (head, _) = counter(conn)?;
    let last = row::one(conn, sql!("record/last"), [], |found| {
        Ok((row::revision(found, 0)?, row::start(found, 1)?, row::hash(found, 2)?))
    })?;
    let none = (Revision::ZERO, StartId::from_bytes([0; 16]), Hash32::ZERO);
    let (revision, start, chain_hash) = last.unwrap_or(none);
    if (revision, start, chain_hash) != (head.revision, head.start, head.chain_hash) {
        return Err(StoreError::Corrupt(format!(
            "the counter stands at {}, and the last record is {revision}",
            head.revision
        )));
    }
    trail::check(conn)
}
