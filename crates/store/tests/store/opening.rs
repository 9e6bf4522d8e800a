use std::{fs, os::unix::fs::PermissionsExt};

use jeton_store::{Sqlite, Store, StoreError, model::Caller};
use jeton_types::StartId;

use crate::world::{World, check_chain, issue_new, open};

fn refused(dir: &std::path::Path) -> StoreError {
    open(dir, "refused").map(|_: Sqlite| ()).unwrap_err()
}

#[tokio::test]
async fn what_was_written_is_there_again() {
    let world = World::<Sqlite>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let (head, records) = (world.store.head().await.unwrap(), world.records().await);
    drop(world.store);
    for turn in 0..2_u8 {
        let store = open(world.place.path(), &format!("turn {turn}")).unwrap();
        assert_eq!(store.commit_log().after(jeton_types::Revision::ZERO, 9), None, "read it from the store");
        if turn == 0 {
            assert_eq!((store.head().await.unwrap(), store.commit_log().head()), (head.clone(), head.clone()));
            assert_eq!(store.records(jeton_types::Revision::ZERO, head.revision, 99).await.unwrap(), records);
        }
        let found = store.token_by_digest(issued.token.digest).await.unwrap().unwrap();
        assert_eq!(found, (issued.token.clone(), issued.credential.clone()));
        store.start_record(StartId::from_bytes([10 + turn; 16])).await.unwrap();
        store.credential_issue(Caller::System, issue_new(&format!("acme/turn-{turn}"))).await.unwrap();
        let upto = store.head().await.unwrap().revision;
        check_chain(&store.records(jeton_types::Revision::ZERO, upto, 99).await.unwrap());
        let last: Vec<_> = store.last_records().await.unwrap().into_iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(last, ["acme", "jeton"]);
    }
}

#[tokio::test]
async fn the_file_is_private_and_carries_its_marks() {
    let world = World::<Sqlite>::with_acme().await;
    for file in fs::read_dir(world.place.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    let raw = world.raw();
    let pragma = |name: &str| raw.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((pragma("application_id"), pragma("user_version")), (0x4a45_544e, 9));
    let mode: String = raw.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_migration_may_run_twice() {
    let world = World::<Sqlite>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let schema = |raw: &rusqlite::Connection| {
        let mut statement = raw.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<Vec<(String, String, Option<String>)>, _>>().unwrap()
    };
    let raw = world.raw();
    let before = schema(&raw);
    // As if the process had died between the statements of a migration and the number that says it is done.
    raw.pragma_update(None, "user_version", 0).unwrap();
    let hashes = world.store.set_hashes().await.unwrap();
    // And a database from before there were set hashes.
    raw.execute_batch("UPDATE namespace SET set_hash = NULL; UPDATE record SET set_hash = NULL").unwrap();
    drop(world.store);
    let store = open(world.place.path(), "second").unwrap();
    assert_eq!(store.set_hashes().await.unwrap(), hashes);
    assert_eq!(schema(&raw), before);
    assert!(store.token_by_digest(issued.token.digest).await.unwrap().is_some());
}

#[tokio::test]
async fn a_foreign_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jeton.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Foreign(_)));
    assert_eq!(fs::read(&path).unwrap(), before);

    let world = World::<Sqlite>::new().await;
    world.raw().pragma_update(None, "user_version", 99).unwrap();
    drop(world.store);
    let found = refused(world.place.path());
    assert!(matches!(&found, StoreError::Foreign(why) if why.contains("use a later jeton")), "{found}");
}

#[tokio::test]
async fn a_corrupt_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("jeton.db"), vec![b'x'; 8_192]).unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Corrupt(_)));

    let world = World::<Sqlite>::with_acme().await;
    for number in 0..50 {
        world.issue(&format!("acme/c{number}")).await;
    }
    drop(world.store);
    let path = world.place.path().join("jeton.db");
    let sound = fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].fill(0xff);
    }
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refused(world.place.path()), StoreError::Corrupt(_)));
    fs::write(&path, &sound).unwrap();
    drop(open(world.place.path(), "sound").unwrap());

    // Sound as a file, but the log's last record is gone.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("DELETE FROM record WHERE revision = (SELECT max(revision) FROM record)").unwrap();
    let found = refused(world.place.path());
    assert!(matches!(&found, StoreError::Corrupt(why) if why.contains("the counter stands at")), "{found}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let found = refused(&dir.path().join("missing"));
    assert!(matches!(&found, StoreError::Unavailable(why) if why.contains("missing")), "{found}");
    fs::create_dir(dir.path().join("jeton.db")).unwrap();
    assert!(matches!(refused(dir.path()), StoreError::Unavailable(_)));
}

#[tokio::test]
async fn another_writer_is_noticed() {
    let world = World::<Sqlite>::with_acme().await;
    let other = open(world.place.path(), "other").unwrap();
    other.start_record(StartId::from_bytes([9; 16])).await.unwrap();
    let found = world.store.credential_issue(Caller::System, issue_new("acme/a")).await.map(|_| ()).unwrap_err();
    assert!(matches!(&found, StoreError::Stopped(why) if why.contains("another process")), "{found}");
    let health = world.store.health();
    assert!(matches!(&*health.borrow(), jeton_store::Health::Stopped(_)));
    let found = world.store.credential_issue(Caller::System, issue_new("acme/a")).await.map(|_| ()).unwrap_err();
    assert!(matches!(found, StoreError::Stopped(_)));
    assert!(world.store.namespaces().await.is_ok(), "reads go on");
}
