//! What is fed adds up, on both sides (`feed-protocol.md` 24).

use std::sync::Arc;

use jeton_feed::message::{Hello, ToAuthority, ToVerifier};
use jeton_store::Store;
use jeton_types::Hash32;
use tokio::{sync::broadcast::Receiver, time::timeout};

use super::world::{PATIENCE, Stream, World, hello};
use crate::event::Event;

/// The next record's set hash; acknowledges it.
async fn record(stream: &mut Stream) -> Option<Hash32> {
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    stream.send(ToAuthority::Ack { revision: record.revision }).await;
    record.set_hash
}

/// The kind of the next alarm, whatever else is told before it.
async fn next_alarm(told: &mut Receiver<Arc<Event>>) -> String {
    loop {
        let event = timeout(PATIENCE, told.recv()).await.expect("no alarm").unwrap();
        if let Event::Alarm(alarm) = &*event {
            return alarm.kind.clone();
        }
    }
}

async fn kept(world: &World) -> Hash32 {
    let rows = world.store.set_hashes().await.unwrap();
    rows.into_iter().find(|row| row.namespace.as_str() == "acme").unwrap().set_hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_and_records_say_what_they_add_up_to() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    assert_eq!(stream.last_set_hash, Some(kept(&world).await));
    world.issue("acme", "other", "orders:read").await;
    assert_eq!(record(&mut stream).await, Some(kept(&world).await));
    world.revoke("acme", "billing").await;
    assert_eq!(record(&mut stream).await, Some(kept(&world).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_does_not_add_up_gets_a_snapshot() {
    let world = World::new().await;
    let mut alarms = world.events.listen();
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    let snapshot = stream.last_set_hash.unwrap();
    let seen = world.back(1, 2, at);
    let of = |epoch, set_hash| Hello { epoch, set_hashes: vec![set_hash], ..seen.clone() };
    let (_, welcome) = world.greet(&token, of(2, snapshot)).await;
    assert_eq!((welcome.resume, welcome.mismatch), (Some(at), false));
    let (mut stream, welcome) = world.greet(&token, of(3, Hash32([7; 32]))).await;
    assert_eq!((welcome.resume, welcome.mismatch), (None, true));
    let (at_now, _) = stream.snapshot().await;
    assert!(at_now >= at);
    stream.send(ToAuthority::Ack { revision: at_now }).await;
    stream.lease(1).await;
    assert_eq!(next_alarm(&mut alarms).await, "replica_mismatch");
    // Whoever is behind finds out by the records that it is sent.
    world.issue("acme", "other", "orders:read").await;
    let (mut stream, welcome) = world.greet(&token, of(4, Hash32([7; 32]))).await;
    assert_eq!((welcome.resume, welcome.mismatch), (Some(at), false));
    assert_eq!(record(&mut stream).await, Some(kept(&world).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_sum_at_the_authority_stops_nobody() {
    let world = World::new().await;
    let mut alarms = world.events.listen();
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    world.witness.disagree(&"acme".parse().unwrap());
    for name in ["one", "two"] {
        world.issue("acme", name, "orders:read").await;
        assert_eq!(record(&mut stream).await, None, "{name}");
    }
    stream.lease(2).await;
    assert_eq!(next_alarm(&mut alarms).await, "set_hash_doubted");
    // Neither a hello nor a snapshot is measured by it.
    let head = world.store.head().await.unwrap().revision;
    let resume = Hello { set_hashes: vec![Hash32([7; 32])], ..world.back(1, 2, head) };
    let (_, welcome) = world.greet(&token, resume).await;
    assert_eq!((welcome.resume, welcome.mismatch), (Some(head), false));
    let (mut stream, _) = world.greet(&token, hello(2, 1)).await;
    stream.snapshot().await;
    assert_eq!(stream.last_set_hash, None);
    while let Ok(event) = alarms.try_recv() {
        assert!(!matches!(&*event, Event::Alarm(_)), "told once: {event:?}");
    }
}
