//! Answers: from the replica, at first use, and while something is in the way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use jeton_client::feed::{Answer, Observe, Right, TroubleKind, Verifier, VerifierConfig};
use jeton_feed::{
    lease::Void,
    message::{Grant, ToAuthority, ToVerifier},
    record::Change,
};
use jeton_host::clock::SystemClock;
use jeton_proto::wire;
use jeton_types::{Clock, Hash32, Now, Revision, ScopeSet, UnixTime};
use jeton_verifier::{Code, Required, Source, StaleWhy};

use crate::{
    code,
    fake::{FakeFeed, SNAPSHOT_AT, Token, record, revision},
    verify, why_stale,
};

#[tokio::test]
async fn from_nothing_to_valid() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let counted = Arc::new(Counted::default());
    let config = VerifierConfig { observe: counted.clone(), ..feed.config() };
    let verifier = Verifier::start(config).unwrap();
    assert!(!verifier.ready());
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::NoLease);

    let mut peer = feed.peer().await;
    assert_eq!(peer.authorization, "Bearer jtn_one");
    let hello = peer.hello().await;
    assert_eq!((hello.verifier.as_str(), hello.epoch, hello.resume), ("edge-1", 1, None));
    peer.grant(false);
    peer.snapshot(&[&token]).await;
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::NoLease, "a snapshot is no lease");
    let ToAuthority::Renew { request } = peer.heard().await else { panic!("no renewal") };
    let authority_time = UnixTime::from_micros(1);
    peer.say(ToVerifier::Grant(Grant { request, authority_time }));
    peer.grant(true);
    verifier.wait_ready().await.unwrap();

    let Answer::Verdict(verdict) = verify(&verifier, &token).await else { panic!("stale") };
    assert!(verdict.valid());
    assert_eq!((verdict.revision(), verdict.token()), (revision(SNAPSHOT_AT), Some(token.entry.token)));
    let required = Required { scopes: ScopeSet::parse(["orders:write"]).unwrap(), ..Required::default() };
    let codes = [
        verifier.verify(token.text(), &required, None).await.code(),
        verifier.verify(b"acme_live_x", &required, None).await.code(),
        code(&verifier, &Token::new(SNAPSHOT_AT, 2)).await,
    ];
    assert_eq!(codes, [Code::InsufficientScope, Code::Malformed, Code::Unknown]);

    let status = verifier.status();
    assert!(status.connected && status.trouble.is_none() && !status.left && !status.failed);
    assert_eq!((status.session, status.tokens, status.watermark), (hello.session, 1, revision(SNAPSHOT_AT)));
    assert!(status.namespaces[0].remaining > Duration::from_secs(200) && status.namespaces[0].right != Right::None);
    let counted = counted.0.lock().unwrap().clone();
    let expect = [
        "stale None",
        "connected true",
        "snapshot of 1",
        "stale None",
        "valid Some(Replica)",
        "insufficient_scope Some(Replica)",
        "malformed Some(Replica)",
        "unknown Some(Replica)",
    ];
    assert_eq!(counted, expect);
}

