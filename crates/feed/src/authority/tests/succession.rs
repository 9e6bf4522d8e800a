//! Claims of succession (`feed-protocol.md` 27).

use jeton_types::{CredentialId, Place};

use super::bench::{Bench, GRACE, STRICT, completed, cut, facts, namespace, revision, session};
use crate::{
    authority::{Effect, EvidenceKind, Input, SessionFacts, StreamId},
    message::ToVerifier,
};

const PLACE: Place = Place { boot: [1; 16], device: 2, inode: 3 };

/// A session of the verifier `edge-1` in a place of its own.
fn placed(number: u8, namespaces: &[&str]) -> SessionFacts {
    SessionFacts {
        verifier: "edge-1".parse().unwrap(),
        credential: CredentialId::from_bytes([1; 16]),
        place: Some(PLACE),
        ..facts(number, namespaces, 100)
    }
}

impl Bench {
    fn open_as(&mut self, facts: SessionFacts, number: u8) -> StreamId {
        self.step(Input::SessionOpened(facts));
        self.stream(number, 1).0
    }

    fn claim(&mut self, stream: StreamId, claimed: &[u8]) -> Vec<Effect> {
        self.step(Input::Claimed { stream, sessions: claimed.iter().copied().map(session).collect() })
    }
}

/// Which sessions are to be looked up and confirmed.
fn settled(effects: &[Effect]) -> Vec<u8> {
    let sessions = effects.iter().filter_map(|effect| match effect {
        Effect::ClaimsSettle { sessions, .. } => Some(sessions),
        _ => None,
    });
    sessions.flatten().map(|session| session.as_bytes()[0]).collect()
}

#[test]
fn who_is_succeeded_blocks_nothing_any_more() {
    let mut bench = Bench::new();
    let old = bench.open_as(placed(1, &[STRICT]), 1);
    bench.ack(old, 100);
    bench.renew(old);
    bench.revoke(STRICT, 101);
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending));
    let new = bench.open_as(SessionFacts { opened: revision(101), ..placed(2, &[STRICT]) }, 2);
    bench.at = 100;
    let effects = bench.claim(new, &[1]);
    assert_eq!(completed(&effects), [101]);
    assert_eq!(cut(&effects), [old]);
    let told = Effect::Send { stream: old, message: ToVerifier::Ended };
    assert!(effects.contains(&told), "a clone that lives on is told");
    let place = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let ended = place(|effect| matches!(effect, Effect::SessionEnded { evidence: EvidenceKind::Succeeded, .. }));
    assert!(ended < place(|effect| matches!(effect, Effect::ReceiptComplete(_))), "durable before a receipt");
    assert!(ended < place(|effect| matches!(effect, Effect::ClaimsSettle { .. })), "and before it is confirmed");
    let Some(Effect::ReceiptComplete(receipt)) = effects.iter().find(|it| matches!(it, Effect::ReceiptComplete(_)))
    else {
        unreachable!()
    };
    assert_eq!(super::bench::line(receipt, Some(1)), Some(EvidenceKind::Succeeded));
    let again = bench.stream(1, 9).1;
    assert!(matches!(again[0], Effect::Send { message: ToVerifier::Ended, .. }), "{again:?}");
}

#[test]
fn a_claim_that_does_not_fit_in_every_part_ends_nobody() {
    let elsewhere = |place| SessionFacts { place, ..placed(1, &[STRICT]) };
    let strangers = [
        ("no place", elsewhere(None)),
        ("another boot", elsewhere(Some(Place { boot: [9; 16], ..PLACE }))),
        ("another device", elsewhere(Some(Place { device: 9, ..PLACE }))),
        ("another inode", elsewhere(Some(Place { inode: 9, ..PLACE }))),
        ("another verifier", SessionFacts { verifier: "edge-9".parse().unwrap(), ..placed(1, &[STRICT]) }),
        (
            "another credential, which serves less",
            SessionFacts { credential: CredentialId::from_bytes([9; 16]), ..placed(1, &[STRICT, GRACE]) },
        ),
    ];
    for (what, stranger) in strangers {
        let mut bench = Bench::new();
        bench.step(Input::SessionOpened(stranger));
        bench.revoke(STRICT, 101);
        let new = bench.open_as(placed(2, &[STRICT]), 2);
        let effects = bench.claim(new, &[1]);
        assert_eq!((completed(&effects), settled(&effects)), (vec![], vec![]), "{what}");
        assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending), "{what}");
    }
}

#[test]
fn another_credential_that_serves_all_of_it_succeeds() {
    let mut bench = Bench::new();
    bench.step(Input::SessionOpened(placed(1, &[STRICT])));
    let other = SessionFacts { credential: CredentialId::from_bytes([9; 16]), ..placed(2, &[GRACE, STRICT]) };
    assert!(other.namespaces.contains(&namespace(STRICT)));
    let new = bench.open_as(other, 2);
    assert_eq!(settled(&bench.claim(new, &[1])), [1]);
}

#[test]
fn nobody_succeeds_himself() {
    let mut bench = Bench::new();
    bench.revoke(STRICT, 101);
    let stream = bench.open_as(placed(1, &[STRICT]), 1);
    let effects = bench.claim(stream, &[1]);
    assert_eq!((settled(&effects), completed(&effects)), (vec![], vec![]));
    assert!(bench.hub.session_known(session(1)).is_some());
}

#[test]
fn what_is_not_known_is_looked_up() {
    let mut bench = Bench::new();
    let new = bench.open_as(placed(2, &[STRICT]), 2);
    assert_eq!(settled(&bench.claim(new, &[1, 7])), [1, 7], "their hellos may be under way");
    let placeless = bench.live(5, &[STRICT]);
    assert!(bench.claim(placeless, &[1]).is_empty(), "who holds no place claims nothing");
}

#[test]
fn a_claim_from_an_older_stream_is_not_heard() {
    let mut bench = Bench::new();
    bench.step(Input::SessionOpened(placed(1, &[STRICT])));
    let older = bench.open_as(placed(2, &[STRICT]), 2);
    bench.stream(2, 2);
    assert!(bench.claim(older, &[1]).is_empty());
    assert!(bench.hub.session_known(session(1)).is_some());
}
