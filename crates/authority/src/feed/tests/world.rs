use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_api::receipt::ReceiptPayload;
use jeton_client::receipt::check;
use jeton_feed::{
    message::{Hello, ToAuthority, ToVerifier, Welcome},
    numbers::PROTOCOL,
};
use jeton_host::{
    clock::{OsEntropy, SystemClock},
    serve::{Limits, Listener, refuse_plain, serve},
};
use jeton_proto::wire::{self, feed_client::FeedClient};
use jeton_store::{
    AnyStore, OpenConfig, Sqlite, Store,
    model::{Caller, CredentialRef, IssueNew, Issued, Labels, NamespaceNew, RevokeNew, Revoked, Selector},
};
use jeton_types::{
    Clock, Entropy, Freshness, Hash32, Now, Prefix, Revision, RevocationId, ScopeSet, Secret, SessionId, Span, StartId,
    UnixTime,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, transport::Channel};

use crate::{
    config::LogKept,
    event::Events,
    feed::{HubHandle, HubParts, router},
    fence::Fence,
    inflight::Inflight,
    keys::Keyring,
    metric::Metrics,
    time::{AuthorityClock, AuthorityTime},
    witness::Witness,
};

/// Far longer than anything here takes: a test that reaches it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Clocks that stand still until they are moved, so that nothing expires by itself.
pub(super) struct Hands(Mutex<Now>);

impl Hands {
    /// Standing at this reading.
    pub(super) fn new(now: Now) -> Self {
        Self(Mutex::new(now))
    }

    /// Both clocks go on by this much, as if so much time had passed.
    pub(super) fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(time);
    }

    /// Real time alone goes on, as after a pause of the machine.
    pub(super) fn jump(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        now.real = now.real.plus(time);
    }
}

impl Clock for Hands {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

/// An authority's feed on a port of its own.
pub(super) struct World {
    pub(super) clock: Arc<Hands>,
    pub(super) store: Arc<AnyStore>,
    pub(super) keys: Arc<Keyring>,
    pub(super) hub: HubHandle,
    pub(super) inflight: Inflight,
    pub(super) fence: Fence,
    pub(super) witness: Arc<Witness>,
    pub(super) events: Events,
    address: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl World {
    /// With a strict namespace `acme`, that holds `acme/billing`.
    pub(super) async fn new() -> Self {
        Self::of(true, LogKept::default()).await
    }

    /// The same, with so much of the log kept.
    pub(super) async fn keeping(log: LogKept) -> Self {
        Self::of(true, log).await
    }

    /// The same, with succession switched off.
    pub(super) async fn without_succession() -> Self {
        Self::of(false, LogKept::default()).await
    }

    async fn of(succession: bool, log: LogKept) -> Self {
        let clock = Arc::new(Hands::new(SystemClock.now()));
        let world = Self::with_log(tempfile::tempdir().unwrap(), clock, succession, log).await;
        world.namespace("acme", Freshness::Strict).await;
        world.issue("acme", "billing", "orders:read").await;
        world
    }

    /// The same folder and clock after a restart of the authority.
    pub(super) async fn restarted(self) -> Self {
        let Stopped { clock, folder } = self.stopped().await;
        Self::with(folder, clock, true).await
    }

    async fn stopped(mut self) -> Stopped {
        self.hub.shutdown().await;
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.serving).await.unwrap().unwrap();
        let Self { clock, folder, store, hub, .. } = self;
        drop((store, hub));
        Stopped { clock, folder }
    }

    async fn with(folder: tempfile::TempDir, clock: Arc<Hands>, succession: bool) -> Self {
        Self::with_log(folder, clock, succession, LogKept::default()).await
    }

