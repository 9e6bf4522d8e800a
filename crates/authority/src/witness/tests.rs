use jeton_host::clock::{OsEntropy, SystemClock};
use jeton_store::{
    OpenConfig, Sqlite,
    model::{Caller, IssueNew, Labels, NamespaceNew},
};
use jeton_types::{CredentialId, Digest, Freshness, ScopeSet, StartId, TokenId};

use super::*;

impl Witness {
    /// Lets the witness hold a row that the store does not.
    pub(crate) fn disagree(&self, namespace: &NamespaceName) {
        let held = self.held();
        held.namespaces[namespace].table.put(jeton_feed::record::TokenEntry {
            digest: Digest::from_bytes([9; 32]),
            token: TokenId::from_bytes([9; 16]),
            credential: CredentialId::from_bytes([9; 16]),
            subject: None,
            scopes: ScopeSet::default(),
            expires_at: None,
            addresses: jeton_types::AddressList::default(),
            disabled: false,
            ended: None,
        });
    }
}

fn open(folder: &std::path::Path) -> (Arc<Witness>, Sqlite) {
    let witness = Witness::new(Arc::new(Metrics::new()), Events::new());
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let store = Sqlite::open(folder, OpenConfig { clock, entropy, observer: witness.clone() }).unwrap();
    (witness, store)
}

/// A folder with a namespace `acme` of two tokens.
async fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (witness, store) = open(folder.path());
    witness.load(&store).await.unwrap();
    store.start_record(StartId::from_bytes([1; 16])).await.unwrap();
    let (name, prefix) = ("acme".parse().unwrap(), "acme_live".parse().unwrap());
    let new = NamespaceNew { name, prefix, freshness: Freshness::Strict, default_ttl: None };
    store.namespace_create(Caller::System, new).await.unwrap();
    for name in ["one", "two"] {
        let new = IssueNew {
            namespace: "acme".parse().unwrap(),
            name: name.parse().unwrap(),
            subject: Some("billing".parse().unwrap()),
            scopes: ScopeSet::parse(["orders:read"]).unwrap(),
            labels: Labels::default(),
            ttl: None,
            addresses: jeton_types::AddressList::default(),
        };
        store.credential_issue(Caller::System, new).await.unwrap();
    }
    let head = store.commit_log().head().revision;
    let records = store.commit_log().after(jeton_types::Revision::ZERO, 99).unwrap();
    assert!(records.iter().all(|record| record.set_hash.is_some()), "vouched for up to {head}");
    assert!(witness.agrees(&"acme".parse().unwrap()));
    folder
}

async fn start(folder: &tempfile::TempDir) -> Result<(), StoreError> {
    let (witness, store) = open(folder.path());
    witness.load(&store).await
}

/// What a check of the pages does not see: the file is sound, and what it says is not what was enforced.
#[tokio::test]
async fn rows_that_were_altered_are_found_at_the_start() {
    let altered = [
        "UPDATE credential SET scopes = 'orders:write' WHERE name = 'one'",
        "UPDATE credential SET subject = 'billinh' WHERE name = 'two'",
        "UPDATE credential SET disabled_at = NULL, disabled_by = NULL; UPDATE token SET expires_at = 99 WHERE version = 1",
        "DELETE FROM token WHERE credential = (SELECT id FROM credential WHERE name = 'one')",
        "UPDATE namespace SET freshness = 'grace=1h' WHERE name = 'acme'",
        "UPDATE namespace SET set_hash = zeroblob(32) WHERE name = 'acme'",
    ];
    for statement in altered {
        let folder = folder().await;
        assert_eq!(start(&folder).await, Ok(()));
        let raw = rusqlite::Connection::open(folder.path().join("jeton.db")).unwrap();
        raw.execute_batch(statement).unwrap();
        drop(raw);
        let found = start(&folder).await.unwrap_err();
        assert!(matches!(&found, StoreError::Corrupt(why) if why.contains("acme")), "{statement}: {found}");
    }
}
