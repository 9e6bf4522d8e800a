//! What only a mutation from the inside can bring about: commits that fail, a full disk, a panic.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jeton_types::{AddressList, BootTime, Freshness, Now};
use tempfile::TempDir;

use super::*;
use crate::model::Labels;

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Now {
        Now { boot: BootTime::ZERO, real: UnixTime::from_micros(1_790_000_000_000_000) }
    }
}

struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (place, byte) in out.iter_mut().zip(count.into_iter().rev().cycle()) {
            *place = byte;
        }
    }
}

async fn store() -> (TempDir, Sqlite) {
    let dir = tempfile::tempdir().unwrap();
    let config = OpenConfig {
        clock: Arc::new(StandingClock),
        entropy: Arc::new(Counted(AtomicU64::new(0))),
        observer: Arc::new(|_: usize, _: Duration| ()),
    };
    let store = Sqlite::open(dir.path(), config).unwrap();
    store.start_record(StartId::from_bytes([1; 16])).await.unwrap();
    let acme = NamespaceNew {
        name: "acme".parse().unwrap(),
        prefix: "acme_live".parse().unwrap(),
        freshness: Freshness::Strict,
        default_ttl: None,
    };
    store.namespace_create(Caller::System, acme).await.unwrap();
    (dir, store)
}

fn issue_new(name: &str) -> IssueNew {
    IssueNew {
        namespace: "acme".parse().unwrap(),
        name: name.parse().unwrap(),
        subject: None,
        scopes: jeton_types::ScopeSet::default(),
        labels: Labels::default(),
        ttl: None,
        addresses: AddressList::default(),
    }
}

async fn issue(store: &Sqlite, name: &str) -> Result<Issued, StoreError> {
    store.credential_issue(Caller::System, issue_new(name)).await
}

/// The log in the database, in memory and in the counter agree.
async fn check_agreed(store: &Sqlite) {
    let head = store.head().await.unwrap();
    assert_eq!(store.commit_log().head(), head);
    let records = store.records(Revision::ZERO, head.revision, 10_000).await.unwrap();
    assert_eq!(records.last().map(|record| record.chain_hash), Some(head.chain_hash));
    let ring = store.commit_log().after(Revision::ZERO, 10_000).unwrap();
    assert!(ring.iter().map(|record| &**record).eq(&records));
}

