//! Who asks, read inside the mutation's own transaction: a caller that was revoked a moment ago does nothing any more
//! (`feed-protocol.md` 20).

use jeton_types::UnixTime;
use rusqlite::Connection;

use super::{token, tx::Tx};
use crate::{StoreError, actor::Actor, model::Caller};

/// Reads the caller's token again.
pub(super) fn access_in_tx(tx: &Tx<'_>, caller: Caller) -> Result<Actor, StoreError> {
    access_in_view(tx.conn, caller, tx.now())
}

/// Reads the caller's token in a view that is open, at this authority time.
pub(super) fn access_in_view(conn: &Connection, caller: Caller, now: UnixTime) -> Result<Actor, StoreError> {
    match caller {
        Caller::System => Ok(Actor::system()),
        Caller::Bearer(bearer) => Actor::bearer(bearer, token::find_by_digest(conn, &bearer.digest)?, now),
    }
}
