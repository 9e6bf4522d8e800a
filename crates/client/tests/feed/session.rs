//! Sessions: lost, refused, left, and presented with another token.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use jeton_client::feed::{StartError, TokenSource, TroubleKind, Verifier, VerifierConfig};
use jeton_feed::{
    lease::Void,
    message::{Refusal, Refused, ToAuthority, ToVerifier},
};
use jeton_types::Secret;
use jeton_verifier::{Code, StaleWhy};
use tonic::Status;

use crate::{
    code,
    fake::{FakeFeed, SNAPSHOT_AT, Token, record, revision},
    why_stale,
};

#[tokio::test]
async fn a_session_resumes_on_its_next_stream() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&token]).await;
    let session = verifier.status().session;
    drop(peer);
    let mut peer = feed.peer().await;
    let hello = peer.hello().await;
    assert_eq!((hello.session, hello.epoch, hello.resume), (session, 2, Some(revision(SNAPSHOT_AT))));
    peer.welcome(Some(SNAPSHOT_AT));
    peer.acked(SNAPSHOT_AT).await;
    peer.say(record(1_001, SNAPSHOT_AT, token.end()));
    peer.acked(1_001).await;
    assert_eq!(code(&verifier, &token).await, Code::Revoked);
}

#[tokio::test]
async fn an_ended_session_gives_way_to_another() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&token]).await;
    let session = verifier.status().session;
    drop(peer);
    let mut peer = feed.peer().await;
    assert_eq!(peer.hello().await.session, session);
    peer.say(ToVerifier::Ended);
    let status = verifier.status_when(|status| status.session != session).await.unwrap();
    assert_eq!(status.trouble.unwrap().kind, TroubleKind::SessionLost);
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Ended), "lease and grace are void");

    let mut peer = feed.peer().await;
    let hello = peer.hello().await;
    assert_eq!((hello.session, hello.epoch, hello.resume), (status.session, 1, None));
    peer.snapshot(&[&token]).await;
    verifier.wait_ready().await.unwrap();
    assert_eq!(code(&verifier, &token).await, Code::Valid);
    assert_eq!(verifier.status().trouble, None);
}

#[tokio::test]
async fn a_session_that_is_told_to_end_says_goodbye() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    peer.say(ToVerifier::End { reason: "its token was revoked".to_owned() });
    assert_eq!(peer.last_word().await, Some(ToAuthority::Goodbye));
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Ended));
    let trouble = verifier.status().trouble.unwrap();
    assert!(trouble.message.contains("its token was revoked"), "{trouble}");
}

#[tokio::test]
async fn a_token_that_is_not_good_is_told_readably() {
    let mut feed = FakeFeed::start().await;
    *feed.refuse.lock().unwrap() = Some(Status::unauthenticated("the token is revoked"));
    let verifier = Verifier::start(feed.config()).unwrap();
    let status = verifier.status_when(|status| status.trouble.is_some()).await.unwrap();
    let trouble = status.trouble.unwrap();
    assert_eq!(trouble.kind, TroubleKind::Unauthenticated);
    assert_eq!(trouble.to_string(), "the authority does not accept the token: the token is revoked");

    *feed.refuse.lock().unwrap() = None;
    let mut peer = feed.peer().await;
    peer.hello().await;
    let message = "needs verifier@acme".to_owned();
    peer.say(ToVerifier::Refused(Refused { why: Refusal::Forbidden, message }));
    let refused = |status: &jeton_client::feed::Status| {
        status.trouble.as_ref().is_some_and(|trouble| trouble.kind == TroubleKind::Refused)
    };
    let trouble = verifier.status_when(refused).await.unwrap().trouble.unwrap();
    assert!(trouble.message.contains("needs verifier@acme"), "{trouble}");
}

#[tokio::test]
async fn leaving_is_heard_and_final() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    let authority = async {
        assert_eq!(peer.last_word().await, Some(ToAuthority::Goodbye));
        drop(peer);
    };
    let (heard, ()) = tokio::join!(verifier.leave(), authority);
    assert!(heard);
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Goodbye));
    assert!(verifier.status().left && !verifier.ready() && verifier.wait_ready().await.is_err());
    assert!(verifier.leave().await, "again");
}

#[tokio::test]
async fn leaving_waits_for_the_answers_under_way() {
    let mut feed = FakeFeed::start().await;
    let (verifier, mut peer) = feed.ready(feed.config(), &[]).await;
    let new = Token::new(2_000, 1);
    let leave = async {
        let request = peer.asked().await;
        let left = tokio::spawn({
            let verifier = verifier.clone();
            async move { verifier.leave().await }
        });
        verifier.status_when(|status| status.left).await.unwrap();
        peer.say(ToVerifier::Watermark { request, watermark: revision(2_000) });
        assert_eq!(peer.last_word().await, Some(ToAuthority::Goodbye));
        drop(peer);
        left.await.unwrap()
    };
    let (answer, heard) = tokio::join!(code(&verifier, &new), leave);
    assert_eq!((answer, heard), (Code::Unknown, true));
}

