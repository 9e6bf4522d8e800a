//! What the driver and those who verify share.

use std::sync::{Arc, OnceLock};

use jeton_feed::{
    lease::{Standing, Void},
    replica::Replica,
    verifier,
};
use jeton_types::{BootTime, Clock, Entropy, Freshness, NamespaceName, SessionId};
use jeton_verifier::MemoryReplica;
use tokio::sync::{Notify, watch};

use super::{
    copy::Keeper,
    first_use::Waiters,
    gate::Gate,
    observe::Observe,
    state::State,
    status::{NamespaceStatus, Right, Status, Trouble},
    usage::Uses,
};

pub(super) struct Shared {
    pub(super) namespaces: Vec<NamespaceName>,
    pub(super) replica: Arc<MemoryReplica>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) observe: Arc<dyn Observe>,
    pub(super) waiters: Waiters,
    pub(super) gate: Gate,
    /// What was seen of tokens in use since the driver last collected it.
    pub(super) uses: Uses,
    /// Wakes the driver: somebody waits for a watermark, or a jump was seen.
    pub(super) nudge: Notify,
    /// What the driver last told of itself; each change of it is an occasion to look anew.
    pub(super) progress: watch::Sender<Progress>,
    /// Whether the authority heard the goodbye, once that is known.
    pub(super) farewell: OnceLock<bool>,
    /// Held for as long as anybody could be answered: who has its lock next claims that nobody is.
    pub(super) state: Option<State>,
    /// Keeps the copy of the replica in that folder.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// The last copy is written, or none is to be, after the farewell.
    pub(super) kept: watch::Sender<bool>,
}

#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) session: SessionId,
    pub(super) status: verifier::Status,
    pub(super) trouble: Option<Trouble>,
    pub(super) failed: bool,
}

impl Shared {
    pub(super) fn session_id(&self) -> SessionId {
        session_id(&*self.entropy)
    }

    pub(super) fn told(&self, session: SessionId, status: verifier::Status) {
        let answering = status.live && self.replica.lease().is_some();
        self.progress.send_modify(|progress| {
            progress.session = session;
            progress.status = status;
            if answering {
                progress.trouble = None;
            }
        });
    }

    /// Keeps what stands in the way and logs it, once while it stays the same.
    pub(super) fn trouble(&self, trouble: Trouble) {
        self.progress.send_modify(|progress| {
            if progress.trouble.as_ref() == Some(&trouble) {
                tracing::debug!("{trouble}");
            } else {
                tracing::warn!("{trouble}");
                progress.trouble = Some(trouble);
            }
        });
    }

    /// The driver died. Nothing may be answered on what it left, and nobody waits for it any more.
    pub(super) fn fail(&self) {
        self.gate.shut();
        self.progress.send_modify(|progress| {
            progress.failed = true;
            progress.trouble = Some(Trouble::internal());
        });
        tracing::error!("{}", Trouble::internal());
        self.replica.lease_void(Void::Unappliable);
        self.waiters.failed();
    }

    /// No verification begins from here on; whoever waits for a change is told of this one.
    pub(super) fn shut(&self) {
        self.gate.shut();
        self.progress.send_modify(|_| {});
    }

    /// Whether any answer would be better than stale.
    pub(super) fn ready(&self) -> bool {
        !self.gate.is_shut() && self.replica.ready(self.clock.now())
    }

    pub(super) fn status(&self) -> Status {
        let Progress { session, status, trouble, failed } = self.progress.borrow().clone();
        let now = self.clock.now();
        let shut = self.gate.is_shut();
        let lease = self.replica.lease().filter(|_| !shut);
        let served = self.replica.namespaces();
        let standing = |freshness| lease.map_or(Standing::Lapsed, |lease| lease.standing(now, freshness));
        let namespaces = self.namespaces.iter().map(|namespace| {
            let freshness = served.iter().find(|served| *served.name == *namespace).map(|served| served.freshness);
            let (right, until) = match freshness.map(|freshness| (standing(freshness), freshness)) {
                Some((Standing::Live(until), freshness)) => (Right::Lease, until.plus(freshness.grace())),
                Some((Standing::Grace(until), _)) => (Right::Grace, until),
                Some((Standing::Lapsed | Standing::Jumped, _)) | None => (Right::None, BootTime::ZERO),
            };
            NamespaceStatus { namespace: namespace.clone(), freshness, right, remaining: until.since(now.boot) }
        });
        let lease_remaining = match standing(Freshness::Strict) {
            Standing::Live(until) => until.since(now.boot),
            Standing::Grace(_) | Standing::Lapsed | Standing::Jumped => std::time::Duration::ZERO,
        };
        Status {
            session,
            connected: status.connected,
            watermark: self.replica.watermark(),
            lag: status.last_heartbeat.map(|heartbeat| now.boot.since(heartbeat)),
            lease_remaining,
            namespaces: namespaces.collect(),
            tokens: served.iter().map(|served| served.tokens).sum(),
            copy: self.keeper.as_ref().and_then(|keeper| keeper.status(now.boot)),
            trouble,
            left: shut && !failed,
            failed,
        }
    }
}

/// 128 random bits.
pub(super) fn session_id(entropy: &dyn Entropy) -> SessionId {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    SessionId::from_bytes(bytes)
}
