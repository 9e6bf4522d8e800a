//! Who is granted a lease (`feed-protocol.md` 10, 13).

use super::bench::{Bench, GRACE, STRICT, granted, revision};
use crate::{
    authority::{Effect, Input, SessionState},
    message::{Grant, ToVerifier},
};

#[test]
fn a_lease_needs_an_acknowledgement_in_this_start() {
    let mut bench = Bench::with(&[1], &[]);
    let (stream, _) = bench.stream(1, 1);
    assert!(!granted(&bench.renew(stream)), "it has acknowledged nothing");
    assert_eq!(bench.state(1), SessionState::Connecting);
    // Below the floor of 70, then below a record of before the start, which is due at once; then far enough.
    for (acked, expect) in [(69, false), (89, false), (90, true)] {
        assert_eq!(granted(&bench.ack(stream, acked)), expect, "acked {acked}");
    }
    assert_eq!(bench.state(1), SessionState::Live);
}

#[test]
fn a_session_may_be_a_second_behind() {
    for (behind, expect) in [(0, true), (1_000, true), (1_001, false)] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[STRICT]);
        bench.commit(STRICT, 101);
        bench.at += behind;
        assert_eq!(granted(&bench.renew(stream)), expect, "{behind} ms behind");
    }
}

#[test]
fn a_session_is_behind_since_the_commit_and_not_since_the_hub_heard_of_it() {
    for (late, expect) in [(1_000, true), (1_001, false)] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[STRICT]);
        bench.at += late;
        bench.commit_late(STRICT, 101, late);
        assert_eq!(granted(&bench.renew(stream)), expect, "{late} ms");
    }
}

#[test]
fn a_record_of_another_namespace_holds_nobody_back() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    bench.commit(GRACE, 101);
    bench.revoke(GRACE, 102);
    bench.pass(60_000);
    bench.ack(stream, 100);
    assert!(granted(&bench.renew(stream)), "one floor and one lag for each namespace");
}

#[test]
fn a_refused_renewal_is_granted_by_the_acknowledgement_that_cures_it() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    bench.commit(STRICT, 101);
    bench.commit(STRICT, 102);
    bench.at += 1_500;
    bench.step(Input::Renew { stream, request: 7, token_good: true });
    bench.step(Input::Renew { stream, request: 8, token_good: true });
    assert!(!granted(&bench.ack(stream, 101)));
    let effects = bench.ack(stream, 102);
    let grants: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { message: ToVerifier::Grant(Grant { request, .. }), .. } => Some(*request),
            _ => None,
        })
        .collect();
    assert_eq!(grants, [8], "the newest, once");
    bench.commit(STRICT, 103);
    assert!(!granted(&bench.ack(stream, 103)), "nothing waits any more");
}

#[test]
fn a_renewal_that_waited_for_longer_than_a_lease_is_worth_nothing() {
    for (waited, expect) in [(4_999, true), (5_000, false)] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[STRICT]);
        bench.commit(STRICT, 101);
        bench.at += 1_001;
        assert!(!granted(&bench.renew(stream)));
        bench.at += waited;
        assert_eq!(granted(&bench.ack(stream, 101)), expect, "{waited} ms");
    }
}

#[test]
fn the_floor_is_raised_in_the_step_that_completes_the_receipt() {
    let mut bench = Bench::new();
    let (one, two) = (bench.live(1, &[STRICT]), bench.live(2, &[STRICT]));
    bench.at += 8_000;
    bench.ack(two, 100);
    // Both are counted out at once, so the receipt completes with the authority's acknowledgement, in no time.
    bench.revoke(STRICT, 101);
    assert!(!granted(&bench.renew(one)), "less than a second behind, but below the floor");
    assert!(granted(&bench.ack(one, 101)));
}

#[test]
fn a_floor_from_before_the_start_holds() {
    let mut bench = Bench::with(&[1], &[80]);
    let (stream, _) = bench.stream(1, 1);
    bench.renew(stream);
    assert!(!granted(&bench.ack(stream, 60)));
}

#[test]
fn a_bad_token_gets_no_lease() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    let effects = bench.step(Input::Renew { stream, request: 9, token_good: false });
    assert!(matches!(&effects[..], [Effect::Send { message: ToVerifier::End { .. }, .. }]), "{effects:?}");
    assert!(bench.renew(stream).is_empty(), "it is told once, and granted nothing while it is ending");
    assert!(!granted(&bench.ack(stream, revision(101).get())));
}
