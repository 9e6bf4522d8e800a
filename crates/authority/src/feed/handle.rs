use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jeton_api::event::AlarmEvent;
use jeton_feed::{
    authority::{
        Evidence, EvidenceKind, Hub, HubSetup, Input, Pending, PolicyFact, ReceiptFacts, SessionFacts, SessionView,
        StreamId,
    },
    numbers::FORGET_AFTER,
    record::Head,
};
use jeton_store::{
    AnyStore, Store, StoreError,
    model::{RevocationRow, SessionEndKind, SessionRow},
};
use jeton_types::{Entropy, RevocationId, StartId};
use tokio::sync::{oneshot, watch};

use super::{driver, floor::Floor, frames::Frames, sender::Snapshots, signing::Signing};
use crate::{
    config::LogKept,
    event::{Event, Events},
    fence::{Fence, RolledBack},
    inflight::Inflight,
    keys::Keyring,
    metric::Metrics,
    time::AuthorityTime,
    witness::Witness,
};

/// What the feed is made of.
pub struct HubParts {
    /// The store, with its start recorded.
    pub store: Arc<AnyStore>,
    /// What receipts are signed with.
    pub keys: Arc<Keyring>,
    /// The verifications under way in this process.
    pub inflight: Inflight,
    /// The machine's randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Authority time.
    pub time: AuthorityTime,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Who is told of what happens.
    pub events: Events,
    /// Who says which set hashes are told.
    pub witness: Arc<Witness>,
    /// The start that was recorded.
    pub start: StartId,
    /// Where a rollback is remembered.
    pub(crate) fence: Fence,
    /// How much of the log is kept.
    pub log: LogKept,
    /// Whether a process may end the sessions of the one before it in the same place (`feed-protocol.md` 27).
    pub succession: bool,
}

/// The feed of a running authority. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct HubHandle(pub(super) Arc<Shared>);

/// See [`HubHandle`].
pub(super) struct Shared {
    pub(super) parts: HubParts,
    floor: Mutex<Floor>,
    pub(super) signing: Signing,
    pub(super) snapshots: Snapshots,
    pub(super) frames: Frames,
    waiting: Mutex<Waiting>,
    streams_numbered: AtomicU64,
    closing: watch::Sender<bool>,
    /// The tasks of this feed; drained when all have ended.
    tasks: Inflight,
}

/// Whoever waits for a receipt.
type Waiting = HashMap<RevocationId, Vec<oneshot::Sender<()>>>;

impl HubHandle {
    /// Reads what the store knows and begins to drive. Nothing else may write to the store before this has returned.
    ///
    /// # Errors
    /// What the store says if it cannot be read.
    pub async fn start(parts: HubParts) -> Result<Self, StoreError> {
        // Subscribed before anything is read: a record may be seen twice, which the hub passes over, but not missed.
        let committed = parts.store.commit_log().subscribe();
        let setup = setup(&parts).await?;
        let mut policies = HashMap::<_, Vec<_>>::new();
        for policy in &setup.policies {
            policies.entry(policy.namespace.clone()).or_default().push((policy.revision, policy.freshness));
        }
        let (floor, works, releases) =
            Floor::new(Hub::new(setup), policies, committed, parts.time.clone(), parts.inflight.clone());
        let shared = Arc::new(Shared {
            floor: Mutex::new(floor),
            parts,
            signing: Signing::default(),
            snapshots: Snapshots::default(),
            frames: Frames::default(),
            waiting: Mutex::default(),
            streams_numbered: AtomicU64::new(0),
            closing: watch::Sender::new(false),
            tasks: Inflight::new(),
        });
        // Before the first stream: what an earlier process found needs no witness to come again.
        if let Some(found) = shared.parts.fence.recall(&shared.parts.store, &shared.parts.keys).await? {
            shared.roll_back(found).await;
        }
        driver::spawn(&shared, works, releases);
        Ok(Self(shared))
    }

    /// The receipt of a revocation while it is not complete, as it stands. A revocation whose creation has returned is
    /// found; one that is not found is complete, and the store has its receipt.
    #[must_use]
    pub fn receipt(&self, revocation: RevocationId) -> Option<ReceiptFacts> {
        let facts = self.0.floor().look(|hub, now, at| hub.receipt(revocation, now, at))?;
        // Complete is what is durable, and that is not known yet of what the hub still has.
        Some(ReceiptFacts { complete: false, completed_at: None, ..facts })
    }

    /// Waits until the receipt of a revocation is complete and durable, at most for `timeout`; says whether it is.
    /// Whoever calls must not hold a guard of [`Inflight`]: the receipt would wait for him.
    pub async fn wait_complete(&self, revocation: RevocationId, timeout: Duration) -> bool {
        // Registered before the store is read, so that the moment between the two is not missed.
        let stored = self.0.stored(revocation);
        if let Ok(Some(RevocationRow { receipt: Some(_), .. })) = self.0.parts.store.revocation(revocation).await {
            return true;
        }
        let mut closing = self.0.closing.subscribe();
        tokio::select! {
            biased;
            stored = stored => stored.is_ok(),
            () = tokio::time::sleep(timeout) => false,
            _ = closing.wait_for(|closing| *closing) => false,
        }
    }

