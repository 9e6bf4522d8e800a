use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_api::receipt::ReceiptPayload;
use jeton_client::receipt::check;
use jeton_feed::message::{Hello, ToAuthority, ToVerifier, Welcome};
use jeton_host::{
    clock::{OsEntropy, SystemClock},
    serve::{Limits, Listener, refuse_plain, serve},
};
use jeton_proto::wire::{self, feed_client::FeedClient};
use jeton_store::{
    OpenConfig, Sqlite, Store,
    model::{Caller, CredentialRef, IssueNew, Issued, Labels, NamespaceNew, RevokeNew, Revoked, Selector},
};
use jeton_types::{
    Clock, Entropy, Freshness, Now, Prefix, Revision, RevocationId, ScopeSet, Secret, SessionId, Span, StartId,
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
    feed::{HubHandle, HubParts, router},
    inflight::Inflight,
    keys::Keyring,
    metric::Metrics,
    time::AuthorityTime,
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
    pub(super) store: Arc<Sqlite>,
    pub(super) keys: Arc<Keyring>,
    pub(super) hub: HubHandle,
    pub(super) inflight: Inflight,
    address: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl World {
    /// With a strict namespace `acme`, that holds `acme/billing`.
    pub(super) async fn new() -> Self {
        let world = Self::with(tempfile::tempdir().unwrap(), Arc::new(Hands::new(SystemClock.now()))).await;
        world.namespace("acme", Freshness::Strict).await;
        world.issue("acme", "billing", "orders:read").await;
        world
    }

    /// The same folder and clock after a restart of the authority.
    pub(super) async fn restarted(mut self) -> Self {
        self.hub.shutdown().await;
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.serving).await.unwrap().unwrap();
        let Self { clock, folder, store, hub, .. } = self;
        drop((store, hub));
        Self::with(folder, clock).await
    }

    async fn with(folder: tempfile::TempDir, clock: Arc<Hands>) -> Self {
        let machine: Arc<dyn Clock> = clock.clone();
        let time = AuthorityTime::new(machine.clone());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let observer = Arc::new(|_: usize, _: Duration| {});
        let config = OpenConfig { clock: machine.clone(), entropy: entropy.clone(), observer };
        let store = Arc::new(Sqlite::open(folder.path(), config).unwrap());
        time.raise(store.authority_time());
        let start = StartId::from_bytes(random());
        store.start_record(start).await.unwrap();
        let keys = Arc::new(Keyring::open(&folder.path().join("keys"), &OsEntropy).unwrap());
        let inflight = Inflight::new();
        let parts = HubParts {
            store: store.clone(),
            keys: keys.clone(),
            inflight: inflight.clone(),
            entropy,
            time,
            events: crate::event::Events::new(),
            metrics: Arc::new(Metrics::new()),
            start,
        };
        let hub = HubHandle::start(parts).await.unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "--feed", false).await.unwrap();
        let address = format!("http://{}", listener.address());
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async move { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, router(&hub), refuse_plain, Limits::feed(), until));
        Self { clock, store, keys, hub, inflight, address, stop: Some(stop), serving, folder }
    }

    /// Makes the table of tokens unreadable, or readable again.
    pub(super) fn tokens_hide(&self, hide: bool) {
        let raw = rusqlite::Connection::open(Sqlite::path(self.folder.path())).unwrap();
        let (from, to) = if hide { ("token", "hidden") } else { ("hidden", "token") };
        raw.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
    }

    pub(super) async fn namespace(&self, name: &str, freshness: Freshness) {
        let prefix: Prefix = format!("{name}_live").parse().unwrap();
        let new = NamespaceNew { name: name.parse().unwrap(), prefix, freshness, default_ttl: None };
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
        Ok(Stream { to, from })
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
                ToVerifier::SnapshotRows { rows, .. } => count += rows.len(),
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

/// The hello of a verifier of `acme`.
pub(super) fn hello(session: u8, epoch: u64) -> Hello {
    Hello {
        protocol_oldest: 1,
        protocol: 2,
        session: SessionId::from_bytes([session; 16]),
        verifier: format!("edge-{session}").parse().unwrap(),
        epoch,
        namespaces: vec!["acme".parse().unwrap()],
        resume: None,
        set_hashes: Vec::new(),
        head: None,
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes);
    bytes
}
