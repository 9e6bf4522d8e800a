//! What a stream is for.

use std::{ops::ControlFlow, time::Duration};

use jeton_api::revocation::LineState;
use jeton_feed::{
    authority::{EvidenceKind, SessionState},
    message::{Hello, ToAuthority, ToVerifier},
    numbers::{POLL_EVERY, counted_out_after},
    record::Change,
};
use jeton_store::Store;
use jeton_types::{Freshness, Revision};
use tokio::sync::oneshot;

use super::world::{World, hello};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_complete_once_it_is_acknowledged() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    assert_eq!(world.hub.sessions()[0].state, SessionState::Live);

    let revoked = world.revoke("acme", "billing").await;
    let pending = world.hub.receipt(revoked.revocation.id).unwrap();
    assert_eq!(pending.evidence.len(), 2);
    assert_eq!(pending.evidence[1].state, EvidenceKind::Pending);
    assert!(pending.evidence[1].stops_by.is_some());
    assert!(!world.hub.wait_complete(revoked.revocation.id, Duration::ZERO).await);
    assert_eq!(world.hub.pending_count(), 1);

    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    assert!(record.revision > at && record.revision == revoked.revocation.revision);
    assert!(matches!(record.changes[..], [Change::End { token, .. }] if token == revoked.tokens[0]));
    stream.send(ToAuthority::Ack { revision: record.revision }).await;

    let receipt = world.receipt(revoked.revocation.id).await;
    assert_eq!((receipt.revision, receipt.count, &receipt.tokens), (record.revision, 1, &revoked.tokens));
    assert_eq!(receipt.freshness, Freshness::Strict);
    let lines: Vec<_> = receipt.verifiers.iter().map(|line| (line.id.as_str(), line.state)).collect();
    assert_eq!(lines, [("authority", LineState::Acked), ("edge-1", LineState::Acked)]);
    assert_eq!(world.hub.pending_count(), 0);
    stream.lease(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_waits_for_the_verifications_of_the_authority_itself() {
    let world = World::new().await;
    let verification = world.inflight.begin();
    let revoked = world.revoke("acme", "billing").await;
    assert!(!world.hub.wait_complete(revoked.revocation.id, POLL_EVERY * 3).await);
    let later = world.inflight.begin();
    drop(verification);
    let receipt = world.receipt(revoked.revocation.id).await;
    assert_eq!(receipt.verifiers.len(), 1, "no verifier serves acme");
    drop(later);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_answered_after_what_was_there_when_it_was_asked() {
    let world = World::new().await;
    world.namespace("other", Freshness::Strict).await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    for request in 1..20 {
        let elsewhere = world.issue("other", &format!("else-{request}"), "x").await;
        let issued = world.issue("acme", &format!("new-{request}"), "x").await;
        stream.send(ToAuthority::Ask { request }).await;
        let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
        assert!(elsewhere.revision < record.revision, "what happens elsewhere is not told");
        assert_eq!(record.revision, issued.revision);
        match stream.next().await {
            ToVerifier::Watermark { request: answered, watermark } => {
                assert!(answered == request && watermark >= issued.revision, "{answered} {watermark}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_says_how_far_the_authority_is() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    let head = world.store.head().await.unwrap();
    let found = loop {
        match stream.try_next().await.unwrap().unwrap() {
            ToVerifier::Heartbeat { watermark, head, .. } => break (watermark, head),
            ToVerifier::Grant(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(found, (head.revision, world.keys.head_seal(&head)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_his_snapshot_is_not_left_in_silence() {
    let world = World::new().await;
    let token = world.token("edge").await;
    // As many slow readers as there are connections for snapshots.
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (begun, has_begun) = oneshot::channel();
        let (let_go, wait) = std::sync::mpsc::channel::<()>();
        let mut begun = Some(begun);
        let store = world.store.clone();
        let reading = tokio::spawn(async move {
            let sink = move |_| {
                if let Some(begun) = begun.take() {
                    begun.send(()).unwrap();
                }
                let _ = wait.recv();
                ControlFlow::Continue(())
            };
            store.snapshot(vec!["acme".parse().unwrap()], sink).await.unwrap();
        });
        has_begun.await.unwrap();
        readers.push((reading, let_go));
    }
    let (mut stream, _) = world.greet(&token, hello(1, 1)).await;
    for _ in 0..2 {
        match stream.try_next().await.unwrap() {
            // Nothing has been sent, so nothing is covered.
            Some(ToVerifier::Heartbeat { watermark, .. }) => assert_eq!(watermark, Revision::ZERO),
            other => panic!("{other:?}"),
        }
    }
    for (reading, let_go) in readers {
        drop(let_go);
        reading.await.unwrap();
    }
    stream.snapshot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_goes_on_where_he_was() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let issued = world.issue("acme", "while-away", "x").await;
    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    assert_eq!(record.revision, issued.revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_or_comes_from_the_future_gets_a_snapshot() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let head = world.store.head().await.unwrap().revision;
    let (mut stream, welcome) = world.greet(&token, hello(1, 1)).await;
    assert_eq!(welcome.resume, None);
    let (at, rows) = stream.snapshot().await;
    assert!(at >= head && rows == 1);
    let future = at.next(jeton_types::UnixTime::from_micros(at.get() + 1_000_000_000));
    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, future.unwrap())).await;
    assert_eq!(welcome.resume, None);
    stream.snapshot().await;
    // A state that no head vouches for is not gone on from.
    let (_, welcome) = world.greet(&token, Hello { resume: Some(at), ..hello(1, 3) }).await;
    assert_eq!((welcome.resume, welcome.foreign), (None, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_the_authority() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    let world = world.restarted().await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(tonic::Code::Unavailable));
    assert_eq!(world.hub.sessions().len(), 1);
    assert_eq!(world.hub.receipt(revoked.id).unwrap().evidence[1].state, EvidenceKind::Pending);

    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    assert_eq!(record.revision, revoked.revision);
    stream.send(ToAuthority::Ack { revision: record.revision }).await;
    assert_eq!(world.receipt(revoked.id).await.verifiers[1].state, LineState::Acked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_whoever_is_behind_gets_no_lease() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    world.issue("acme", "while-away", "x").await;
    let world = world.restarted().await;
    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    stream.send(ToAuthority::Ack { revision: at }).await;
    stream.send(ToAuthority::Renew { request: 1 }).await;
    stream.send(ToAuthority::Ask { request: 2 }).await;
    // A grant would come before the answer.
    assert!(matches!(stream.next().await, ToVerifier::Watermark { request: 2, .. }));
    stream.send(ToAuthority::Ack { revision: record.revision }).await;
    assert!(matches!(stream.next().await, ToVerifier::Grant(grant) if grant.request == 1));
}

/// The runtime does nothing while this looks: so what is found was not brought by a task that followed the log.
#[tokio::test]
async fn whoever_has_an_answer_of_the_store_meets_a_hub_that_knows() {
    let world = World::new().await;
    let revoked = std::thread::scope(|scope| {
        let revoke = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(world.revoke("acme", "billing"))
        };
        scope.spawn(revoke).join().unwrap()
    });
    let receipt = world.hub.receipt(revoked.revocation.id).unwrap();
    assert_eq!(receipt.evidence[0].state, EvidenceKind::Pending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_is_counted_out() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    world.clock.pass(counted_out_after(Duration::ZERO) - Duration::from_millis(1));
    assert!(!world.hub.wait_complete(revoked.id, POLL_EVERY * 3).await);
    world.clock.pass(Duration::from_millis(1));
    let line = world.receipt(revoked.id).await.verifiers.remove(1);
    assert_eq!(line.state, LineState::Fenced);
    assert!(line.silent_since < line.at);

    // The floor has risen: no lease before the record is acknowledged.
    stream.send(ToAuthority::Renew { request: 2 }).await;
    let ToVerifier::Record(record) = stream.next().await else { panic!("a lease below the floor") };
    stream.send(ToAuthority::Ack { revision: record.revision }).await;
    assert!(matches!(stream.next().await, ToVerifier::Grant(grant) if grant.request == 2));
}
