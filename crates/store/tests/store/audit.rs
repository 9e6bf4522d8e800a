use jeton_lifecycle::audit::{Broken, Checker, Extent, Head, Link};
use jeton_store::{Sqlite, Store, StoreError, model::Selector};
use jeton_types::{Hash32, StartId};

use crate::world::{Backend, World, named, open};

conformance! {
    every_mutation_has_one_entry_in_its_own_transaction,
    pages_and_namespaces,
    the_head_follows_a_rollback_of_a_savepoint,
    a_lost_root_token_is_replaced_and_what_was_before_it_ends,
}

async fn all(store: &impl Store) -> Vec<Link> {
    store.audit_list(None, 0, 10_000).await.unwrap()
}

/// Checks what the database has, as whoever has only the port does.
async fn check(store: &impl Store) -> Result<u64, Broken> {
    let head = store.audit_head().await.unwrap();
    let mut checker = Checker::new(Extent::Whole);
    for link in all(store).await {
        checker.push(&link)?;
    }
    checker.finish(head)?;
    Ok(checker.count())
}

async fn busy<B: Backend>() -> World<B> {
    let world = World::<B>::with_acme().await;
    for name in ["acme/a", "acme/b", "acme/c"] {
        world.issue(name).await;
    }
    world.revoke(Selector::credential(named("acme/b"))).await.unwrap();
    world
}

async fn every_mutation_has_one_entry_in_its_own_transaction<B: Backend>() {
    let world = busy::<B>().await;
    let (caller, issued) = world.caller("second", &["admin@*"]).await;
    world.store.namespace_create(caller, crate::world::namespace_new("other", "other")).await.unwrap();
    // One that is refused leaves none.
    world.store.namespace_create(caller, crate::world::namespace_new("other", "third")).await.unwrap_err();
    let links = all(&world.store).await;
    let records = world.records().await;
    let audited: Vec<_> = links.iter().map(|link| (link.entry.revision, link.entry.namespace.clone())).collect();
    let recorded: Vec<_> = records.iter().map(|record| (record.revision, record.namespace.clone())).collect();
    assert_eq!(audited, recorded);
    assert_eq!(check(&world.store).await, Ok(records.len() as u64));
    let last = &links.last().unwrap().entry;
    assert_eq!((last.token, last.credential), (Some(issued.token.id), Some(issued.credential.id)));
    assert_eq!((last.address.as_deref(), last.action.as_str()), (Some("192.0.2.7"), "namespace.create"));
    let actions: Vec<_> = links.iter().map(|link| link.entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "start.record",
            "namespace.create",
            "credential.issue",
            "credential.issue",
            "credential.issue",
            "revocation.create",
            "credential.issue",
            "namespace.create",
        ]
    );
}

async fn pages_and_namespaces<B: Backend>() {
    let world = busy::<B>().await;
    let links = all(&world.store).await;
    let list = |namespace: Option<&str>, after, limit| {
        let store = world.store.clone();
        let namespace = namespace.map(|name| name.parse().unwrap());
        async move { store.audit_list(namespace, after, limit).await.unwrap() }
    };
    assert_eq!(list(None, 2, 2).await, links[2..4]);
    assert_eq!(list(None, 6, 9).await, []);
    let acme: Vec<Link> = links.iter().filter(|link| link.entry.namespace.as_str() == "acme").cloned().collect();
    assert_eq!(list(Some("acme"), 0, 99).await, acme);
    assert_eq!(list(Some("acme"), 2, 1).await, acme[1..2]);
    assert_eq!(list(Some("nobody"), 0, 99).await, []);
}

#[tokio::test]
async fn whatever_is_done_to_the_database_is_found_and_named() {
    let altered = |seq| Err(Broken::Altered { seq });
    for (sql, expect) in [
        ("UPDATE audit SET address = '192.0.2.1' WHERE seq = 3", altered(3)),
        ("UPDATE audit SET action = 'credential.rotate' WHERE seq = 1", altered(1)),
        ("UPDATE audit SET reason = '' WHERE seq = 2", altered(2)),
        ("UPDATE audit SET token = zeroblob(16) WHERE seq = 4", altered(4)),
        ("UPDATE audit SET at = at + 1 WHERE seq = 5", altered(5)),
        ("UPDATE audit SET hash = NULL WHERE seq = 5", altered(5)),
        ("DELETE FROM audit WHERE seq IN (3, 4)", Err(Broken::Missing { first: 3, last: 4 })),
        ("DELETE FROM audit WHERE seq = 6", Err(Broken::Missing { first: 6, last: 6 })),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 99",
            altered(3),
        ),
        ("DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3", altered(3)),
    ] {
        let world = busy::<Sqlite>().await;
        assert_eq!(check(&world.store).await, Ok(6));
        world.raw().execute_batch(sql).unwrap();
        assert_eq!(check(&world.store).await, expect, "{sql}");
    }
}

