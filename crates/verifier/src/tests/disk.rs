//! A replica that is copied while it is written to, and one that was read from a copy.

use std::ops::ControlFlow;

use jeton_feed::{
    lease::Void,
    record::{Change, Record},
    replica::Replica as _,
};
use proptest::prelude::*;

use super::{Held, START, acme, lease, part, policy, record, replica_of, revision};
use crate::{Code, MemoryReplica, Outcome, Required, StaleWhy};

fn held(number: u8) -> Held {
    Held::new("acme_live", 5, number)
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, bool),
    End(u8),
    Policy(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..40_u8, any::<bool>()).prop_map(|(number, disabled)| Step::Put(number, disabled)),
        2 => (0..20_u8).prop_map(Step::End),
        1 => (0..3_u64).prop_map(Step::Policy),
    ]
}

fn change(step: &Step) -> Change {
    match step {
        Step::Put(number, disabled) => {
            Change::Token(jeton_feed::record::TokenEntry { disabled: *disabled, ..held(*number).entry() })
        }
        Step::End(number) => held(*number).end(),
        Step::Policy(grace) => Change::Policy(policy(*grace)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is applied while the tables are read: with those records after it, the copy is what the original is.
    #[test]
    fn a_copy_is_whole_with_the_records_that_came_meanwhile(
        before in prop::collection::vec(step(), 0..30),
        during in prop::collection::vec((0..6_usize, step()), 0..40),
    ) {
        let original: MemoryReplica = replica_of(0, (0..20).map(|number| held(number).entry()).collect());
        let mut at = 10;
        let mut next = |step: &Step| -> Record {
            let record = record(at, at + 1, vec![change(step)]);
            at += 1;
            record
        };
        for step in &before {
            let _ = original.record_apply(&next(step)).unwrap();
        }
        let tables = original.tables().unwrap();
        let (mut parts, mut records) = (Vec::new(), Vec::new());
        let mut waiting = during.iter();
        let mut due = 0;
        let _ = tables.read(|part| {
            parts.push(part);
            due += 1;
            while let Some((_, step)) = waiting.as_slice().first().filter(|(gap, _)| *gap < due) {
                waiting.next();
                due = 0;
                let record = next(step);
                let _ = original.record_apply(&record).unwrap();
                records.push(record);
            }
            ControlFlow::Continue(())
        });
        let copy: MemoryReplica = MemoryReplica::new(&[acme()]);
        copy.snapshot_begin();
        parts.into_iter().for_each(|part| copy.snapshot_rows(part));
        let _ = copy.snapshot_end(tables.at).unwrap();
        for record in &records {
            let _ = copy.record_apply(record).unwrap();
        }
        prop_assert_eq!(copy.set_hashes_kept(&[acme()]), original.set_hashes_kept(&[acme()]));
        prop_assert_eq!(copy.watermark(), original.watermark());
    }
}

fn code(replica: &MemoryReplica, held: &Held) -> Result<Code, StaleWhy> {
    match replica.verify(&held.text, &Required::default(), None, || START) {
        Outcome::Answer(verdict) => Ok(verdict.code()),
        Outcome::Stale(why) => Err(why),
        Outcome::NeedsWatermark(_) => panic!("nobody is to be asked"),
    }
}

#[test]
fn what_was_read_from_a_disk_answers_nothing_before_a_lease() {
    let (good, ended) = (held(1), held(2));
    let read: MemoryReplica = replica_of(30, vec![good.entry(), ended.entry()]);
    let _ = read.record_apply(&record(10, 20, vec![ended.end()])).unwrap();
    let replica: MemoryReplica = MemoryReplica::new(&[acme()]);
    replica.take_over(read);
    assert_eq!(replica.watermark(), revision(20));
    assert!(!replica.ready(START));
    let unanswered = |why| {
        for token in [&good, &ended] {
            assert_eq!(code(&replica, token), Err(why));
        }
    };
    unanswered(StaleWhy::Voided(Void::FromDisk));
    // No other void says more, and the next record follows.
    replica.lease_void(Void::Unappliable);
    let _ = replica.record_apply(&record(20, 21, vec![])).unwrap();
    unanswered(StaleWhy::Voided(Void::FromDisk));
    assert!(replica.lease_set(lease(1, START), replica.lease_generation()));
    assert_eq!((code(&replica, &good), code(&replica, &ended)), (Ok(Code::Valid), Ok(Code::Revoked)));
}

#[test]
fn nothing_is_taken_over_where_something_is_served() {
    let served: MemoryReplica = replica_of(0, vec![held(1).entry()]);
    let other: MemoryReplica = MemoryReplica::new(&[acme()]);
    other.snapshot_begin();
    other.snapshot_rows(part(policy(0), vec![held(1).entry(), held(2).entry()]));
    let _ = other.snapshot_end(revision(90)).unwrap();
    served.take_over(other);
    assert_eq!((served.watermark(), served.namespaces()[0].tokens), (revision(10), 1));
}
