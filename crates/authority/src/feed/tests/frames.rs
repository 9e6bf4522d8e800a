//! Records that are too large for one message (`feed-protocol.md` 23).

use std::collections::VecDeque;

use futures_util::future::join_all;
use jeton_feed::{
    frame::{Cursor, Frame, Joined, join},
    message::{Grant, ToAuthority, ToVerifier},
    numbers::{FRAME_BYTES_MAX, PROTOCOL},
    record::Change,
};
use jeton_proto::{codec::Outbound, wire};
use jeton_store::{
    Store,
    model::{Caller, IssueNew, Labels, RevokeNew, Revoked, Selector},
};
use jeton_types::{AddressList, Revision, ScopeSet, UnixTime};
use prost::Message as _;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::StreamExt as _;

use super::{
    super::{
        outgoing::{Incoming, Outgoing},
        sender::{Covered, Sender, Terms, Unacked, heartbeats},
    },
    world::{PATIENCE, Stream, World, hello},
};

/// Some 620 KB of ends: more frames than may be on their way at once.
const MANY: usize = 10_000;
/// Frames that may be before a lease: those that wait in their lane, and the one that is being put there.
const BETWEEN_MAX: u32 = 5;

/// Issues many tokens for one subject.
async fn issue_many(world: &World) {
    let issue = |number: usize| {
        world.store.credential_issue(
            Caller::System,
            IssueNew {
                namespace: "acme".parse().unwrap(),
                name: format!("many-{number}").parse().unwrap(),
                subject: Some("fleet".parse().unwrap()),
                scopes: ScopeSet::default(),
                addresses: AddressList::default(),
                labels: Labels::default(),
                ttl: None,
            },
        )
    };
    for issued in join_all((0..MANY).map(issue)).await {
        issued.unwrap();
    }
}

/// Revokes all of them at once.
async fn revoke_many(world: &World) -> Revoked {
    let selector = Selector { subject: Some("fleet".parse().unwrap()), ..Selector::default() };
    let new = RevokeNew { namespace: Some("acme".parse().unwrap()), selector, reason: None };
    world.store.revocation_create(Caller::System, new).await.unwrap()
}

/// The next message with content.
async fn frame(stream: &mut Stream) -> Frame {
    match stream.next().await {
        ToVerifier::Frame(frame) => frame,
        other => panic!("{other:?}"),
    }
}

/// Reads a record in frames; says how many there were, and how many ends.
async fn frames(stream: &mut Stream) -> (u64, usize) {
    let (mut under_way, mut count, mut ends) = (None, 0, 0);
    loop {
        let next = frame(stream).await;
        (count, ends) = (count + 1, ends + next.record.changes.len());
        assert!(next.record.changes.iter().all(|change| matches!(change, Change::End { .. })));
        assert_eq!(next.record.set_hash.is_some(), next.last);
        if let Joined::Last(_) = join(&mut under_way, next).unwrap() {
            return (count, ends);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_revocation_comes_in_frames_that_are_made_once() {
    let world = World::new().await;
    issue_many(&world).await;
    let (one, other) = (world.token("edge-1").await, world.token("edge-2").await);
    let (mut first, at) = world.live(&one, hello(1, 1)).await;
    let (mut second, _) = world.live(&other, hello(2, 1)).await;
    let revoked = revoke_many(&world).await;
    let (count, ends) = frames(&mut first).await;
    assert!(count >= 10, "{count}");
    assert_eq!(ends, MANY);
    assert_eq!(frames(&mut second).await, (count, ends));
    assert_eq!(world.hub.0.parts.metrics.frames_made(), count, "for both streams");

    // Whoever comes back later gets them out of the store.
    first.send(ToAuthority::Ack { revision: revoked.revocation.revision }).await;
    second.send(ToAuthority::Ack { revision: revoked.revocation.revision }).await;
    world.receipt(revoked.revocation.id).await;
    let world = world.restarted().await;
    assert!(world.store.commit_log().after(at, 1).is_none(), "it is not in memory");
    let (mut stream, welcome) = world.greet(&one, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    // The second session's token is of the namespace `jeton`.
    assert_eq!(frames(&mut stream).await, (count, ends));
}

/// What a sender has put on the way next, taken as the transport would.
async fn taken(incoming: &mut Incoming) -> ToVerifier {
    loop {
        let bytes = match timeout(PATIENCE, incoming.next()).await.expect("nothing is sent").unwrap().unwrap() {
            Outbound::Message(message) => message,
            Outbound::Encoded(bytes) => {
                assert!(bytes.len() <= FRAME_BYTES_MAX);
                wire::ToVerifier::decode(bytes).unwrap()
            }
        };
        match bytes.try_into().unwrap() {
            ToVerifier::Heartbeat { watermark, .. } => println!("heartbeat {watermark}"),
            message => return message,
        }
    }
}

/// A transport that takes one message at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_urgent_comes_between_and_no_part_can_be_acknowledged() {
    let world = World::new().await;
    issue_many(&world).await;
    let resume = world.store.head().await.unwrap().revision;
    let revision = revoke_many(&world).await.revocation.revision;
    let (out, mut incoming) = Outgoing::new();
    let (hub, mut control) = mpsc::channel(8);
    let (ask, asks) = mpsc::channel(8);
    let (unacked, covered) = (Unacked::default(), Covered::default());
    let sender = Sender {
        shared: &world.hub.0,
        out: &out,
        control: &mut control,
        asks,
        namespaces: &["acme".parse().unwrap()],
        unacked: &unacked,
        covered: &covered,
        asked: VecDeque::new(),
        heartbeats: heartbeats(),
        told: Revision::ZERO,
    };
    let verifier = async {
        assert!(matches!(taken(&mut incoming).await, ToVerifier::Welcome(_)));
        let (mut under_way, mut whole, mut awaited, mut leases, mut between) = (None, false, false, 0_u64, 0);
        loop {
            match taken(&mut incoming).await {
                ToVerifier::Frame(frame) => {
                    if frame.number == 1 {
                        assert!(!covered.covers(revision), "a part is on its way");
                        ask.send(7).await.unwrap();
                    }
                    whole = matches!(join(&mut under_way, frame).unwrap(), Joined::Last(_));
                    between += 1;
                    assert!(between <= BETWEEN_MAX, "a lease waits behind frames");
                    if !awaited {
                        let grant = Grant { request: leases, authority_time: UnixTime::ZERO };
                        hub.send(ToVerifier::Grant(grant)).await.unwrap();
                        (awaited, between) = (true, 0);
                    }
                }
                ToVerifier::Grant(grant) => {
                    assert_eq!(grant.request, leases);
                    (awaited, leases) = (false, leases + 1);
                }
                // Asked while the record was half sent, so it waits for all of it.
                ToVerifier::Watermark { request: 7, watermark } => {
                    assert!(whole && watermark >= revision);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(leases > 1, "{leases}");
    };
    let terms = Terms { protocol: PROTOCOL, resume: Some(resume), foreign: false, mismatch: false };
    tokio::select! {
        end = sender.run(terms) => panic!("{end}"),
        () = verifier => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_gone_has_no_frames() {
    let world = World::new().await;
    let shared = &world.hub.0;
    let never = Revision::new(1).unwrap();
    assert!(shared.frames.frame(shared, never, Cursor::FIRST).await.unwrap().is_none());
}