#[tokio::test]
async fn acknowledged_is_enforced() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    assert_eq!(code(&verifier, &token).await, Code::Valid);
    peer.say(record(1_001, SNAPSHOT_AT, token.end()));
    peer.acked(1_001).await;
    assert_eq!(code(&verifier, &token).await, Code::Revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_is_enforced_on_every_thread() {
    let mut feed = FakeFeed::start().await;
    let token = Arc::new(Token::new(500, 1));
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    let acknowledged = Arc::new(AtomicBool::new(false));
    let user = || {
        let (verifier, token, acknowledged) = (verifier.clone(), Arc::clone(&token), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            loop {
                let after = acknowledged.load(Ordering::SeqCst);
                let code = code(&verifier, &token).await;
                if after {
                    return code;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let users: Vec<_> = (0..8).map(|_| user()).collect();
    peer.say(record(1_001, SNAPSHOT_AT, token.end()));
    peer.acked(1_001).await;
    acknowledged.store(true, Ordering::SeqCst);
    for user in users {
        assert_eq!(user.await.unwrap(), Code::Revoked);
    }
}

#[tokio::test]
async fn a_new_token_is_good_at_its_first_use() {
    let mut feed = FakeFeed::start().await;
    let (verifier, mut peer) = feed.ready(feed.config(), &[]).await;
    let (issued, made_up) = (Token::new(2_000, 1), Token::new(9_000, 2));

    let authority = async {
        let request = peer.asked().await;
        peer.say(record(2_000, SNAPSHOT_AT, Change::Token(issued.entry.clone())));
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
    };
    let (answer, ()) = tokio::join!(code(&verifier, &issued), authority);
    assert_eq!(answer, Code::Valid);

    let authority = async {
        let request = peer.asked().await;
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
    };
    let (answer, ()) = tokio::join!(code(&verifier, &made_up), authority);
    assert_eq!(answer, Code::Unknown);
}

#[tokio::test]
async fn a_first_use_that_came_after_the_question_waits_for_its_own() {
    let mut feed = FakeFeed::start().await;
    let (verifier, mut peer) = feed.ready(feed.config(), &[]).await;
    let (first, second) = (Token::new(2_000, 1), Token::new(3_000, 2));
    let mut early = Box::pin(code(&verifier, &first));
    let request = tokio::select! {
        code = &mut early => panic!("{code}"),
        request = peer.asked() => request,
    };
    let mut late = Box::pin(code(&verifier, &second));
    assert!((&mut late).now_or_never().is_none(), "it waits from here on");
    // Issued after the first question was answered.
    peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
    assert_eq!(early.await, Code::Unknown);
    let request = tokio::select! {
        code = &mut late => panic!("{code} without a question of its own"),
        request = peer.asked() => request,
    };
    peer.say(record(3_000, SNAPSHOT_AT, Change::Token(second.entry.clone())));
    peer.say(ToVerifier::Watermark { request, watermark: revision(3_000) });
    assert_eq!(late.await, Code::Valid);
}

#[tokio::test]
async fn many_first_uses_share_few_questions() {
    let mut feed = FakeFeed::start().await;
    let (verifier, mut peer) = feed.ready(feed.config(), &[]).await;
    let tokens: Vec<Token> = (1..=200).map(|id| Token::new(2_000, id)).collect();
    let (done, mut all_done) = tokio::sync::oneshot::channel();
    let users = async {
        let answers = futures_util::future::join_all(tokens.iter().map(|token| code(&verifier, token))).await;
        done.send(()).unwrap();
        answers
    };
    let authority = async {
        let mut asked = 0;
        loop {
            let request = tokio::select! {
                _ = &mut all_done => return asked,
                request = peer.asked() => request,
            };
            asked += 1;
            peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
        }
    };
    let (answers, asked) = tokio::join!(users, authority);
    assert!(answers.iter().all(|code| *code == Code::Unknown), "{answers:?}");
    assert!((1..=3).contains(&asked), "{asked} questions");
}

#[tokio::test]
async fn without_the_authoritys_word_a_new_token_is_stale() {
    let mut feed = FakeFeed::start().await;
    let known = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&known]).await;
    let new = Token::new(2_000, 2);
    assert_eq!(why_stale(&verifier, &new).await, StaleWhy::NotInTime);
    drop(peer);
    verifier.status_when(|status| !status.connected).await.unwrap();
    assert_eq!(why_stale(&verifier, &new).await, StaleWhy::StreamDown);
    feed.kill();
    assert_eq!(why_stale(&verifier, &new).await, StaleWhy::StreamDown);
    assert_eq!(code(&verifier, &known).await, Code::Valid, "what is known goes on");
    let status = verifier.status_when(|status| status.trouble.is_some()).await.unwrap();
    assert_eq!(status.trouble.unwrap().kind, TroubleKind::Unreachable);
}

#[tokio::test]
async fn a_paused_machine_is_stale_until_the_next_lease() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let clock = Arc::new(Bent::default());
    let config = VerifierConfig { clock: clock.clone(), ..feed.config() };
    let (verifier, peer) = feed.ready(config, &[&token]).await;
    peer.grant(false);
    clock.ahead_us.store(300_000, Ordering::SeqCst);
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Jump));
    let status = verifier.status_when(|status| status.trouble.is_some()).await.unwrap();
    assert_eq!(status.trouble.unwrap().kind, TroubleKind::Paused);
    peer.grant(true);
    verifier.wait_ready().await.unwrap();
    assert_eq!(code(&verifier, &token).await, Code::Valid);
}

#[tokio::test]
async fn what_cannot_be_read_is_never_skipped() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    peer.say(record(1_001, SNAPSHOT_AT, Change::Unknown { kind: 40, needs_protocol: 3 }));
    let last = peer.last_word().await;
    assert!(!matches!(last, Some(ToAuthority::Ack { revision: at }) if at == revision(1_001)));
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Unappliable));
    let trouble = verifier.status().trouble.unwrap();
    assert_eq!(trouble.kind, TroubleKind::Unreadable);
    assert!(trouble.message.contains("protocol 3"), "{trouble}");
}

