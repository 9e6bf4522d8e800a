//! Records in frames, and messages that are larger than any (`feed-protocol.md` 23).

use jeton_client::feed::TroubleKind;
use jeton_feed::{
    frame::Frame,
    lease::Void,
    message::{ToAuthority, ToVerifier},
    numbers::PROTOCOL_OF_FRAMES,
};
use jeton_proto::MESSAGE_BYTES_MAX;
use jeton_verifier::{Code, StaleWhy};

use crate::{
    code,
    fake::{FakeFeed, SNAPSHOT_AT, Token, record, revision},
    why_stale,
};

#[tokio::test]
async fn a_record_in_frames_ends_tokens_as_they_come() {
    let mut feed = FakeFeed::start().await;
    let (one, two) = (Token::new(500, 1), Token::new(500, 2));
    let (verifier, peer) = feed.ready(feed.config(), &[&one, &two]).await;
    let frame = |number, last, token: &Token| {
        let ToVerifier::Record(record) = record(1_001, SNAPSHOT_AT, token.end()) else { panic!("no record") };
        ToVerifier::Frame(Frame { number, last, record })
    };
    peer.say(frame(1, false, &one));
    while code(&verifier, &one).await != Code::Revoked {
        tokio::task::yield_now().await;
    }
    assert_eq!(code(&verifier, &two).await, Code::Valid);
    assert_eq!(verifier.status().watermark, revision(SNAPSHOT_AT), "a part is not the record");
    drop(peer);
    let mut peer = feed.peer().await;
    assert_eq!(peer.hello().await.resume, Some(revision(SNAPSHOT_AT)));
    peer.welcome(Some(SNAPSHOT_AT));
    peer.acked(SNAPSHOT_AT).await;
    peer.say(frame(1, false, &one));
    peer.say(frame(2, true, &two));
    assert_eq!(peer.heard().await, ToAuthority::Ack { revision: revision(1_001) });
    assert_eq!(code(&verifier, &two).await, Code::Revoked);
}

/// A record of some changes that takes at least so many bytes on the wire.
fn large_record(bytes: usize) -> ToVerifier {
    let ToVerifier::Record(mut record) = record(1_001, SNAPSHOT_AT, Token::new(500, 1).end()) else {
        panic!("no record")
    };
    record.changes = vec![record.changes[0].clone(); bytes / 50];
    ToVerifier::Record(record)
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_session_goes_on() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&token]).await;
    let session = verifier.status().session;
    peer.say(large_record(2 * MESSAGE_BYTES_MAX));
    let status = verifier.status_when(|status| !status.connected).await.unwrap();
    let trouble = status.trouble.unwrap();
    assert_eq!(trouble.kind, TroubleKind::Unreadable);
    assert!(trouble.message.contains("too large"), "{trouble}");
    // It may have been a record.
    assert_eq!(why_stale(&verifier, &token).await, StaleWhy::Voided(Void::Unappliable));
    let mut peer = feed.peer().await;
    let hello = peer.hello().await;
    assert_eq!((hello.session, hello.resume), (session, Some(revision(SNAPSHOT_AT))));
    peer.welcome(Some(SNAPSHOT_AT));
    peer.acked(SNAPSHOT_AT).await;
    verifier.wait_ready().await.unwrap();
    assert_eq!(code(&verifier, &token).await, Code::Valid);
}

#[tokio::test]
async fn an_authority_without_frames_may_send_what_is_larger() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, peer) = feed.ready(feed.config(), &[&token]).await;
    drop(peer);
    // What it is shows in its welcome; the stream after that is opened for it.
    for _ in 0..2 {
        let mut peer = feed.peer().await;
        peer.hello().await;
        peer.welcome_by(PROTOCOL_OF_FRAMES - 1, Some(SNAPSHOT_AT));
        peer.acked(SNAPSHOT_AT).await;
        peer.say(large_record(2 * MESSAGE_BYTES_MAX));
        if peer.last_ack().await == Some(revision(1_001)) {
            assert_eq!(code(&verifier, &token).await, Code::Revoked);
            return;
        }
    }
    panic!("it was not taken: {:?}", verifier.status().trouble);
}
