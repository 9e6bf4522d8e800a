//! Sessions that end because a process took the place of theirs (`feed-protocol.md` 27).

use jeton_api::revocation::LineState;
use jeton_feed::{
    authority::StreamId,
    message::{Hello, Refusal, ToAuthority, ToVerifier},
};
use jeton_store::{
    Store,
    model::{SessionEndKind, SessionRow},
};
use jeton_types::{Place, SessionId};

use super::world::{Stream, World, hello};
use crate::feed::{floor::Opening, handle::facts};

const PLACE: Place = Place { boot: [1; 16], device: 2, inode: 3 };

/// The hello of the verifier `edge-1` in a place that others held before.
fn placed(session: u8, claims: &[u8]) -> Hello {
    Hello {
        verifier: "edge-1".parse().unwrap(),
        place: Some(PLACE),
        claims: claims.iter().map(|claimed| SessionId::from_bytes([*claimed; 16])).collect(),
        ..hello(session, 1)
    }
}

/// What is confirmed, once it is; the snapshot comes at the same time.
async fn confirmed(stream: &mut Stream) -> Vec<SessionId> {
    loop {
        if let ToVerifier::Succeeded { sessions } = stream.next().await {
            return sessions;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_completes_the_receipt_and_is_durable_when_it_is_confirmed() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, _) = world.live(&token, placed(1, &[])).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    drop(stream);
    assert_eq!(
        world.hub.receipt(revoked.id).unwrap().evidence.len(),
        2,
        "no clock moves here: silence decides nothing"
    );

    let (mut next, _) = world.greet(&token, placed(2, &[1])).await;
    let receipt = world.receipt(revoked.id).await;
    assert_eq!(receipt.verifiers[1].state, LineState::Succeeded);
    assert!(receipt.assumptions.iter().any(|assumption| assumption.id == "A5"));
    assert_eq!(confirmed(&mut next).await, [hello(1, 1).session]);
    let row = world.store.session(hello(1, 1).session).await.unwrap().unwrap();
    assert!(matches!(row.ended, Some((SessionEndKind::Succeeded, _))));

    // The registry keeps the place, so that a claim is good after a restart too.
    drop(next);
    let world = world.restarted().await;
    let (mut third, _) = world.greet(&token, placed(3, &[1, 2])).await;
    assert_eq!(confirmed(&mut third).await, [hello(1, 1).session, hello(2, 1).session]);
    assert_eq!(world.hub.sessions().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_before_its_hello_answers_it() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut next, _) = world.greet(&token, placed(2, &[1])).await;
    assert_eq!(confirmed(&mut next).await, [hello(1, 1).session]);
    let mut late = world.dial(&token).await.unwrap();
    late.send(ToAuthority::Hello(placed(1, &[]))).await;
    assert_eq!(late.try_next().await.unwrap(), Some(ToVerifier::Ended));
    assert_eq!(world.hub.sessions().len(), 1);
}

/// The session is registered and the hub does not know it yet: so far a hello has come that is being looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_while_its_hello_is_looked_at_ends_what_was_registered() {
    let world = World::new().await;
    let edge = world.issue("jeton", "edge", "verifier@acme").await;
    let first = placed(1, &[]);
    world.hub.0.floor().endings.look(first.session);
    let row = SessionRow {
        session: first.session,
        verifier: first.verifier,
        credential: edge.credential.id,
        namespaces: first.namespaces,
        opened: world.store.commit_log().head().revision,
        opened_at: world.hub.0.parts.time.now(),
        place: first.place,
        ended: None,
    };
    let row = world.store.session_open(row).await.unwrap();

    let (mut next, _) = world.greet(&edge.secret, placed(2, &[1])).await;
    assert_eq!(confirmed(&mut next).await, [first.session]);
    let ended = world.store.session(first.session).await.unwrap().unwrap().ended;
    assert!(matches!(ended, Some((SessionEndKind::Succeeded, _))), "{ended:?}");
    let revoked = world.revoke("acme", "billing").await.revocation;

    // The hello goes on with what it has found, which is not so any more: it opens nothing.
    let opening = Opening { facts: facts(row), stream: StreamId(99), epoch: 1, token: edge.token.id, resume: None };
    let mut control = {
        let mut floor = world.hub.0.floor();
        let control = floor.stream_open(opening);
        floor.endings.looked(first.session);
        control
    };
    assert_eq!(control.messages.recv().await, Some(ToVerifier::Ended));
    assert_eq!(
        world.hub.sessions().iter().map(|session| session.facts.session).collect::<Vec<_>>(),
        [hello(2, 1).session]
    );
    let waited_for = world.hub.receipt(revoked.id).unwrap();
    assert!(waited_for.evidence.iter().all(|line| line.session != Some(first.session)), "{waited_for:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_anothers_session_is_neither_followed_nor_confirmed() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let elsewhere = Hello { place: Some(Place { inode: 9, ..PLACE }), ..placed(1, &[]) };
    let (_stream, _) = world.live(&token, elsewhere.clone()).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    // 7 was never there: that it is confirmed shows that the claim was looked at whole.
    let (mut next, _) = world.greet(&token, placed(2, &[1, 7])).await;
    assert_eq!(confirmed(&mut next).await, [hello(7, 1).session]);
    assert!(world.hub.receipt(revoked.id).is_some(), "it blocks as before");

    // A session stays where it is.
    let mut moved = world.dial(&token).await.unwrap();
    moved.send(ToAuthority::Hello(Hello { place: Some(PLACE), epoch: 2, ..elsewhere })).await;
    match moved.next().await {
        ToVerifier::Refused(refused) => assert_eq!(refused.why, Refusal::Invalid),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_nobody_is_succeeded() {
    let world = World::without_succession().await;
    let token = world.token("edge").await;
    let (stream, _) = world.live(&token, placed(1, &[])).await;
    let revoked = world.revoke("acme", "billing").await.revocation;
    drop(stream);
    let (mut next, _) = world.greet(&token, placed(2, &[1])).await;
    let (at, _) = next.snapshot().await;
    next.send(ToAuthority::Ack { revision: at }).await;
    next.lease(1).await;
    assert!(world.hub.receipt(revoked.id).is_some());
    world.clock.pass(std::time::Duration::from_secs(7));
    let receipt = world.receipt(revoked.id).await;
    assert_eq!(receipt.verifiers[1].state, LineState::Fenced);
    assert!(receipt.assumptions.iter().all(|assumption| assumption.id != "A5"), "it rests on nothing of the kind");
}
