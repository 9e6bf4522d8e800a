//! How streams and sessions end.

use std::time::Duration;

use jeton_api::revocation::LineState;
use jeton_feed::{
    authority::EvidenceKind,
    message::{Refusal, ToAuthority, ToVerifier},
};
use jeton_store::{Store, model::SessionEndKind};
use jeton_types::Span;
use tokio::time::timeout;
use tonic::Code;

use super::world::{PATIENCE, World, hello};
use crate::event::Event;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_higher_epoch_stays() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut first, at) = world.live(&token, hello(1, 1)).await;
    let (mut second, _) = world.greet(&token, world.back(1, 5, at)).await;
    assert_eq!(first.ended().await.map(|status| status.code()), Some(Code::Aborted));
    let mut late = world.dial(&token).await.unwrap();
    late.send(ToAuthority::Hello(hello(1, 3))).await;
    assert_eq!(late.try_next().await.unwrap_err().code(), Code::Aborted, "not even welcomed");
    second.send(ToAuthority::Ack { revision: at }).await;
    second.lease(9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_ends_the_session_for_good() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    stream.send(ToAuthority::Goodbye).await;
    assert!(stream.ended().await.is_none(), "whoever leaves learns that it was heard, not that he was cut");

    let receipt = world.receipt(revoked.id).await;
    assert_eq!(receipt.verifiers[1].state, LineState::Goodbye);
    let row = world.store.session(hello(1, 1).session).await.unwrap().unwrap();
    assert!(matches!(row.ended, Some((SessionEndKind::Goodbye, _))), "durable before the receipt that rests on it");
    assert_eq!(world.hub.sessions(), []);
    for epoch in 2..4 {
        let mut again = world.dial(&token).await.unwrap();
        again.send(ToAuthority::Hello(world.back(1, epoch, at))).await;
        assert_eq!(again.try_next().await.unwrap(), Some(ToVerifier::Ended));
        assert!(again.ended().await.is_none());
    }
    assert_eq!(world.hub.sessions(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_does_not_outlive_its_token() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    let revoked = world.revoke("jeton", "edge").await.revocation;
    assert!(matches!(stream.next().await, ToVerifier::End { .. }));
    assert_eq!(
        world.hub.receipt(revoked.id).unwrap().evidence[0].state,
        EvidenceKind::Pending,
        "its stream is not cut"
    );
    stream.send(ToAuthority::Renew { request: 2 }).await;
    // A second for its goodbye, on the authority's clock.
    world.clock.pass(Duration::from_secs(1));
    assert_eq!(stream.next_end().await, Some(Code::Aborted), "no lease comes before");
    let receipt = world.receipt(revoked.id).await;
    assert_eq!(receipt.verifiers.len(), 1);
    assert_eq!(world.hub.sessions().len(), 1, "silence decides about the session");

    let mut again = world.dial(&token).await.unwrap();
    again.send(ToAuthority::Hello(hello(1, 2))).await;
    match again.try_next().await.unwrap() {
        Some(ToVerifier::Refused(refused)) => assert_eq!(refused.why, Refusal::Unauthenticated),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_expired_gets_no_lease() {
    let world = World::new().await;
    let token = world.issue_for("jeton", "edge", "verifier@acme", Some(Span::from_secs(10))).await.secret;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    world.clock.pass(Duration::from_secs(10));
    stream.send(ToAuthority::Renew { request: 2 }).await;
    assert!(matches!(stream.next().await, ToVerifier::End { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_of_a_verifiers_token_waits_for_its_goodbye_no_longer_than_it_takes() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    let revoked = world.revoke("jeton", "edge").await.revocation;
    assert!(matches!(stream.next().await, ToVerifier::End { .. }));
    stream.send(ToAuthority::Goodbye).await;
    world.receipt(revoked.id).await;
    assert_eq!(world.hub.sessions(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_jump_of_the_clock_everybody_begins_anew() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    let before = world.store.head().await.unwrap();
    let mut changed = world.store.commit_log().changed();
    changed.mark_unchanged();
    world.clock.jump(Duration::from_secs(1));
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::Aborted));
    timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    let after = world.store.head().await.unwrap();
    assert_ne!(after.start, before.start, "a jump is a new start");
    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    stream.send(ToAuthority::Ack { revision: at }).await;
    stream.lease(1).await;
}

/// What a wall clock that is set by two days does: nothing to what expires, and an alarm that says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_is_not_followed() {
    const DAYS: Duration = Duration::from_secs(2 * 24 * 3_600);
    let world = World::new().await;
    let ttl = Some(Span::from_secs(3_600));
    let token = world.issue_for("jeton", "edge", "verifier@acme", ttl).await.secret;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    let before = stream.lease(2).await;
    let mut told = world.events.listen();
    world.clock.jump(DAYS);
    stream.ended().await;
    let (mut stream, _) = world.greet(&token, world.back(1, 2, at)).await;
    stream.send(ToAuthority::Ack { revision: at }).await;
    let after = stream.lease(3).await;
    assert!(after.since(before) < Duration::from_secs(60), "{after:?} is not two days after {before:?}");
    loop {
        let event = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        if let Event::Alarm(alarm) = &*event
            && alarm.kind == "clock_step"
        {
            assert!(alarm.message.contains("172800 s ahead of authority time"), "{}", alarm.message);
            break;
        }
    }
}
