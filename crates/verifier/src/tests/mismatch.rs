//! A table that is not what the log leaves (`feed-protocol.md` 24).

use std::sync::Arc;

use jeton_feed::{
    lease::Void,
    message::SnapshotPart,
    record::{Change, EndReason, Policy, Record, TokenEntry},
    replica::{Replica as _, Unappliable, Visible},
    set_hash::SetHash,
};
use jeton_types::{Hash32, UnixTime};

use super::{Held, START, acme, lease, policy, record, replica_of, revision};
use crate::{Code, MemoryReplica, Outcome, Required, StaleWhy};

fn held(number: u8) -> Held {
    Held::new("acme_live", 5, number)
}

/// What the authority says of these rows.
fn sum(policy: &Policy, rows: &[TokenEntry]) -> Hash32 {
    let rows = rows.iter().map(SetHash::of_entry);
    rows.fold(SetHash::of_policy(&acme(), policy), SetHash::plus).to_hash()
}

fn mismatch<T>() -> Result<T, Unappliable> {
    Err(Unappliable::Mismatch { namespace: acme() })
}

fn ended(entry: TokenEntry) -> TokenEntry {
    TokenEntry { ended: Some(EndReason::Revoked), ..entry }
}

/// The record that ends token 1, of a namespace that held tokens 1 and 2.
fn end_of_one() -> Record {
    let rows = [ended(held(1).entry()), held(2).entry()];
    Record { set_hash: Some(sum(&policy(0), &rows)), ..record(10, 20, vec![held(1).end()]) }
}

fn snapshot(replica: &MemoryReplica, at: u64, rows: Vec<TokenEntry>) -> Result<Visible, Unappliable> {
    let set_hash = Some(sum(&policy(0), &rows));
    replica.snapshot_begin();
    replica.snapshot_rows(SnapshotPart { namespace: acme(), policy: policy(0), rows, set_hash });
    replica.snapshot_end(revision(at))
}

fn answer(replica: &MemoryReplica, held: &Held) -> Result<Code, StaleWhy> {
    match replica.verify(&held.text, &Required::default(), None, || START) {
        Outcome::Answer(verdict) => Ok(verdict.code()),
        Outcome::Stale(why) => Err(why),
        Outcome::NeedsWatermark(_) => panic!("too new"),
    }
}

#[test]
fn what_adds_up_is_applied() {
    let replica: MemoryReplica = replica_of(0, vec![held(1).entry(), held(2).entry()]);
    assert_eq!(replica.record_apply(&end_of_one()), Ok(Visible::up_to(revision(20))));
    let rows = [ended(held(1).entry()), held(2).entry()];
    assert_eq!(replica.set_hashes(&[acme()]), Ok(vec![sum(&policy(0), &rows)]));
    // Another policy is part of it.
    let to_grace = vec![Change::Policy(policy(30))];
    let wrong = Record { set_hash: Some(sum(&policy(0), &rows)), ..record(20, 21, to_grace.clone()) };
    let right = Record { set_hash: Some(sum(&policy(30), &rows)), ..record(20, 21, to_grace) };
    assert_eq!(replica.record_apply(&right), Ok(Visible::up_to(revision(21))));
    let other: MemoryReplica = replica_of(0, rows.to_vec());
    assert_eq!(other.record_apply(&Record { predecessor: revision(10), ..wrong }), mismatch());
}

/// A row lost, one added, and one altered in each part (S21).
#[test]
fn whatever_is_wrong_with_the_table_is_noticed_at_the_next_record() {
    let (one, two) = (held(1).entry(), held(2).entry());
    let wrong = [
        vec![one.clone()],
        vec![one.clone(), two.clone(), held(3).entry()],
        vec![one.clone(), ended(two.clone())],
        vec![one.clone(), TokenEntry { disabled: true, ..two.clone() }],
        vec![one.clone(), TokenEntry { scopes: Default::default(), ..two.clone() }],
        vec![one.clone(), TokenEntry { subject: Some("x".parse().unwrap()), ..two.clone() }],
        vec![one.clone(), TokenEntry { expires_at: Some(UnixTime::from_micros(1)), ..two.clone() }],
        vec![one, TokenEntry { credential: jeton_types::CredentialId::from_bytes([9; 16]), ..two }],
    ];
    for rows in wrong {
        let replica: MemoryReplica = replica_of(0, rows.clone());
        assert_eq!(replica.record_apply(&end_of_one()), mismatch(), "{rows:?}");
        assert_eq!(replica.watermark(), revision(10), "nothing may be acknowledged");
        // Nor is it what was acknowledged before.
        assert_ne!(replica.set_hashes(&[acme()]), Ok(vec![end_of_one().set_hash.unwrap()]));
    }
}

#[test]
fn without_a_hash_nothing_is_compared() {
    let replica: MemoryReplica = replica_of(0, vec![held(1).entry()]);
    let unsure = Record { set_hash: None, ..end_of_one() };
    assert_eq!(replica.record_apply(&unsure), Ok(Visible::up_to(revision(20))));
}

