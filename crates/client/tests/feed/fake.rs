//! A feed server that does what a test tells it: each stream that is opened comes to the test as a [`Peer`].
//!
//! By itself a peer only grants leases, while it is told to; everything else it hears goes to the test.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use jeton_client::feed::{TokenSource, Verifier, VerifierConfig};
use jeton_feed::{
    message::{Grant, Hello, SnapshotPart, ToAuthority, ToVerifier, Welcome},
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
};
use jeton_proto::wire::{
    self,
    feed_server::{Feed, FeedServer},
};
use jeton_types::{
    AddressList, CredentialId, Freshness, Hash32, NamespaceName, Revision, ScopeSet, Secret, StartId, TokenId,
    UnixTime,
    token::{Minted, mint},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

pub(crate) const SNAPSHOT_AT: u64 = 1_000;

pub(crate) struct FakeFeed {
    pub(crate) url: String,
    peers: mpsc::UnboundedReceiver<Peer>,
    /// With what every stream is refused from now on.
    pub(crate) refuse: Arc<Mutex<Option<Status>>>,
    server: JoinHandle<()>,
}

/// The authority's end of one stream. Dropping it closes the stream.
pub(crate) struct Peer {
    pub(crate) authorization: String,
    granting: Arc<AtomicBool>,
    heard: mpsc::UnboundedReceiver<ToAuthority>,
    outbound: mpsc::UnboundedSender<Result<wire::ToVerifier, Status>>,
}

struct Service {
    peers: mpsc::UnboundedSender<Peer>,
    refuse: Arc<Mutex<Option<Status>>>,
}

#[tonic::async_trait]
impl Feed for Service {
    type SessionStream = UnboundedReceiverStream<Result<wire::ToVerifier, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::ToAuthority>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if let Some(status) = self.refuse.lock().unwrap().clone() {
            return Err(status);
        }
        let authorization = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut inbound = request.into_inner();
        let (outbound, stream) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let granting = Arc::new(AtomicBool::new(true));
        let (say, grants) = (outbound.downgrade(), Arc::clone(&granting));
        tokio::spawn(async move {
            while let Ok(Some(message)) = inbound.message().await {
                match (ToAuthority::try_from(message).unwrap(), say.upgrade()) {
                    (ToAuthority::Renew { request }, Some(say)) if grants.load(Ordering::SeqCst) => {
                        let grant = Grant { request, authority_time: UnixTime::from_micros(1_000_000) };
                        let _ = say.send(Ok(ToVerifier::Grant(grant).into()));
                    }
                    // What says that there was nothing to say.
                    (ToAuthority::Usage(report), Some(say))
                        if !report.last && report.uses.is_empty() && report.presented.is_empty() =>
                    {
                        let _ = say.send(Ok(ToVerifier::UsageTaken { number: report.number }.into()));
                    }
                    (message, _) => {
                        let _ = tell.send(message);
                    }
                }
            }
        });
        let authorization = authorization.unwrap_or_default();
        let _ = self.peers.send(Peer { authorization, granting, heard, outbound });
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }
}

impl FakeFeed {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, peers) = mpsc::unbounded_channel();
        let refuse = Arc::new(Mutex::new(None));
        let service = Service { peers: tell, refuse: Arc::clone(&refuse) };
        let server = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener);
            Server::builder().add_service(FeedServer::new(service)).serve_with_incoming(incoming).await.unwrap();
        });
        Self { url, peers, refuse, server }
    }

    pub(crate) fn config(&self) -> VerifierConfig {
        let token = TokenSource::Held(Secret::new("jtn_one".to_owned()));
        VerifierConfig::new(&self.url, token, "edge-1".parse().unwrap(), vec![namespace()])
    }

    /// The next stream that is opened.
    pub(crate) async fn peer(&mut self) -> Peer {
        self.peers.recv().await.unwrap()
    }

    /// A verifier that is ready, with these tokens in its replica, and its stream.
    pub(crate) async fn ready(&mut self, config: VerifierConfig, tokens: &[&Token]) -> (Verifier, Peer) {
        let verifier = Verifier::start(config).unwrap();
        let mut peer = self.peer().await;
        peer.hello().await;
        peer.snapshot(tokens).await;
        verifier.wait_ready().await.unwrap();
        (verifier, peer)
    }

    /// The whole authority is gone.
    pub(crate) fn kill(&self) {
        self.server.abort();
    }
}

impl Peer {
    pub(crate) fn say(&self, message: ToVerifier) {
        self.say_raw(message.into());
    }

    pub(crate) fn say_raw(&self, message: wire::ToVerifier) {
        self.outbound.send(Ok(message)).unwrap();
    }

