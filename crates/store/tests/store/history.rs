//! Any history: a snapshot, and the records after it, are the state; and so are all records from the first.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_feed::{
    message::SnapshotPart,
    record::{Change, Policy, Record, TokenEntry},
    set_hash::SetHash,
};
use jeton_lifecycle::namespace::NamespaceChange;
use jeton_store::{
    Memory, Sqlite, Store, StoreError,
    model::{
        Caller, CredentialChange, CredentialDelete, CredentialPatch, NamespacePatch, Retention, RevokeNew, Selector,
        SnapshotItem,
    },
};
use jeton_types::{Clock as _, CredentialId, Digest, Hash32, NamespaceName, Revision, ScopeSet, UnixTime};
use proptest::prelude::*;

use crate::world::{Backend, World, check_chain, issue_new, named, namespace_new, span};

conformance! {
    a_snapshot_comes_in_pieces_and_can_be_given_up,
    records_come_in_pages,
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Issue(u8, u8),
    Rotate(u8, u8),
    RevokeCredential(u8, u8),
    RevokeNewest(u8, u8),
    /// Another subject and other scopes, or off and on again, or an expiry that is brought forward.
    Patch(u8, u8, u8),
    Delete(u8, u8),
    /// The namespace is switched off or on.
    Switch(u8, bool),
    Wait(u8),
    Snapshot,
    /// What expired so many seconds ago is collected.
    Collect(u8, u8),
    /// All but so many records are cut off the log.
    Cut(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let pair = || (0..3_u8, 0..4_u8);
    prop_oneof![
        1 => (0..3_u8).prop_map(Step::Create),
        6 => pair().prop_map(|(namespace, name)| Step::Issue(namespace, name)),
        4 => pair().prop_map(|(namespace, name)| Step::Rotate(namespace, name)),
        2 => pair().prop_map(|(namespace, name)| Step::RevokeCredential(namespace, name)),
        2 => pair().prop_map(|(namespace, name)| Step::RevokeNewest(namespace, name)),
        4 => (pair(), 0..4_u8).prop_map(|((namespace, name), what)| Step::Patch(namespace, name, what)),
        1 => pair().prop_map(|(namespace, name)| Step::Delete(namespace, name)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(namespace, off)| Step::Switch(namespace, off)),
        2 => any::<u8>().prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        1 => (0..20_u8).prop_map(Step::Cut),
        2 => (0..3_u8, 0..60_u8).prop_map(|(namespace, seconds)| Step::Collect(namespace, seconds)),
    ]
}

/// What a verifier would hold.
#[derive(Debug, Clone, PartialEq, Default)]
struct Table {
    policies: BTreeMap<NamespaceName, Policy>,
    tokens: BTreeMap<(NamespaceName, Digest), TokenEntry>,
}

impl Table {
    /// The set hash of a namespace, row by row.
    fn set_hash(&self, namespace: &NamespaceName) -> Hash32 {
        let policy = SetHash::of_policy(namespace, &self.policies[namespace]);
        let rows = self.tokens.iter().filter(|((name, _), _)| name == namespace).map(|(_, row)| SetHash::of_entry(row));
        rows.fold(policy, SetHash::plus).to_hash()
    }

    /// What a token that has ended might have done is changed with its credential, and no record says so.
    fn told(mut self) -> Self {
        for row in self.tokens.values_mut().filter(|row| row.ended.is_some()) {
            (row.subject, row.scopes, row.disabled) = (None, ScopeSet::default(), false);
        }
        self
    }

    fn apply(&mut self, record: &Record) {
        let key = |digest: Digest| (record.namespace.clone(), digest);
        for change in &record.changes {
            match change {
                Change::Policy(policy) => {
                    self.policies.insert(record.namespace.clone(), policy.clone());
                }
                Change::Token(entry) => {
                    self.tokens.insert(key(entry.digest), entry.clone());
                }
                Change::Deadline { digest, expires_at, .. } => {
                    self.tokens.get_mut(&key(*digest)).unwrap().expires_at = Some(*expires_at);
                }
                Change::End { digest, reason, .. } => {
                    self.tokens.get_mut(&key(*digest)).unwrap().ended = Some(*reason);
                }
                Change::Collected { digest, token } => {
                    let gone = self.tokens.remove(&key(*digest)).unwrap();
                    assert_eq!(gone.token, *token);
                    assert!(gone.expires_at.unwrap() <= record.committed_at, "{record:?}");
                }
                Change::Start(_) => assert!(record.namespace.is_built_in()),
                Change::Unknown { .. } => panic!("{record:?}"),
            }
        }
    }
}

async fn snapshot(store: &impl Store) -> (Revision, Table) {
    let names: Vec<_> = store.namespaces().await.unwrap().into_iter().map(|row| row.name).collect();
    let table = Arc::new(Mutex::new((Revision::ZERO, Table::default())));
    let into = Arc::clone(&table);
    let read = store.snapshot(names, move |item| {
        let (revision, table) = &mut *into.lock().unwrap();
        match item {
            SnapshotItem::Begin { at } => *revision = at,
            SnapshotItem::Rows(SnapshotPart { namespace, policy, rows, set_hash }) => {
                table.policies.insert(namespace.clone(), policy);
                for row in rows {
                    assert!(table.tokens.insert((namespace.clone(), row.digest), row).is_none());
                }
                if let Some(set_hash) = set_hash {
                    assert_eq!(set_hash, table.set_hash(&namespace), "the last part of {namespace}");
                }
            }
        }
        ControlFlow::Continue(())
    });
    let at = read.await.unwrap().unwrap();
    let (begun, table) = Arc::try_unwrap(table).unwrap().into_inner().unwrap();
    assert_eq!(begun, at);
    (at, table)
}

async fn play(world: &World<impl Backend>, steps: &[Step]) -> Vec<(Revision, Table)> {
    let name = |namespace: u8, name: u8| format!("n{namespace}/c{name}");
    let mut snapshots = vec![snapshot(&world.store).await];
    for step in steps {
        // What is refused leaves nothing behind, and that is tested along.
        match *step {
            Step::Create(number) => {
                let new = namespace_new(&format!("n{number}"), &format!("p{number}"));
                let _ = world.store.namespace_create(Caller::System, new).await;
            }
            Step::Issue(namespace, number) => {
                let _ = world.store.credential_issue(Caller::System, issue_new(&name(namespace, number))).await;
            }
            Step::Rotate(namespace, number) => {
                let credential = named(&name(namespace, number));
                let _ = world.store.credential_rotate(Caller::System, credential, span("100s")).await;
            }
            Step::RevokeCredential(namespace, number) => {
                let _ = world.revoke(Selector::credential(named(&name(namespace, number)))).await;
            }
            Step::RevokeNewest(namespace, number) => {
                let credential = world.store.credential(named(&name(namespace, number))).await.unwrap();
                if let Some(credential) = credential {
                    let newest = world.store.tokens(credential.id).await.unwrap().pop().unwrap();
                    let selector = Selector::token(newest.id);
                    let new = RevokeNew { namespace: Some(credential.namespace), selector, reason: None };
                    world.store.revocation_create(Caller::System, new).await.unwrap();
                }
            }
            Step::Patch(namespace, number, what) => {
                let Some(id) = credential(world, &name(namespace, number)).await else { continue };
                let change = match what {
                    0 => CredentialChange {
                        subject: Some(Some("billing".parse().unwrap())),
                        scopes: Some(ScopeSet::parse(["orders:read"]).unwrap()),
                        ..CredentialChange::default()
                    },
                    1 => CredentialChange { disabled: Some(true), ..CredentialChange::default() },
                    2 => CredentialChange { disabled: Some(false), ..CredentialChange::default() },
                    _ => {
                        let expires_at = Some(world.clock.now().real.plus(Duration::from_secs(50)));
                        CredentialChange { expires_at, ..CredentialChange::default() }
                    }
                };
                let patch = CredentialPatch { change, ..CredentialPatch::default() };
                let _ = world.store.credential_patch(Caller::System, id, patch).await;
            }
            Step::Delete(namespace, number) => {
                let Some(id) = credential(world, &name(namespace, number)).await else { continue };
                let _ = world.store.credential_delete(Caller::System, id, CredentialDelete::default()).await;
            }
            Step::Switch(namespace, disabled) => {
                let name = format!("n{namespace}").parse().unwrap();
                // And another freshness, so that the policy changes in more than one way.
                let freshness = Some(if disabled { "grace=5s" } else { "strict" }.parse().unwrap());
                let change = NamespaceChange { freshness, disabled: Some(disabled), ..NamespaceChange::default() };
                let patch = NamespacePatch { change, if_match: None, reason: None };
                let _ = world.store.namespace_patch(Caller::System, name, patch).await;
            }
            Step::Wait(seconds) => world.clock.advance(Duration::from_secs(seconds.into())),
            Step::Snapshot => snapshots.push(snapshot(&world.store).await),
            Step::Collect(namespace, seconds) => {
                let expired = world.store.authority_time().minus(Duration::from_secs(seconds.into()));
                let _ = world.store.tokens_collect(format!("n{namespace}").parse().unwrap(), expired).await;
            }
            Step::Cut(records_max) => {
                let keep = Retention { after: UnixTime::ZERO, records_max: records_max.into() };
                world.store.records_cut(keep).await.unwrap();
            }
        }
    }
    snapshots
}

async fn credential(world: &World<impl Backend>, name: &str) -> Option<CredentialId> {
    world.store.credential(named(name)).await.unwrap().map(|credential| credential.id)
}

async fn check<B: Backend>(steps: &[Step]) {
    let world = World::<B>::new().await;
    world.namespace("n0", "p0").await;
    let mut snapshots = play(&world, steps).await;
    snapshots.push((Revision::ZERO, Table::default()));
    let (head, state) = snapshot(&world.store).await;
    // What was cut off the log is still in memory.
    let records: Vec<Record> =
        world.store.commit_log().after(Revision::ZERO, usize::MAX).unwrap().iter().map(|one| (**one).clone()).collect();
    check_chain(&records);
    assert_eq!(head, records.last().unwrap().revision);
    for (at, mut table) in snapshots {
        let follow: Vec<Record> = records.iter().filter(|record| record.revision > at).cloned().collect();
        match world.store.records(at, head, usize::MAX >> 1).await {
            Ok(found) => assert_eq!(found, follow, "from {at}"),
            Err(StoreError::LogCut { retained_from }) => assert!(at < retained_from),
            Err(error) => panic!("{error:?}"),
        }
        for record in &follow {
            table.apply(record);
            assert_eq!(record.set_hash, Some(table.set_hash(&record.namespace)), "{record:?}");
        }
        assert_eq!(table.told(), state.clone().told(), "from {at}");
    }
    for row in world.store.set_hashes().await.unwrap() {
        assert_eq!(row.set_hash, state.set_hash(&row.namespace));
        let last = records.iter().rfind(|record| record.namespace == row.namespace);
        assert_eq!(last.map(|record| record.revision), Some(row.last_record));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_the_records_after_it_are_the_state(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            check::<Sqlite>(&steps).await;
            check::<Memory>(&steps).await;
        });
    }
}