#[tokio::test]
async fn a_goodbye_that_nobody_hears_is_told() {
    let mut feed = FakeFeed::start().await;
    let (verifier, peer) = feed.ready(feed.config(), &[]).await;
    feed.kill();
    drop(peer);
    verifier.status_when(|status| !status.connected).await.unwrap();
    assert!(!verifier.leave().await);
}

#[tokio::test]
async fn dropping_the_last_clone_leaves() {
    let mut feed = FakeFeed::start().await;
    let (verifier, mut peer) = feed.ready(feed.config(), &[]).await;
    let other = verifier.clone();
    drop(verifier);
    assert!(other.ready());
    drop(other);
    assert_eq!(peer.last_word().await, Some(ToAuthority::Goodbye));
}

#[tokio::test]
async fn another_token_in_the_file_opens_another_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    put(&path, "jtn_one");
    let mut feed = FakeFeed::start().await;
    let config = VerifierConfig { token: TokenSource::File(path.clone()), ..feed.config() };
    let token = Token::new(500, 1);
    let (verifier, old) = feed.ready(config, &[&token]).await;
    assert_eq!(old.authorization, "Bearer jtn_one");
    put(&path, "jtn_two");
    let mut peer = feed.peer().await;
    assert_eq!(peer.authorization, "Bearer jtn_two");
    let hello = peer.hello().await;
    assert_eq!((hello.epoch, hello.resume), (2, Some(revision(SNAPSHOT_AT))));
    assert_eq!(code(&verifier, &token).await, Code::Valid, "the lease goes on meanwhile");
}

#[tokio::test]
async fn a_token_of_another_credential_goes_on_with_another_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    put(&path, "jtn_one");
    let mut feed = FakeFeed::start().await;
    let config = VerifierConfig { token: TokenSource::File(path.clone()), ..feed.config() };
    let token = Token::new(500, 1);
    let (verifier, old) = feed.ready(config, &[&token]).await;
    let session = verifier.status().session;
    put(&path, "jtn_two");
    let mut peer = feed.peer().await;
    drop(old);
    assert_eq!(peer.hello().await.session, session);
    let message = "that session is another's".to_owned();
    peer.say(ToVerifier::Refused(Refused { why: Refusal::Invalid, message }));

    let mut peer = feed.peer().await;
    let hello = peer.hello().await;
    assert_eq!((hello.session == session, hello.epoch, hello.resume), (false, 1, None));
    assert_eq!(code(&verifier, &token).await, Code::Valid, "the lease goes on meanwhile");
    peer.snapshot(&[&token]).await;
    verifier.status_when(|status| status.session == hello.session && status.trouble.is_none()).await.unwrap();
    assert_eq!(code(&verifier, &token).await, Code::Valid);
}

#[tokio::test]
async fn what_cannot_work_is_told_at_the_start() {
    let feed = FakeFeed::start().await;
    let token = || TokenSource::Held(Secret::new("jtn_one".to_owned()));
    let start = |change: &dyn Fn(&mut VerifierConfig)| {
        let mut config = feed.config();
        change(&mut config);
        Verifier::start(config).map(|_| ()).unwrap_err()
    };
    let missing = start(&|config| config.token = TokenSource::File("/nonexistent/token".into()));
    assert!(matches!(missing, StartError::Token(_)), "{missing}");
    for url in ["", "127.0.0.1:7401", "https://h", "http://u:pw@h"] {
        let error = start(&|config| config.url = url.to_owned());
        let text = error.to_string();
        assert!(matches!(error, StartError::Url { .. }) && !text.contains("pw"), "{text}");
    }
    for namespaces in [vec![], vec!["acme", "acme"], vec!["jeton"]] {
        let namespaces: Vec<_> = namespaces.iter().map(|name| name.parse().unwrap()).collect();
        let error = start(&|config| config.namespaces.clone_from(&namespaces));
        assert!(matches!(error, StartError::Namespaces(_)), "{error}");
    }
    let error = start(&|config| config.name = "authority".parse().unwrap());
    assert!(matches!(error, StartError::Name), "{error}");
    let config = VerifierConfig::new(&feed.url, token(), "edge-1".parse().unwrap(), vec![crate::fake::namespace()]);
    let outside = std::thread::spawn(move || Verifier::start(config).map(|_| ()));
    assert!(matches!(outside.join().unwrap(), Err(StartError::Runtime)));
}

fn put(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&fresh, path).unwrap();
}
