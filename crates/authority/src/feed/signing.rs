//! From a complete receipt to one that may be told: signed, durable, then told (`feed-protocol.md` 19).
//!
//! Purpose: one task for each complete receipt. Guarantee: nobody is told before it is durable, and what is durable first
//! stays as it is. Not guaranteed: that a task succeeds, or lives; the hub tells a receipt again until it is stored.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jeton_api::event::ReceiptEvent;
use jeton_feed::authority::{Hub, Input, ReceiptFacts};
use jeton_store::{
    Store, StoreError,
    model::{Effect, StoredReceipt},
};
use jeton_types::{Revision, RevocationId, TokenId};
use tracing::{info, warn};

use super::handle::Shared;
use crate::{
    event::Event,
    keys::KeyError,
    receipt::{self, Background},
};

/// The receipts that are being signed and stored. The hub repeats those that take long, and forgets none before it is
/// told that they are stored.
#[derive(Debug, Default)]
pub(super) struct Signing(Mutex<HashSet<RevocationId>>);

impl Signing {
    pub(super) fn begin(&self, revocation: RevocationId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(revocation)
    }
}

/// The turn of one task; over when dropped, also by a panic, so that the next one may try.
pub(super) struct Turn<'a>(&'a Signing, RevocationId);

impl<'a> Turn<'a> {
    /// The turn that [`Signing::begin`] gave.
    pub(super) const fn new(signing: &'a Signing, revocation: RevocationId) -> Self {
        Self(signing, revocation)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[derive(Debug, thiserror::Error)]
enum SigningError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the evidence cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the hub called a receipt complete that is not")]
    Incomplete,
}

/// Begins to sign and store a receipt, unless that is under way.
pub(super) fn begin(shared: &Arc<Shared>, facts: ReceiptFacts) {
    let revocation = facts.revocation;
    if !shared.signing.begin(revocation) {
        return;
    }
    let task = Arc::clone(shared);
    shared.spawn(async move {
        let turn = Turn::new(&task.signing, revocation);
        let stored = sign_and_store(&task, &facts).await;
        drop(turn);
        match stored {
            Ok(stored) => {
                task.step(Input::ReceiptStored { revocation });
                task.parts.metrics.receipt_observe(stored.completed_at.since(facts.committed_at));
                task.told(revocation);
                task.parts.events.tell(Event::Receipt(ReceiptEvent {
                    revocation_id: revocation,
                    namespace: facts.namespace.clone(),
                    revision: facts.revision,
                    completed_at: stored.completed_at.into(),
                }));
                info!(%revocation, namespace = %facts.namespace, revision = %facts.revision, "receipt complete");
            }
            // The hub comes back with it.
            Err(error) => warn!(%revocation, %error, "a complete receipt was not stored"),
        }
    });
}

async fn sign_and_store(shared: &Arc<Shared>, facts: &ReceiptFacts) -> Result<StoredReceipt, SigningError> {
    let row = shared.parts.store.revocation(facts.revocation).await?.ok_or(StoreError::NotFound("revocation"))?;
    let tokens = tokens(shared, row.effect, facts.revision).await?;
    let (freshness, start) = {
        let mut floor = shared.floor();
        (floor.freshness_longest(&facts.namespace, facts.revision), floor.look(|hub: &Hub, _, _| hub.start()))
    };
    let signed_at = shared.parts.time.now();
    let succession = shared.parts.succession;
    let background = Background { effect: row.effect, freshness, start, tokens, signed_at, succession };
    let payload = receipt::payload(facts, background).ok_or(SigningError::Incomplete)?;
    let receipt = StoredReceipt {
        completed_at: payload.completed_at.0,
        evidence: serde_json::to_string(&payload.verifiers)?,
        jws: shared.parts.keys.sign(&payload)?,
    };
    Ok(shared.parts.store.receipt_store(facts.revocation, receipt).await?)
}

/// The tokens that a record touched.
async fn tokens(shared: &Shared, effect: Effect, revision: Revision) -> Result<Vec<TokenId>, StoreError> {
    // The log keeps it as long as the receipt is pending.
    let record = shared.parts.store.record(revision).await?.ok_or(StoreError::NotFound("record"))?;
    Ok(receipt::touched(effect, &record.changes))
}