async fn a_snapshot_comes_in_pieces_and_can_be_given_up<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("empty", "empty").await;
    for number in 0..501 {
        world.issue(&format!("acme/c{number}")).await;
    }
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&sizes);
    let names = || vec!["acme".parse().unwrap(), "empty".parse().unwrap()];
    let sink = move |item| {
        if let SnapshotItem::Rows(SnapshotPart { namespace, rows, .. }) = item {
            into.lock().unwrap().push((namespace.to_string(), rows.len()));
        }
        ControlFlow::Continue(())
    };
    let at = world.store.snapshot(names(), sink).await.unwrap();
    assert_eq!(at, Some(world.store.head().await.unwrap().revision));
    let expect = [("acme", 500), ("acme", 1), ("empty", 0)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(*sizes.lock().unwrap(), expect);
    assert_eq!(world.store.snapshot(names(), |_| ControlFlow::Break(())).await, Ok(None));
    let missing = world.store.snapshot(vec!["none".parse().unwrap()], |_| ControlFlow::Continue(())).await;
    assert_eq!(missing, Err(jeton_store::StoreError::NotFound("namespace")));
}

async fn records_come_in_pages<B: Backend>() {
    let world = World::<B>::with_acme().await;
    for number in 0..4 {
        world.issue(&format!("acme/c{number}")).await;
    }
    let all = world.records().await;
    let upto = all[4].revision;
    let (mut found, mut after) = (Vec::new(), Revision::ZERO);
    loop {
        let page = world.store.records(after, upto, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.revision;
        found.extend(page);
    }
    assert_eq!(found, all[..5]);
}