    async fn with_log(folder: tempfile::TempDir, clock: Arc<Hands>, succession: bool, log: LogKept) -> Self {
        let machine: Arc<dyn Clock> = clock.clone();
        let time = AuthorityTime::new(machine);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let (metrics, events) = (Arc::new(Metrics::new()), Events::new());
        let witness = Witness::new(metrics.clone(), events.clone());
        let clock_of_store = Arc::new(AuthorityClock(time.clone()));
        let config = OpenConfig { clock: clock_of_store, entropy: entropy.clone(), observer: witness.clone() };
        let store = Arc::new(AnyStore::Sqlite(Sqlite::open(folder.path(), config).unwrap()));
        witness.load(&*store).await.unwrap();
        time.raise(store.authority_time());
        let start = StartId::from_bytes(random());
        store.start_record(start).await.unwrap();
        let keys = Arc::new(Keyring::open(&folder.path().join("keys"), &OsEntropy).unwrap());
        let inflight = Inflight::new();
        let fence = Fence::new(&folder.path().join("keys"));
        let parts = HubParts {
            store: store.clone(),
            keys: keys.clone(),
            inflight: inflight.clone(),
            entropy,
            time,
            events: events.clone(),
            metrics,
            witness: witness.clone(),
            start,
            fence: fence.clone(),
            succession,
            log,
        };
        let hub = HubHandle::start(parts).await.unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "--feed", false).await.unwrap();
        let address = format!("http://{}", listener.address());
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, router(&hub), refuse_plain, Limits::feed(), until));
        Self { clock, store, keys, hub, inflight, fence, witness, events, address, stop: Some(stop), serving, folder }
    }

    /// Makes the table of tokens unreadable, or readable again.
    pub(super) fn tokens_hide(&self, hide: bool) {
        let raw = rusqlite::Connection::open(Sqlite::path(self.folder.path())).unwrap();
        let (from, to) = if hide { ("token", "hidden") } else { ("hidden", "token") };
        raw.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
    }

    pub(super) async fn namespace(&self, name: &str, freshness: Freshness) {
        let new = NamespaceNew { freshness, ..namespace_new(name) };
        self.store.namespace_create(Caller::System, new).await.unwrap();
    }

    pub(super) async fn issue(&self, namespace: &str, name: &str, scope: &str) -> Issued {
        self.issue_for(namespace, name, scope, None).await
    }

    pub(super) async fn issue_for(&self, namespace: &str, name: &str, scope: &str, ttl: Option<Span>) -> Issued {
        let new = IssueNew {
            namespace: namespace.parse().unwrap(),
            name: name.parse().unwrap(),
            subject: None,
            scopes: ScopeSet::new([scope.parse().unwrap()]).unwrap(),
            labels: Labels::default(),
            ttl,
            addresses: jeton_types::AddressList::default(),
        };
        self.store.credential_issue(Caller::System, new).await.unwrap()
    }

    /// A token for a verifier of `acme`.
    pub(super) async fn token(&self, name: &str) -> Secret<String> {
        self.issue("jeton", name, "verifier@acme").await.secret
    }

    pub(super) async fn revoke(&self, namespace: &str, name: &str) -> Revoked {
        let credential = CredentialRef::Name(namespace.parse().unwrap(), name.parse().unwrap());
        let new = RevokeNew { namespace: None, selector: Selector::credential(credential), reason: None };
        self.store.revocation_create(Caller::System, new).await.unwrap()
    }

    /// The receipt once it is stored, checked.
    pub(super) async fn receipt(&self, revocation: RevocationId) -> ReceiptPayload {
        assert!(self.hub.wait_complete(revocation, PATIENCE).await, "{:?}", self.hub.receipt(revocation));
        assert_eq!(self.hub.receipt(revocation), None);
        let row = self.store.revocation(revocation).await.unwrap().unwrap();
        check(&row.receipt.unwrap().jws, &self.keys.jwks()).unwrap()
    }

    /// The hello of a verifier of `acme` that comes back and holds all up to `at`, with the head of this moment.
    pub(super) fn back(&self, session: u8, epoch: u64, at: Revision) -> Hello {
        let head = self.keys.head_seal(&self.store.commit_log().head());
        Hello { resume: Some(at), head: Some(head), ..hello(session, epoch) }
    }

    /// The same clock and keys over the data of `copy`, after a restart of the authority.
    pub(super) async fn put_back(self, copy: &tempfile::TempDir) -> Self {
        let Stopped { clock, folder } = self.stopped().await;
        for file in files(folder.path()) {
            std::fs::remove_file(file).unwrap();
        }
        copy_files(copy.path(), folder.path());
        Self::with(folder, clock, true).await
    }

    /// A copy of the data, without the keys, and the same world after a restart.
    pub(super) async fn copied(self) -> (Self, tempfile::TempDir) {
        let Stopped { clock, folder } = self.stopped().await;
        let copy = tempfile::tempdir().unwrap();
        copy_files(folder.path(), copy.path());
        (Self::with(folder, clock, true).await, copy)
    }

    /// Opens a stream.
    pub(super) async fn dial(&self, token: &Secret<String>) -> Result<Stream, Status> {
        self.dial_as(Some(&format!("Bearer {}", token.expose()))).await
    }

    /// Opens a stream with this for an authorization.
    pub(super) async fn dial_as(&self, authorization: Option<&str>) -> Result<Stream, Status> {
        let channel = Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        let (to, outgoing) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        let from = FeedClient::new(channel).session(request).await?.into_inner();
        Ok(Stream { last_set_hash: None, to, from })
    }

    /// Opens a stream, says hello, and reads the welcome.
    pub(super) async fn greet(&self, token: &Secret<String>, hello: Hello) -> (Stream, Welcome) {
        let mut stream = self.dial(token).await.unwrap();
        stream.send(ToAuthority::Hello(hello)).await;
        match stream.next().await {
            ToVerifier::Welcome(welcome) => (stream, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// Opens a stream and reads the snapshot, acknowledges it, and gets a lease.
    pub(super) async fn live(&self, token: &Secret<String>, hello: Hello) -> (Stream, Revision) {
        let (mut stream, welcome) = self.greet(token, hello).await;
        assert_eq!(welcome.resume, None);
        let (at, _) = stream.snapshot().await;
        stream.send(ToAuthority::Ack { revision: at }).await;
        stream.lease(1).await;
        (stream, at)
    }
}

/// The verifier's end of a stream.
pub(super) struct Stream {
    /// Of the last part of the last snapshot.
    pub(super) last_set_hash: Option<Hash32>,
    to: mpsc::Sender<wire::ToAuthority>,
    from: Streaming<wire::ToVerifier>,
}

impl Stream {
    pub(super) async fn send(&self, message: ToAuthority) {
        self.to.send(message.into()).await.unwrap();
    }

    /// The next message, or how the stream ended.
    pub(super) async fn try_next(&mut self) -> Result<Option<ToVerifier>, Status> {
        let message = timeout(PATIENCE, self.from.message()).await.expect("nothing came")?;
        Ok(message.map(|message| message.try_into().unwrap()))
    }

    /// The next message that is no heartbeat.
    pub(super) async fn next(&mut self) -> ToVerifier {
        loop {
            match self.try_next().await.unwrap().expect("the stream ended") {
                ToVerifier::Heartbeat { .. } => {}
                message => return message,
            }
        }
    }

    /// How the stream ends, whatever comes before.
    pub(super) async fn ended(&mut self) -> Option<Status> {
        loop {
            match self.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }

    /// How the stream ends, with nothing but heartbeats before.
    pub(super) async fn next_end(&mut self) -> Option<tonic::Code> {
        loop {
            match self.try_next().await {
                Ok(Some(ToVerifier::Heartbeat { .. })) => {}
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => return None,
                Err(status) => return Some(status.code()),
            }
        }
    }

    /// A snapshot: its revision, and how many rows came.
    pub(super) async fn snapshot(&mut self) -> (Revision, usize) {
        let ToVerifier::SnapshotBegin { at } = self.next().await else { panic!("no snapshot begins") };
        let mut count = 0;
        loop {
            match self.next().await {
                ToVerifier::SnapshotRows(part) => {
                    count += part.rows.len();
                    self.last_set_hash = part.set_hash;
                }
                ToVerifier::SnapshotEnd { at: end } => {
                    assert_eq!(end, at);
                    return (at, count);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// A welcome, and the snapshot that follows.
    pub(super) async fn snapshot_after_welcome(&mut self) -> (Revision, usize) {
        let ToVerifier::Welcome(Welcome { resume: None, .. }) = self.next().await else { panic!("no snapshot comes") };
        self.snapshot().await
    }

    /// Renews until the grant comes.
    pub(super) async fn lease(&mut self, request: u64) -> UnixTime {
        self.send(ToAuthority::Renew { request }).await;
        match self.next().await {
            ToVerifier::Grant(grant) if grant.request == request => grant.authority_time,
            other => panic!("{other:?}"),
        }
    }
}

/// A namespace of this name, strict.
pub(super) fn namespace_new(name: &str) -> NamespaceNew {
    let prefix: Prefix = format!("{name}_live").parse().unwrap();
    NamespaceNew { name: name.parse().unwrap(), prefix, freshness: Freshness::Strict, default_ttl: None }
}

/// The hello of a verifier of `acme`.
pub(super) fn hello(session: u8, epoch: u64) -> Hello {
    Hello {
        protocol_oldest: 1,
        protocol: PROTOCOL,
        session: SessionId::from_bytes([session; 16]),
        verifier: format!("edge-{session}").parse().unwrap(),
        epoch,
        namespaces: vec!["acme".parse().unwrap()],
        resume: None,
        set_hashes: Vec::new(),
        head: None,
        place: None,
        claims: Vec::new(),
    }
}

/// What is left of a world whose authority has stopped.
struct Stopped {
    clock: Arc<Hands>,
    folder: tempfile::TempDir,
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for file in files(from) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes);
    bytes
}
