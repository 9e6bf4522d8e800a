//! All that can be read of a store.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use jeton_feed::{
    record::{Head, Record},
    rollback::HeadKnown,
};
use jeton_lifecycle::audit;
use jeton_store::{
    Health, Store, StoreError,
    model::{
        CredentialFilter, CredentialRef, CredentialRow, CredentialState, NamespaceRow, PolicyRow, RevocationRow,
        SessionRow, SetHashRow, SnapshotItem, TokenRow, UsageRow,
    },
};
use jeton_types::{CredentialId, Label, Labels, NamespaceName, Revision, RevocationId, StartId, UnixTime};

/// What every method that reads has said.
#[derive(Debug, PartialEq)]
pub(super) struct All {
    time: UnixTime,
    health: Health,
    head: Head,
    heads: Vec<HeadKnown>,
    log: (Head, Option<Vec<Arc<Record>>>),
    namespaces: Vec<NamespaceRow>,
    filtered: Vec<Vec<CredentialId>>,
    credentials: Vec<CredentialRow>,
    tokens: Vec<TokenRow>,
    revocations: Vec<RevocationRow>,
    ended_by: Vec<Option<RevocationId>>,
    pending: Vec<RevocationRow>,
    sessions: Vec<SessionRow>,
    usages: Vec<UsageRow>,
    policies: Vec<PolicyRow>,
    floors: Vec<(NamespaceName, Revision)>,
    last_records: Vec<(NamespaceName, Revision)>,
    set_hashes: Vec<SetHashRow>,
    records: Vec<Record>,
    /// Where the log begins, if it was cut.
    log_cut: Option<Revision>,
    audit: Vec<audit::Link>,
    audit_of: Vec<Vec<audit::Link>>,
    audit_head: audit::Head,
    snapshot: Vec<SnapshotItem>,
}

impl All {
    /// Reads all of it, in pages of `page`.
    pub(super) async fn read<S: Store>(store: &S, page: usize) -> Self {
        let namespaces = store.namespaces().await.unwrap();
        let names: Vec<NamespaceName> = namespaces.iter().map(|row| row.name.clone()).collect();
        let (mut credentials, mut filtered, mut audit_of) = (Vec::new(), Vec::new(), Vec::new());
        for row in &namespaces {
            assert_eq!(store.namespace(row.name.clone()).await.as_ref(), Ok(&Some(row.clone())));
            credentials.extend(credentials_in(store, &row.name, &CredentialFilter::default(), page).await);
            for filter in filters() {
                let found = credentials_in(store, &row.name, &filter, page).await;
                filtered.push(found.into_iter().map(|row| row.id).collect());
            }
            audit_of.push(audit_in(store, Some(&row.name), page).await);
        }
        let (mut tokens, mut usages) = (Vec::new(), Vec::new());
        for row in &credentials {
            assert_eq!(store.credential(CredentialRef::Id(row.id)).await.as_ref(), Ok(&Some(row.clone())));
            let named = CredentialRef::Name(row.namespace.clone(), row.name.clone());
            assert_eq!(store.credential(named).await.as_ref(), Ok(&Some(row.clone())));
            usages.extend(store.usages(row.id).await.unwrap());
            for token in store.tokens(row.id).await.unwrap() {
                assert_eq!(store.token(token.id).await.as_ref(), Ok(&Some(token.clone())));
                let both = Some((token.clone(), row.clone()));
                assert_eq!(store.token_by_digest(token.digest).await, Ok(both));
                tokens.push(token);
            }
        }
        let mut ended_by = Vec::new();
        for token in &tokens {
            let by = store.revocation_of_token(token.id).await.unwrap().map(|row| row.id);
            assert_eq!(by, token.ended.map(|ended| ended.revocation));
            ended_by.push(by);
        }
        let sessions = store.sessions().await.unwrap();
        for row in &sessions {
            assert_eq!(store.session(row.session).await.as_ref(), Ok(&Some(row.clone())));
        }
        let (records, log_cut) = records(store, page).await;
        let mut heads = Vec::new();
        for record in &records {
            assert_eq!(store.record(record.revision).await.as_ref(), Ok(&Some(record.clone())));
            heads.push(store.head_known(record.start, record.revision).await.unwrap());
        }
        heads.push(store.head_known(StartId::from_bytes([255; 16]), Revision::ZERO).await.unwrap());
        Self {
            time: store.authority_time(),
            health: store.health().borrow().clone(),
            head: store.head().await.unwrap(),
            heads,
            log: (store.commit_log().head(), store.commit_log().after(Revision::ZERO, usize::MAX)),
            namespaces,
            filtered,
            credentials,
            tokens,
            revocations: revocations(store, page).await,
            ended_by,
            pending: store.revocations_pending().await.unwrap(),
            sessions,
            usages,
            policies: store.policies().await.unwrap(),
            floors: store.floors().await.unwrap(),
            last_records: store.last_records().await.unwrap(),
            set_hashes: store.set_hashes().await.unwrap(),
            records,
            log_cut,
            audit: audit_in(store, None, page).await,
            audit_of,
            audit_head: store.audit_head().await.unwrap(),
            snapshot: snapshot(store, names).await,
        }
    }
}