    pub(crate) fn grant(&self, granting: bool) {
        self.granting.store(granting, Ordering::SeqCst);
    }

    /// What is heard next, renewals excepted while they are granted, and reports of no use.
    pub(crate) async fn heard(&mut self) -> ToAuthority {
        self.heard.recv().await.expect("the verifier closed the stream")
    }

    /// Hears acknowledgements up to this one.
    pub(crate) async fn acked(&mut self, wanted: u64) {
        while self.heard().await != (ToAuthority::Ack { revision: revision(wanted) }) {}
    }

    /// The number of the next question, whatever else is heard before it.
    pub(crate) async fn asked(&mut self) -> u64 {
        loop {
            if let ToAuthority::Ask { request } = self.heard().await {
                return request;
            }
        }
    }

    /// Hears until the verifier has closed its side; gives the last word.
    pub(crate) async fn last_word(&mut self) -> Option<ToAuthority> {
        let mut last = None;
        while let Some(message) = self.heard.recv().await {
            last = Some(message);
        }
        last
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.heard().await {
            ToAuthority::Hello(hello) => hello,
            other => panic!("{other:?} in place of a hello"),
        }
    }

    /// Hears until an acknowledgement above the snapshot, or until the verifier has closed its side.
    pub(crate) async fn last_ack(&mut self) -> Option<Revision> {
        while let Some(message) = self.heard.recv().await {
            if let ToAuthority::Ack { revision: acked } = message
                && acked > revision(SNAPSHOT_AT)
            {
                return Some(acked);
            }
        }
        None
    }

    pub(crate) fn welcome(&self, resume: Option<u64>) {
        self.welcome_by(jeton_feed::numbers::PROTOCOL, resume);
    }

    /// Accepts a hello as an authority of this protocol.
    pub(crate) fn welcome_by(&self, protocol: u32, resume: Option<u64>) {
        self.say(ToVerifier::Welcome(Welcome {
            protocol,
            resume: resume.map(revision),
            mismatch: false,
            head: head(SNAPSHOT_AT),
            authority_time: UnixTime::from_micros(1),
            foreign: false,
        }));
    }

    /// Accepts a hello and sends a snapshot with these tokens, up to its acknowledgement.
    pub(crate) async fn snapshot(&mut self, tokens: &[&Token]) {
        self.welcome(None);
        let at = revision(SNAPSHOT_AT);
        self.say(ToVerifier::SnapshotBegin { at });
        let rows = tokens.iter().map(|token| token.entry.clone()).collect();
        self.say(ToVerifier::SnapshotRows(SnapshotPart {
            namespace: namespace(),
            policy: policy(),
            rows,
            set_hash: None,
        }));
        self.say(ToVerifier::SnapshotEnd { at });
        self.acked(SNAPSHOT_AT).await;
    }
}

/// A token and what a replica knows of it.
pub(crate) struct Token {
    minted: Minted,
    pub(crate) entry: TokenEntry,
}

impl Token {
    pub(crate) fn new(birth: u64, id: u8) -> Self {
        let minted = mint(&policy().prefix, revision(birth), [id; 24]);
        let entry = TokenEntry {
            digest: minted.digest,
            token: TokenId::from_bytes([id; 16]),
            credential: CredentialId::from_bytes([7; 16]),
            subject: None,
            scopes: ScopeSet::parse(["orders:read"]).unwrap(),
            expires_at: None,
            addresses: AddressList::default(),
            disabled: false,
            ended: None,
        };
        Self { minted, entry }
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.minted.text.expose().as_bytes()
    }

    pub(crate) fn end(&self) -> Change {
        Change::End { digest: self.entry.digest, token: self.entry.token, reason: EndReason::Revoked }
    }
}

pub(crate) fn record(at: u64, predecessor: u64, change: Change) -> ToVerifier {
    ToVerifier::Record(Record {
        revision: revision(at),
        predecessor: revision(predecessor),
        namespace: namespace(),
        start: StartId::from_bytes([1; 16]),
        chain_hash: Hash32::ZERO,
        set_hash: None,
        committed_at: UnixTime::from_micros(1),
        changes: vec![change],
    })
}

pub(crate) fn revision(value: u64) -> Revision {
    Revision::new(value).unwrap()
}

pub(crate) fn namespace() -> NamespaceName {
    "acme".parse().unwrap()
}

/// With grace, so that a slow machine does not let leases lapse in the middle of a test.
fn policy() -> Policy {
    Policy { prefix: "acme_live".parse().unwrap(), freshness: Freshness::DEFAULT, disabled: false }
}

fn head(at: u64) -> Head {
    Head { revision: revision(at), start: StartId::from_bytes([1; 16]), chain_hash: Hash32::ZERO, mac: None }
}
