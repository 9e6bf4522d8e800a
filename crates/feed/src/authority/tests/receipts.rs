//! When a receipt is complete (`feed-protocol.md` 3, 11, 12, 19 to 22).

use std::time::Duration;

use super::bench::{
    Bench, GRACE, STRICT, completed, cut, facts, granted, line, revision, revocation, session, time_at,
};
use crate::{
    authority::{Effect, EvidenceKind, Input},
    message::ToVerifier,
    numbers::FORGET_AFTER,
};

#[test]
fn no_session_but_the_authority() {
    let mut bench = Bench::new();
    bench.live(1, &[GRACE]);
    let effects = bench.revoke_only(STRICT, 101, &[]);
    assert_eq!(effects, [Effect::ReceiptProgress { revocation: revocation(101) }]);
    assert_eq!(bench.line(101, None), Some(EvidenceKind::Pending));
    assert!(bench.pass(60_000).is_empty(), "the authority is never counted out");
    let effects = bench.step(Input::AuthorityAcked { revision: revision(101) });
    let [Effect::ReceiptComplete(receipt)] = &effects[..] else { panic!("{effects:?}") };
    assert!(receipt.complete && receipt.completed_at == Some(time_at(60_000)));
    assert_eq!((receipt.evidence.len(), line(receipt, None)), (1, Some(EvidenceKind::Acked)));
}

#[test]
fn one_round_trip_when_all_is_well() {
    let mut bench = Bench::new();
    let (one, two) = (bench.live(1, &[STRICT]), bench.live(2, &[STRICT, GRACE]));
    assert_eq!(completed(&bench.revoke(STRICT, 101)), [0; 0]);
    assert_eq!(completed(&bench.ack(one, 101)), [0; 0]);
    assert_eq!(completed(&bench.ack(one, 101)), [0; 0], "twice is not two");
    assert_eq!(bench.line(101, Some(2)), Some(EvidenceKind::Pending));
    let effects = bench.ack(two, 102);
    assert_eq!(completed(&effects), [101]);
    let Some(Effect::ReceiptComplete(receipt)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(line(receipt, Some(1)), Some(EvidenceKind::Acked));
    assert_eq!(receipt.evidence[0].verifier.as_str(), "authority");
}

#[test]
fn an_acknowledgement_that_comes_before_the_commit_is_fed() {
    let mut bench = Bench::new();
    let one = bench.live(1, &[STRICT]);
    bench.ack(one, 101);
    assert_eq!(completed(&bench.revoke(STRICT, 101)), [101]);
}

#[test]
fn silence_counts_from_the_last_grant() {
    // In the strict namespace 6.5 s, with 30 s of grace 44 s.
    for (name, out) in [(STRICT, 6_500), (GRACE, 44_000)] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[name]);
        bench.at = 1_000;
        bench.revoke(name, 101);
        let pending = bench.receipt(101);
        assert_eq!(pending.evidence[1].stops_by, Some(time_at(out)));
        bench.at = 4_000;
        // It is heard of, and still renews: that it does not apply is what counts.
        assert!(!granted(&bench.renew(stream)));
        assert_eq!(bench.receipt(101).evidence[1].silent_since, Some(time_at(0)));
        assert_eq!(completed(&bench.pass(out - 4_001)), [0; 0]);
        let effects = bench.pass(1);
        assert_eq!(completed(&effects), [101]);
        let Some(Effect::ReceiptComplete(receipt)) = effects.first() else { panic!("{effects:?}") };
        let fenced = &receipt.evidence[1];
        assert_eq!((fenced.state, fenced.at), (EvidenceKind::Fenced, Some(time_at(out))));
        assert_eq!((fenced.silent_since, fenced.stops_by), (Some(time_at(0)), None));
    }
}

#[test]
fn a_fence_is_taken_back_by_a_grant() {
    let mut bench = Bench::new();
    let (one, two) = (bench.live(1, &[STRICT]), bench.live(2, &[STRICT]));
    bench.at = 6_400;
    assert!(granted(&bench.renew(two)));
    bench.at = 7_000;
    bench.revoke(STRICT, 101);
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Fenced));
    bench.at = 7_500;
    assert!(granted(&bench.renew(one)), "less than a second behind, and the receipt is not complete");
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.ack(two, 101)), [0; 0]);
    assert_eq!(completed(&bench.pass(6_499)), [0; 0]);
    assert_eq!(completed(&bench.pass(1)), [101]);
}

