use std::time::Duration;

use jeton_store::{
    RECORDS_CUT_MAX, StoreError,
    model::{RecordsCut, Retention, Selector, StoredReceipt},
};
use jeton_types::{Revision, StartId, UnixTime};

use crate::world::{Backend, World, check_chain};

conformance! {
    the_oldest_records_go_by_age_and_by_number,
    whoever_is_behind_the_log_is_told,
    a_receipt_that_is_not_complete_holds_its_record,
    the_log_is_cut_in_small_steps,
    all_else_outlives_the_log,
}

const EVERYTHING: Retention = Retention { after: UnixTime::from_micros(u64::MAX >> 1), records_max: 0 };

const fn newest(records_max: u64) -> Retention {
    Retention { after: UnixTime::ZERO, records_max }
}

async fn the_oldest_records_go_by_age_and_by_number<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let store = &world.store;
    for number in 0..3 {
        world.issue(&format!("acme/c{number}")).await;
        world.clock.advance(Duration::from_secs(10));
    }
    let all = world.records().await;
    assert_eq!(all.len(), 5);
    let left = async |first: usize| {
        let head = all[4].revision;
        let found = store.records(all[first].revision, head, 99).await.unwrap();
        assert_eq!(found, all[first + 1..], "from {first}");
    };
    assert_eq!(store.records_cut(newest(5)).await, Ok(RecordsCut { cut: 0, retained: 5 }));
    assert_eq!(store.records_cut(newest(u64::MAX)).await, Ok(RecordsCut { cut: 0, retained: 5 }));
    assert_eq!(world.records().await, all, "nothing was to be cut");
    assert_eq!(store.records_cut(newest(4)).await, Ok(RecordsCut { cut: 1, retained: 4 }));
    left(1).await;
    let young = |record: usize| Retention { after: all[record].committed_at, records_max: 99 };
    assert_eq!(store.records_cut(young(3)).await, Ok(RecordsCut { cut: 2, retained: 2 }));
    left(3).await;
    assert_eq!(
        store.records_cut(young(3)).await,
        Ok(RecordsCut { cut: 0, retained: 2 }),
        "it is as old as that, not older"
    );
    // What says where the log stands is never cut, or the next start would not know it.
    assert_eq!(store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 1, retained: 1 }));
    assert_eq!(store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 0, retained: 1 }));
    assert_eq!(store.records(all[4].revision, all[4].revision, 99).await, Ok(Vec::new()));
    let world = world.reopened("second");
    world.store.start_record(StartId::from_bytes([2; 16])).await.unwrap();
    let issued = world.issue("acme/later").await.revision;
    let later = world.store.records(all[4].revision, issued, 99).await.unwrap();
    assert_eq!(later.len(), 2);
    assert_eq!(later[1].predecessor, all[4].revision, "the chain goes on where the log was cut");
    check_chain(&[&all[..], &later[..]].concat());
}

async fn whoever_is_behind_the_log_is_told<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    // The last record of acme goes, and those of the other namespace stay: no record that is left names it.
    world.issue("acme/c0").await;
    for number in 0..3 {
        world.issue(&format!("other/c{number}")).await;
    }
    let all = world.records().await;
    let head = all.last().unwrap().revision;
    world.store.records_cut(newest(2)).await.unwrap();
    let from = all[all.len() - 2].revision;
    for after in std::iter::once(Revision::ZERO).chain(all.iter().map(|record| record.revision)) {
        for upto in [after, head] {
            let found = world.store.records(after, upto, 99).await;
            if after < from {
                assert_eq!(found, Err(StoreError::LogCut { retained_from: from }), "{after} to {upto}");
            } else {
                let expect: Vec<_> = all.iter().filter(|r| r.revision > after && r.revision <= upto).cloned().collect();
                assert_eq!(found, Ok(expect), "{after} to {upto}");
            }
        }
    }
    let known = world.store.head_known(StartId::from_bytes([1; 16]), all[1].revision).await.unwrap();
    assert_eq!((known.retained_from, known.chain_hash), (from, None));
    assert_eq!(known.start_last, Some(head), "starts are not of the log");
}

async fn a_receipt_that_is_not_complete_holds_its_record<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.issue("acme/one").await;
    world.issue("acme/two").await;
    let mut revoked = Vec::new();
    for name in ["acme/one", "acme/two"] {
        revoked.push(world.revoke(Selector::credential(crate::world::named(name))).await.unwrap().revocation);
    }
    world.issue("acme/three").await;
    assert_eq!(world.store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 4, retained: 3 }));
    let complete = async |at: usize| {
        let receipt =
            StoredReceipt { completed_at: world.store.authority_time(), evidence: "[]".into(), jws: "x".into() };
        world.store.receipt_store(revoked[at].id, receipt).await.unwrap();
    };
    complete(1).await;
    assert_eq!(world.store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 0, retained: 3 }));
    // What is signed is read from the record.
    let (first, last) = (revoked[0].revision, revoked[1].revision);
    assert_eq!(world.store.record(first).await.unwrap().map(|record| record.revision), Some(first));
    complete(0).await;
    assert_eq!(world.store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 2, retained: 1 }));
    for gone in [first, last, Revision::ZERO] {
        assert_eq!(world.store.record(gone).await, Ok(None));
    }
}

async fn the_log_is_cut_in_small_steps<B: Backend>() {
    let world = World::<B>::with_acme().await;
    for number in 0..RECORDS_CUT_MAX {
        world.issue(&format!("acme/c{number}")).await;
    }
    let count = RECORDS_CUT_MAX as u64 + 2;
    let left = |cut: usize| Ok(RecordsCut { cut, retained: count - cut as u64 });
    assert_eq!(world.store.records_cut(EVERYTHING).await, left(RECORDS_CUT_MAX));
    assert_eq!(world.store.records_cut(EVERYTHING).await, Ok(RecordsCut { cut: 1, retained: 1 }));
}

async fn all_else_outlives_the_log<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = world.issue("acme/one").await;
    let revoked = world.revoke(Selector::token(issued.token.id)).await.unwrap().revocation;
    let receipt = StoredReceipt { completed_at: revoked.committed_at, evidence: "[]".into(), jws: "x".into() };
    world.store.receipt_store(revoked.id, receipt.clone()).await.unwrap();
    let before = (
        world.store.head().await,
        world.store.policies().await,
        world.store.set_hashes().await,
        world.store.last_records().await,
        world.store.audit_list(None, 0, 99).await,
        world.store.token(issued.token.id).await,
    );
    world.store.records_cut(EVERYTHING).await.unwrap();
    let world = world.reopened("second");
    let after = (
        world.store.head().await,
        world.store.policies().await,
        world.store.set_hashes().await,
        world.store.last_records().await,
        world.store.audit_list(None, 0, 99).await,
        world.store.token(issued.token.id).await,
    );
    assert_eq!(after, before);
    let kept = world.store.revocation(revoked.id).await.unwrap().unwrap();
    assert_eq!(kept.receipt, Some(receipt));
    assert_eq!(world.store.revocation_of_token(issued.token.id).await.unwrap(), Some(kept));
}
