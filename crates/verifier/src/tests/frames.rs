//! Records of which a part is there (`feed-protocol.md` 23).

use jeton_feed::{
    record::{Change, Record, TokenEntry},
    replica::{Replica as _, Unappliable, Visible},
    set_hash::SetHash,
};
use jeton_types::Hash32;
use proptest::{collection::vec, prelude::*};

use super::{Held, START, acme, lease, policy, record, replica_of, revision};
use crate::{Code, MemoryReplica, Outcome, Required, Table as _};

fn held(number: u8) -> Held {
    Held::new("acme_live", 5, number)
}

fn entries() -> Vec<TokenEntry> {
    (0..30).map(|number| held(number).entry()).collect()
}

/// What the authority says of a table with these rows.
fn sum(replica: &MemoryReplica) -> Hash32 {
    SetHash::of_policy(&acme(), &policy(0)).plus(replica.table_of(&acme()).set_hash_renew()).to_hash()
}

fn code(replica: &MemoryReplica, held: &Held) -> Code {
    match replica.verify(&held.text, &Required::default(), None, || START) {
        Outcome::Answer(verdict) => verdict.code(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn frames_leave_what_the_record_leaves(numbers in vec(0..30_u8, 2..40), cuts in vec(1..8_usize, 1..8), reset_after in 0..6_usize) {
        let changes: Vec<Change> = numbers.iter().map(|number| held(*number).end()).collect();
        let whole: MemoryReplica = replica_of(0, entries());
        prop_assert_eq!(whole.record_apply(&record(10, 20, changes.clone())), Ok(Visible::up_to(revision(20))));
        let set_hash = Some(sum(&whole));

        let replica: MemoryReplica = replica_of(0, entries());
        let mut frames = Vec::new();
        let mut rest = changes.as_slice();
        for size in cuts.iter().cycle() {
            let (frame, after) = rest.split_at((*size).min(rest.len()));
            frames.push(frame.to_vec());
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let last = frames.pop().unwrap();
        // Some of them, then all of them: after a reset the record begins anew.
        for frame in frames.iter().take(reset_after).chain(&frames) {
            prop_assert_eq!(replica.ends_enforce(&record(10, 20, frame.clone())), Ok(()));
            prop_assert_eq!(replica.watermark(), revision(10));
        }
        let last = Record { set_hash, ..record(10, 20, last) };
        prop_assert_eq!(replica.record_apply(&last), Ok(Visible::up_to(revision(20))));
        prop_assert_eq!(sum(&replica), sum(&whole));
    }
}

#[test]
fn a_part_is_enforced_and_is_not_the_record() {
    let replica: MemoryReplica = replica_of(0, entries());
    assert!(replica.lease_set(lease(1, START), replica.lease_generation()));
    assert_eq!(replica.ends_enforce(&record(10, 20, vec![held(1).end()])), Ok(()));
    assert_eq!((code(&replica, &held(1)), code(&replica, &held(2))), (Code::Revoked, Code::Valid));
    assert_eq!(replica.watermark(), revision(10));
    // The sum is that of all of it, and so it is looked at with the last frame.
    let before = Some(sum(&replica));
    let last = Record { set_hash: before, ..record(10, 20, vec![held(2).end()]) };
    assert_eq!(replica.record_apply(&last), Err(Unappliable::Mismatch { namespace: acme() }));
    assert_eq!(replica.watermark(), revision(10));
}

#[test]
fn a_part_follows_like_a_record() {
    let replica: MemoryReplica = replica_of(0, entries());
    assert!(matches!(replica.ends_enforce(&record(12, 20, Vec::new())), Err(Unappliable::Gap { .. })));
    let missing = replica.ends_enforce(&record(10, 20, vec![held(1).end(), held(77).end()]));
    assert!(matches!(missing, Err(Unappliable::Missing { .. })));
    assert_eq!(sum(&replica), sum(&replica_of(0, entries())), "and nothing of it was done");
    let other = Record { namespace: "other".parse().unwrap(), ..record(10, 20, Vec::new()) };
    assert!(matches!(replica.ends_enforce(&other), Err(Unappliable::Foreign(_))));
}
