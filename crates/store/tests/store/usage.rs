use std::net::IpAddr;

use jeton_feed::usage::{Report, Seen};
use jeton_store::{
    PRESENTERS_KEPT, StoreError,
    model::{SessionEndKind, SessionRow, UsageFrom, UsageKnown, UsageRow, UsageTaken},
};
use jeton_types::{CredentialId, Revision, SessionId, TokenId, UnixTime};

use crate::world::{Backend, World};

conformance! {
    a_report_is_counted_once_by_its_number,
    a_verifier_tells_of_nothing_that_it_does_not_serve,
    who_presents_what_has_ended_is_a_bounded_list,
    what_is_known_hangs_on_every_verifier,
}

fn session(id: u8, namespace: &str, opened_at: UnixTime) -> SessionRow {
    SessionRow {
        session: SessionId::from_bytes([id; 16]),
        verifier: format!("edge-{id}").parse().unwrap(),
        credential: CredentialId::from_bytes([3; 16]),
        namespaces: vec![namespace.parse().unwrap()],
        opened: Revision::ZERO,
        opened_at,
        place: None,
        ended: None,
    }
}

fn of(id: u8) -> UsageFrom {
    UsageFrom::Session(SessionId::from_bytes([id; 16]))
}

/// So long after the issue of the token.
fn after(issued_at: UnixTime, micros: u64) -> UnixTime {
    UnixTime::from_micros(issued_at.as_micros() + micros)
}

fn empty(number: u64, until: UnixTime) -> Report {
    Report { number, until, last: false, uses: vec![], presented: vec![] }
}

async fn only<B: Backend>(world: &World<B>, credential: CredentialId) -> UsageRow {
    let mut rows = world.store.usages(credential).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

async fn a_report_is_counted_once_by_its_number<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let (token, at) = (issued.token.id, issued.token.issued_at);
    world.clock.advance(std::time::Duration::from_secs(1));
    let unheard = world.store.usage_report(of(1), empty(1, at)).await;
    assert_eq!(unheard, Err(StoreError::NotFound("session")));
    world.store.session_open(session(1, "acme", at)).await.unwrap();
    let head = world.store.head().await;
    let seen = |first, last, count| Seen { first: after(at, first), last: after(at, last), count };
    let report = |number, seen| Report { uses: vec![(token, seen)], ..empty(number, at) };
    assert_eq!(only(&world, issued.credential.id).await.used, None);
    assert_eq!(world.store.usage_report(of(1), report(1, seen(50, 60, 2))).await, Ok(UsageTaken::Counted));
    assert_eq!(world.store.usage_report(of(1), report(1, seen(50, 60, 2))).await, Ok(UsageTaken::Again));
    let world = world.reopened("second");
    world.store.start_record(jeton_types::StartId::from_bytes([9; 16])).await.unwrap();
    let started = world.store.head().await;
    assert_eq!(world.store.usage_report(of(1), report(1, seen(50, 60, 2))).await, Ok(UsageTaken::Again));
    assert_eq!(world.store.usage_report(of(1), report(2, seen(40, 55, 3))).await, Ok(UsageTaken::Counted));
    assert_eq!(only(&world, issued.credential.id).await.used, Some(seen(40, 60, 5)));
    // The authority numbers nothing: it keeps what it could not hand in.
    let own = || UsageFrom::Authority("authority".parse().unwrap());
    assert_eq!(world.store.usage_report(own(), report(1, seen(70, 70, 1))).await, Ok(UsageTaken::Counted));
    assert_eq!(world.store.usage_report(own(), report(1, seen(70, 70, 1))).await, Ok(UsageTaken::Counted));
    assert_eq!(only(&world, issued.credential.id).await.used, Some(seen(40, 70, 7)));
    assert_eq!(world.store.head().await, started, "no use is a revision");
    assert_ne!(head, started);
    let gone = Report { uses: vec![(TokenId::from_bytes([8; 16]), seen(1, 1, 1))], ..empty(3, at) };
    assert_eq!(world.store.usage_report(of(1), gone).await, Ok(UsageTaken::Counted), "a token that is not there");
}

