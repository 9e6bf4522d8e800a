//! Records in frames, as a session takes them in (`feed-protocol.md` 23).

use jeton_types::{Digest, TokenId};

use super::*;
use crate::{frame::Frame, record::EndReason};

fn end(id: u8) -> Change {
    Change::End {
        digest: Digest::from_bytes([id; 32]),
        token: TokenId::from_bytes([id; 16]),
        reason: EndReason::Revoked,
    }
}

/// Frame `number` of the record of revision `at`, which ends one token more.
fn frame(predecessor: u64, at: u64, number: u8, last: bool) -> ToVerifier {
    let ToVerifier::Record(record) = record(predecessor, at, vec![end(number)]) else { panic!("no record") };
    ToVerifier::Frame(Frame { number: u32::from(number), last, record })
}

fn enforced(at: u64) -> Entry {
    Entry::Enforced(revision(at), 1)
}

/// Live at 10, with two frames of the record of 12.
fn half_way() -> Bench {
    let mut bench = Bench::live();
    assert_eq!(bench.hear(heartbeat(10)), []);
    assert_eq!(bench.hear(frame(10, 12, 1, false)), []);
    assert_eq!(bench.hear(frame(10, 12, 2, false)), []);
    assert_eq!(bench.replica.log()[bench.replica.log().len() - 2..], [enforced(12), enforced(12)]);
    bench
}

#[test]
fn ends_are_enforced_as_they_come_and_acknowledged_with_the_last() {
    let mut bench = half_way();
    assert_eq!(bench.replica.watermark(), revision(10));
    // What is more urgent comes in between: a lease, and a sign of life that says what was before the record.
    bench.hear(grant(1));
    assert_eq!(bench.lease(), Some(1));
    assert_eq!(bench.hear(heartbeat(11)), []);
    assert_eq!(bench.replica.watermark(), revision(11));
    assert_eq!(bench.hear(frame(10, 12, 3, true)), [ack(12)]);
    assert_eq!(bench.replica.watermark(), revision(12));
    assert_eq!(bench.hear(record(12, 13, Vec::new())), [ack(13)]);
}

#[test]
fn after_a_reset_the_record_begins_with_its_first_frame() {
    let mut bench = half_way();
    bench.input(Input::Disconnected);
    let hello = bench.hello();
    assert_eq!(hello.resume, Some(revision(10)), "what is half there is not there");
    bench.hear(welcome(Some(10), 12));
    assert!(bench.replica.voided().is_none());
    for number in 1..=2 {
        assert_eq!(bench.hear(frame(10, 12, number, false)), []);
    }
    assert_eq!(bench.hear(frame(10, 12, 3, true)), [ack(12)]);
}

#[test]
fn what_comes_out_of_turn_costs_the_lease() {
    let check = |what: &str, message: ToVerifier, says: &'static str| {
        let mut bench = half_way();
        bench.hear(grant(1));
        let effects = bench.hear(message);
        assert!(effects.contains(&Effect::Note(Note::Fault(Fault::Unexpected(says)))), "{what}: {effects:?}");
        reconnects(&effects);
        assert_eq!(bench.lease(), None, "{what}");
        assert_eq!(bench.replica.watermark(), revision(10), "{what}");
        assert_eq!(bench.hello().resume, None, "{what}");
    };
    check("missing", frame(10, 12, 4, true), "a frame that is not the next of its record");
    check("twice", frame(10, 12, 2, false), "a frame that is not the next of its record");
    check("another", frame(12, 13, 1, false), "a frame of another record within a record");
    check("a whole one", record(10, 12, Vec::new()), "a record within another");
    check("the next one", record(12, 13, Vec::new()), "a record within another");
    check("a heartbeat over it", heartbeat(12), "a watermark over a record that is half sent");
    let answer = ToVerifier::Watermark { request: 9, watermark: revision(12) };
    check("an answer over it", answer, "a watermark over a record that is half sent");
}

#[test]
fn no_snapshot_is_older_than_what_was_partly_sent() {
    for (at, good) in [(11, false), (12, true)] {
        // On the same stream, on the next one, and in the next session.
        for reconnects in 0..=2 {
            let mut bench = half_way();
            if reconnects > 0 {
                bench.replica.mismatch_next();
                bench.input(Input::Disconnected);
                let _ = bench.input(Input::Connected);
                bench.hear(welcome(None, 12));
            }
            if reconnects > 1 {
                bench.hear(ToVerifier::Ended);
                bench.session = bench.session.successor(SessionId::from_bytes([8; 16]), bench.now);
                bench.input(Input::Tick);
                bench.hello();
                bench.hear(welcome(None, 12));
            }
            let effects = bench.hear(ToVerifier::SnapshotBegin { at: revision(at) });
            let back = Effect::Note(Note::Fault(Fault::WentBack { known: revision(12), head: revision(11) }));
            assert_eq!(effects.contains(&back), !good, "{at} {reconnects}: {effects:?}");
            if good {
                assert_eq!(
                    bench.hear(ToVerifier::SnapshotEnd { at: revision(12) }).last(),
                    Some(&renew(bench.session.requests))
                );
                assert_eq!(bench.replica.watermark(), revision(12));
            }
        }
    }
}

#[test]
fn a_last_frame_that_does_not_add_up_is_not_acknowledged() {
    let mut bench = half_way();
    bench.replica.mismatch_next();
    let effects = bench.hear(frame(10, 12, 3, true));
    assert!(effects.contains(&Effect::Mistrusted) && !effects.contains(&ack(12)), "{effects:?}");
    assert_eq!(bench.replica.watermark(), revision(10));
    assert_eq!(bench.hello().resume, None);
}

#[test]
fn an_unknown_change_within_a_frame_is_never_acknowledged() {
    let mut bench = half_way();
    let unknown = Change::Unknown { kind: 99, needs_protocol: 9 };
    let ToVerifier::Record(record) = record(10, 12, vec![unknown]) else { panic!("no record") };
    let last = Frame { number: 4, last: true, record: record.clone() };
    assert_eq!(bench.hear(ToVerifier::Frame(Frame { number: 3, last: false, record })), []);
    let effects = bench.hear(ToVerifier::Frame(last));
    assert_eq!(effects[0], Effect::Note(Note::NeedsProtocol { kind: 99, needs_protocol: 9 }));
    assert_eq!(bench.session.status().needs_protocol, Some(9));
    assert_eq!(bench.hello().resume, Some(revision(10)), "never skipped");
}
