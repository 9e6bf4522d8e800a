//! Streams, epochs, and the end of a session's token (`feed-protocol.md` 6, 7, 9, 20).

use super::bench::{Bench, GRACE, STRICT, completed, cut, granted, revision, session, token};
use crate::{
    authority::{Effect, EvidenceKind, Input, SessionState, StreamId},
    message::ToVerifier,
};

const BUILT_IN: &str = "jeton";

#[test]
fn the_higher_epoch_stays() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[STRICT]);
    let (second, effects) = bench.stream(1, 2);
    assert_eq!(effects, [Effect::Cut { stream: first }]);
    for epoch in [1, 2] {
        let (late, effects) = bench.stream(1, epoch);
        assert_eq!(effects, [Effect::Cut { stream: late }], "epoch {epoch}");
        assert!(bench.renew(late).is_empty());
    }
    assert!(granted(&bench.renew(second)));
}

#[test]
fn an_older_stream_acknowledges_nothing() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[STRICT]);
    bench.revoke(STRICT, 101);
    let (second, _) = bench.stream(1, 2);
    assert!(bench.ack(first, 101).is_empty());
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.ack(second, 101)), [101]);
}

#[test]
fn a_goodbye_counts_from_any_stream() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[STRICT]);
    let (second, _) = bench.stream(1, 2);
    bench.revoke(STRICT, 101);
    let effects = bench.step(Input::Goodbye { stream: first });
    assert_eq!((cut(&effects), completed(&effects)), (vec![second], vec![101]));
}

#[test]
fn a_closed_stream_ends_nothing() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[STRICT]);
    bench.step(Input::StreamClosed { stream: first });
    assert_eq!(bench.state(1), SessionState::Live, "its lease goes on");
    bench.revoke(STRICT, 101);
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending));
    assert!(bench.ack(first, 101).is_empty());
    bench.at = 5_000;
    assert_eq!(bench.state(1), SessionState::Silent);
    let (second, _) = bench.stream(1, 2);
    assert_eq!(bench.state(1), SessionState::Lapsed);
    assert_eq!(completed(&bench.ack(second, 101)), [101]);
}

#[test]
fn a_hello_of_an_ended_session_is_answered_ended() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[STRICT]);
    bench.step(Input::Goodbye { stream: first });
    let (stream, effects) = bench.stream(1, 2);
    assert_eq!(effects, [Effect::Send { stream, message: ToVerifier::Ended }, Effect::Cut { stream }]);
}

#[test]
fn the_stream_of_an_ended_token_is_cut_before_the_authority_acknowledges() {
    let mut bench = Bench::new();
    let (stream, other) = (bench.live(1, &[GRACE]), bench.live(2, &[GRACE]));
    let effects = bench.revoke_only(BUILT_IN, 101, &[1]);
    let told = matches!(effects[0], Effect::Send { stream: to, message: ToVerifier::End { .. } } if to == stream);
    assert!(told, "{effects:?}");
    bench.step(Input::AuthorityAcked { revision: revision(101) });
    assert_eq!(bench.line(101, None), Some(EvidenceKind::Pending));
    assert_eq!(bench.hub.streams_of_ended_pending(revision(101)), 1);
    assert!(!granted(&bench.renew(stream)), "nothing is granted meanwhile");
    assert!(granted(&bench.renew(other)));
    assert!(bench.pass(999).is_empty());
    let effects = bench.pass(1);
    assert_eq!(effects[0], Effect::Cut { stream });
    assert_eq!(completed(&effects), [101], "cut first, then acknowledged");
    assert!(bench.hub.session_known(session(1)).is_some(), "without a goodbye silence decides");
}

#[test]
fn an_ending_stream_that_goes_by_itself() {
    for goodbye in [true, false] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[GRACE]);
        bench.revoke(BUILT_IN, 101);
        bench.revoke_only(BUILT_IN, 102, &[1]);
        bench.step(Input::AuthorityAcked { revision: revision(102) });
        let input = if goodbye { Input::Goodbye { stream } } else { Input::StreamClosed { stream } };
        assert_eq!(completed(&bench.step(input)), [102], "goodbye {goodbye}");
        assert_eq!(bench.hub.session_known(session(1)).is_none(), goodbye);
    }
}

#[test]
fn a_hello_that_was_found_good_before_its_token_ended() {
    let mut bench = Bench::new();
    bench.open(1, &[GRACE]);
    bench.revoke_only(BUILT_IN, 101, &[1]);
    let (stream, effects) = bench.stream(1, 1);
    let told = matches!(effects[0], Effect::Send { stream: to, message: ToVerifier::End { .. } } if to == stream);
    assert!(told, "{effects:?}");
    // Only now have the verifications begun before been released.
    bench.step(Input::AuthorityAcked { revision: revision(101) });
    assert_eq!(bench.line(101, None), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.pass(1_000)), [101]);
}

#[test]
fn a_session_goes_on_with_another_token() {
    let mut bench = Bench::new();
    let first = bench.live(1, &[GRACE]);
    bench.revoke_only(BUILT_IN, 101, &[1]);
    bench.step(Input::AuthorityAcked { revision: revision(101) });
    let second = StreamId(99);
    let input = Input::StreamOpened { session: session(1), stream: second, epoch: 2, token: token(9), resume: None };
    let effects = bench.step(input);
    assert_eq!(effects[0], Effect::Cut { stream: first });
    assert_eq!(completed(&effects), [101]);
    bench.ack(second, 101);
    assert!(granted(&bench.renew(second)));
}

#[test]
fn a_token_that_ends_while_its_stream_is_ending_already() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[GRACE]);
    bench.step(Input::Renew { stream, request: 9, token_good: false });
    bench.at = 500;
    bench.revoke_only(BUILT_IN, 101, &[1]);
    bench.step(Input::AuthorityAcked { revision: revision(101) });
    assert_eq!(bench.line(101, None), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.pass(500)), [101]);
}
