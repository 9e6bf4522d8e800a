//! Hellos and streams that are turned away. None of them changes anything.

use futures_util::future::join_all;
use jeton_feed::{
    authority::EvidenceKind,
    message::{Hello, Refusal, ToAuthority, ToVerifier},
    numbers::{PROTOCOL, PROTOCOL_FED_OLDEST},
};
use jeton_store::{Store, model::SessionRow};
use jeton_types::{Clock, Freshness, NamespaceName, Prefix, Revision, SessionId, token::mint};
use tonic::Code;

use super::world::{World, hello};

fn names(names: &[&str]) -> Vec<NamespaceName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_by_reason() {
    let world = World::new().await;
    world.namespace("other", Freshness::Strict).await;
    let token = world.token("edge").await;
    let admin = world.issue("jeton", "boss", "admin@*").await.secret;
    let stranger = mint(&Prefix::built_in(), Revision::new(5).unwrap(), [7; 24]).text;
    let auditor = world.issue("jeton", "auditor", "auditor@acme").await.secret;
    let (mut live, _) = world.live(&token, hello(1, 1)).await;
    let cases = [
        (&stranger, hello(2, 1), Refusal::Unauthenticated),
        (&auditor, hello(2, 1), Refusal::Forbidden),
        (&token, Hello { namespaces: names(&["acme", "other"]), ..hello(2, 1) }, Refusal::Forbidden),
        (&admin, Hello { namespaces: names(&["jeton"]), ..hello(2, 1) }, Refusal::Forbidden),
        (&admin, Hello { namespaces: names(&["acme", "nowhere"]), ..hello(2, 1) }, Refusal::UnknownNamespace),
        (&token, Hello { protocol_oldest: PROTOCOL + 1, protocol: PROTOCOL + 2, ..hello(2, 1) }, Refusal::Protocol),
        (&token, Hello { protocol_oldest: 1, protocol: PROTOCOL_FED_OLDEST - 1, ..hello(2, 1) }, Refusal::Protocol),
        (&token, Hello { verifier: "authority".parse().unwrap(), ..hello(2, 1) }, Refusal::Invalid),
        // The session of another credential, or with another name or other namespaces.
        (&admin, hello(1, 9), Refusal::Invalid),
        (&token, Hello { verifier: "edge-2".parse().unwrap(), ..hello(1, 9) }, Refusal::Invalid),
    ];
    for (token, hello, why) in cases {
        let mut stream = world.dial(token).await.unwrap();
        stream.send(ToAuthority::Hello(hello)).await;
        match stream.try_next().await.unwrap() {
            Some(ToVerifier::Refused(refused)) => {
                assert_eq!(refused.why, why, "{}", refused.message);
                assert!(!refused.message.is_empty());
                let versions =
                    format!("this authority speaks protocols {PROTOCOL_FED_OLDEST} to {PROTOCOL}, the verifier ");
                assert_eq!(refused.message.starts_with(&versions), why == Refusal::Protocol, "{}", refused.message);
            }
            other => panic!("{other:?} instead of {why:?}"),
        }
        assert!(stream.ended().await.is_none());
    }
    assert_eq!(world.hub.sessions().len(), 1, "none is registered");
    live.lease(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_there_is_no_stream() {
    let world = World::new().await;
    let foreign = mint(&"acme_live".parse().unwrap(), Revision::new(5).unwrap(), [7; 24]).text;
    let foreign = format!("Bearer {}", foreign.expose());
    for authorization in [None, Some("Bearer x"), Some("Basic eDp5"), Some(foreign.as_str())] {
        let status = world.dial_as(authorization).await.map(|_| ()).unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{authorization:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_with_one_hello() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let mut stream = world.dial(&token).await.unwrap();
    stream.send(ToAuthority::Renew { request: 1 }).await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::InvalidArgument));
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    stream.send(ToAuthority::Hello(hello(1, 2))).await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::InvalidArgument));
    assert_eq!(world.hub.sessions().len(), 1, "the session goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_of_what_was_not_sent_breaks_the_stream_and_counts_for_nothing() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    stream.send(ToAuthority::Ack { revision: Revision::new(Revision::LIMIT - 1).unwrap() }).await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::InvalidArgument));
    let revoked = world.revoke("acme", "billing").await.revocation;
    let receipt = world.hub.receipt(revoked.id).unwrap();
    assert_eq!(receipt.evidence[1].state, EvidenceKind::Pending, "it is still waited for");
    // Nor before anything was sent at all.
    let (mut stream, _) = world.greet(&token, hello(1, 2)).await;
    stream.send(ToAuthority::Ack { revision: Revision::new(Revision::LIMIT - 1).unwrap() }).await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_has_so_many_sessions_and_no_more() {
    let world = World::new().await;
    let issued = world.issue("jeton", "edge", "verifier@acme").await;
    let row = |number: u16| {
        let mut session = [9; 16];
        session[..2].copy_from_slice(&number.to_be_bytes());
        SessionRow {
            session: SessionId::from_bytes(session),
            verifier: "edge-2".parse().unwrap(),
            credential: issued.credential.id,
            namespaces: names(&["acme"]),
            opened: issued.revision,
            opened_at: world.clock.now().real,
            place: None,
            ended: None,
        }
    };
    let opened = join_all((0..1_000).map(|number| world.store.session_open(row(number)))).await;
    assert!(opened.iter().all(Result::is_ok));
    let known = row(0).session;
    let world = world.restarted().await;
    let mut stream = world.dial(&issued.secret).await.unwrap();
    stream.send(ToAuthority::Hello(hello(2, 1))).await;
    let Some(ToVerifier::Refused(refused)) = stream.try_next().await.unwrap() else { panic!("it is not refused") };
    assert_eq!(refused.why, Refusal::TooMany);
    assert!(refused.message.contains("1000 of them of verifier edge-2"), "{}", refused.message);
    // Those that are there are not turned away, nor is another name.
    let known = Hello { session: known, ..hello(2, 1) };
    let (_stream, _) = world.greet(&issued.secret, known).await;
    let (_other, _) = world.greet(&issued.secret, hello(3, 1)).await;
}
