//! What goes on beside the streams: time, the registry, the authority's own acknowledgement.
//!
//! Purpose: three tasks feed the hub with time and commits, give it the authority's own acknowledgement, and make durable
//! what it decides. Guarantee: each works in order and skips nothing, so that an end is durable before a receipt that
//! rests on it; a task that panics ends the process. Not guaranteed: when. A store that cannot write delays all of it: the
//! registry then knows of fewer ends than there were, and receipts stay pending. Both are safe.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jeton_api::event::AlarmEvent;
use jeton_feed::{authority::Input, numbers::POLL_EVERY};
use jeton_store::{SESSIONS_PRUNED_MAX, Store, StoreError, model::SessionEndKind};
use jeton_types::{SessionId, StartId, UnixTime};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{debug, info, warn};

use super::{
    floor::{Release, Work},
    handle::Shared,
    hello::session_event,
    retention, signing, succession,
};
use crate::event::Event;

/// Ticks between two measurements of the fleet.
const MEASURE_EVERY: u32 = 4;
/// Ticks between two looks for rows of sessions that can go: ten minutes.
const PRUNE_EVERY: u32 = 2_400;
/// How long the row of a session that ended is kept: far longer than any stream or lease of it could last. A hello of it that
/// comes later still opens it anew, with a snapshot and without any lease.
const ENDED_KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How long to wait before the store is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) fn spawn(
    shared: &Arc<Shared>,
    works: mpsc::UnboundedReceiver<Work>,
    releases: mpsc::UnboundedReceiver<Release>,
) {
    shared.spawn(vital(follow(Arc::clone(shared))));
    shared.spawn(vital(release(Arc::clone(shared), releases)));
    shared.spawn(vital(work(Arc::clone(shared), works)));
    shared.spawn(retention::run(Arc::clone(shared)));
}

/// Runs a task without which no receipt would ever be complete again. If it panics the process ends, as if it had been
/// killed: to serve on would look well and keep no promise.
pub(super) async fn vital(task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        tracing::error!("a task of the feed failed: the process ends");
        std::process::abort();
    }
}

/// Feeds commits and time.
async fn follow(shared: Arc<Shared>) {
    let mut changed = shared.parts.store.commit_log().changed();
    let mut ticks = interval(POLL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut stepped) = (0_u32, false);
    let closing = shared.closing();
    tokio::pin!(closing);
    loop {
        tokio::select! {
            biased;
            () = &mut closing => return,
            // The log lives as long as the store, which the parts hold.
            Ok(()) = changed.changed() => shared.floor().follow(),
            _ = ticks.tick() => {
                shared.step(Input::Tick);
                clock_watch(&shared, &mut stepped);
                if count.is_multiple_of(PRUNE_EVERY) {
                    shared.spawn(prune(Arc::clone(&shared)));
                }
                if count.is_multiple_of(MEASURE_EVERY) {
                    shared.measure();
                }
                count = count.wrapping_add(1);
            }
        }
    }
}

/// Removes the rows of sessions that ended long ago.
async fn prune(shared: Arc<Shared>) {
    let before = shared.parts.time.now().minus(ENDED_KEPT_FOR);
    loop {
        match shared.parts.store.sessions_prune(before).await {
            Ok(count) if count == SESSIONS_PRUNED_MAX => {}
            Ok(_) => return,
            Err(error) => return debug!(%error, "rows of ended sessions were not removed"),
        }
    }
}

/// Says when the wall clock is not followed any more, and when it is again (`feed-protocol.md` 5).
fn clock_watch(shared: &Shared, stepped: &mut bool) {
    let step = shared.parts.time.step();
    shared.parts.metrics.clock_step_set(step);
    match (step, std::mem::replace(stepped, step.is_some())) {
        (Some(step), false) => {
            warn!("{step}");
            let (message, at) = (step.to_string(), shared.parts.time.now().into());
            shared.parts.events.tell(Event::Alarm(AlarmEvent { kind: "clock_step".to_owned(), message, at }));
        }
        (None, true) => info!("the wall clock is followed again"),
        _ => {}
    }
}