fn filters() -> Vec<CredentialFilter> {
    let state = |state| CredentialFilter { state: Some(state), ..CredentialFilter::default() };
    let labels =
        |pairs: &[(&str, &str)]| Labels::new(pairs.iter().map(|(key, value)| Label::new(key, value).unwrap())).unwrap();
    vec![
        state(CredentialState::Active),
        state(CredentialState::Disabled),
        state(CredentialState::Deleted),
        CredentialFilter { subject: Some("svc:x".parse().unwrap()), ..CredentialFilter::default() },
        CredentialFilter { labels: labels(&[("team", "core")]), ..CredentialFilter::default() },
        CredentialFilter { labels: labels(&[("team", "core"), ("env", "prod")]), ..CredentialFilter::default() },
        CredentialFilter { labels: labels(&[("a/b.c", "d=\"e\"")]), ..state(CredentialState::Active) },
    ]
}

/// A page has at most so many, and all of them come after what was asked for, in order.
fn check_page<K: Ord + std::fmt::Debug>(after: Option<K>, found: impl Iterator<Item = K>, page: usize) {
    let found: Vec<K> = found.collect();
    assert!(found.len() <= page, "{} of at most {page}", found.len());
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    assert!(
        after.is_none() || found.first().is_none_or(|first| Some(first) > after.as_ref()),
        "{found:?} after {after:?}"
    );
}

async fn credentials_in<S: Store>(
    store: &S,
    namespace: &NamespaceName,
    filter: &CredentialFilter,
    page: usize,
) -> Vec<CredentialRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = store.credentials(namespace.clone(), filter.clone(), after, page).await.unwrap();
        check_page(after, found.iter().map(|row| row.id), page);
        let Some(last) = found.last() else { return all };
        after = Some(last.id);
        all.extend(found);
    }
}

async fn audit_in<S: Store>(store: &S, namespace: Option<&NamespaceName>, page: usize) -> Vec<audit::Link> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let found = store.audit_list(namespace.cloned(), after, page).await.unwrap();
        check_page(Some(after), found.iter().map(|link| link.entry.seq), page);
        let Some(last) = found.last() else { return all };
        after = last.entry.seq;
        all.extend(found);
    }
}

async fn revocations<S: Store>(store: &S, page: usize) -> Vec<RevocationRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = store.revocations(after, page).await.unwrap();
        check_page(after, found.iter().map(|row| row.id), page);
        let Some(last) = found.last() else { return all };
        after = Some(last.id);
        for row in found {
            assert_eq!(store.revocation(row.id).await.as_ref(), Ok(&Some(row.clone())));
            all.push(row);
        }
    }
}

async fn records<S: Store>(store: &S, page: usize) -> (Vec<Record>, Option<Revision>) {
    let upto = store.head().await.unwrap().revision;
    let log_cut = match store.records(Revision::ZERO, upto, page).await {
        Ok(_) => None,
        Err(StoreError::LogCut { retained_from }) => Some(retained_from),
        Err(error) => panic!("{error:?}"),
    };
    let (mut all, mut after) = (Vec::new(), log_cut.unwrap_or_default());
    loop {
        let found = store.records(after, upto, page).await.unwrap();
        check_page(Some(after), found.iter().map(|record| record.revision), page);
        let Some(last) = found.last() else { return (all, log_cut) };
        after = last.revision;
        all.extend(found);
    }
}

async fn snapshot<S: Store>(store: &S, names: Vec<NamespaceName>) -> Vec<SnapshotItem> {
    let items = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&items);
    let sink = move |item| {
        into.lock().unwrap().push(item);
        ControlFlow::Continue(())
    };
    store.snapshot(names, sink).await.unwrap().unwrap();
    let items = items.lock().unwrap();
    items.clone()
}
