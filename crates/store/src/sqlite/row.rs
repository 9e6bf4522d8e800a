//! Between columns and types. A value that has not its type's form makes the database corrupt, never a default.

use std::{io, str::FromStr};

use jeton_feed::record::EndReason;
use jeton_lifecycle::Effect;
use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, Label, NamespaceName, Place, Revision, RevocationId,
    ScopeSet, SessionId, Span, StartId, TokenId, UnixTime,
};
use rusqlite::{
    Connection, Params, Row, ffi,
    types::{FromSqlError, Type},
};

use crate::{
    StoreError,
    model::{
        CredentialRow, Ended, Labels, NamespaceRow, PolicyRow, RevocationRow, SessionEndKind, SessionRow,
        StoredReceipt, SwitchedOff, TokenRow,
    },
};

/// The statement of `sql/<resource>/<verb>.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(super) use sql;

type Found<T> = rusqlite::Result<T>;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&error)
    }
}

impl StoreError {
    fn of(error: &rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};
        let message = error.to_string();
        match error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full,
                // No room for the log's index, which is of no lasting worth.
                ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::Full,
                ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_WRITE && over_quota() => {
                    Self::Full
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(message),
                // The writer stops on this one; a reader turns it into `Unavailable`.
                ErrorCode::SystemIoFailure => Self::Stopped(message),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Unavailable(format!(
                    "{message}: another program holds jeton.db, such as a backup tool or an sqlite3 shell; stop it"
                )),
                ErrorCode::ReadOnly => {
                    Self::Unavailable(format!("{message}: make jeton.db and its folder writable for this user"))
                }
                _ => Self::Unavailable(message),
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..) => Self::Corrupt(message),
            _ => Self::Unavailable(message),
        }
    }
}

/// Whether the write that SQLite has just reported as failed found the quota used up, which to SQLite, unlike a full disk, is an
/// error as any other. The thread's last error is still that of the write: a system call that works leaves it alone, and
/// what follows a failed write only gives back.
fn over_quota() -> bool {
    io::Error::last_os_error().kind() == io::ErrorKind::QuotaExceeded
}

/// Why a commit failed. One that found no room for the log's index may be in the log all the same, whole: a later start
/// would read it.
pub(super) fn commit_error(error: &rusqlite::Error) -> StoreError {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreError::Stopped(error.to_string())
        }
        other => StoreError::of(other),
    }
}

/// The one row of a statement, or none.
pub(super) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    row: impl FnOnce(&Row<'_>) -> Found<T>,
) -> Found<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(row).transpose()
}

/// All rows of a statement.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    row: impl FnMut(&Row<'_>) -> Found<T>,
) -> Found<Vec<T>> {
    conn.prepare_cached(sql)?.query_map(params, row)?.collect()
}

/// Runs a statement that changes rows; says how many.
pub(super) fn run(conn: &Connection, sql: &str, params: impl Params) -> Found<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

/// A number as SQLite keeps it. Ours are below 2^63 unless somebody made up a time; then it is as late as can be.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn time_value(time: UnixTime) -> i64 {
    int(time.as_micros())
}

pub(super) fn span_value(span: Span) -> i64 {
    i64::try_from(span.duration().as_millis()).unwrap_or(i64::MAX)
}

/// Joined by spaces, which no scope contains.
pub(super) fn scopes_value(scopes: &ScopeSet) -> String {
    scopes.to_string()
}

/// Joined by spaces, which no range contains; nothing for anywhere.
pub(super) fn addresses_value(addresses: &AddressList) -> Option<String> {
    (!addresses.is_anywhere()).then(|| addresses.to_string())
}

pub(super) fn labels_value(labels: &Labels) -> String {
    let map: serde_json::Map<String, serde_json::Value> =
        labels.iter().map(|label| (label.key.to_string(), label.value.to_string().into())).collect();
    serde_json::Value::Object(map).to_string()
}

/// Joined by spaces, which no name of a namespace contains.
pub(super) fn namespaces_value(namespaces: &[NamespaceName]) -> String {
    namespaces.iter().map(NamespaceName::as_str).collect::<Vec<_>>().join(" ")
}

pub(super) const fn end_reason_value(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Revoked => "revoked",
    }
}

pub(super) fn end_reason_of(text: &str) -> Option<EndReason> {
    match text {
        "revoked" => Some(EndReason::Revoked),
        _ => None,
    }
}

/// A column of another form than its type's.
#[derive(Debug, thiserror::Error)]
#[error("column {0} has a value of the wrong form")]
struct WrongForm(usize);

fn wrong_form(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(WrongForm(column)))
}

pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> Found<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|_| wrong_form(column))
}

fn parsed_opt<T: FromStr>(row: &Row<'_>, column: usize) -> Found<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| text.parse().map_err(|_| wrong_form(column))).transpose()
}