async fn a_verifier_tells_of_nothing_that_it_does_not_serve<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let (ours, theirs) = (world.issue("acme/billing").await, world.issue("other/billing").await);
    let at = theirs.token.issued_at;
    world.store.session_open(session(1, "acme", at)).await.unwrap();
    let once = Seen::once(at);
    let both = vec![(ours.token.id, once), (theirs.token.id, once)];
    let told = world.store.usage_report(of(1), Report { uses: both, ..empty(1, at) }).await;
    assert_eq!(told, Ok(UsageTaken::Foreign(theirs.token.id)));
    let presented = vec![(theirs.token.id, None, once)];
    let told = world.store.usage_report(of(1), Report { presented, ..empty(1, at) }).await;
    assert_eq!(told, Ok(UsageTaken::Foreign(theirs.token.id)));
    for issued in [&ours, &theirs] {
        let row = only(&world, issued.credential.id).await;
        assert_eq!((row.used, row.presented), (None, None), "nothing of it is counted");
    }
    let ours_alone = Report { uses: vec![(ours.token.id, once)], ..empty(1, at) };
    assert_eq!(world.store.usage_report(of(1), ours_alone).await, Ok(UsageTaken::Counted), "nor its number");
}

async fn who_presents_what_has_ended_is_a_bounded_list<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let (token, at) = (issued.token.id, issued.token.issued_at);
    world.store.session_open(session(1, "acme", at)).await.unwrap();
    let address = |place: u8| Some(IpAddr::from([192, 0, 2, place]));
    let seen = |count| Seen { count, ..Seen::once(at) };
    let few: Vec<_> =
        (0..PRESENTERS_KEPT as u8).map(|place| (token, address(place), seen(2 + u64::from(place)))).collect();
    let report = Report { presented: few, ..empty(1, at) };
    assert_eq!(world.store.usage_report(of(1), report).await, Ok(UsageTaken::Counted));
    // One more makes room by the rarest; one that is there already adds up; who is not known is somebody too.
    let more = vec![(token, address(200), seen(9)), (token, address(31), seen(100)), (token, None, seen(50))];
    let report = Report { presented: more, ..empty(2, at) };
    assert_eq!(world.store.usage_report(of(1), report).await, Ok(UsageTaken::Counted));
    let row = only(&world, issued.credential.id).await;
    assert_eq!(row.used, None);
    let all: u64 = (2..34).sum::<u64>() + 159;
    assert_eq!(row.presented, Some(seen(all)), "all are counted");
    assert_eq!(row.presenters.len(), PRESENTERS_KEPT);
    let first: Vec<_> = row.presenters.iter().take(2).map(|row| (row.address, row.seen.count)).collect();
    assert_eq!(first, [(address(31), 133), (None, 50)]);
    assert!(row.presenters.iter().all(|row| row.address != address(0) && row.address != address(1)));
    assert!(row.presenters.iter().all(|row| row.verifier.as_str() == "edge-1"));
}

async fn what_is_known_hangs_on_every_verifier<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let at = issued.token.issued_at;
    let known = async |world: &World<B>| only(world, issued.credential.id).await.known;
    assert_eq!(known(&world).await, UsageKnown::All);
    world.clock.advance(std::time::Duration::from_secs(100));
    let later = |secs: u64| after(at, secs * 1_000_000);
    world.store.session_open(session(1, "acme", later(10))).await.unwrap();
    world.store.session_open(session(2, "acme", later(20))).await.unwrap();
    world.store.session_open(session(3, "other", later(1))).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Until(later(10)), "whoever told nothing was not there before");
    world.store.usage_report(of(1), empty(1, later(50))).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Until(later(20)));
    world.store.usage_report(of(2), empty(1, later(40))).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Until(later(40)));
    world.store.session_end(SessionId::from_bytes([2; 16]), SessionEndKind::Goodbye, later(60)).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Unknown, "it left without its last report");
    world.store.usage_report(of(2), Report { last: true, ..empty(2, later(60)) }).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Until(later(50)));
    world.store.session_forget(SessionId::from_bytes([1; 16])).await.unwrap();
    assert_eq!(known(&world).await, UsageKnown::Unknown);
    let young = world.issue("acme/young").await;
    assert_eq!(only(&world, young.credential.id).await.known, UsageKnown::All, "it was not there yet");
    let pruned = world.store.sessions_prune(UnixTime::from_micros(u64::MAX / 4)).await;
    assert_eq!((pruned, known(&world).await), (Ok(2), UsageKnown::All));
}