#[tokio::test]
async fn what_does_not_add_up_is_stale_until_a_snapshot() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let counted = Arc::new(Counted::default());
    let config = VerifierConfig { observe: counted.clone(), ..feed.config() };
    let (verifier, mut peer) = feed.ready(config, &[&token]).await;
    let ToVerifier::Record(mut record) = record(1_001, SNAPSHOT_AT, Change::Token(Token::new(1_001, 2).entry)) else {
        panic!("no record")
    };
    record.set_hash = Some(Hash32([7; 32]));
    peer.say(ToVerifier::Record(record));
    let last = peer.last_word().await;
    assert!(!matches!(last, Some(ToAuthority::Ack { revision: at }) if at == revision(1_001)));
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Mismatch));
    assert_eq!(verifier.status().trouble.unwrap().kind, TroubleKind::Mismatch);
    assert!(counted.0.lock().unwrap().contains(&"mistrusted".to_owned()));
    let mut peer = feed.peer().await;
    let hello = peer.hello().await;
    assert_eq!((hello.resume, hello.set_hashes.len()), (None, 0));
    peer.snapshot(&[&token]).await;
    verifier.wait_ready().await.unwrap();
    assert_eq!(code(&verifier, &token).await, Code::Valid);
}

#[tokio::test]
async fn a_message_of_an_unknown_kind_makes_stale() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&token]).await;
    peer.say_raw(wire::ToVerifier { message: None });
    let status = verifier.status_when(|status| !status.connected).await.unwrap();
    assert_eq!(status.trouble.unwrap().kind, TroubleKind::Unreadable);
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Unappliable));
}

#[tokio::test]
async fn a_driver_that_dies_leaves_nothing_valid() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let config = VerifierConfig { observe: Arc::new(Dies), ..feed.config() };
    let (verifier, peer) = feed.ready(config, &[&token]).await;
    peer.say(record(1_001, SNAPSHOT_AT, Change::Token(Token::new(1_001, 2).entry)));
    verifier.failed().await;
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Unappliable));
    let status = verifier.status();
    assert!(status.failed && !verifier.ready());
    assert_eq!(status.trouble.unwrap().kind, TroubleKind::Internal);
    assert!(verifier.wait_ready().await.is_err());
    assert!(!verifier.leave().await);
}

#[derive(Default)]
struct Counted(Mutex<Vec<String>>);

impl Observe for Counted {
    fn verification(&self, code: Code, source: Option<Source>) {
        self.0.lock().unwrap().push(format!("{code} {source:?}"));
    }

    fn snapshot(&self, _: Duration, rows: u64) {
        self.0.lock().unwrap().push(format!("snapshot of {rows}"));
    }

    fn replica_mistrusted(&self) {
        self.0.lock().unwrap().push("mistrusted".to_owned());
    }

    fn connected(&self, connected: bool) {
        self.0.lock().unwrap().push(format!("connected {connected}"));
    }
}

struct Dies;

impl Observe for Dies {
    fn record(&self, revision: Revision, _: UnixTime, _: Duration) {
        panic!("as the test wants it, at {revision}");
    }
}

/// The machine's clocks, with real time ahead of boot time.
#[derive(Default)]
struct Bent {
    ahead_us: AtomicU64,
}

impl Clock for Bent {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        Now { real: now.real.plus(Duration::from_micros(self.ahead_us.load(Ordering::SeqCst))), ..now }
    }
}

#[tokio::test]
async fn a_newer_view_is_fetched_where_it_is_demanded() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    let demand = |at_least: Option<u64>, max_age: Option<Duration>| {
        let required = Required { at_least: at_least.map(revision), max_age, ..Required::default() };
        let (verifier, token) = (verifier.clone(), &token);
        async move { verifier.verify(token.text(), &required, None).await }
    };
    // What is there needs no question: nobody would answer it.
    let there = demand(Some(SNAPSHOT_AT), Some(Duration::from_secs(3_600))).await;
    assert_eq!(there.code(), Code::Valid);

    // What is on its way comes before the answer to the question.
    let authority = async {
        let request = peer.asked().await;
        peer.say(record(2_000, SNAPSHOT_AT, Change::Token(token.entry.clone())));
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
    };
    let (answer, ()) = tokio::join!(demand(Some(2_000), None), authority);
    let Answer::Verdict(verdict) = answer else { panic!("{answer:?}") };
    assert!(verdict.valid() && verdict.revision() >= revision(2_000));

    // What the authority does not have either is stale, and so is what it does not tell in time.
    let authority = async {
        let request = peer.asked().await;
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
    };
    let (answer, ()) = tokio::join!(demand(Some(3_000), None), authority);
    assert!(matches!(answer, Answer::Stale(StaleWhy::Behind)), "{answer:?}");
    let silent = demand(Some(3_000), None).await;
    assert!(matches!(silent, Answer::Stale(StaleWhy::NotInTime)), "{silent:?}");
    let request = peer.asked().await;
    peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });

    // As new as can be is asked for each time; a revocation on its way is seen by it.
    let authority = async {
        let request = peer.asked().await;
        peer.say(record(2_001, 2_000, token.end()));
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_001) });
    };
    let (answer, ()) = tokio::join!(demand(None, Some(Duration::ZERO)), authority);
    assert_eq!(answer.code(), Code::Revoked);
}
