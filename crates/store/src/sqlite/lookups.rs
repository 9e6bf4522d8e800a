//! Look-ups of tokens by their digest: who calls is read before anything else of a request, so these are the most
//! frequent reads of all.
//!
//! Those that come while a connection is awaited are done together, on one thread and in one read view, each digest
//! once. Guarantee: the view that a look-up is read in opens after the look-up was asked for (`feed-protocol.md` 20).
//! Bounded by those who ask: each waits for its own.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jeton_types::Digest;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{readers::Readers, token};
use crate::{
    StoreError,
    model::{CredentialRow, TokenRow},
};

type Found = Result<Option<(TokenRow, CredentialRow)>, StoreError>;

/// Look-ups that have been asked for and not been taken in hand.
#[derive(Clone, Default)]
pub(super) struct Lookups(Arc<Mutex<Vec<Lookup>>>);

struct Lookup {
    digest: Digest,
    reply: oneshot::Sender<Found>,
}

impl Lookups {
    /// The token of a digest, with its credential.
    pub(super) async fn find(&self, readers: &Readers, digest: Digest) -> Found {
        let (reply, found) = oneshot::channel();
        let first = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Lookup { digest, reply });
            waiting.len() == 1
        };
        if first {
            let (lookups, readers) = (self.clone(), readers.clone());
            // A task of its own: the others do not go away with whoever came first.
            tokio::spawn(async move {
                let taken = lookups.clone();
                if let Err(error) = readers.read(move |conn| taken.answer(conn)).await {
                    lookups.fail(&error);
                }
            });
        }
        found.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a read was given up".to_owned())))
    }

    fn take(&self) -> Vec<Lookup> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Each is told for itself how it went.
    fn answer(&self, conn: &Connection) -> Result<(), StoreError> {
        let taken = self.take();
        // Only now does a view open. One statement is a view of its own; several share one, or each would begin anew with
        // an empty page cache. Where none can be opened, each has its own, and says itself what is wrong.
        let several = taken.iter().any(|lookup| taken[0].digest != lookup.digest);
        let _view = several.then(|| conn.unchecked_transaction().ok());
        let mut found: HashMap<Digest, Found> = HashMap::new();
        for Lookup { digest, reply } in taken {
            let found = found.entry(digest).or_insert_with(|| read(conn, &digest));
            // Whoever asked may have gone.
            let _ = reply.send(found.clone());
        }
        Ok(())
    }

    fn fail(&self, error: &StoreError) {
        for lookup in self.take() {
            let _ = lookup.reply.send(Err(error.clone()));
        }
    }
}

/// A file that cannot be read is no reason to stop writing; the writer finds out for itself.
fn read(conn: &Connection, digest: &Digest) -> Found {
    token::find_by_digest(conn, digest).map_err(|error| match error {
        StoreError::Stopped(message) => StoreError::Unavailable(message),
        other => other,
    })
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}
