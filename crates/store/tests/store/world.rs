//! A store of its own, with a clock and a source of randomness of its own, over whichever backend.

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use jeton_feed::record::Record;
use jeton_store::{
    Disk, Memory, OpenConfig, Sqlite, Store, StoreError,
    model::{Bearer, Caller, CredentialRef, IssueNew, Issued, Labels, NamespaceNew, RevokeNew, Revoked, Selector},
};
use jeton_types::{AddressList, BootTime, Clock, Entropy, Now, Revision, ScopeSet, Span, StartId, UnixTime};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// What a manual clock shows at first.
pub(crate) const BEGIN: u64 = 1_790_000_000_000_000;

pub(crate) struct ManualClock(Mutex<Now>);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        let now = Now { boot: BootTime::from_nanos(1_000_000_000), real: UnixTime::from_micros(BEGIN) };
        Arc::new(Self(Mutex::new(now)))
    }

    pub(crate) fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(span);
    }

    pub(crate) fn set_back(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        now.real = now.real.minus(span);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

/// Bytes that never come twice, in this process or another one.
pub(crate) struct CountedEntropy {
    seed: String,
    count: AtomicU64,
}

impl CountedEntropy {
    pub(crate) fn new(seed: &str) -> Arc<Self> {
        Arc::new(Self { seed: seed.to_owned(), count: AtomicU64::new(0) })
    }
}

impl Entropy for CountedEntropy {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::new().chain_update(&self.seed).chain_update(count.to_be_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// What a store is opened with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// How many mutations each commit had, where they are committed in groups.
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
}

impl Setup {
    pub(crate) fn new(clock: Arc<dyn Clock>, seed: &str) -> Self {
        Self { clock, entropy: CountedEntropy::new(seed), batches: Arc::default() }
    }
}

/// A store that the conformance suite runs over.
pub(crate) trait Backend: Store + Clone + Sized {
    /// Whether mutations that wait are committed together.
    const GROUPS: bool;
    /// What outlives the process.
    type Place: Send + Sync + 'static;

    fn place() -> Self::Place;
    fn open(place: &Self::Place, setup: Setup) -> Result<Self, StoreError>;
}

impl Backend for Sqlite {
    const GROUPS: bool = true;
    type Place = TempDir;

    fn place() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    fn open(place: &TempDir, setup: Setup) -> Result<Self, StoreError> {
        open_setup(place.path(), setup)
    }
}

impl Backend for Memory {
    const GROUPS: bool = false;
    type Place = Disk;

    fn place() -> Disk {
        Disk::default()
    }

    fn open(place: &Disk, setup: Setup) -> Result<Self, StoreError> {
        Ok(Self::open(place, setup.clock, setup.entropy))
    }
}

/// An opened store that has started.
pub(crate) struct World<B: Backend> {
    pub(crate) store: B,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
    pub(crate) place: B::Place,
}

impl<B: Backend> World<B> {
    pub(crate) fn unstarted() -> Self {
        let (place, clock) = (B::place(), ManualClock::new());
        let setup = Setup::new(Arc::clone(&clock) as _, "first");
        let batches = Arc::clone(&setup.batches);
        Self { store: B::open(&place, setup).unwrap(), clock, batches, place }
    }

    pub(crate) async fn new() -> Self {
        let world = Self::unstarted();
        world.store.start_record(StartId::from_bytes([1; 16])).await.unwrap();
        world
    }

    /// With namespace `acme`.
    pub(crate) async fn with_acme() -> Self {
        let world = Self::new().await;
        world.namespace("acme", "acme_live").await;
        world
    }

    /// As if the process had ended and another one opened the same store, with the same clock.
    pub(crate) fn reopened(self, seed: &str) -> Self {
        let Self { store, clock, batches, place } = self;
        drop(store);
        Self { store: B::open(&place, Setup::new(Arc::clone(&clock) as _, seed)).unwrap(), clock, batches, place }
    }

    pub(crate) async fn namespace(&self, name: &str, prefix: &str) {
        self.store.namespace_create(Caller::System, namespace_new(name, prefix)).await.unwrap();
    }

    pub(crate) async fn issue(&self, credential: &str) -> Issued {
        self.store.credential_issue(Caller::System, issue_new(credential)).await.unwrap()
    }

    /// A caller with these roles.
    pub(crate) async fn caller(&self, name: &str, roles: &[&str]) -> (Caller, Issued) {
        let new = IssueNew { scopes: scopes(roles), ..issue_new(&format!("jeton/{name}")) };
        let issued = self.store.credential_issue(Caller::System, new).await.unwrap();
        let address = Some("192.0.2.7".parse().unwrap());
        (Caller::Bearer(Bearer { token: issued.token.id, digest: issued.token.digest, address }), issued)
    }

    pub(crate) async fn revoke(&self, selector: Selector) -> Result<Revoked, StoreError> {
        self.store.revocation_create(Caller::System, RevokeNew { namespace: None, selector, reason: None }).await
    }

    pub(crate) async fn records(&self) -> Vec<Record> {
        let head = self.store.head().await.unwrap().revision;
        self.store.records(Revision::ZERO, head, 1_000_000).await.unwrap()
    }
}

impl World<Sqlite> {
    /// What the database itself says, past the port.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.place.path().join("jeton.db")).unwrap()
    }
}

/// Opens a folder with a clock that stands still at the beginning.
pub(crate) fn open(dir: &Path, seed: &str) -> Result<Sqlite, StoreError> {
    open_with(dir, seed, ManualClock::new())
}

pub(crate) fn open_with(dir: &Path, seed: &str, clock: Arc<dyn Clock>) -> Result<Sqlite, StoreError> {
    open_setup(dir, Setup::new(clock, seed))
}

pub(crate) fn open_setup(dir: &Path, setup: Setup) -> Result<Sqlite, StoreError> {
    let Setup { clock, entropy, batches } = setup;
    let observer = Arc::new(move |size: usize, _: Duration| batches.lock().unwrap().push(size));
    Sqlite::open(dir, OpenConfig { clock, entropy, observer })
}

pub(crate) fn namespace_new(name: &str, prefix: &str) -> NamespaceNew {
    NamespaceNew {
        name: name.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        freshness: "strict".parse().unwrap(),
        default_ttl: None,
    }
}

pub(crate) fn issue_new(credential: &str) -> IssueNew {
    let (namespace, name) = credential.split_once('/').unwrap();
    IssueNew {
        namespace: namespace.parse().unwrap(),
        name: name.parse().unwrap(),
        subject: None,
        scopes: ScopeSet::default(),
        labels: Labels::default(),
        ttl: None,
        addresses: AddressList::default(),
    }
}

pub(crate) fn named(credential: &str) -> CredentialRef {
    let (namespace, name) = credential.split_once('/').unwrap();
    CredentialRef::Name(namespace.parse().unwrap(), name.parse().unwrap())
}

pub(crate) fn scopes(texts: &[&str]) -> ScopeSet {
    ScopeSet::parse(texts.iter().copied()).unwrap()
}

pub(crate) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

pub(crate) type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Polls each future once: afterwards every mutation among them is in the writer's queue, in this order.
pub(crate) fn queue<T>(mutations: &mut [Waiting<T>]) {
    let mut context = Context::from_waker(Waker::noop());
    for mutation in mutations {
        assert!(matches!(mutation.as_mut().poll(&mut context), Poll::Pending), "answered before its turn");
    }
}

/// Each record names its predecessor in its namespace, and revisions only grow.
pub(crate) fn check_chain(records: &[Record]) {
    let mut last = std::collections::HashMap::new();
    let mut head = Revision::ZERO;
    for record in records {
        assert!(record.revision > head, "{record:?}");
        head = record.revision;
        let before = last.insert(record.namespace.clone(), record.revision).unwrap_or(Revision::ZERO);
        assert_eq!(record.predecessor, before, "{record:?}");
    }
}
