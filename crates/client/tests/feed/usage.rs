//! What is told of tokens in use.

use jeton_feed::{
    message::{ToAuthority, ToVerifier},
    usage::Report,
};
use jeton_verifier::{Code, Required};

use crate::{
    code,
    fake::{FakeFeed, Peer, SNAPSHOT_AT, Token, record},
};

/// The next report.
async fn told(peer: &mut Peer) -> Report {
    loop {
        if let ToAuthority::Usage(report) = peer.heard().await {
            return report;
        }
    }
}

#[tokio::test]
async fn a_use_is_told_at_once_and_again_until_it_is_counted() {
    let mut feed = FakeFeed::start().await;
    let token = Token::new(500, 1);
    let (verifier, mut peer) = feed.ready(feed.config(), &[&token]).await;
    assert_eq!(code(&verifier, &token).await, Code::Valid);
    let report = told(&mut peer).await;
    assert_eq!(report.uses.iter().map(|(id, seen)| (*id, seen.count)).collect::<Vec<_>>(), [(token.entry.token, 1)]);

    // The stream breaks before it is confirmed.
    drop(peer);
    let mut peer = feed.peer().await;
    peer.hello().await;
    peer.welcome(Some(SNAPSHOT_AT));
    assert_eq!(told(&mut peer).await, report, "word for word, so that it is counted once");
    peer.say(ToVerifier::UsageTaken { number: report.number });

    // An ended token is told with where it came from.
    peer.say(record(SNAPSHOT_AT + 1, SNAPSHOT_AT, token.end()));
    peer.acked(SNAPSHOT_AT + 1).await;
    let client = "192.0.2.7".parse().unwrap();
    assert_eq!(verifier.verify(token.text(), &Required::default(), Some(client)).await.code(), Code::Revoked);

    // The last report is the last word before the goodbye, and has all that was not told yet.
    let authority = async {
        let mut reports = Vec::new();
        loop {
            match peer.heard().await {
                ToAuthority::Usage(report) => reports.push(report),
                ToAuthority::Goodbye => break,
                _ => {}
            }
        }
        drop(peer);
        reports
    };
    let (heard, reports) = tokio::join!(verifier.leave(), authority);
    assert!(heard);
    let last = reports.last().unwrap();
    assert!(last.last && last.number > report.number, "{last:?}");
    let presented: Vec<_> = reports.iter().flat_map(|report| &report.presented).collect();
    assert_eq!(
        presented.iter().map(|(id, from, _)| (*id, *from)).collect::<Vec<_>>(),
        [(token.entry.token, Some(client))]
    );
    assert!(reports.iter().all(|report| report.uses.is_empty()), "the use was counted before");
}
