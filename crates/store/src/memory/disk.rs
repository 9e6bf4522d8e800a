//! What outlives a process.
//!
//! A disk syncs by itself, at once, or when it is told to ([`Disk::unsynced`]). Told to, it behaves as a database with a write-ahead
//! log and group commit does: mutations build on one another as they are written, and are seen, published and answered
//! when they are synced; a crash keeps those that were, and of the others the first few or none.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jeton_types::fault::{Fault, injected};

use super::{foreign_writer, state::State};
use crate::StoreError;

/// The model's data folder. A handle: clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    synced: Arc<State>,
    /// What was written since, oldest first.
    written: Vec<Arc<State>>,
    /// It must be told to sync.
    told: bool,
    /// How many processes have opened it; only the last can write.
    openings: u64,
    /// What waits for the next sync.
    waiting: Vec<Waiting>,
}

type Waiting = Box<dyn FnOnce() + Send>;

impl Disk {
    /// An empty disk that syncs only when it is told to.
    #[must_use]
    pub fn unsynced() -> Self {
        Self(Arc::new(Mutex::new(Inner { told: true, ..Inner::default() })))
    }

    /// Makes durable what was written, and lets out what waited for it. Says how many mutations these were.
    pub fn sync(&self) -> usize {
        let (count, waiting) = {
            let mut inner = self.inner();
            let written = mem::take(&mut inner.written);
            if let Some(last) = written.last() {
                inner.synced = Arc::clone(last);
            }
            (written.len(), mem::take(&mut inner.waiting))
        };
        // Without the lock: what is let out may look, and write.
        for one in waiting {
            one();
        }
        count
    }

    /// The machine is gone, and the process with it: what was written and not synced is lost but for the first `kept`
    /// mutations, whose answers never left either way. Says how many were lost.
    pub fn crash(&self, kept: impl FnOnce(usize) -> usize) -> usize {
        let mut inner = self.inner();
        let written = mem::take(&mut inner.written);
        let kept = kept(written.len()).min(written.len());
        if let Some(last) = kept.checked_sub(1).and_then(|last| written.get(last)) {
            inner.synced = Arc::clone(last);
        }
        let waiting = mem::take(&mut inner.waiting);
        inner.openings += 1;
        drop(inner);
        drop(waiting);
        written.len() - kept
    }

    /// What a process finds that begins, and its number. What the one before it wrote is there though it was not synced:
    /// only a machine's crash takes that.
    pub(super) fn open(&self) -> (u64, Arc<State>) {
        let mut inner = self.inner();
        inner.openings += 1;
        inner.synced = Arc::clone(inner.last());
        inner.written.clear();
        let waiting = mem::take(&mut inner.waiting);
        let found = (inner.openings, Arc::clone(&inner.synced));
        drop(inner);
        drop(waiting);
        found
    }

    /// What a reader sees.
    pub(super) fn view(&self) -> Arc<State> {
        Arc::clone(&self.inner().synced)
    }

    /// What the next mutation builds on.
    pub(super) fn written(&self) -> Arc<State> {
        self.inner().last().clone()
    }

    /// Puts `after` in the place of `before`; refuses if something else is there by now.
    pub(super) fn replace(&self, before: &Arc<State>, after: State) -> Result<Arc<State>, StoreError> {
        let mut inner = self.inner();
        if !Arc::ptr_eq(inner.last(), before) {
            return Err(foreign_writer());
        }
        let after = Arc::new(after);
        if inner.told {
            inner.written.push(Arc::clone(&after));
        } else {
            inner.synced = Arc::clone(&after);
        }
        Ok(after)
    }

    /// Does it once all is synced that is written now; never for a process that is gone by then.
    pub(super) fn once_synced(&self, opening: u64, then: impl FnOnce() + Send + 'static) {
        let mut inner = self.inner();
        let at_once = inner.written.is_empty() && inner.waiting.is_empty();
        if at_once || injected(Fault::ReplyBeforeCommit) {
            drop(inner);
            then();
        } else if inner.openings == opening {
            inner.waiting.push(Box::new(then));
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn last(&self) -> &Arc<State> {
        self.written.last().unwrap_or(&self.synced)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    fn state(revision: u64) -> State {
        let mut state = State::default();
        state.head.revision = jeton_types::Revision::new(revision).unwrap();
        state
    }

    fn write(disk: &Disk, revision: u64) {
        disk.replace(&disk.written(), state(revision)).unwrap();
    }

    fn seen(disk: &Disk) -> (u64, u64) {
        (disk.view().head.revision.get(), disk.written().head.revision.get())
    }

    #[test]
    fn nothing_is_seen_or_let_out_before_it_is_synced() {
        let disk = Disk::unsynced();
        let (opening, _) = disk.open();
        let out = Arc::new(AtomicU64::new(0));
        let let_out = |number| {
            let out = Arc::clone(&out);
            move || out.store(number, SeqCst)
        };
        disk.once_synced(opening, let_out(1));
        assert_eq!(out.load(SeqCst), 1, "nothing is there to wait for");
        write(&disk, 7);
        disk.once_synced(opening, let_out(2));
        write(&disk, 8);
        assert_eq!((seen(&disk), out.load(SeqCst)), ((0, 8), 1));
        assert_eq!((disk.sync(), seen(&disk), out.load(SeqCst)), (2, (8, 8), 2));
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_the_first_of_the_rest() {
        let disk = Disk::unsynced();
        let (opening, _) = disk.open();
        write(&disk, 1);
        disk.sync();
        for revision in 2..6 {
            write(&disk, revision);
        }
        disk.once_synced(opening, || panic!("it was never synced"));
        assert_eq!((disk.crash(|count| count - 2), seen(&disk)), (2, (3, 3)));
        disk.once_synced(opening, || ());
        write(&disk, 9);
        disk.once_synced(opening, || panic!("this process is gone"));
        assert_eq!((disk.crash(|_| 0), seen(&disk)), (1, (3, 3)));
        disk.sync();
    }
}
