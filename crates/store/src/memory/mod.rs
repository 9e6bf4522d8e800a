//! The model of a store: plain maps in memory. It says what the port means, and every other store is compared with it;
//! no product has it.
//!
//! Mutations are done one after another, in the order in which they were first polled. Each works on a copy of all there
//! is, which takes its place if the mutation succeeds and is thrown away if not. A read keeps what it found, so it sees
//! one moment. There is no thread and no timer in here, so that with equal clocks and equal entropy the same calls in the
//! same order have the same outcome, byte for byte.
//!
//! Not guaranteed: anything about speed. It is slow where that is plainer.

mod change;
mod collection;
mod credential;
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
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use jeton_types::{Clock, Entropy, StartId};
use tokio::sync::{oneshot, watch};

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

/// What outlives a process: the model's data folder. A handle: clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Arc<State>>>);

impl Disk {
    fn view(&self) -> Arc<State> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `after` in the place of `before`; refuses if something else is there by now.
    fn replace(&self, before: &Arc<State>, after: State) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&state, before) {
            return Err(foreign_writer());
        }
        *state = Arc::new(after);
        Ok(())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// The model. A handle: clones share it.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    claim: Option<Arc<Claim>>,
}

struct Shared {
    disk: Disk,
    time: AuthorityTime,
    entropy: Arc<dyn Entropy>,
    commit_log: Arc<CommitLog>,
    health: watch::Sender<Health>,
    /// Why nothing is written any more.
    fence: OnceLock<String>,
    line: Line,
}

impl Memory {
    /// Opens what is on a disk, as a process that begins does.
    #[must_use]
    pub fn open(disk: &Disk, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let state = disk.view();
        let time = AuthorityTime::new(clock);
        time.raise(state.authority_time);
        let shared = Shared {
            disk: disk.clone(),
            time,
            entropy,
            commit_log: Arc::new(CommitLog::new(state.head.clone())),
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
        let mutation = move |shared: &Shared, start: &mut Option<StartId>| {
            // Whoever asked may have gone; what was done stays done.
            let _ = reply.send(shared.mutate(start, work));
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
        &self,
        start: &mut Option<StartId>,
        work: impl FnOnce(&mut Draft<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Health::Stopped(why) = &*self.health.borrow() {
            return Err(StoreError::Stopped(why.clone()));
        }
        if let Some(why) = self.fence.get() {
            return Err(StoreError::Rollback(why.clone()));
        }
        let mut before = self.disk.view();
        if before.head != self.commit_log.head() {
            return Err(self.stop(foreign_writer()));
        }
        let now = self.time.now();
        // Whatever becomes of the mutation.
        if before.kept.values().any(|kept| kept.until <= now) {
            let mut shredded = State::clone(&before);
            shredded.kept.retain(|_, kept| kept.until > now);
            self.disk.replace(&before, shredded).map_err(|error| self.stop(error))?;
            before = self.disk.view();
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
        let boot = self.time.boot();
        self.disk.replace(&before, state).map_err(|error| self.stop(error))?;
        *start = begun;
        let committed: Vec<Committed> =
            written.into_iter().map(|(record, revocation)| Committed { record, revocation, boot }).collect();
        if !committed.is_empty() {
            self.commit_log.append(committed);
        }
        Ok(done)
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
