//! A session that is new here and comes with what was read from a disk (`feed-protocol.md` 28).

use jeton_feed::{
    authority::EvidenceKind,
    message::{Hello, ToAuthority, ToVerifier},
};
use jeton_types::{Hash32, Revision, SessionId};

use super::world::{World, hello};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_from_there_and_has_no_lease_before_it_has_caught_up() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let missed = world.revoke("acme", "billing").await.revocation.revision;
    let (mut stream, welcome) = world.greet(&token, world.back(2, 1, at)).await;
    assert_eq!((welcome.resume, welcome.mismatch, welcome.foreign), (Some(at), false, false));
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    assert_eq!(record.revision, missed);
    // Whoever has a copy acknowledges it first.
    stream.send(ToAuthority::Ack { revision: at }).await;
    world.clock.pass(std::time::Duration::from_secs(2));
    stream.send(ToAuthority::Renew { request: 1 }).await;
    stream.send(ToAuthority::Ask { request: 2 }).await;
    // A grant would come before the answer.
    assert!(matches!(stream.next().await, ToVerifier::Watermark { request: 2, .. }));
    stream.send(ToAuthority::Ack { revision: missed }).await;
    assert!(matches!(stream.next().await, ToVerifier::Grant(grant) if grant.request == 1));
}

/// Registered at the head, it would be left out by the next start, which knows no acknowledgement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_waits_for_it_also_after_a_start() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let revoked = world.revoke("acme", "billing").await.revocation;
    let (_stream, welcome) = world.greet(&token, world.back(2, 1, at)).await;
    assert_eq!(welcome.resume, Some(at));
    let waits = |world: &World| {
        let receipt = world.hub.receipt(revoked.id).expect("it is pending");
        let line = receipt.evidence.iter().find(|line| line.session == Some(SessionId::from_bytes([2; 16])));
        line.map(|line| line.state)
    };
    assert_eq!(waits(&world), Some(EvidenceKind::Pending));
    let world = world.restarted().await;
    assert_eq!(waits(&world), Some(EvidenceKind::Pending), "it was opened at what it knows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_vouches_for_is_replaced_by_a_snapshot() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let good = world.back(2, 1, at);
    let beyond = Revision::new(at.get() + 1).unwrap();
    let cases: [(&str, Hello); 4] = [
        ("no head", Hello { head: None, ..good.clone() }),
        ("beyond its head", Hello { resume: Some(beyond), ..good.clone() }),
        ("another's head", {
            let mut head = good.head.clone().unwrap();
            head.mac = Some(Hash32([7; 32]));
            Hello { head: Some(head), ..good.clone() }
        }),
        ("what does not add up", Hello { set_hashes: vec![Hash32([7; 32])], ..good }),
    ];
    for (number, (what, case)) in (2..).zip(cases) {
        let case = Hello { session: SessionId::from_bytes([number; 16]), ..case };
        let (mut stream, welcome) = world.greet(&token, case).await;
        assert_eq!(welcome.resume, None, "{what}");
        assert_eq!(welcome.mismatch, what == "what does not add up", "{what}");
        assert_eq!(welcome.foreign, what == "another's head", "{what}");
        let (snapshot, _) = stream.snapshot().await;
        stream.send(ToAuthority::Ack { revision: snapshot }).await;
        stream.lease(1).await;
    }
}