#[test]
fn a_row_that_nobody_wrote_is_found_when_all_are_summed_up() {
    let replica: MemoryReplica = replica_of(0, vec![held(1).entry(), held(2).entry()]);
    let rows = [held(1).entry(), held(2).entry()];
    assert_eq!(replica.set_hashes(&[acme()]), Ok(vec![sum(&policy(0), &rows)]));
    replica.table_of(&acme()).rot(&held(2).digest);
    assert_eq!(replica.set_hashes(&[acme()]), mismatch());
    assert_eq!(replica.set_hashes(&["zeta".parse().unwrap()]), Ok(Vec::new()), "not all are here");
}

#[test]
fn until_a_snapshot_nothing_of_a_wrong_table_is_answered() {
    let replica: MemoryReplica = replica_of(30, vec![ended(held(1).entry()), held(2).entry()]);
    assert!(replica.lease_set(lease(1, START), 0));
    assert_eq!(answer(&replica, &held(1)), Ok(Code::Revoked));
    let generation = replica.lease_generation();
    replica.mistrust();
    // Also not that somebody's token was revoked, which else needs no lease.
    for held in [held(1), held(2)] {
        assert_eq!(answer(&replica, &held), Err(StaleWhy::Voided(Void::Mismatch)));
    }
    replica.lease_void(Void::Unappliable);
    assert_eq!(answer(&replica, &held(1)), Err(StaleWhy::Voided(Void::Mismatch)));
    assert!(!replica.lease_set(lease(2, START), generation));
    // The snapshot owes nothing to what was there: the end of token 1 was one of the wrong rows.
    assert_eq!(snapshot(&replica, 30, vec![held(1).entry(), held(2).entry()]), Ok(Visible::up_to(revision(30))));
    assert!(replica.lease_set(lease(3, START), replica.lease_generation()));
    assert_eq!(answer(&replica, &held(1)), Ok(Code::Valid));
}

/// S7: an authority that forgot an end is no reason to forget it here, and no reason to answer either.
#[test]
fn a_snapshot_that_forgot_an_end_is_not_served() {
    let replica: MemoryReplica = replica_of(0, vec![held(1).entry(), held(2).entry()]);
    let _ = replica.record_apply(&end_of_one()).unwrap();
    for at in [30, 40] {
        assert_eq!(snapshot(&replica, at, vec![held(1).entry(), held(2).entry()]), mismatch());
        assert_eq!(replica.watermark(), revision(20));
    }
    assert_eq!(answer(&replica, &held(1)), Ok(Code::Revoked));
    let good = vec![ended(held(1).entry()), held(2).entry()];
    assert_eq!(snapshot(&replica, 50, good), Ok(Visible::up_to(revision(50))));
}

#[test]
fn a_snapshot_that_lost_a_row_on_its_way_is_not_served() {
    let replica: MemoryReplica = MemoryReplica::new(&[acme()]);
    let set_hash = Some(sum(&policy(0), &[held(1).entry(), held(2).entry()]));
    replica.snapshot_begin();
    let rows = vec![held(1).entry()];
    replica.snapshot_rows(SnapshotPart { namespace: acme(), policy: policy(0), rows, set_hash });
    assert_eq!(replica.snapshot_end(revision(10)), mismatch());
    assert!(replica.namespaces().is_empty());
    let shared = Arc::new(replica);
    assert_eq!(snapshot(&shared, 11, vec![held(1).entry()]), Ok(Visible::up_to(revision(11))));
}

/// Whatever a verification read of a table that was found to be wrong meanwhile, no later lease makes it good.
#[test]
fn what_was_read_of_a_wrong_table_is_not_released_after_the_snapshot() {
    let replica: MemoryReplica = replica_of(0, vec![ended(held(1).entry()), held(2).entry()]);
    assert!(replica.lease_set(lease(1, START), 0));
    let look = || replica.look(&held(1).text, START).unwrap().compute(&Required::default(), None);
    let (before, sound) = (look(), look());
    assert!(matches!(sound.release(START, &replica), Outcome::Answer(verdict) if verdict.code() == Code::Revoked));
    replica.mistrust();
    let meanwhile = look();
    assert!(snapshot(&replica, 30, vec![held(1).entry(), held(2).entry()]).is_ok());
    assert!(replica.lease_set(lease(2, START), replica.lease_generation()));
    // That token 1 had ended was one of the wrong rows.
    assert!(matches!(meanwhile.release(START, &replica), Outcome::Stale(StaleWhy::NoLease | StaleWhy::Overtaken)));
    assert!(matches!(before.release(START, &replica), Outcome::Stale(StaleWhy::Overtaken)));
    replica.lease_void(Void::Jump);
    assert_eq!(answer(&replica, &held(1)), Err(StaleWhy::Voided(Void::Jump)));
}
