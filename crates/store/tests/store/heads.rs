//! What a store knows of a head that is shown to it, and that it writes nothing once it is fenced.

use jeton_feed::rollback::HeadKnown;
use jeton_store::{StoreError, model::Caller};
use jeton_types::{Revision, StartId};

use crate::world::{Backend, World, issue_new};

conformance! {
    a_start_is_known_with_its_last_revision_for_ever,
    a_fenced_store_writes_nothing_and_reads_on,
}

async fn a_start_is_known_with_its_last_revision_for_ever<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (first, second) = (StartId::from_bytes([1; 16]), StartId::from_bytes([2; 16]));
    let issued = world.issue("acme/one").await.revision;
    let records = world.records().await;
    let (oldest, newest) = (records[0].revision, records.last().unwrap());
    assert_eq!(newest.revision, issued);
    let known = |start_last, chain_hash| HeadKnown { start_last, chain_hash, retained_from: oldest };
    let running = world.store.head_known(first, issued).await.unwrap();
    assert_eq!(running, known(Some(issued), Some(newest.chain_hash)), "the start that runs has the head as its last");
    assert_eq!(world.store.head_known(second, issued).await.unwrap(), known(None, Some(newest.chain_hash)));
    let between = Revision::new(issued.get() + 1).unwrap();
    assert_eq!(world.store.head_known(first, between).await.unwrap(), known(Some(issued), None));

    let world = world.reopened("second");
    world.store.start_record(second).await.unwrap();
    let later = world.issue("acme/two").await.revision;
    assert_eq!(world.store.head_known(first, issued).await.unwrap(), known(Some(issued), Some(newest.chain_hash)));
    assert_eq!(world.store.head_known(second, Revision::ZERO).await.unwrap(), known(Some(later), None));
    // A pause of the machine is a start too.
    world.store.start_record(StartId::from_bytes([3; 16])).await.unwrap();
    assert_eq!(world.store.head_known(second, Revision::ZERO).await.unwrap(), known(Some(later), None));
}

async fn a_fenced_store_writes_nothing_and_reads_on<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let head = world.store.head().await.unwrap();
    world.store.fence("rollback: first".to_owned());
    world.store.fence("rollback: second".to_owned());
    let refused = || StoreError::Rollback("rollback: first".to_owned());
    let issued = world.store.credential_issue(Caller::System, issue_new("acme/late")).await;
    assert_eq!(issued.map(|issued| issued.revision), Err(refused()));
    let started = world.store.start_record(StartId::from_bytes([9; 16])).await;
    assert_eq!(started.map(|row| row.revision), Err(refused()));
    assert_eq!(world.store.head().await.unwrap(), head);
    assert!(world.store.namespace("acme".parse().unwrap()).await.unwrap().is_some());
    // The fence is the process's: what the next one does about it is its own affair.
    let world = world.reopened("second");
    world.store.start_record(StartId::from_bytes([9; 16])).await.unwrap();
    world.issue("acme/late").await;
}