#[test]
fn the_largest_grace_since_the_last_acknowledgement_counts() {
    // (acknowledged, counted out): policies are grace=30s at 20, strict at 101, grace=5s at 102, strict at 103.
    for (acked, out) in [(100, 44_000), (101, 12_750), (102, 12_750), (103, 6_500)] {
        let mut bench = Bench::new();
        let stream = bench.live(1, &[GRACE]);
        bench.policy(GRACE, 101, "strict");
        bench.policy(GRACE, 102, "grace=5s");
        bench.policy(GRACE, 103, "strict");
        bench.ack(stream, acked);
        bench.revoke(GRACE, 104);
        assert_eq!(bench.receipt(104).evidence[1].stops_by, Some(time_at(out)), "acked {acked}");
        assert_eq!(completed(&bench.pass(out - 1)), [0; 0], "acked {acked}");
        assert_eq!(completed(&bench.pass(1)), [104], "acked {acked}");
    }
}

#[test]
fn an_acknowledgement_shortens_the_wait() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[GRACE]);
    bench.policy(GRACE, 101, "strict");
    bench.revoke(GRACE, 102);
    assert_eq!(completed(&bench.pass(10_000)), [0; 0]);
    bench.ack(stream, 101);
    assert_eq!(completed(&bench.pass(250)), [102], "strict since what it has acknowledged, at the next poll");
}

#[test]
fn a_start_waits_for_every_lease_of_the_one_before() {
    let mut bench = Bench::with(&[1, 2], &[95]);
    assert!(completed(&bench.tick()).is_empty());
    assert_eq!(bench.line(95, None), Some(EvidenceKind::Acked), "what verified before is gone with its process");
    bench.at = 3_000;
    let (stream, _) = bench.stream(1, 1);
    bench.ack(stream, 100);
    assert_eq!(bench.line(95, Some(1)), Some(EvidenceKind::Acked));
    assert_eq!(completed(&bench.pass(3_499)), [0; 0]);
    assert_eq!(completed(&bench.pass(1)), [95]);
}

#[test]
fn a_start_without_sessions_completes_at_once() {
    let mut bench = Bench::with(&[], &[95]);
    assert_eq!(completed(&bench.pass(0)), [95]);
}

#[test]
fn a_session_that_opened_after_the_commit_does_not_block() {
    let mut bench = Bench::new();
    let one = bench.live(1, &[STRICT]);
    bench.revoke(STRICT, 101);
    bench.open(2, &[STRICT]);
    assert_eq!(bench.line(101, Some(2)), None);
    assert_eq!(completed(&bench.ack(one, 101)), [101]);
}

#[test]
fn a_session_on_an_older_view_blocks_no_longer_than_the_others() {
    let mut bench = Bench::new();
    bench.revoke_only(STRICT, 101, &[]);
    bench.at = 4_000;
    // Registered before the commit, told after it.
    bench.step(Input::SessionOpened(facts(1, &[STRICT], 100)));
    // Registered after it, but it comes with older state.
    bench.open(2, &[STRICT]);
    assert_eq!(bench.line(101, Some(2)), None);
    let stream = crate::authority::StreamId(77);
    let token = super::bench::token(2);
    let resume = Some(revision(99));
    bench.step(Input::StreamOpened { session: session(2), stream, epoch: 1, token, resume });
    bench.step(Input::AuthorityAcked { revision: revision(101) });
    for number in [1, 2] {
        assert_eq!(bench.line(101, Some(number)), Some(EvidenceKind::Pending), "session {number}");
    }
    assert_eq!(completed(&bench.pass(2_499)), [0; 0]);
    assert_eq!(completed(&bench.pass(1)), [101]);
}

#[test]
fn a_session_without_any_lease_has_no_grace() {
    let mut bench = Bench::new();
    bench.open(1, &[GRACE]);
    bench.at = 1_000;
    bench.revoke(GRACE, 101);
    assert_eq!(bench.receipt(101).evidence[1].stops_by, Some(time_at(6_500)));
    assert_eq!(completed(&bench.pass(5_500)), [101]);
}

#[test]
fn a_goodbye_is_evidence_and_is_persisted_first() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    bench.revoke(STRICT, 101);
    let effects = bench.step(Input::Goodbye { stream });
    let ended = Effect::SessionEnded { session: session(1), evidence: EvidenceKind::Goodbye, at: time_at(0) };
    assert_eq!(effects[..2], [ended, Effect::Cut { stream }]);
    let Some(Effect::ReceiptComplete(receipt)) = effects.get(2) else { panic!("{effects:?}") };
    assert_eq!(line(receipt, Some(1)), Some(EvidenceKind::Goodbye));
    assert!(bench.hub.session_known(session(1)).is_none());
    assert!(bench.step(Input::Goodbye { stream }).is_empty());
}

#[test]
fn a_receipt_is_told_until_it_is_stored() {
    let mut bench = Bench::new();
    bench.revoke(STRICT, 101);
    assert_eq!(bench.hub.pending_count(), 1);
    assert_eq!(completed(&bench.pass(2_500)), [101, 101]);
    assert!(bench.receipt(101).complete, "complete, and not retracted");
    bench.live(1, &[STRICT]);
    assert_eq!(bench.receipt(101).evidence.len(), 1);
    bench.step(Input::ReceiptStored { revocation: revocation(101) });
    assert_eq!(bench.hub.pending_count(), 0);
    assert_eq!(completed(&bench.pass(5_000)), [0; 0]);
}

