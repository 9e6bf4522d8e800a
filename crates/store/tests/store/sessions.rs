use std::time::Duration;

use jeton_store::{
    StoreError,
    model::{Selector, SessionEndKind, SessionRow, StoredReceipt},
};
use jeton_types::{CredentialId, Place, Revision, SessionId, UnixTime};

use crate::world::{Backend, World};

conformance! {
    the_registry_outlives_the_process,
    old_rows_go_when_no_receipt_needs_them,
}

fn session(id: u8) -> SessionRow {
    SessionRow {
        session: SessionId::from_bytes([id; 16]),
        verifier: "edge-1".parse().unwrap(),
        credential: CredentialId::from_bytes([3; 16]),
        namespaces: vec!["acme".parse().unwrap(), "other".parse().unwrap()],
        opened: Revision::new(u64::from(id)).unwrap(),
        opened_at: UnixTime::from_micros(9),
        place: Some(Place { boot: [4; 16], device: u64::MAX, inode: 1 << 63 }),
        ended: None,
    }
}

async fn the_registry_outlives_the_process<B: Backend>() {
    let world = World::<B>::new().await;
    let head = world.store.head().await;
    for id in 1..=3 {
        assert_eq!(world.store.session_open(session(id)).await, Ok(session(id)));
    }
    let altered = SessionRow { namespaces: vec![], ..session(1) };
    assert_eq!(world.store.session_open(altered).await, Ok(session(1)), "fixed for life");
    let (at, later) = (UnixTime::from_micros(20), UnixTime::from_micros(30));
    world.store.session_end(session(1).session, SessionEndKind::Goodbye, at).await.unwrap();
    world.store.session_end(session(1).session, SessionEndKind::Succeeded, later).await.unwrap();
    world.store.session_forget(session(2).session).await.unwrap();
    let unheard = SessionRow { ended: Some((SessionEndKind::Succeeded, at)), place: None, ..session(4) };
    assert_eq!(world.store.session_open(unheard.clone()).await, Ok(unheard.clone()), "its end came before it");
    assert_eq!(world.store.session_open(session(4)).await, Ok(unheard.clone()), "and stays");
    let missing = SessionId::from_bytes([9; 16]);
    assert_eq!(
        world.store.session_end(missing, SessionEndKind::Goodbye, at).await,
        Err(StoreError::NotFound("session"))
    );
    assert_eq!(world.store.session_forget(missing).await, Err(StoreError::NotFound("session")));
    assert_eq!(world.store.head().await, head, "a session is no revision");

    let world = world.reopened("second");
    let store = &world.store;
    let goodbye = SessionRow { ended: Some((SessionEndKind::Goodbye, at)), ..session(1) };
    assert_eq!(store.session(session(1).session).await, Ok(Some(goodbye.clone())), "the first end counts");
    let sessions = store.sessions().await.unwrap();
    assert_eq!(sessions.len(), 4);
    assert_eq!((&sessions[0], &sessions[2], &sessions[3]), (&goodbye, &session(3), &unheard));
    assert_eq!(sessions[1].ended.unwrap().0, SessionEndKind::Forgotten);
    assert_eq!(store.session(missing).await, Ok(None));
}

async fn old_rows_go_when_no_receipt_needs_them<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let store = &world.store;
    world.issue("acme/billing").await;
    let committed = world.revoke(Selector::credential("acme/billing".parse().unwrap())).await.unwrap().revocation;
    let at = |seconds: u64| committed.committed_at.plus(Duration::from_secs(seconds));
    // One ended before the revocation, one after it, one later still, and one lives.
    let ends = [(1, UnixTime::from_micros(20)), (2, at(5)), (3, at(90))];
    for (id, ended) in ends {
        store.session_open(session(id)).await.unwrap();
        store.session_end(session(id).session, SessionEndKind::Goodbye, ended).await.unwrap();
    }
    store.session_open(session(4)).await.unwrap();
    let left = async || -> Vec<u8> {
        let rows = store.sessions().await.unwrap();
        rows.iter().map(|row| row.session.as_bytes()[0]).collect()
    };
    assert_eq!(store.sessions_prune(UnixTime::from_micros(20)).await, Ok(0), "not before that moment");
    assert_eq!(store.sessions_prune(at(60)).await, Ok(1));
    assert_eq!(left().await, [2, 3, 4], "its end is evidence of a receipt that is not complete");
    let receipt = StoredReceipt { completed_at: at(6), evidence: "[]".to_owned(), jws: "x".to_owned() };
    store.receipt_store(committed.id, receipt).await.unwrap();
    assert_eq!(store.sessions_prune(at(60)).await, Ok(1));
    assert_eq!(store.sessions_prune(at(60)).await, Ok(0));
    assert_eq!(left().await, [3, 4]);
    // Whoever comes back after that is a session like any other.
    assert_eq!(store.session_open(session(2)).await, Ok(session(2)));
}
