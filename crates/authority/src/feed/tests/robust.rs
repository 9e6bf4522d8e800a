//! What goes wrong inside: a store that cannot be read, tasks that panic, receipts that cannot be stored.

use std::{process::Command, sync::Arc, time::Duration};

use jeton_feed::{
    authority::{Hub, HubSetup, Input, Pending},
    message::{Refusal, ToAuthority, ToVerifier},
    record::Head,
};
use jeton_host::clock::SystemClock;
use jeton_types::{Clock as _, Hash32, Revision, RevocationId, StartId};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use super::world::{PATIENCE, World, hello};
use crate::{
    feed::{
        driver::vital,
        floor::{Floor, Work},
        signing::{Signing, Turn},
    },
    inflight::Inflight,
    time::AuthorityTime,
};

/// Neither good nor bad (`assurance.md` S10): no lease, no end, and no word that the token is bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_read_decides_about_nobody() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    world.tokens_hide(true);
    let mut other = world.dial(&token).await.unwrap();
    other.send(ToAuthority::Hello(hello(2, 1))).await;
    match other.next().await {
        ToVerifier::Refused(refused) => assert_eq!(refused.why, Refusal::Unavailable),
        found => panic!("{found:?}"),
    }
    stream.send(ToAuthority::Renew { request: 2 }).await;
    // What is asked after it is answered after it, so that the renewal has been looked at by then.
    stream.send(ToAuthority::Ask { request: 7 }).await;
    let answer = stream.next().await;
    assert!(matches!(answer, ToVerifier::Watermark { request: 7, .. }), "{answer:?}");
    world.tokens_hide(false);
    stream.lease(3).await;
    let mut other = world.dial(&token).await.unwrap();
    other.send(ToAuthority::Hello(hello(2, 2))).await;
    assert!(matches!(other.next().await, ToVerifier::Welcome(_)));
}

/// The hub says again and again that a receipt is complete; one that waits to be signed waits once.
#[test]
fn a_receipt_that_cannot_be_stored_waits_once() {
    const VICTIM: RevocationId = RevocationId::from_bytes([1; 16]);
    let clock = Arc::new(super::world::Hands::new(SystemClock.now()));
    let time = AuthorityTime::new(clock.clone());
    let (now, authority_time) = time.read();
    let revision = Revision::ZERO.next(authority_time).unwrap();
    let pending = Pending {
        revocation: VICTIM,
        namespace: "acme".parse().unwrap(),
        revision,
        committed_at: authority_time,
        ended_before: Vec::new(),
    };
    let start = StartId::from_bytes([1; 16]);
    let hub = Hub::new(HubSetup {
        start,
        now,
        authority_time,
        head: Head { revision, start, chain_hash: Hash32::ZERO, mac: None },
        sessions: Vec::new(),
        policies: Vec::new(),
        last_records: vec![("acme".parse().unwrap(), revision)],
        floors: Vec::new(),
        pending: vec![pending],
    });
    let (_committed, committed) = tokio::sync::mpsc::unbounded_channel();
    let (mut floor, mut works, _releases) = Floor::new(hub, Default::default(), committed, time, Inflight::new());
    let waiting = |works: &mut UnboundedReceiver<Work>| {
        let all = std::iter::from_fn(|| works.try_recv().ok());
        all.filter(|work| matches!(work, Work::Complete(facts) if facts.revocation == VICTIM)).count()
    };
    floor.step(Input::AuthorityAcked { revision });
    for _ in 0..100 {
        clock.pass(Duration::from_secs(1));
        floor.step(Input::Tick);
    }
    assert_eq!(waiting(&mut works), 1);
    // Taken out and not stored: it comes again, and once.
    floor.completing_end(VICTIM);
    for _ in 0..100 {
        clock.pass(Duration::from_secs(1));
        floor.step(Input::Tick);
    }
    assert_eq!(waiting(&mut works), 1);
}

#[tokio::test]
async fn a_signing_task_that_panics_gives_its_turn_back() {
    let signing = Arc::new(Signing::default());
    let revocation = RevocationId::from_bytes([1; 16]);
    assert!(signing.begin(revocation));
    assert!(!signing.begin(revocation), "one at a time");
    let own = Arc::clone(&signing);
    let task = tokio::spawn(async move {
        let _turn = Turn::new(&own, revocation);
        panic!("as a test");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(signing.begin(revocation), "the next one may try");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panicked_does_not_keep_the_feed_from_ending() {
    let world = World::new().await;
    let (panicked, seen) = tokio::sync::oneshot::channel::<()>();
    world.hub.0.spawn(async move {
        let _told = panicked;
        panic!("as a test");
    });
    seen.await.unwrap_err();
    timeout(PATIENCE, world.hub.shutdown()).await.unwrap();
}

const VICTIM: &str = "JETON_AUTHORITY_VICTIM";

/// In a process of its own, which is this test once more.
#[test]
fn a_task_of_the_hub_that_panics_ends_the_process() {
    const NAME: &str = "feed::tests::robust::a_task_of_the_hub_that_panics_ends_the_process";
    if std::env::var_os(VICTIM).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(vital(async { panic!("as a test") }));
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap());
    let output = victim.args([NAME, "--exact", "--nocapture"]).env(VICTIM, "1").output().unwrap();
    // SIGABRT: it neither went on nor left as if all were well.
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6), "{output:?}");
}