#[tokio::test]
async fn a_commit_that_fails_is_looked_up_before_it_is_answered() {
    let (_dir, store) = store().await;
    let head = store.head().await.unwrap();
    let broken = store
        .write(|tx| {
            // A broken reference that is looked at only when the transaction commits.
            tx.conn.pragma_update(None, "defer_foreign_keys", true)?;
            let issued = credential::issue(tx, Caller::System, issue_new("doomed"))?;
            let sql = "UPDATE token SET credential = zeroblob(16) WHERE id = ?1";
            tx.conn.execute(sql, [issued.token.id.as_bytes()])?;
            Ok(())
        })
        .await;
    assert!(matches!(&broken, Err(StoreError::Unavailable(why)) if why.contains("FOREIGN KEY")), "{broken:?}");
    assert_eq!(store.head().await.unwrap(), head, "nothing was committed, and it says so");
    assert_eq!(*store.health().borrow(), Health::Writing);
    issue(&store, "next").await.unwrap();
    check_agreed(&store).await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_then_goes_on() {
    let (_dir, store) = store().await;
    let pages = |max: i64| {
        store.write(move |tx| {
            Ok(tx.conn.query_row(&format!("PRAGMA max_page_count = {max}"), [], |row| row.get::<_, i64>(0))?)
        })
    };
    // The least that it may have is what it has.
    pages(1).await.unwrap();
    let mut issued = 0;
    let refused = loop {
        match issue(&store, &format!("c{issued}")).await {
            Ok(_) => issued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Full);
    assert_eq!(*store.health().borrow(), Health::Writing);
    check_agreed(&store).await;
    pages(1_000_000).await.unwrap();
    issue(&store, &format!("c{issued}")).await.unwrap();
    assert_eq!(
        store.credentials("acme".parse().unwrap(), CredentialFilter::default(), None, 10_000).await.unwrap().len(),
        issued + 1
    );
    check_agreed(&store).await;
}

#[tokio::test]
async fn a_panic_is_one_mutations_failure() {
    let (_dir, store) = store().await;
    let head = store.head().await.unwrap();
    let panicked = store
        .write(|tx| -> Result<(), StoreError> {
            credential::issue(tx, Caller::System, issue_new("doomed"))?;
            panic!("in the middle");
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Unavailable(_))));
    assert_eq!(store.head().await.unwrap(), head);
    issue(&store, "doomed").await.unwrap();
    check_agreed(&store).await;
}

#[tokio::test]
async fn a_read_that_panics_gives_its_connection_back() {
    let (_dir, store) = store().await;
    for _ in 0..20 {
        let panicked = store.read(|_| -> Result<(), StoreError> { panic!("while reading") }).await;
        assert!(matches!(panicked, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(store.namespaces().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (_dir, store) = store().await;
    let refused = store.read(|conn| Ok(conn.execute("DELETE FROM token", [])?)).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_long_log_is_copied_and_none_is_left_at_the_end() {
    let (dir, store) = store().await;
    let log = dir.path().join("jeton.db-wal");
    let database = dir.path().join("jeton.db");
    let before = std::fs::metadata(&database).unwrap().len();
    let text = "x".repeat(1 << 20);
    for number in 0..6 {
        let text = text.clone();
        store
            .write(move |tx| {
                tx.conn.execute_batch("CREATE TABLE IF NOT EXISTS filler (text)")?;
                tx.conn.execute("INSERT INTO filler VALUES (?1)", [text])?;
                Ok(())
            })
            .await
            .unwrap();
        issue(&store, &format!("c{number}")).await.unwrap();
    }
    assert!(std::fs::metadata(&database).unwrap().len() > before + (4 << 20));
    assert!(std::fs::metadata(&log).unwrap().len() < 6 << 20, "it begins anew");
    drop(store);
    assert_eq!(std::fs::metadata(&log).map_or(0, |found| found.len()), 0);
}

#[test]
fn the_chain_covers_every_part() {
    use crate::record_code::{Framed, chain};
    use jeton_types::Hash32;
    let namespace: NamespaceName = "acme".parse().unwrap();
    let other: NamespaceName = "acm".parse().unwrap();
    let revision = |value| Revision::new(value).unwrap();
    let framed = |at, predecessor, namespace, start, time| Framed {
        revision: revision(at),
        predecessor: revision(predecessor),
        namespace,
        start: StartId::from_bytes([start; 16]),
        committed_at: UnixTime::from_micros(time),
    };
    let base = || framed(2, 1, &namespace, 1, 5);
    let hashes = [
        chain(&Hash32::ZERO, &base(), "[]"),
        chain(&Hash32([1; 32]), &base(), "[]"),
        chain(&Hash32::ZERO, &framed(3, 1, &namespace, 1, 5), "[]"),
        chain(&Hash32::ZERO, &framed(2, 0, &namespace, 1, 5), "[]"),
        chain(&Hash32::ZERO, &framed(2, 1, &other, 1, 5), "[]"),
        chain(&Hash32::ZERO, &framed(2, 1, &namespace, 2, 5), "[]"),
        chain(&Hash32::ZERO, &framed(2, 1, &namespace, 1, 6), "[]"),
        chain(&Hash32::ZERO, &base(), "[1]"),
    ];
    let distinct: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());
    assert_eq!(
        hashes[0].to_string(),
        "6b3544db1a484b3c12f5d16da99e7a593845f64987c829c4a92868a0f88b5836",
        "a stored chain must verify under every later version"
    );
}

/// Statements that join are compiled once and for all, whatever is bound to them.
#[tokio::test]
async fn a_cached_statement_is_not_compiled_anew() {
    let (dir, store) = store().await;
    let conn = open::open_reader(&Sqlite::path(dir.path())).unwrap();
    let mut statement = conn.prepare_cached(sql!("token/find_by_digest")).unwrap();
    for digest in [[1_u8; 32], [2; 32], [3; 32]] {
        assert!(statement.query([digest]).unwrap().next().unwrap().is_none());
    }
    assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    drop(store);
}

/// Look-ups that come together are read together, each as if it were alone.
#[tokio::test]
async fn look_ups_that_come_together() {
    let (_dir, store) = store().await;
    let root = store.root_ensure(|_| Ok(())).await.unwrap().unwrap();
    let asked = (0..200_u8).map(|number| {
        let digest = if number % 3 == 0 { root.digest } else { Digest::from_bytes([number; 32]) };
        let store = store.clone();
        tokio::spawn(async move { (number, store.token_by_digest(digest).await.unwrap()) })
    });
    let asked = asked.collect::<Vec<_>>();
    // One that nobody waits for any more holds up nobody.
    asked[0].abort();
    for found in asked.into_iter().skip(1) {
        let (number, found) = found.await.unwrap();
        assert_eq!(found.map(|(token, _)| token.id), (number % 3 == 0).then_some(root.id), "{number}");
    }
}
