//! Tells of a full disk: a metric while it lasts, an alarm when it begins, and a look now and then whether it is over.
//!
//! The store goes on by itself once there is room; this makes it look also when nobody asks for anything.

use std::{future::Future, sync::Arc, time::Duration};

use jeton_api::event::AlarmEvent;
use jeton_store::{AnyStore, Space};
use tokio::time::sleep;

use crate::{
    event::{Event, Events},
    metric::Metrics,
    time::AuthorityTime,
};

/// Between two looks while the disk is full.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What it watches, and whom it tells.
pub(crate) struct Watching {
    pub(crate) store: Arc<AnyStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,
    pub(crate) time: AuthorityTime,
}

impl Watching {
    /// Until `stop` ends, or the store is gone.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = stop => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&self) {
        let mut space = self.store.space();
        let mut was_full = false;
        loop {
            let now = *space.borrow_and_update();
            self.metrics.space_set(now);
            if now.full && !was_full {
                self.alarm(now);
            }
            was_full = now.full;
            tokio::select! {
                biased;
                changed = space.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(LOOK_EVERY), if now.full => {
                    // What it finds comes by `space`.
                    let _ = self.store.space_check().await;
                }
            }
        }
    }

    fn alarm(&self, now: Space) {
        self.events.tell(Event::Alarm(AlarmEvent {
            kind: "storage_full".to_owned(),
            message: format!(
                "the disk of the data folder is full: only what ends authority is written, out of the {} MiB held back; make room",
                now.ballast_bytes >> 20
            ),
            at: self.time.now().into(),
        }));
    }
}
