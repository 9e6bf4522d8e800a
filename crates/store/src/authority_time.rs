use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jeton_types::{BootTime, Clock, UnixTime};

/// Authority time: the wall clock, made never to go back.
pub(crate) struct AuthorityTime {
    clock: Arc<dyn Clock>,
    highest: AtomicU64,
}

impl AuthorityTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, highest: AtomicU64::new(0) }
    }

    /// What was told before, by an earlier process.
    pub(crate) fn raise(&self, at_least: UnixTime) {
        self.highest.fetch_max(at_least.as_micros(), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> UnixTime {
        let wall = self.clock.now().real.as_micros();
        UnixTime::from_micros(self.highest.fetch_max(wall, Ordering::Relaxed).max(wall))
    }

    pub(crate) fn boot(&self) -> BootTime {
        self.clock.now().boot
    }
}
