//! Data that were put back to an older state, and heads that only look like it.

use jeton_feed::{
    message::{Hello, Refusal, ToAuthority, ToVerifier},
    record::Head,
};
use jeton_store::{Store, StoreError, model::Caller};
use jeton_types::{Hash32, Secret, StartId};

use super::world::{Stream, World, hello};

/// What a hello is answered, when nothing else follows.
async fn refusal(world: &World, token: &Secret<String>, hello: Hello) -> (Refusal, String) {
    let mut stream = world.dial(token).await.unwrap();
    stream.send(ToAuthority::Hello(hello)).await;
    match stream.try_next().await.unwrap() {
        Some(ToVerifier::Refused(refused)) => (refused.why, refused.message),
        other => panic!("{other:?}"),
    }
}

/// The last head that comes before a record.
async fn head_before_record(stream: &mut Stream) -> Head {
    let mut last = None;
    loop {
        match stream.try_next().await.unwrap().unwrap() {
            ToVerifier::Heartbeat { head, .. } => last = Some(head),
            ToVerifier::Record(record) => {
                let head = last.expect("a record came before any head");
                assert!(
                    head.revision >= record.revision,
                    "the head at {} covers no {}",
                    head.revision,
                    record.revision
                );
                return head;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_seen_a_record_has_a_head_that_covers_it() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    for name in ["one", "two", "three"] {
        world.issue("acme", name, "x").await;
        let head = head_before_record(&mut stream).await;
        assert!(world.keys.head_is_authentic(&head));
    }
    // So has whoever has seen a watermark.
    world.issue("jeton", "unseen", "auditor@acme").await;
    stream.send(ToAuthority::Ask { request: 1 }).await;
    let mut told = None;
    let watermark = loop {
        match stream.try_next().await.unwrap().unwrap() {
            ToVerifier::Heartbeat { head, .. } => told = Some(head.revision),
            ToVerifier::Watermark { watermark, .. } => break watermark,
            other => panic!("{other:?}"),
        }
    };
    assert!(told >= Some(watermark), "{told:?} {watermark}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_head_stops_leases_writes_and_receipts_for_good() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let other = world.token("other").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let (world, copy) = world.copied().await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    let lost = world.back(1, 2, revoked.revision);
    let world = world.put_back(&copy).await;
    // Whoever knows no better is fed and leased, until somebody comes who does.
    let (mut early, _) = world.live(&other, hello(2, 1)).await;
    let (why, message) = refusal(&world, &token, lost.clone()).await;
    assert_eq!(why, Refusal::Rollback);
    let advice = format!("start it from a folder that knows revision {}", revoked.revision);
    assert!(message.contains(&advice), "{message}");
    // He is told at once, and loses what he was granted.
    match early.next().await {
        ToVerifier::Refused(refused) => assert_eq!(refused.why, Refusal::Rollback),
        other => panic!("{other:?}"),
    }
    early.ended().await;
    assert_eq!(refusal(&world, &other, world.back(2, 2, at)).await.0, Refusal::Rollback);
    let refused = world.store.start_record(StartId::from_bytes([9; 16])).await;
    assert!(matches!(refused, Err(StoreError::Rollback(_))), "{refused:?}");
    assert!(world.fence.found().is_some());

    // The next process on the same data is stopped before anybody comes.
    let world = world.restarted().await;
    assert!(world.fence.found().is_some());
    assert_eq!(refusal(&world, &other, hello(3, 1)).await.0, Refusal::Rollback);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_prove_nothing_and_starts_do() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (world, copy) = world.copied().await;
    let lost = world.issue("acme", "lost", "x").await.revision;
    let lost = world.back(1, 1, lost);
    let world = world.put_back(&copy).await;
    // Written since, beyond every number that was lost.
    world.clock.pass(std::time::Duration::from_secs(60));
    let later = world.issue("acme", "later", "x").await.revision;
    assert!(later > lost.head.as_ref().unwrap().revision);
    assert_eq!(refusal(&world, &token, lost).await.0, Refusal::Rollback);
}

/// A token that the older state does not know is no reason not to listen: what it shows proves itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_whose_token_is_lost_too_is_heard() {
    let world = World::new().await;
    let (world, copy) = world.copied().await;
    let token = world.token("edge").await;
    let lost = world.back(1, 1, world.store.commit_log().head().revision);
    let world = world.put_back(&copy).await;
    assert_eq!(refusal(&world, &token, lost).await.0, Refusal::Rollback);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_know_the_head_end_the_fence() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (world, copy) = world.copied().await;
    let lost = world.issue("acme", "lost", "x").await.revision;
    let lost = world.back(1, 1, lost);
    let (world, whole) = world.copied().await;
    let world = world.put_back(&copy).await;
    assert_eq!(refusal(&world, &token, lost.clone()).await.0, Refusal::Rollback);
    let world = world.put_back(&whole).await;
    assert_eq!(world.fence.found(), None);
    let at = lost.resume;
    let (_, welcome) = world.greet(&token, lost).await;
    assert_eq!(welcome.resume, at, "what was lost is here again, so whoever has it goes on from it");
    world.store.start_record(StartId::from_bytes([9; 16])).await.unwrap();
    let world = world.restarted().await;
    assert_eq!(world.fence.found(), None, "and it is forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_authority_did_not_seal_stops_nothing() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let good = world.back(1, 2, at);
    let sealed = good.head.clone().unwrap();
    let forged = [
        Head { start: StartId::from_bytes([7; 16]), ..sealed.clone() },
        Head { chain_hash: Hash32([7; 32]), ..sealed.clone() },
        Head { revision: sealed.revision.next(jeton_types::UnixTime::from_micros(1 << 52)).unwrap(), ..sealed },
    ];
    for (epoch, head) in (2..).zip(forged) {
        let (mut stream, welcome) = world.greet(&token, Hello { epoch, head: Some(head), ..good.clone() }).await;
        assert_eq!((welcome.resume, welcome.foreign), (None, true), "of another history, for all that is known");
        stream.snapshot().await;
    }
    // Never sealed: of an authority before this protocol. Its lease runs on while the snapshot comes.
    let unsealed = Head { mac: None, ..good.head.clone().unwrap() };
    let (_, welcome) = world.greet(&token, Hello { epoch: 98, head: Some(unsealed), ..good.clone() }).await;
    assert_eq!((welcome.resume, welcome.foreign), (None, false));
    let (_, welcome) = world.greet(&token, Hello { epoch: 99, ..good }).await;
    assert_eq!((welcome.resume, welcome.foreign), (Some(at), false));
    assert_eq!(world.fence.found(), None);
}

/// A verifier that slept through starts and writes is only behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_head_of_the_same_history_stops_nothing() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let old = world.back(1, 2, at);
    let mut world = world;
    for name in ["one", "two"] {
        world.issue("acme", name, "x").await;
        world = world.restarted().await;
    }
    let (mut stream, welcome) = world.greet(&token, old).await;
    assert_eq!((welcome.resume, welcome.foreign), (Some(at), false));
    assert!(matches!(stream.next().await, ToVerifier::Record(_)));
    assert_eq!(world.fence.found(), None);
    let caller = Caller::System;
    world.store.namespace_create(caller, super::world::namespace_new("still")).await.unwrap();
}
