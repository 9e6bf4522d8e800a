//! Tokens.

use jeton_types::{CredentialId, Digest, TokenId, digest};
use rusqlite::{Connection, Row, params};

use super::row::{self, sql, time_value};
use crate::{
    StoreError,
    model::{CredentialRow, TokenRow},
};

pub(super) fn insert(conn: &Connection, token: &TokenRow) -> Result<(), StoreError> {
    row::run(
        conn,
        sql!("token/insert"),
        params![
            token.id.as_bytes(),
            token.credential.as_bytes(),
            token.namespace.as_str(),
            token.version,
            token.digest.as_bytes(),
            digest::SCHEME,
            token.hint,
            row::int(token.birth.get()),
            time_value(token.issued_at),
            token.expires_at.map(time_value)
        ],
    )?;
    Ok(())
}

pub(super) fn find(conn: &Connection, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
    Ok(row::one(conn, sql!("token/find"), [id.as_bytes()], row::token_row)?)
}

pub(super) fn find_by_digest(
    conn: &Connection,
    digest: &Digest,
) -> Result<Option<(TokenRow, CredentialRow)>, StoreError> {
    Ok(row::one(conn, sql!("token/find_by_digest"), [digest.as_bytes()], with_credential)?)
}

pub(super) fn list(conn: &Connection, credential: CredentialId) -> Result<Vec<TokenRow>, StoreError> {
    Ok(row::all(conn, sql!("token/list"), [credential.as_bytes()], row::token_row)?)
}

/// A row of the join of a token and its credential.
fn with_credential(row: &Row<'_>) -> rusqlite::Result<(TokenRow, CredentialRow)> {
    Ok((row::token_row(row)?, row::credential_row_at(row, row::TOKEN_COLUMNS)?))
}
