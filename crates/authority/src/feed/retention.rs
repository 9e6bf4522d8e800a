//! What does not have to be kept for ever.
//!
//! Purpose: cuts the record log where it is old or long (`feed-protocol.md` 28), and has verifiers forget tokens that expired
//! long ago (25). Guarantee: by a few rows at a time, through the store's one writer, so that no mutation waits long behind
//! it; whoever is behind the log afterwards gets a snapshot, and nobody who can still answer would call good what is
//! forgotten. Not guaranteed: when. What is to go may stay a while longer; a store that cannot write keeps all of it.

use std::{sync::Arc, time::Duration};

use jeton_feed::authority::CollectionWait;
use jeton_store::{Store, StoreError, model::Retention};
use jeton_types::UnixTime;
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
        let mut wait = CollectionWait::default();
        loop {
            looks.tick().await;
            if let Err(error) = log_cut(&shared).await {
                debug!(%error, "the log was not cut");
            }
            if let Err(error) = look_and_collect(&shared, &mut wait).await {
                debug!(%error, "what has expired was not collected");
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.closing() => {}
        () = look => {}
    }
}

/// Collects what has been expired for long enough, by the boot clock of this process.
pub(super) async fn look_and_collect(shared: &Shared, wait: &mut CollectionWait) -> Result<(), StoreError> {
    let (now, authority_time) = shared.parts.time.read();
    match wait.look(now.boot, now.real, authority_time) {
        Some(expired) => collect(shared, expired).await,
        None => Ok(()),
    }
}

async fn collect(shared: &Shared, expired: UnixTime) -> Result<(), StoreError> {
    let store = &shared.parts.store;
    for namespace in store.namespaces().await? {
        while let Some(collected) = store.tokens_collect(namespace.name.clone(), expired).await? {
            shared.parts.metrics.tokens_collected_count(collected.count);
            sleep(STEP_PAUSE).await;
        }
    }
    Ok(())
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