/// Acknowledges for the authority itself (`feed-protocol.md` 20).
async fn release(shared: Arc<Shared>, mut releases: mpsc::UnboundedReceiver<Release>) {
    let run = async {
        // In order: what was begun before a later revision includes what was begun before an earlier one.
        while let Some(Release { revision, drained }) = releases.recv().await {
            drained.await;
            shared.step(Input::AuthorityAcked { revision });
        }
    };
    tokio::select! {
        biased;
        () = shared.closing() => {}
        () = run => {}
    }
}

/// Makes durable what the hub wants to be. A receipt comes after the ends that it may rest on.
async fn work(shared: Arc<Shared>, mut works: mpsc::UnboundedReceiver<Work>) {
    loop {
        let next = tokio::select! {
            biased;
            next = works.recv() => next,
            () = shared.closing() => return,
        };
        match next {
            None => return,
            Some(Work::Complete(facts)) => {
                shared.floor().completing_end(facts.revocation);
                signing::begin(&shared, facts);
            }
            Some(Work::StartAnew) => start_anew(&shared).await,
            Some(Work::Ended(session, kind, at)) => ended(&shared, session, kind, at).await,
            Some(Work::Claims(claims)) => succession::settle(&shared, claims).await,
            Some(Work::Forgotten(session)) => {
                persist(&shared, session, || shared.parts.store.session_forget(session)).await;
            }
        }
    }
}

/// Records the end of a session, and tells of it.
pub(super) async fn ended(shared: &Shared, session: SessionId, kind: SessionEndKind, at: UnixTime) {
    shared.parts.metrics.session_ended_count(evidence(kind));
    persist(shared, session, || shared.parts.store.session_end(session, kind, at)).await;
    if let Ok(Some(row)) = shared.parts.store.session(session).await {
        shared.parts.events.tell(Event::Session(session_event(&row, evidence(kind), at)));
    }
}

async fn persist<F>(shared: &Shared, session: SessionId, write: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    if insist(shared, "the end of a session was not recorded", write).await.is_some() {
        shared.floor().endings.recorded(session);
    }
}

/// Why a session ended, as the metrics and the events say it.
pub(super) const fn evidence(kind: SessionEndKind) -> &'static str {
    match kind {
        SessionEndKind::Goodbye => "goodbye",
        SessionEndKind::Succeeded => "succeeded",
        SessionEndKind::Forgotten => "forgotten",
    }
}

async fn start_anew(shared: &Shared) {
    shared.parts.metrics.clock_jump_count();
    shared.parts.events.tell(Event::Alarm(AlarmEvent {
        kind: "clock_jump".to_owned(),
        message: "real time ran ahead of boot time: the machine was paused, and this counts as a new start".to_owned(),
        at: shared.parts.time.now().into(),
    }));
    let write = || {
        let mut id = [0; 16];
        shared.parts.entropy.fill(&mut id);
        shared.parts.store.start_record(StartId::from_bytes(id))
    };
    if let Some(row) = insist(shared, "a new start was not recorded", write).await {
        info!(start = %row.start, revision = %row.revision, "a new start is recorded");
        shared.step(Input::Restarted { start: row.start });
    }
}

/// Writes until it is written or there is no point any more.
pub(super) async fn insist<T, F>(shared: &Shared, what: &'static str, write: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match write().await {
            Ok(written) => return Some(written),
            Err(error) if !again(shared, what, &error).await => return None,
            Err(_) => {}
        }
    }
}

/// Waits a while after a failure; says whether to try again.
async fn again(shared: &Shared, what: &'static str, error: &StoreError) -> bool {
    warn!(%error, "{what}");
    // A store that has stopped ends the process, one that is fenced waits for another; one that does not know what is
    // meant never will.
    if matches!(error, StoreError::Stopped(_) | StoreError::NotFound(_) | StoreError::Rollback(_)) {
        return false;
    }
    tokio::select! {
        biased;
        () = shared.closing() => false,
        () = sleep(RETRY_AFTER) => true,
    }
}
