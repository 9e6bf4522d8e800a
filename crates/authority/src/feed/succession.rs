//! What the registry has to say about claimed sessions (`feed-protocol.md` 27).

use jeton_feed::{authority::Input, message::ToVerifier};
use jeton_store::{
    Store,
    model::{SessionEndKind, SessionRow},
};
use jeton_types::SessionId;
use tracing::info;

use super::{
    driver::{ended, insist},
    floor::Claims,
    handle::{Shared, facts},
};

/// Settles claims after the ends that the hub has decided, and confirms those that are durable. One that is neither
/// registered nor ended gets the tombstone that answers its hello, should that still be under way.
pub(super) async fn settle(shared: &Shared, claims: Claims) {
    let mut over = Vec::new();
    for session in claims.sessions.iter().copied() {
        let tombstone = SessionRow {
            session,
            verifier: claims.by.verifier.clone(),
            credential: claims.by.credential,
            namespaces: claims.by.namespaces.clone(),
            opened: shared.parts.store.commit_log().head().revision,
            opened_at: claims.at,
            place: claims.by.place,
            ended: Some((SessionEndKind::Succeeded, claims.at)),
        };
        let write = || shared.parts.store.session_open(tombstone.clone());
        let Some(row) = insist(shared, "the end of a claimed session was not recorded", write).await else { return };
        if row.ended.is_some() || registered_end(shared, row, &claims).await {
            over.push(session);
        }
    }
    info!(verifier = %claims.by.verifier, session = %claims.by.session, sessions = over.len(), "sessions are succeeded");
    if !over.is_empty() {
        shared.floor().send(claims.stream, ToVerifier::Succeeded { sessions: over });
    }
}

/// Ends a session that is registered, and that the hub did not know when it was claimed: its first hello is being looked
/// at. Says whether the end is durable.
async fn registered_end(shared: &Shared, row: SessionRow, claims: &Claims) -> bool {
    let session = row.session;
    if !facts(row).is_succeeded_by(&claims.by) {
        return false;
    }
    {
        let mut floor = shared.floor();
        if floor.look(|hub, _, _| hub.session_known(session).is_some()) {
            // The hello was quicker. The hub decides, and comes back with its own settling.
            floor.step(Input::Claimed { stream: claims.stream, sessions: vec![session] });
            return false;
        }
        // The hello that is under way opens nothing any more.
        floor.endings.ended(session);
    }
    ended(shared, session, SessionEndKind::Succeeded, claims.at).await;
    durable(shared, session).await
}

async fn durable(shared: &Shared, session: SessionId) -> bool {
    matches!(shared.parts.store.session(session).await, Ok(Some(row)) if row.ended.is_some())
}
