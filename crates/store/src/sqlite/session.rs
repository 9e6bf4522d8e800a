//! The registry of sessions. Its rows need no revision: no verifier is told of another's session.

use jeton_types::{SessionId, UnixTime};
use rusqlite::{Connection, params};

use super::{
    row::{self, namespaces_value, sql, time_value},
    tx::Tx,
};
use crate::{
    SESSIONS_PRUNED_MAX, StoreError,
    model::{SessionEndKind, SessionRow},
};

pub(super) fn open(tx: &Tx<'_>, session: &SessionRow) -> Result<SessionRow, StoreError> {
    let (kind, ended_at) = session.ended.unzip();
    row::run(
        tx.conn,
        sql!("session/insert"),
        params![
            session.session.as_bytes(),
            session.verifier.as_str(),
            session.credential.as_bytes(),
            namespaces_value(&session.namespaces),
            row::int(session.opened.get()),
            time_value(session.opened_at),
            session.place.map(row::place_value),
            kind.map(SessionEndKind::as_str),
            ended_at.map(time_value)
        ],
    )?;
    find(tx.conn, session.session)?.ok_or(StoreError::NotFound("session"))
}

pub(super) fn end(tx: &Tx<'_>, id: SessionId, kind: SessionEndKind, at: UnixTime) -> Result<(), StoreError> {
    let changed = row::run(tx.conn, sql!("session/end"), params![id.as_bytes(), kind.as_str(), time_value(at)])?;
    if changed == 0 && find(tx.conn, id)?.is_none() {
        return Err(StoreError::NotFound("session"));
    }
    Ok(())
}

pub(super) fn prune(tx: &Tx<'_>, before: UnixTime) -> Result<usize, StoreError> {
    let most = i64::try_from(SESSIONS_PRUNED_MAX).unwrap_or(i64::MAX);
    Ok(row::run(tx.conn, sql!("session/prune"), params![time_value(before), most])?)
}

pub(super) fn find(conn: &Connection, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    Ok(row::one(conn, sql!("session/find"), [id.as_bytes()], row::session_row)?)
}
