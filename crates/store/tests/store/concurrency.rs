use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
};

use jeton_store::{
    Sqlite, Store, StoreError,
    model::{Caller, Issued, RevokeNew, Selector},
};
use jeton_types::{BootTime, Clock, Now, Revision, StartId, UnixTime};

use crate::world::{BEGIN, Backend, Waiting, World, check_chain, issue_new, named, namespace_new, open_with, queue};

conformance! {
    many_at_once_are_all_different_and_in_order,
    what_waits_is_committed_together,
    a_caller_that_is_revoked_meanwhile_does_nothing,
    who_asked_and_went_away_changes_nothing,
}

const TASKS: usize = 64;

/// Keeps the writer in the middle of a transaction until the sender is dropped or sends; what is queued meanwhile is the
/// next batch.
async fn hold<B: Backend>(world: &World<B>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let store = world.store.clone();
    let holder = tokio::spawn(async move {
        let root = store.root_ensure(move |_| {
            entered.send(()).map_err(|()| io::Error::other("nobody waits"))?;
            held.recv().map_err(io::Error::other)
        });
        root.await.unwrap();
    });
    inside.await.unwrap();
    (release, holder)
}

async fn many_at_once_are_all_different_and_in_order<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let mut log = world.store.commit_log().subscribe();
    let mut changed = world.store.commit_log().changed();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = world.store.clone();
            tokio::spawn(async move {
                let mut issued = Vec::new();
                for turn in 0..4 {
                    let new = issue_new(&format!("acme/c{task}-{turn}"));
                    let done = store.credential_issue(Caller::System, new).await.unwrap();
                    // An answer leaves only after the log has its record, and a read that begins now sees it.
                    assert!(store.commit_log().head().revision >= done.revision);
                    assert!(store.token_by_digest(done.token.digest).await.unwrap().is_some());
                    issued.push(done);
                }
                issued
            })
        })
        .collect();
    let mut issued = Vec::new();
    for task in tasks {
        issued.extend(task.await.unwrap());
    }
    let distinct = |count: usize, what: &str| assert_eq!(count, TASKS * 4, "{what}");
    distinct(issued.iter().map(|done| done.token.id).collect::<HashSet<_>>().len(), "ids");
    distinct(issued.iter().map(|done| done.token.digest).collect::<HashSet<_>>().len(), "digests");
    distinct(issued.iter().map(|done| done.secret.expose().clone()).collect::<HashSet<_>>().len(), "secrets");
    distinct(issued.iter().map(|done| done.revision).collect::<HashSet<_>>().len(), "revisions");
    let records = world.records().await;
    check_chain(&records);
    let told: Vec<_> = std::iter::from_fn(|| log.try_recv().ok()).map(|committed| committed.record.clone()).collect();
    assert_eq!(told.len(), TASKS * 4);
    assert!(told.iter().zip(&records[2..]).all(|(told, stored)| **told == *stored));
    assert_eq!(*changed.borrow_and_update(), records.last().unwrap().revision);
    let ring = world.store.commit_log().after(records[1].revision, 1_000).unwrap();
    assert_eq!(ring, told);
    assert_eq!(
        world.store.commit_log().after(Revision::ZERO, 1),
        Some(vec![records[0].clone().into()]),
        "written here"
    );
}

async fn what_waits_is_committed_together<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (release, holder) = hold(&world).await;
    let mut waiting: Vec<Waiting<Result<Issued, StoreError>>> = (0..TASKS)
        .map(|task| {
            let store = world.store.clone();
            let new = issue_new(&format!("acme/c{}", task.min(TASKS - 2)));
            Box::pin(async move { store.credential_issue(Caller::System, new).await }) as Waiting<_>
        })
        .collect();
    queue(&mut waiting);
    world.batches.lock().unwrap().clear();
    release.send(()).unwrap();
    holder.await.unwrap();
    let mut last = Revision::ZERO;
    for (place, mutation) in waiting.into_iter().enumerate() {
        let done = mutation.await;
        if place == TASKS - 1 {
            assert_eq!(done.map(|_| ()), Err(StoreError::NameTaken), "refused alone");
        } else {
            let done = done.unwrap();
            assert!(done.revision > last);
            last = done.revision;
        }
    }
    if B::GROUPS {
        assert_eq!(*world.batches.lock().unwrap(), [1, TASKS - 1], "the holder's, then one for all");
    }
    check_chain(&world.records().await);
}