    /// Every session of the registry that has not ended.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        self.0.floor().look(Hub::sessions)
    }

    /// How many receipts are not complete.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.0.floor().look(|hub, _, _| hub.pending_count())
    }

    /// Brings the metrics of the fleet up to now; also done once a second.
    pub fn measure(&self) {
        self.0.measure();
    }

    /// Ends all streams and tasks of the feed, and no session: the verifiers come back, here or to the next process.
    /// Returns when all have ended.
    pub async fn shutdown(&self) {
        self.0.closing.send_replace(true);
        self.0.tasks.drained().await;
    }
}

impl fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandle").field("pending", &self.pending_count()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(|_| {
            // A step that panicked half-way has left a hub that nothing may be believed of. What is durable may: the
            // process ends as if it had been killed, and the next one starts from there.
            tracing::error!("the hub failed in an earlier step: the process ends");
            std::process::abort()
        })
    }

    pub(super) fn step(&self, input: Input) {
        self.floor().step(input);
    }

    /// A rollback was found: stops everything that could be believed (`feed-protocol.md` 26). Returns once it is.
    pub(super) async fn roll_back(self: &Arc<Self>, found: RolledBack) {
        let message = found.to_string();
        // Writes first, then leases and receipts: what the store has done by then is of the same old state.
        self.parts.store.fence(message.clone());
        self.step(Input::RolledBack { message: message.clone() });
        let fence = self.parts.fence.clone();
        // What is remembered is a small file, but a disk may take its time.
        let first = tokio::task::spawn_blocking(move || fence.shut(found)).await.unwrap_or(false);
        if first {
            tracing::error!("{message}");
            self.parts.metrics.rollback_set();
            let at = self.parts.time.now().into();
            self.parts.events.tell(Event::Alarm(AlarmEvent { kind: "rollback".to_owned(), message, at }));
        }
    }

    /// Where the log stands, sealed.
    pub(super) fn head(&self) -> Head {
        self.parts.keys.head_seal(&self.parts.store.commit_log().head())
    }

    /// Runs a task of the feed; a shutdown waits for it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.tasks.begin();
        tokio::spawn(async move {
            task.await;
            drop(running);
        });
    }

    pub(super) fn stream_number(&self) -> StreamId {
        StreamId(self.streams_numbered.fetch_add(1, Ordering::Relaxed))
    }

    /// Resolves when the feed shuts down.
    pub(super) async fn closing(&self) {
        // The sender lives as long as `self`.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    pub(super) fn measure(&self) {
        let (sessions, pending) = self.floor().look(|hub, now, at| (hub.sessions(now, at), hub.pending_count()));
        self.parts.metrics.fleet_set(&sessions, pending);
    }

    /// Wakes whoever waits for this receipt.
    pub(super) fn told(&self, revocation: RevocationId) {
        let waiting = self.waiting().remove(&revocation).unwrap_or_default();
        for waiter in waiting {
            let _ = waiter.send(());
        }
    }

    fn stored(&self, revocation: RevocationId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        // Those that gave up are cleared by whoever comes next.
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        waiting.entry(revocation).or_default().push(sender);
        receiver
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn setup(parts: &HubParts) -> Result<HubSetup, StoreError> {
    let store = &parts.store;
    let head = store.head().await?;
    let (ended, living): (Vec<SessionRow>, Vec<SessionRow>) =
        store.sessions().await?.into_iter().partition(|session| session.ended.is_some());
    let policies = store.policies().await?.into_iter();
    let pending = store.revocations_pending().await?;
    let (now, authority_time) = parts.time.read();
    Ok(HubSetup {
        start: parts.start,
        now,
        authority_time,
        head,
        sessions: living.into_iter().map(facts).collect(),
        policies: policies
            .map(|row| PolicyFact { namespace: row.namespace, revision: row.revision, freshness: row.freshness })
            .collect(),
        last_records: store.last_records().await?,
        floors: store.floors().await?,
        pending: pending.into_iter().map(|row| pending_fact(row, &ended)).collect(),
    })
}

pub(super) fn facts(row: SessionRow) -> SessionFacts {
    SessionFacts {
        session: row.session,
        verifier: row.verifier,
        credential: row.credential,
        namespaces: row.namespaces,
        opened: row.opened,
        place: row.place,
    }
}

fn pending_fact(row: RevocationRow, ended: &[SessionRow]) -> Pending {
    let evidence = |session: &SessionRow| {
        let (kind, at) = session.ended?;
        let concerned = session.namespaces.contains(&row.namespace) && session.opened < row.revision;
        (concerned && at >= row.committed_at).then(|| Evidence {
            verifier: session.verifier.clone(),
            session: Some(session.session),
            state: match kind {
                SessionEndKind::Goodbye => EvidenceKind::Goodbye,
                SessionEndKind::Succeeded => EvidenceKind::Succeeded,
                SessionEndKind::Forgotten => EvidenceKind::Fenced,
            },
            at: Some(at),
            // Who is forgotten had been silent for at least this long.
            silent_since: (kind == SessionEndKind::Forgotten).then(|| at.minus(FORGET_AFTER)),
            stops_by: None,
        })
    };
    Pending {
        revocation: row.id,
        namespace: row.namespace.clone(),
        revision: row.revision,
        committed_at: row.committed_at,
        ended_before: ended.iter().filter_map(evidence).collect(),
    }
}
