//! The model of a store: plain maps in memory. It says what the port means, and every other store is compared with it;
//! no product has it.
//!
//! Mutations are done one after another, in the order in which they were first polled. Each works on a copy of all there
//! is, which takes its place if the mutation succeeds and is thrown away if not. A read keeps what it found, so it sees
//! one moment. There is no thread and no timer in here, so that with equal clocks and equal entropy the same calls in the
//! same order have the same outcome, byte for byte.
//!
//! Its [`Disk`] may be one that must be told to sync: then nothing is answered, read or published before it is, and a
//! crash takes what was not.
//!
//! Not guaranteed: anything about speed. It is slow where that is plainer.

mod change;
mod collection;
mod credential;
mod disk;
mod line;
mod port;
mod revocation;
mod select;
mod snapshot;
mod start;
mod state;
mod usage;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use jeton_feed::record::{Head, Record};
use jeton_types::{Clock, Entropy, RevocationId, StartId};
use tokio::sync::{oneshot, watch};

pub use self::disk::Disk;
use self::{
    line::Line,
    state::{Draft, Kept, State},
};
use crate::{
    CommitLog, Committed, Health, StoreError,
    actor::Actor,
    authority_time::AuthorityTime,
    idempotency::{Claim, KEPT_FOR, Keep, Replay},
    model::Caller,
};

/// The model. A handle: clones share it.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    claim: Option<Arc<Claim>>,
}

struct Shared {
    disk: Disk,
    /// Which of the processes that have opened the disk this is.
    opening: u64,
    time: AuthorityTime,
    entropy: Arc<dyn Entropy>,
    commit_log: Arc<CommitLog>,
    /// What was written last, whether or not it is synced.
    head: Mutex<Head>,
    health: watch::Sender<Health>,
    /// Why nothing is written any more.
    fence: OnceLock<String>,
    line: Line,
}

impl Memory {
    /// Opens what is on a disk, as a process that begins does.
    #[must_use]
    pub fn open(disk: &Disk, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let (opening, state) = disk.open();
        let time = AuthorityTime::new(clock);
        time.raise(state.authority_time);
        let shared = Shared {
            disk: disk.clone(),
            opening,
            time,
            entropy,
            commit_log: Arc::new(CommitLog::new(state.head.clone())),
            head: Mutex::new(state.head.clone()),
            health: watch::channel(Health::Writing).0,
            fence: OnceLock::new(),
            line: Line::default(),
        };
        Self { shared: Arc::new(shared), claim: None }
    }

    fn view(&self) -> Arc<State> {
        self.shared.disk.view()
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let mutation = move |shared: &Arc<Shared>, start: &mut Option<StartId>| {
            let done = shared.mutate(start, work);
            // What was refused was perhaps refused because of something that a crash can still take.
            shared.disk.once_synced(shared.opening, || {
                // Whoever asked may have gone; what was done stays done.
                let _ = reply.send(done);
            });
        };
        self.shared.line.hand_in(&self.shared, Box::new(mutation));
        answer.await.unwrap_or(Err(StoreError::Unknown))
    }

    async fn write_once<T: Keep + Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(claim) = self.claim.clone() else { return self.write(work).await };
        self.write(move |draft| once(draft, caller, &claim, work)).await
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Shared {
    /// One mutation: all of it or nothing. `start` is that of this process.
    fn mutate<T>(
        self: &Arc<Self>,
        start: &mut Option<StartId>,
        work: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Health::Stopped(why) = &*self.health.borrow() {
            return Err(StoreError::Stopped(why.clone()));
        }
        if let Some(why) = self.fence.get() {
            return Err(StoreError::Rollback(why.clone()));
        }
        let mut before = self.disk.written();
        if before.head != *self.head() {
            return Err(self.stop(foreign_writer()));
        }
        let now = self.time.now();
        // Whatever becomes of the mutation.
        if before.kept.values().any(|kept| kept.until <= now) {
            let mut shredded = State::clone(&before);
            shredded.kept.retain(|_, kept| kept.until > now);
            before = self.disk.replace(&before, shredded).map_err(|error| self.stop(error))?;
        }
        let mut draft = Draft {
            state: State::clone(&before),
            start: *start,
            time: &self.time,
            entropy: &*self.entropy,
            written: Vec::new(),
        };
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut draft)))
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the mutation panicked".to_owned())))?;
        draft.set_hash_fill();
        let Draft { state, start: begun, written, .. } = draft;
        self.head().clone_from(&state.head);
        self.disk.replace(&before, state).map_err(|error| self.stop(error))?;
        *start = begun;
        if !written.is_empty() {
            let shared = Arc::clone(self);
            self.disk.once_synced(self.opening, move || shared.publish(written));
        }
        Ok(done)
    }

    fn publish(&self, written: Vec<(Arc<Record>, Option<RevocationId>)>) {
        let boot = self.time.boot();
        let committed = written.into_iter().map(|(record, revocation)| Committed { record, revocation, boot });
        self.commit_log.append(committed.collect());
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, error: StoreError) -> StoreError {
        self.health.send_replace(Health::Stopped(error.to_string()));
        error
    }
}

fn foreign_writer() -> StoreError {
    StoreError::Stopped("another process has written to the database".to_owned())
}

/// Does `work`, unless it was done under this key.
fn once<T: Keep>(
    draft: &mut Draft<'_>,
    caller: Caller,
    claim: &Claim,
    work: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let actor: Actor = draft.state.actor(caller, draft.now())?;
    let principal = actor.credential.ok_or(StoreError::Unauthenticated)?;
    let key = (principal, *claim.key.as_bytes());
    if let Some(found) = draft.state.kept.get(&key) {
        if found.body != claim.body {
            return Err(StoreError::KeyReused);
        }
        return Err(StoreError::Replayed(Box::new(found.replay.clone())));
    }
    let done = work(draft)?;
    let kept = done.kept();
    let text = serde_json::to_string(&kept).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let sealed = done.secret().map(|secret| (claim.seal)(secret, &text)).transpose()?;
    let until = draft.now().plus(KEPT_FOR);
    draft.state.kept.insert(key, Kept { body: claim.body, replay: Replay { kept, text, sealed }, until });
    Ok(done)
}
