//! What every handler works with.

use std::{ops::Deref, sync::Arc};

use jeton_store::AnyStore;
use tokio::sync::watch;

use crate::{
    event::Events, feed::HubHandle, fence::Fence, http::once::Running, inflight::Inflight, keys::Keyring,
    limit::AddressLimit, metric::Metrics, time::AuthorityTime, usage::OwnUse,
};

/// The composed parts of a running authority. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Core(Arc<Parts>);

/// See [`Core`].
pub(crate) struct Parts {
    pub(crate) store: Arc<AnyStore>,
    pub(crate) hub: HubHandle,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) inflight: Inflight,
    pub(crate) time: AuthorityTime,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,
    /// Of whoever burns tokens.
    pub(crate) burns: AddressLimit,
    pub(crate) own_use: OwnUse,
    pub(crate) running: Running,
    pub(crate) fence: Fence,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// How far a process is on its way out. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// It serves on, but asks to be sent nothing new.
    Draining,
    /// It finishes what it has begun; nothing waits any longer.
    Stopping,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Resolves once the process stops.
    pub(crate) async fn stopping(&self) {
        stopping(self.phase.clone()).await;
    }
}

impl Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Resolves once the process stops, or whoever would say so is gone.
pub(crate) async fn stopping(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Stopping).await;
}
