//! Keys under which a mutation is done once: looked up, written and shredded in the writer's transactions.

use jeton_types::UnixTime;
use rusqlite::{Connection, params};

use super::{
    access::access_in_tx,
    row::{self, sql, time_value},
    tx::Tx,
};
use crate::{
    StoreError,
    idempotency::{Claim, KEPT_FOR, Keep, Replay},
    model::Caller,
};

/// Does `work`, unless it was done under this key; then that is told, as an error, so that nothing is written.
pub(super) fn once<T: Keep>(
    tx: &mut Tx<'_>,
    caller: Caller,
    claim: Option<&Claim>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let Some(claim) = claim else { return work(tx) };
    let actor = access_in_tx(tx, caller)?;
    // Keys are each principal's own: nobody meets, or guesses, another's.
    let principal = actor.credential.ok_or(StoreError::Unauthenticated)?;
    let own = params![principal.as_bytes(), claim.key.as_bytes()];
    let found = row::one(tx.conn, sql!("idempotency/find"), own, |found| {
        Ok((row::hash(found, 0)?, found.get::<_, String>(1)?, found.get::<_, Option<Vec<u8>>>(2)?))
    })?;
    if let Some((body, text, sealed)) = found {
        if body != claim.body {
            return Err(StoreError::KeyReused);
        }
        let kept = serde_json::from_str(&text)
            .map_err(|error| StoreError::Corrupt(format!("what was kept under a key does not parse: {error}")))?;
        return Err(StoreError::Replayed(Box::new(Replay { kept, text, sealed })));
    }
    let done = work(tx)?;
    let text = serde_json::to_string(&done.kept()).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let sealed = done.secret().map(|secret| (claim.seal)(secret, &text)).transpose()?;
    row::run(
        tx.conn,
        sql!("idempotency/insert"),
        params![
            principal.as_bytes(),
            claim.key.as_bytes(),
            claim.body.as_bytes(),
            text,
            sealed,
            time_value(tx.now().plus(KEPT_FOR))
        ],
    )?;
    Ok(done)
}

/// Removes what has been kept for long enough; `secure_delete` overwrites it.
pub(super) fn shred(conn: &Connection, now: UnixTime) -> Result<(), StoreError> {
    row::run(conn, sql!("idempotency/shred"), [time_value(now)])?;
    Ok(())
}