#[tokio::test]
async fn a_trail_that_was_cut_off_is_refused_when_opened() {
    let world = busy::<Sqlite>().await;
    drop(world.store);
    let raw = rusqlite::Connection::open(world.place.path().join("jeton.db")).unwrap();
    raw.execute_batch("DELETE FROM audit WHERE seq = 6").unwrap();
    let found = open(world.place.path(), "cut").map(|_| ()).unwrap_err();
    assert!(matches!(&found, StoreError::Corrupt(why) if why.contains("newest audit entry is number 6")), "{found}");
}

/// A database from before there was a chain.
#[tokio::test]
async fn entries_from_before_are_chained_once() {
    let world = busy::<Sqlite>().await;
    let links = all(&world.store).await;
    drop(world.store);
    let raw = rusqlite::Connection::open(world.place.path().join("jeton.db")).unwrap();
    raw.execute_batch(
        "DROP INDEX audit_of_namespace;
         ALTER TABLE audit DROP COLUMN previous; ALTER TABLE audit DROP COLUMN hash;
         ALTER TABLE counter DROP COLUMN audit_seq; ALTER TABLE counter DROP COLUMN audit_hash;
         PRAGMA user_version = 2;",
    )
    .unwrap();
    drop(raw);
    for turn in 0..2_u8 {
        let store = open(world.place.path(), &format!("turn {turn}")).unwrap();
        assert_eq!(all(&store).await[..6], links, "the same chain as if it had always been there");
        store.start_record(StartId::from_bytes([20 + turn; 16])).await.unwrap();
        assert_eq!(check(&store).await, Ok(7 + u64::from(turn)));
    }
}

async fn the_head_follows_a_rollback_of_a_savepoint<B: Backend>() {
    let world = World::<B>::new().await;
    assert_eq!(world.store.audit_head().await.unwrap().seq, 1);
    // Refused after its entry was written: the file cannot be written to.
    let refused = world.store.root_ensure(|_| Err(std::io::Error::other("no room"))).await;
    assert!(matches!(refused, Err(StoreError::RootFile(_))));
    assert_eq!(world.store.audit_head().await.unwrap().seq, 1);
    world.namespace("acme", "acme_live").await;
    assert_eq!(check(&world.store).await, Ok(2));
    assert_ne!(world.store.audit_head().await.unwrap(), Head { seq: 2, hash: Hash32::ZERO });
}

async fn a_lost_root_token_is_replaced_and_what_was_before_it_ends<B: Backend>() {
    let world = World::<B>::new().await;
    let first = world.store.root_ensure(|_| Ok(())).await.unwrap().unwrap();
    let replaced = world.store.root_replace(|secret| {
        assert!(secret.expose().starts_with("jtn_"));
        Ok(())
    });
    let replaced = replaced.await.unwrap();
    let revocation = replaced.revocation.unwrap();
    assert_eq!((replaced.token.version, replaced.token.credential), (2, first.credential));
    let ended = world.store.token(first.id).await.unwrap().unwrap().ended.unwrap();
    assert_eq!((ended.revocation, revocation.count, revocation.actor.as_str()), (revocation.id, 1, "system"));
    assert_eq!(world.store.revocations_pending().await.unwrap(), std::slice::from_ref(&revocation));
    let last = all(&world.store).await.pop().unwrap().entry;
    assert_eq!((last.action.as_str(), last.revision), ("root.replace", revocation.revision));
    assert_eq!(check(&world.store).await, Ok(3));

    // Refused: nothing has happened.
    let refused = world.store.root_replace(|_| Err(std::io::Error::other("no room"))).await;
    assert!(matches!(refused, Err(StoreError::RootFile(_))));
    assert!(world.store.token(replaced.token.id).await.unwrap().unwrap().ended.is_none());

    // Nothing is left to end; then there is a token, and no revocation.
    world.revoke(Selector::credential(named("jeton/root"))).await.unwrap();
    let again = world.store.root_replace(|_| Ok(())).await.unwrap();
    assert_eq!((again.token.version, again.revocation), (3, None));
}
