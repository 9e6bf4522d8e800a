//! What does not have to be kept for ever.
//!
//! Purpose: cuts the record log where it is old or long (`feed-protocol.md` 28). Guarantee: by a few rows at a time, through
//! the store's one writer, so that no mutation waits long behind it; whoever is behind the log afterwards gets a snapshot.
//! Not guaranteed: when. What is to go may stay a while longer; a store that cannot write keeps all of it.

use std::{sync::Arc, time::Duration};

use jeton_store::{Store, StoreError, model::Retention};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use super::handle::Shared;

/// Between two looks for what can go.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two steps, while there is more: the writer is there for others.
const STEP_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(shared: Arc<Shared>) {
    let look = async {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Err(error) = log_cut(&shared).await {
                debug!(%error, "the log was not cut");
            }
        }
    };
    tokio::select! {
        () = shared.closing() => {}
        () = look => {}
    }
}

/// Cuts off all that can go now.
pub(super) async fn log_cut(shared: &Shared) -> Result<(), StoreError> {
    let parts = &shared.parts;
    loop {
        let after = parts.time.now().minus(parts.log.age_max);
        let done = parts.store.records_cut(Retention { after, records_max: parts.log.records_max }).await?;
        parts.metrics.log_cut_set(done.cut, done.retained);
        if done.cut == 0 {
            return Ok(());
        }
        sleep(STEP_PAUSE).await;
    }
}
