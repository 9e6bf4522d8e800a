//! What is known of tokens in use. Its rows need no revision: no verifier is told.

use std::collections::BTreeMap;

use jeton_feed::usage::{Report, Seen};
use jeton_types::{CredentialId, NamespaceName, SessionId, TokenId, UnixTime, VerifierName};
use rusqlite::{Connection, Row, params};

use super::{
    row::{self, sql, time_value},
    session, token,
    tx::Tx,
};
use crate::{
    StoreError,
    model::{PresenterRow, UsageFrom, UsageRow, UsageTaken},
    usage::{Teller, clamped, known, present, sort, together, tokens},
};

/// Counts a report.
pub(super) fn report(tx: &Tx<'_>, from: &UsageFrom, report: &Report) -> Result<UsageTaken, StoreError> {
    let (verifier, served) = match from {
        UsageFrom::Authority(name) => (name.clone(), None),
        UsageFrom::Session(id) => {
            let session = session::find(tx.conn, *id)?.ok_or(StoreError::NotFound("session"))?;
            let counted = row::one(tx.conn, sql!("usage/report_find"), [id.as_bytes()], |found| row::number(found, 0))?;
            if counted.is_some_and(|counted| report.number <= counted) {
                return Ok(UsageTaken::Again);
            }
            (session.verifier, Some((*id, session.namespaces)))
        }
    };
    let mut issued = BTreeMap::new();
    for token in tokens(report) {
        let Some((namespace, issued_at)) = token_find(tx.conn, token)? else { continue };
        if served.as_ref().is_some_and(|(_, namespaces)| !namespaces.contains(&namespace)) {
            return Ok(UsageTaken::Foreign(token));
        }
        issued.insert(token, issued_at);
    }
    let now = tx.now();
    for (token, seen) in &report.uses {
        let Some(issued_at) = issued.get(token) else { continue };
        let (used, presented) = find(tx.conn, *token)?;
        set(tx, *token, Some(together(used, clamped(*seen, *issued_at, now))), presented)?;
    }
    for (token, address, seen) in &report.presented {
        let Some(issued_at) = issued.get(token) else { continue };
        let seen = clamped(*seen, *issued_at, now);
        let (used, presented) = find(tx.conn, *token)?;
        set(tx, *token, used, Some(together(presented, seen)))?;
        let (row, drop) = present(&presenters(tx.conn, *token)?, &verifier, *address, seen);
        if let Some(drop) = drop {
            let key = params![token.as_bytes(), drop.verifier.as_str(), address_value(&drop)];
            row::run(tx.conn, sql!("usage/presenter_drop"), key)?;
        }
        presenter_set(tx, *token, &row)?;
    }
    if let Some((session, _)) = served {
        report_set(tx, session, report, now)?;
    }
    Ok(UsageTaken::Counted)
}

/// What is known of the use of a credential's tokens, oldest first.
pub(super) fn list(conn: &Connection, id: CredentialId) -> Result<Vec<UsageRow>, StoreError> {
    let tellers = row::all(conn, sql!("usage/session_list"), [], teller)?;
    let mut rows = Vec::new();
    for row in token::list(conn, id)? {
        let (used, presented) = find(conn, row.id)?;
        let mut presenters = presenters(conn, row.id)?;
        sort(&mut presenters);
        let known = known(&tellers, &row.namespace, row.issued_at);
        rows.push(UsageRow { token: row.id, used, presented, presenters, known });
    }
    Ok(rows)
}

type Known = Option<Seen<UnixTime>>;

fn find(conn: &Connection, token: TokenId) -> Result<(Known, Known), StoreError> {
    let found =
        row::one(conn, sql!("usage/find"), [token.as_bytes()], |found| Ok((seen_opt(found, 0)?, seen_opt(found, 3)?)))?;
    Ok(found.unwrap_or_default())
}

fn set(tx: &Tx<'_>, token: TokenId, used: Known, presented: Known) -> Result<(), StoreError> {
    let parts = |seen: Known| {
        seen.map_or((None, None, None), |seen| {
            (Some(time_value(seen.first)), Some(time_value(seen.last)), Some(row::int(seen.count)))
        })
    };
    let ((a, b, c), (d, e, f)) = (parts(used), parts(presented));
    row::run(tx.conn, sql!("usage/set"), params![token.as_bytes(), a, b, c, d, e, f])?;
    Ok(())
}

fn presenter_set(tx: &Tx<'_>, token: TokenId, presenter: &PresenterRow) -> Result<(), StoreError> {
    let PresenterRow { verifier, address: _, seen } = presenter;
    let (first, last, count) = (time_value(seen.first), time_value(seen.last), row::int(seen.count));
    let params = params![token.as_bytes(), verifier.as_str(), address_value(presenter), first, last, count];
    row::run(tx.conn, sql!("usage/presenter_set"), params)?;
    Ok(())
}

fn report_set(tx: &Tx<'_>, session: SessionId, report: &Report, now: UnixTime) -> Result<(), StoreError> {
    let until = time_value(report.until.min(now));
    let params = params![session.as_bytes(), row::int(report.number), until, report.last];
    row::run(tx.conn, sql!("usage/report_set"), params)?;
    Ok(())
}

fn presenters(conn: &Connection, token: TokenId) -> Result<Vec<PresenterRow>, StoreError> {
    Ok(row::all(conn, sql!("usage/presenter_list"), [token.as_bytes()], |found| {
        let address: String = found.get(1)?;
        Ok(PresenterRow {
            verifier: row::parsed::<VerifierName>(found, 0)?,
            address: if address.is_empty() { None } else { Some(row::parsed(found, 1)?) },
            seen: Seen { first: row::time(found, 2)?, last: row::time(found, 3)?, count: row::number(found, 4)? },
        })
    })?)
}

fn address_value(presenter: &PresenterRow) -> String {
    presenter.address.map(|address| address.to_string()).unwrap_or_default()
}

fn token_find(conn: &Connection, token: TokenId) -> Result<Option<(NamespaceName, UnixTime)>, StoreError> {
    Ok(row::one(conn, sql!("usage/token_find"), [token.as_bytes()], |found| {
        Ok((row::parsed(found, 0)?, row::time(found, 1)?))
    })?)
}

fn teller(found: &Row<'_>) -> rusqlite::Result<Teller> {
    Ok(Teller {
        namespaces: row::name_list(found, 0)?,
        opened_at: row::time(found, 1)?,
        ended_at: row::time_opt(found, 2)?,
        until: row::time_opt(found, 3)?,
        last: found.get(4)?,
    })
}

fn seen_opt(found: &Row<'_>, first: usize) -> rusqlite::Result<Known> {
    let Some(at) = row::time_opt(found, first)? else { return Ok(None) };
    Ok(Some(Seen { first: at, last: row::time(found, first + 1)?, count: row::number(found, first + 2)? }))
}