#[test]
fn a_jump_is_a_new_start() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    bench.at = 1_000;
    bench.revoke(STRICT, 101);
    bench.at = 6_400;
    bench.ahead = 251;
    // Even if the clock says that it is counted out: the jump comes first.
    let effects = bench.pass(300);
    assert_eq!((cut(&effects), effects.contains(&Effect::JumpSeen)), (vec![stream], true));
    assert_eq!(completed(&effects), [0; 0]);
    let start = jeton_types::StartId::from_bytes([2; 16]);
    assert_eq!(bench.step(Input::Restarted { start }), []);
    assert_eq!(bench.hub.start(), start);
    assert!(bench.renew(stream).is_empty() && bench.ack(stream, 101).is_empty(), "its stream is cut");
    assert_eq!(completed(&bench.pass(6_000)), [0; 0]);
    assert_eq!(completed(&bench.pass(500)), [101]);
}

#[test]
fn a_jump_takes_fences_back() {
    let mut bench = Bench::new();
    let two = {
        bench.live(1, &[STRICT]);
        bench.live(2, &[STRICT])
    };
    bench.at = 6_400;
    assert!(granted(&bench.renew(two)));
    bench.at = 7_000;
    bench.revoke(STRICT, 101);
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Fenced));
    // A machine that was put back to an earlier moment knows nothing of the grants that it made after it.
    bench.ahead = 1_000;
    bench.tick();
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.pass(6_499)), [0; 0]);
    assert_eq!(completed(&bench.pass(1)), [101]);
}

#[test]
fn a_jump_takes_no_fence_back_of_a_session_that_is_forgotten() {
    let mut bench = Bench::new();
    bench.live(1, &[STRICT]);
    let forget = u64::try_from(FORGET_AFTER.as_millis()).unwrap();
    bench.at = forget - 1;
    bench.live(2, &[STRICT]);
    bench.revoke(STRICT, 101);
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Fenced));
    assert!(bench.pass(1).contains(&Effect::SessionForgotten { session: session(1) }));
    bench.ahead = 1_000;
    bench.tick();
    assert_eq!(bench.line(101, Some(1)), Some(EvidenceKind::Fenced), "nobody is left who could unblock it");
    assert_eq!(bench.line(101, Some(2)), Some(EvidenceKind::Pending));
    assert_eq!(completed(&bench.pass(6_500)), [101]);
}

#[test]
fn a_small_step_of_the_wall_clock_is_no_jump() {
    let mut bench = Bench::new();
    bench.live(1, &[STRICT]);
    bench.ahead = 250;
    assert!(!bench.tick().contains(&Effect::JumpSeen));
    bench.ahead = 0;
    bench.at += 10;
    assert!(!bench.tick().contains(&Effect::JumpSeen), "nor is one backwards");
}

#[test]
fn a_restart_that_the_driver_saw_first() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    let start = jeton_types::StartId::from_bytes([2; 16]);
    assert_eq!(bench.step(Input::Restarted { start }), [Effect::Cut { stream }]);
    let (stream, _) = bench.stream(1, 1);
    assert!(!granted(&bench.renew(stream)), "acknowledgements count anew");
    assert!(granted(&bench.ack(stream, 100)));
}

#[test]
fn a_session_leaves_after_more_silence_than_any_grace() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[GRACE]);
    bench.revoke(GRACE, 101);
    let forget = u64::try_from(FORGET_AFTER.as_millis()).unwrap();
    assert_eq!(forget, 4_506_500);
    let effects = bench.pass(forget - 1);
    assert!(!effects.contains(&Effect::SessionForgotten { session: session(1) }));
    let effects = bench.pass(1);
    let ended = Effect::Send { stream, message: ToVerifier::Ended };
    let expect = [Effect::SessionForgotten { session: session(1) }, ended.clone(), Effect::Cut { stream }];
    assert_eq!(effects.iter().filter(|effect| expect.contains(effect)).count(), 3, "{effects:?}");
    let (stream, effects) = bench.stream(1, 2);
    assert_eq!(effects, [Effect::Send { stream, message: ToVerifier::Ended }, Effect::Cut { stream }]);
}

#[test]
fn records_that_the_setup_covers_are_passed_over() {
    let mut bench = Bench::new();
    assert!(bench.revoke_only(STRICT, 100, &[]).is_empty());
    assert_eq!(bench.hub.pending_count(), 0);
    assert_eq!(bench.hub.next_wakeup().since(jeton_types::BootTime::ZERO), Duration::from_millis(1_000_000));
}
