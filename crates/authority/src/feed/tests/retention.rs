//! A log that is cut under those who follow it (`feed-protocol.md` 26 and 28): a snapshot, never a silent skip.

use std::time::Duration;

use futures_util::future::join_all;
use jeton_feed::{
    authority::CollectionWait,
    message::{Hello, ToAuthority, ToVerifier},
    record::Change,
    rollback::Judgement,
};
use jeton_store::{
    Store, StoreError,
    model::{Caller, IssueNew, Labels, Retention, TokenRow},
};
use jeton_types::{Revision, ScopeSet, UnixTime};

use super::world::{Stream, World, hello};
use crate::{
    config::LogKept,
    feed::retention::{log_cut, look_and_collect},
    fence::head_judge,
};

/// All that can go.
const ALL: Retention = Retention { after: UnixTime::ZERO, records_max: 0 };

/// Records until the one of this revision, without a gap.
async fn records_up_to(stream: &mut Stream, last: Revision) -> Vec<Revision> {
    let mut found = Vec::new();
    loop {
        let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
        found.push(record.revision);
        if record.revision == last {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_below_the_log_gets_a_snapshot() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    let seen = world.back(1, 2, at);
    world.revoke("acme", "billing").await;
    // Nothing of acme is left in the log but what it has missed.
    let head = world.issue("jeton", "unseen", "auditor@acme").await.revision;
    // A new process: nothing is in memory.
    let world = world.restarted().await;
    assert_eq!(world.greet(&token, seen.clone()).await.1.resume, Some(at), "all of it is still there");
    for row in world.store.revocations_pending().await.unwrap() {
        // Its session is silent; the record stays until it is counted out.
        world.clock.pass(Duration::from_secs(7));
        world.receipt(row.id).await;
    }
    assert!(world.store.records_cut(ALL).await.unwrap().cut > 0);
    assert!(world.store.head_known(seen.head.clone().unwrap().start, at).await.unwrap().retained_from > head);

    // A head below the log proves nothing, and is not taken for a rollback.
    let old = seen.head.clone().unwrap();
    assert_eq!(head_judge(&world.store, &world.keys, &old).await, Ok(Judgement::TooOld));
    let (mut stream, welcome) = world.greet(&token, Hello { epoch: 3, ..seen.clone() }).await;
    assert_eq!((welcome.resume, welcome.foreign, welcome.mismatch), (None, false, false));
    let (now, _) = stream.snapshot().await;
    assert!(now > head);
    assert!(world.fence.found().is_none());
    // A fresh head vouches for an old state, and still the log does not go back to it.
    let (mut stream, welcome) = world.greet(&token, world.back(1, 4, at)).await;
    assert_eq!((welcome.resume, welcome.foreign), (None, false));
    stream.snapshot().await;
    stream.send(ToAuthority::Ack { revision: now }).await;
    stream.lease(1).await;
}

/// The log is cut while a stream waits with an old place in it: what it has missed was of its namespace, and nothing that is
/// left names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_overtaken_by_the_cut_gets_a_snapshot() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (stream, at) = world.live(&token, hello(1, 1)).await;
    drop(stream);
    // So long that no window, buffer or batch between the two holds all of it.
    let scopes = (0..64).map(|number| format!("{number:0120}").parse().unwrap());
    let scopes = ScopeSet::new(scopes).unwrap();
    let issue = |number: usize| {
        let new = IssueNew {
            namespace: "acme".parse().unwrap(),
            name: format!("c{number}").parse().unwrap(),
            subject: None,
            scopes: scopes.clone(),
            labels: Labels::default(),
            ttl: None,
            addresses: jeton_types::AddressList::default(),
        };
        world.store.credential_issue(Caller::System, new)
    };
    let issued = join_all((0..600).map(issue)).await;
    let last = issued.into_iter().map(|issued| issued.unwrap().revision).max().unwrap();
    // A new process has none of it in memory, and reads it piece by piece as the stream takes it.
    let world = world.restarted().await;
    let (mut stream, welcome) = world.greet(&token, world.back(1, 2, at)).await;
    assert_eq!(welcome.resume, Some(at));
    let ToVerifier::Record(first) = stream.next().await else { panic!("no record") };
    assert!(first.predecessor <= at);
    while world.store.records_cut(ALL).await.unwrap().cut > 0 {}
    let (mut seen, mut snapshot) = (first.revision, None);
    while seen < last && snapshot.is_none() {
        match stream.next().await {
            ToVerifier::Record(record) => {
                assert!(record.predecessor == seen, "a gap after {seen}: {}", record.predecessor);
                seen = record.revision;
            }
            ToVerifier::SnapshotBegin { at } => snapshot = Some(at),
            other => panic!("{other:?}"),
        }
    }
    let snapshot = snapshot.expect("what was cut was sent all the same");
    assert!(snapshot > last && seen < last);
    let mut rows = 0;
    loop {
        match stream.next().await {
            ToVerifier::SnapshotRows(part) => rows += part.rows.len(),
            ToVerifier::SnapshotEnd { at } => break assert_eq!(at, snapshot),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rows, 601);
    // The same stream goes on from there.
    stream.send(ToAuthority::Ack { revision: snapshot }).await;
    stream.lease(1).await;
    let later = world.issue("acme", "later", "x").await.revision;
    assert_eq!(records_up_to(&mut stream, later).await, [later]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_goes_by_itself_but_for_what_a_receipt_needs() {
    let world = World::keeping(LogKept { age_max: Duration::from_secs(3_600), records_max: 1_000 }).await;
    let token = world.token("edge").await;
    let (stream, _) = world.live(&token, hello(1, 1)).await;
    let reach = async || match world.store.records(Revision::ZERO, Revision::ZERO, 1).await {
        Ok(_) => Revision::ZERO,
        Err(StoreError::LogCut { retained_from }) => retained_from,
        Err(error) => panic!("{error}"),
    };
    log_cut(&world.hub.0).await.unwrap();
    assert_eq!(reach().await, Revision::ZERO, "nothing is old");
    let revoked = world.revoke("acme", "billing").await.revocation;
    // Two hours in one leap, of both clocks: authority time follows the boot clock.
    world.clock.pass(Duration::from_secs(7_200));
    let later = world.issue("acme", "later", "x").await.revision;
    log_cut(&world.hub.0).await.unwrap();
    let from = reach().await;
    assert!(from > Revision::ZERO && from <= later, "{from}");
    // Its receipt lists what the record ended, although by now the record is old.
    drop(stream);
    let receipt = world.receipt(revoked.id).await;
    assert_eq!(receipt.tokens.len(), 1);
    log_cut(&world.hub.0).await.unwrap();
    assert_eq!(reach().await, later);
}

/// What has expired is collected after every lease and grace that was granted before, by the boot clock of this process; a start
/// begins the wait anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_long_ago_is_forgotten_by_verifiers() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    let mut wait = CollectionWait::default();
    let ttl = Some("10m".parse().unwrap());
    let mut issued = Vec::new();
    for (name, ttl) in [("short", ttl), ("ended", ttl), ("endless", None)] {
        issued.push(world.issue_for("acme", name, "x", ttl).await.token);
    }
    let mut last = Revision::ZERO;
    for name in ["ended", "endless"] {
        last = world.revoke("acme", name).await.revocation.revision;
    }
    records_up_to(&mut stream, last).await;
    stream.send(ToAuthority::Ack { revision: last }).await;
    let collected = async || -> Vec<bool> {
        let mut found = Vec::new();
        for token in &issued {
            found.push(world.store.token(token.id).await.unwrap().unwrap().collected.is_some());
        }
        found
    };
    // They have expired at the second look, and wait from there on.
    for (request, minutes) in [(2, 0), (3, 11), (4, 37), (5, 37)] {
        world.clock.pass(Duration::from_secs(60 * minutes));
        look_and_collect(&world.hub.0, &mut wait).await.unwrap();
        assert_eq!(collected().await, [false; 3], "after {minutes} more minutes");
        stream.lease(request).await;
    }
    world.clock.pass(Duration::from_secs(120));
    look_and_collect(&world.hub.0, &mut CollectionWait::default()).await.unwrap();
    assert_eq!(collected().await, [false; 3], "another process has seen none of that");
    look_and_collect(&world.hub.0, &mut wait).await.unwrap();
    assert_eq!(collected().await, [true, true, false], "what has no expiry stays for ever");
    let ToVerifier::Record(record) = stream.next().await else { panic!("no record") };
    let gone = |token: &TokenRow| Change::Collected { digest: token.digest, token: token.id };
    let mut expect = vec![gone(&issued[0]), gone(&issued[1])];
    let mut found = record.changes.clone();
    let by_token = |change: &Change| match change {
        Change::Collected { token, .. } => *token,
        other => panic!("{other:?}"),
    };
    expect.sort_by_key(by_token);
    found.sort_by_key(by_token);
    assert_eq!(found, expect);
    // The witness has followed, and vouches for what is left.
    let kept = world.store.set_hashes().await.unwrap();
    let kept = kept.into_iter().find(|row| row.namespace.as_str() == "acme").map(|row| row.set_hash);
    assert!(record.set_hash.is_some() && record.set_hash == kept);
    stream.send(ToAuthority::Ack { revision: record.revision }).await;
    stream.lease(9).await;
    // So it does after a start, from rows that lack them.
    let world = world.restarted().await;
    let (mut stream, _) = world.greet(&token, hello(2, 1)).await;
    assert_eq!(stream.snapshot().await.1, 2);
}