async fn a_caller_that_is_revoked_meanwhile_does_nothing<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (caller, issued) = world.caller("issuer", &["issuer@acme"]).await;
    let (release, holder) = hold(&world).await;
    let store = world.store.clone();
    let revoke = RevokeNew { namespace: None, selector: Selector::token(issued.token.id), reason: None };
    let issue = |name: &'static str| {
        let store = world.store.clone();
        Box::pin(async move { store.credential_issue(caller, issue_new(name)).await.map(|_| ()) }) as Waiting<_>
    };
    let mut waiting: Vec<Waiting<Result<(), StoreError>>> = vec![
        issue("acme/before"),
        Box::pin(async move { store.revocation_create(Caller::System, revoke).await.map(|_| ()) }),
        issue("acme/after"),
    ];
    // All three looked good when they came in.
    queue(&mut waiting);
    release.send(()).unwrap();
    holder.await.unwrap();
    let mut found = Vec::new();
    for mutation in waiting {
        found.push(mutation.await);
    }
    assert_eq!(found, [Ok(()), Ok(()), Err(StoreError::Unauthenticated)]);
    check_chain(&world.records().await);
}

async fn who_asked_and_went_away_changes_nothing<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (release, holder) = hold(&world).await;
    let store = world.store.clone();
    let mut gone: Vec<Waiting<_>> =
        vec![Box::pin(async move { store.credential_issue(Caller::System, issue_new("acme/gone")).await.map(|_| ()) })];
    queue(&mut gone);
    drop(gone);
    release.send(()).unwrap();
    holder.await.unwrap();
    world.issue("acme/next").await;
    assert!(world.store.credential(named("acme/gone")).await.unwrap().is_some());
    check_chain(&world.records().await);
}

/// Says with each reading of the boot clock how far the database was then, for whoever else reads it.
struct Witness {
    database: PathBuf,
    seen: Mutex<Vec<(BootTime, Option<i64>)>>,
}

impl Clock for Witness {
    fn now(&self) -> Now {
        let reader = rusqlite::Connection::open(&self.database);
        let head = reader.and_then(|raw| raw.query_row("SELECT revision FROM counter", [], |row| row.get(0)));
        let mut seen = self.seen.lock().unwrap();
        let boot = BootTime::from_nanos(seen.len() as u64 + 1);
        seen.push((boot, head.ok()));
        Now { boot, real: UnixTime::from_micros(BEGIN) }
    }
}

/// A session is behind since the commit: a clock read after it could make a record look younger than it is
/// (`feed-protocol.md` 13).
#[tokio::test]
async fn the_boot_clock_is_read_before_the_commit() {
    let place = tempfile::tempdir().unwrap();
    let witness = Arc::new(Witness { database: Sqlite::path(place.path()), seen: Mutex::default() });
    let store = open_with(place.path(), "first", Arc::clone(&witness) as _).unwrap();
    let mut log = store.commit_log().subscribe();
    store.start_record(StartId::from_bytes([1; 16])).await.unwrap();
    store.namespace_create(Caller::System, namespace_new("acme", "acme_live")).await.unwrap();
    let (started, created) = (log.try_recv().unwrap(), log.try_recv().unwrap());
    let before = i64::try_from(started.record.revision.get()).unwrap();
    let seen = witness.seen.lock().unwrap();
    let (_, head) = seen.iter().find(|(boot, _)| *boot == created.boot).unwrap();
    assert_eq!(*head, Some(before), "not committed yet");
    let (_, last) = seen.last().unwrap();
    assert_eq!(last.unwrap(), i64::try_from(created.record.revision.get()).unwrap(), "the witness sees commits");
}
