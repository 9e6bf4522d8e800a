use std::time::Duration;

use jeton_store::{
    Sqlite, Store, StoreError,
    idempotency::{Claim, Kept, Replay},
    model::{Caller, Issued},
};
use jeton_types::{Hash32, Secret};

use crate::world::{Backend, World, issue_new};

conformance! {
    done_once_and_told_again_by_another_process,
    a_refusal_claims_nothing_and_a_key_is_its_principals,
    forgotten_after_a_day,
}

/// Seals by turning the text around, which is enough to tell it from the text.
fn claim(key: u8, body: u8) -> Claim {
    let seal = |secret: &Secret<String>, of: &str| {
        assert!(of.contains("tok_"));
        Ok(secret.expose().bytes().rev().collect())
    };
    Claim { key: Hash32([key; 32]), body: Hash32([body; 32]), seal: Box::new(seal) }
}

async fn issue(store: &impl Store, caller: Caller, claim: Claim, name: &str) -> Result<Issued, StoreError> {
    store.claimed(claim).credential_issue(caller, issue_new(name)).await
}

#[track_caller]
fn replay(outcome: Result<Issued, StoreError>) -> Replay {
    match outcome {
        Err(StoreError::Replayed(replay)) => *replay,
        other => panic!("{other:?}"),
    }
}

fn rows(world: &World<Sqlite>) -> i64 {
    world.raw().query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0)).unwrap()
}

async fn done_once_and_told_again_by_another_process<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (caller, _) = world.caller("ops", &["admin@*"]).await;
    let issued = issue(&world.store, caller, claim(1, 1), "acme/a").await.unwrap();
    let records = world.records().await;
    let told = replay(issue(&world.store, caller, claim(1, 1), "acme/a").await);
    let kept = Kept::Issue { credential: issued.credential.id, token: issued.token.id, revision: issued.revision };
    assert_eq!(told.kept, kept);
    let sealed: Vec<u8> = issued.secret.expose().bytes().rev().collect();
    assert_eq!(told.sealed, Some(sealed));
    let reused = issue(&world.store, caller, claim(1, 2), "acme/b").await.map(|_| ());
    assert_eq!(reused, Err(StoreError::KeyReused));
    assert_eq!(world.records().await, records, "nothing was written");
    let world = world.reopened("second");
    let store = &world.store;
    store.start_record(jeton_types::StartId::from_bytes([7; 16])).await.unwrap();
    assert_eq!(replay(issue(store, caller, claim(1, 1), "acme/a").await), told);
}

async fn a_refusal_claims_nothing_and_a_key_is_its_principals<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (caller, _) = world.caller("ops", &["admin@*"]).await;
    let (other, _) = world.caller("ops2", &["admin@*"]).await;
    world.issue("acme/a").await;
    let taken = issue(&world.store, caller, claim(1, 1), "acme/a").await.map(|_| ());
    assert_eq!(taken, Err(StoreError::NameTaken));
    issue(&world.store, caller, claim(1, 2), "acme/b").await.unwrap();
    issue(&world.store, other, claim(1, 3), "acme/c").await.unwrap();
    let system = issue(&world.store, Caller::System, claim(1, 1), "acme/d").await.map(|_| ());
    assert_eq!(system, Err(StoreError::Unauthenticated));
    // A caller that was revoked is told nothing.
    let Caller::Bearer(bearer) = caller else { panic!("a bearer") };
    world.revoke(jeton_store::model::Selector::token(bearer.token)).await.unwrap();
    let revoked = issue(&world.store, caller, claim(1, 2), "acme/b").await.map(|_| ());
    assert_eq!(revoked, Err(StoreError::Unauthenticated));
}

async fn forgotten_after_a_day<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (caller, _) = world.caller("ops", &["admin@*"]).await;
    issue(&world.store, caller, claim(1, 1), "acme/a").await.unwrap();
    world.clock.advance(Duration::from_secs(24 * 3_600) - Duration::from_micros(1));
    replay(issue(&world.store, caller, claim(1, 1), "acme/a").await);
    world.clock.advance(Duration::from_micros(1));
    let again = issue(&world.store, caller, claim(1, 1), "acme/a").await.map(|_| ());
    assert_eq!(again, Err(StoreError::NameTaken), "asked for anew");
    issue(&world.store, caller, claim(1, 2), "acme/b").await.unwrap();
}

#[tokio::test]
async fn shredded_after_a_day_by_whatever_is_written_next() {
    let world = World::<Sqlite>::with_acme().await;
    let (caller, _) = world.caller("ops", &["admin@*"]).await;
    issue(&world.store, caller, claim(1, 1), "acme/a").await.unwrap();
    let sealed: Vec<u8> = world.raw().query_row("SELECT sealed FROM idempotency", [], |row| row.get(0)).unwrap();
    world.clock.advance(Duration::from_secs(24 * 3_600 - 1));
    world.issue("acme/b").await;
    assert_eq!(rows(&world), 1);
    world.clock.advance(Duration::from_secs(1));
    world.issue("acme/c").await;
    assert_eq!(rows(&world), 0);
    // Closing copies the log into the file; then it is nowhere.
    drop(world.store);
    for file in std::fs::read_dir(world.place.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(sealed.len()).any(|window| window == sealed));
    }
}
