//! What the replica holds is not what the log leaves (`feed-protocol.md` 24).

use std::time::Duration;

use super::{Bench, ack, book::Entry, grant, head, reconnects, record, renew, revision, welcome};
use crate::{
    lease::Void,
    message::{ToVerifier, Welcome},
    replica::{Unappliable, Visible},
    verifier::{Effect, Fault, Input, Note, Session},
};

fn mismatch() -> Effect {
    Effect::Note(Note::Fault(Fault::Unappliable(Unappliable::Mismatch { namespace: "acme".parse().unwrap() })))
}

/// Takes the snapshot that must come before anything is acknowledged again.
fn snapshot_only(bench: &mut Bench, at: u64) {
    let hello = bench.hello();
    assert_eq!((hello.resume, hello.set_hashes.len()), (None, 0));
    bench.hear(welcome(None, at));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(at) });
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(at) });
    assert!(effects.contains(&ack(at)), "{effects:?}");
}

#[test]
fn a_record_that_does_not_add_up_is_not_acknowledged() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.replica.mismatch_next();
    let effects = bench.hear(record(10, 20, Vec::new()));
    assert_eq!(effects[..2], [Effect::Mistrusted, mismatch()]);
    reconnects(&effects);
    assert_eq!(bench.lease(), None);
    assert!(bench.replica.log().contains(&Entry::Void(Void::Mismatch)));
    // What was still on its way from the stream that was given up, a grant among it.
    assert_eq!(bench.hear(record(20, 21, Vec::new())), []);
    assert_eq!(bench.hear(grant(1)), []);
    snapshot_only(&mut bench, 30);
    assert_eq!(bench.session.status().applied, Some(revision(30)));
}

#[test]
fn a_renewal_sent_before_the_mismatch_brings_no_lease() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let sent = bench.later(Duration::from_secs(2));
    assert_eq!(sent, [renew(2)]);
    bench.replica.mismatch_next();
    bench.hear(record(10, 20, Vec::new()));
    snapshot_only(&mut bench, 30);
    bench.hear(grant(2));
    assert_eq!(bench.lease(), None);
    bench.hear(grant(3));
    assert_eq!(bench.lease(), Some(3));
}

#[test]
fn a_row_that_changed_by_itself_is_found_before_the_hello() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.input(Input::Disconnected);
    bench.replica.mismatch_next();
    let effects = bench.input(Input::Connected);
    assert_eq!(effects[..2], [Effect::Mistrusted, mismatch()]);
    let [.., Effect::Send(crate::message::ToAuthority::Hello(hello))] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((hello.resume, hello.set_hashes.len()), (None, 0));
    assert_eq!(bench.lease(), None, "grace goes with it");
}

#[test]
fn the_authority_finds_the_hello_wrong() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.input(Input::Disconnected);
    let hello = bench.hello();
    assert_eq!((hello.resume, hello.set_hashes.len()), (Some(revision(10)), 1));
    let ToVerifier::Welcome(welcome) = welcome(None, 30) else { panic!("no welcome") };
    let effects = bench.hear(ToVerifier::Welcome(Welcome { mismatch: true, ..welcome }));
    assert!(effects.contains(&Effect::Mistrusted), "{effects:?}");
    assert_eq!(bench.replica.voided(), Some(Void::Mismatch));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(30) });
    assert!(bench.hear(ToVerifier::SnapshotEnd { at: revision(30) }).contains(&ack(30)));
}

#[test]
fn a_snapshot_that_does_not_add_up_is_dropped_and_another_asked_for() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(40) });
    bench.replica.mismatch_next();
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(40) });
    assert_eq!(effects[0], mismatch());
    assert!(!effects.contains(&ack(40)), "{effects:?}");
    assert_eq!(bench.lease(), None);
    // What is known here is no worse for it: it still tells an authority that forgot from one that did not.
    assert!(!bench.replica.log().contains(&Entry::Mistrusted));
    snapshot_only(&mut bench, 50);
}

/// A snapshot keeps the ends that are known here, so one that is not so would let no snapshot ever add up.
#[test]
fn a_snapshot_that_does_not_add_up_with_a_table_that_is_wrong_is_followed_by_one_that_owes_it_nothing() {
    let mut bench = Bench::live();
    bench.hear(ToVerifier::SnapshotBegin { at: revision(20) });
    bench.replica.mismatch_next_times(2);
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(20) });
    assert_eq!(effects[..2], [Effect::Mistrusted, mismatch()]);
    assert!(bench.replica.log().contains(&Entry::Void(Void::Mismatch)));
    snapshot_only(&mut bench, 30);
    // One that is sound, and was served: what the authority forgot is no reason to forget it here.
    bench.hear(ToVerifier::SnapshotBegin { at: revision(40) });
    bench.replica.mismatch_next();
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(40) });
    assert_eq!(effects[0], mismatch());
    assert!(!effects.contains(&Effect::Mistrusted));
}

/// What is known from a disk alone bears witness against nobody.
#[test]
fn a_snapshot_that_does_not_add_up_with_what_came_from_a_disk_is_followed_by_one_that_owes_it_nothing() {
    let mut bench = Bench::live();
    let config = bench.session.config().clone();
    bench.session = Session::resuming(config, bench.now, Visible::up_to(revision(10)), revision(10), head(10));
    bench.input(Input::Tick);
    bench.input(Input::Connected);
    bench.hear(welcome(None, 20));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(20) });
    bench.replica.mismatch_next();
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(20) });
    assert_eq!(effects[..2], [Effect::Mistrusted, mismatch()]);
}