fn bytes<T>(row: &Row<'_>, column: usize, make: impl FnOnce(&[u8]) -> Option<T>) -> Found<T> {
    make(row.get_ref(column)?.as_blob()?).ok_or_else(|| wrong_form(column))
}

pub(super) fn bytes_opt<T>(row: &Row<'_>, column: usize, make: impl FnOnce(&[u8]) -> Option<T>) -> Found<Option<T>> {
    match row.get_ref(column)?.as_blob_or_null()? {
        None => Ok(None),
        Some(found) => make(found).map(Some).ok_or_else(|| wrong_form(column)),
    }
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Found<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| FromSqlError::OutOfRange(value).into())
}

fn number_opt(row: &Row<'_>, column: usize) -> Found<Option<u64>> {
    let value: Option<i64> = row.get(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| FromSqlError::OutOfRange(value).into())).transpose()
}

pub(super) fn revision(row: &Row<'_>, column: usize) -> Found<Revision> {
    Revision::new(number(row, column)?).ok_or_else(|| wrong_form(column))
}

pub(super) fn revision_opt(row: &Row<'_>, column: usize) -> Found<Option<Revision>> {
    if row.get_ref(column)? == rusqlite::types::ValueRef::Null { Ok(None) } else { revision(row, column).map(Some) }
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Found<UnixTime> {
    Ok(UnixTime::from_micros(number(row, column)?))
}

pub(super) fn time_opt(row: &Row<'_>, column: usize) -> Found<Option<UnixTime>> {
    Ok(number_opt(row, column)?.map(UnixTime::from_micros))
}

fn span_opt(row: &Row<'_>, column: usize) -> Found<Option<Span>> {
    Ok(number_opt(row, column)?.map(Span::from_millis))
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> Found<Hash32> {
    bytes(row, column, Hash32::from_slice)
}

pub(super) fn hash_opt(row: &Row<'_>, column: usize) -> Found<Option<Hash32>> {
    bytes_opt(row, column, Hash32::from_slice)
}

pub(super) fn start(row: &Row<'_>, column: usize) -> Found<StartId> {
    bytes(row, column, StartId::from_slice)
}

pub(super) fn digest(row: &Row<'_>, column: usize) -> Found<Digest> {
    bytes(row, column, Digest::from_slice)
}

pub(super) fn token_id(row: &Row<'_>, column: usize) -> Found<TokenId> {
    bytes(row, column, TokenId::from_slice)
}

pub(super) fn credential_id(row: &Row<'_>, column: usize) -> Found<CredentialId> {
    bytes(row, column, CredentialId::from_slice)
}

pub(super) fn revocation_id(row: &Row<'_>, column: usize) -> Found<RevocationId> {
    bytes(row, column, RevocationId::from_slice)
}

pub(super) fn scopes(row: &Row<'_>, column: usize) -> Found<ScopeSet> {
    let text = row.get_ref(column)?.as_str()?;
    ScopeSet::parse(text.split(' ').filter(|part| !part.is_empty())).map_err(|_| wrong_form(column))
}

/// A list that is empty, and not absent, is of the wrong form: it would be anywhere.
pub(super) fn addresses(row: &Row<'_>, column: usize) -> Found<AddressList> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(AddressList::default()) };
    AddressList::parse(text.split(' ')).map_err(|_| wrong_form(column))
}

pub(super) fn subject(row: &Row<'_>, column: usize) -> Found<Option<jeton_types::Subject>> {
    parsed_opt(row, column)
}

pub(super) fn end_reason(row: &Row<'_>, column: usize) -> Found<Option<EndReason>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| end_reason_of(text).ok_or_else(|| wrong_form(column))).transpose()
}

fn labels(row: &Row<'_>, column: usize) -> Found<Labels> {
    let map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|_| wrong_form(column))?;
    let labels: Option<Vec<Label>> = map.iter().map(|(key, value)| Label::new(key, value.as_str()?).ok()).collect();
    labels.and_then(|labels| Labels::new(labels).ok()).ok_or_else(|| wrong_form(column))
}

pub(super) fn name_list(row: &Row<'_>, column: usize) -> Found<Vec<NamespaceName>> {
    let text = row.get_ref(column)?.as_str()?;
    text.split(' ').filter(|part| !part.is_empty()).map(|part| part.parse().map_err(|_| wrong_form(column))).collect()
}

pub(super) fn namespace_row(row: &Row<'_>) -> Found<NamespaceRow> {
    Ok(NamespaceRow {
        name: parsed(row, 0)?,
        prefix: parsed(row, 1)?,
        freshness: parsed(row, 2)?,
        default_ttl: span_opt(row, 3)?,
        created_at: time(row, 4)?,
        revision: revision(row, 5)?,
        disabled: switched_off(row, 6)?,
    })
}

/// Since when and by which revocation something is off, in two columns.
fn switched_off(row: &Row<'_>, first: usize) -> Found<Option<SwitchedOff>> {
    match (time_opt(row, first)?, bytes_opt(row, first + 1, RevocationId::from_slice)?) {
        (Some(at), Some(revocation)) => Ok(Some(SwitchedOff { at, revocation })),
        (None, None) => Ok(None),
        _ => Err(wrong_form(first)),
    }
}

pub(super) fn namespace_mark(row: &Row<'_>) -> Found<(NamespaceName, Revision)> {
    Ok((parsed(row, 0)?, revision(row, 1)?))
}

pub(super) fn policy_row(row: &Row<'_>) -> Found<PolicyRow> {
    let freshness: Freshness = parsed(row, 2)?;
    Ok(PolicyRow { namespace: parsed(row, 0)?, revision: revision(row, 1)?, freshness })
}

pub(super) fn credential_row(row: &Row<'_>) -> Found<CredentialRow> {
    credential_row_at(row, 0)
}

/// A credential whose first column is `first`.
pub(super) fn credential_row_at(row: &Row<'_>, first: usize) -> Found<CredentialRow> {
    Ok(CredentialRow {
        id: credential_id(row, first)?,
        namespace: parsed(row, first + 1)?,
        name: parsed(row, first + 2)?,
        subject: subject(row, first + 3)?,
        scopes: scopes(row, first + 4)?,
        labels: labels(row, first + 5)?,
        ttl: span_opt(row, first + 6)?,
        addresses: addresses(row, first + 13)?,
        created_at: time(row, first + 7)?,
        revision: revision(row, first + 8)?,
        disabled: switched_off(row, first + 9)?,
        deleted: switched_off(row, first + 11)?,
    })
}

/// How many columns a token has; a join has its credential after them.
pub(super) const TOKEN_COLUMNS: usize = 13;

pub(super) fn token_row(row: &Row<'_>) -> Found<TokenRow> {
    let ended = match (end_reason(row, 9)?, time_opt(row, 10)?, bytes_opt(row, 11, RevocationId::from_slice)?) {
        (Some(reason), Some(at), Some(revocation)) => Some(Ended { reason, at, revocation }),
        (None, None, None) => None,
        _ => return Err(wrong_form(9)),
    };
    Ok(TokenRow {
        id: token_id(row, 0)?,
        credential: credential_id(row, 1)?,
        namespace: parsed(row, 2)?,
        version: row.get(3)?,
        digest: digest(row, 4)?,
        hint: row.get(5)?,
        birth: revision(row, 6)?,
        issued_at: time(row, 7)?,
        expires_at: time_opt(row, 8)?,
        ended,
        collected: revision_opt(row, 12)?,
    })
}

pub(super) fn revocation_row(row: &Row<'_>) -> Found<RevocationRow> {
    let receipt = match (time_opt(row, 8)?, row.get(9)?, row.get(10)?) {
        (Some(completed_at), Some(evidence), Some(jws)) => Some(StoredReceipt { completed_at, evidence, jws }),
        (None, None, None) => None,
        _ => return Err(wrong_form(8)),
    };
    Ok(RevocationRow {
        id: revocation_id(row, 0)?,
        namespace: parsed(row, 1)?,
        effect: Effect::of_word(row.get_ref(11)?.as_str()?).ok_or_else(|| wrong_form(11))?,
        revision: revision(row, 2)?,
        committed_at: time(row, 3)?,
        actor: row.get(4)?,
        reason: row.get(5)?,
        count: number(row, 6)?,
        selector: row.get(7)?,
        receipt,
    })
}

pub(super) fn session_row(row: &Row<'_>) -> Found<SessionRow> {
    let kind = match row.get_ref(6)?.as_str_or_null()? {
        None => None,
        Some("goodbye") => Some(SessionEndKind::Goodbye),
        Some("succeeded") => Some(SessionEndKind::Succeeded),
        Some("forgotten") => Some(SessionEndKind::Forgotten),
        Some(_) => return Err(wrong_form(6)),
    };
    Ok(SessionRow {
        session: bytes(row, 0, SessionId::from_slice)?,
        verifier: parsed(row, 1)?,
        credential: credential_id(row, 2)?,
        namespaces: name_list(row, 3)?,
        opened: revision(row, 4)?,
        opened_at: time(row, 5)?,
        ended: kind.zip(time_opt(row, 7)?),
        place: bytes_opt(row, 8, place)?,
    })
}

/// Boot id, device, inode: 32 bytes.
pub(super) fn place_value(place: Place) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&place.boot);
    bytes[16..24].copy_from_slice(&place.device.to_be_bytes());
    bytes[24..].copy_from_slice(&place.inode.to_be_bytes());
    bytes
}

fn place(bytes: &[u8]) -> Option<Place> {
    let (boot, rest) = bytes.split_first_chunk()?;
    let (device, rest) = rest.split_first_chunk()?;
    let inode = rest.try_into().ok()?;
    Some(Place { boot: *boot, device: u64::from_be_bytes(*device), inode: u64::from_be_bytes(inode) })
}
