//! What verifiers tell of tokens in use.

use jeton_feed::{
    message::{ToAuthority, ToVerifier},
    usage::{Report, Seen},
};
use jeton_store::{Store, model::UsageKnown};
use jeton_types::{TokenId, UnixTime};
use tonic::Code;

use super::world::{Stream, World, hello};

fn report(number: u64, token: TokenId, until: UnixTime) -> Report {
    Report {
        number,
        until,
        last: false,
        uses: vec![(token, Seen { count: 3, ..Seen::once(until) })],
        presented: vec![],
    }
}

async fn taken(stream: &mut Stream, number: u64) {
    loop {
        if let ToVerifier::UsageTaken { number: told } = stream.next().await {
            assert_eq!(told, number);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_counted_once_whatever_becomes_of_its_stream() {
    let world = World::new().await;
    let token = world.token("edge").await;
    let issued = world.issue("acme", "billing-2", "orders:read").await;
    let (mut stream, at) = world.live(&token, hello(1, 1)).await;
    let now = world.store.authority_time();
    let told = report(1, issued.token.id, now);
    stream.send(ToAuthority::Usage(told.clone())).await;
    taken(&mut stream, 1).await;
    let head = world.store.head().await.unwrap();
    // Had the stream broken before the word came, it would come again.
    let (mut again, _) = world.greet(&token, world.back(1, 5, at)).await;
    again.send(ToAuthority::Usage(told)).await;
    taken(&mut again, 1).await;
    again.send(ToAuthority::Usage(report(2, issued.token.id, now))).await;
    taken(&mut again, 2).await;
    let rows = world.store.usages(issued.credential.id).await.unwrap();
    assert_eq!(rows[0].used.map(|seen| seen.count), Some(6));
    assert_eq!(rows[0].known, UsageKnown::Until(now));
    assert_eq!(world.store.head().await.unwrap(), head, "no use is a revision");

    // The last word before a goodbye is counted though nobody is there to be told.
    let last = Report { last: true, ..report(3, issued.token.id, now) };
    again.send(ToAuthority::Usage(last)).await;
    again.send(ToAuthority::Goodbye).await;
    assert!(again.ended().await.is_none());
    let world = world.restarted().await;
    let rows = world.store.usages(issued.credential.id).await.unwrap();
    assert_eq!((rows[0].used.map(|seen| seen.count), rows[0].known), (Some(9), UsageKnown::All));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_tells_of_what_it_does_not_serve_is_cut() {
    let world = World::new().await;
    world.namespace("other", jeton_types::Freshness::Strict).await;
    let theirs = world.issue("other", "billing", "orders:read").await;
    let token = world.token("edge").await;
    let (mut stream, _) = world.live(&token, hello(1, 1)).await;
    stream.send(ToAuthority::Usage(report(1, theirs.token.id, world.store.authority_time()))).await;
    assert_eq!(stream.ended().await.map(|status| status.code()), Some(Code::InvalidArgument));
    let rows = world.store.usages(theirs.credential.id).await.unwrap();
    assert_eq!((rows[0].used, rows[0].known), (None, UsageKnown::All));
}
