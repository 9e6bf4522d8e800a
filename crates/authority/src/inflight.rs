//! Verifications under way: so that the authority can wait for those begun before a moment (`feed-protocol.md` 7 and 20).
//!
//! Whoever verifies holds a [`Guard`] from before its read view opens until its answer is made. [`Inflight::drained`]
//! resolves once every guard begun before the call is gone; it does not wait for later ones, so it resolves under any
//! load. It wakes up when the last of them is dropped, and never polls.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The verifications under way in this process. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Inflight(Arc<Mutex<Generations>>);

/// Guards are counted by generation. A waiter closes the generation that is open, so that what begins later falls into
/// the next one and does not hold it up.
#[derive(Default)]
struct Generations {
    open: u64,
    guards: BTreeMap<u64, usize>,
    waiters: Vec<(u64, oneshot::Sender<()>)>,
}

impl Inflight {
    /// With nothing under way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A verification begins.
    #[must_use = "the verification is over when the guard is dropped"]
    pub fn begin(&self) -> Guard {
        let mut generations = self.lock();
        let generation = generations.open;
        *generations.guards.entry(generation).or_default() += 1;
        Guard { inflight: self.clone(), generation }
    }

    /// Resolves once every verification begun before this call is over. What counts is the call, not the first poll.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let waiting = {
            let mut generations = self.lock();
            if generations.guards.is_empty() {
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                let closed = generations.open;
                generations.open += 1;
                generations.waiters.push((closed, sender));
                Some(receiver)
            }
        };
        async move {
            if let Some(waiting) = waiting {
                // The sender is dropped only with the last guard's `Inflight`, and then nothing is under way either.
                let _ = waiting.await;
            }
        }
    }

    fn end(&self, generation: u64) {
        let mut generations = self.lock();
        let generations = &mut *generations;
        if let Some(count) = generations.guards.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                generations.guards.remove(&generation);
            }
        }
        let oldest = generations.guards.first_key_value().map_or(u64::MAX, |(generation, _)| *generation);
        for (_, waiter) in generations.waiters.extract_if(.., |(closed, waiter)| *closed < oldest || waiter.is_closed())
        {
            let _ = waiter.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations = self.lock();
        f.debug_struct("Inflight")
            .field("guards", &generations.guards.values().sum::<usize>())
            .field("waiters", &generations.waiters.len())
            .finish()
    }
}

/// One verification under way.
#[derive(Debug)]
pub struct Guard {
    inflight: Inflight,
    generation: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inflight.end(self.generation);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn nothing_under_way_is_drained() {
        let inflight = Inflight::new();
        drop(inflight.begin());
        assert!(inflight.drained().now_or_never().is_some());
    }

    #[test]
    fn it_waits_for_what_began_before_and_for_nothing_else() {
        let inflight = Inflight::new();
        let (first, second) = (inflight.begin(), inflight.begin());
        let mut drained = Box::pin(inflight.drained());
        let later = inflight.begin();
        assert!((&mut drained).now_or_never().is_none());
        drop(second);
        assert!((&mut drained).now_or_never().is_none());
        drop(first);
        assert!((&mut drained).now_or_never().is_some(), "the later one does not count");
        drop(later);
    }

    #[test]
    fn the_call_counts_and_not_the_first_poll() {
        let inflight = Inflight::new();
        let before = inflight.begin();
        let drained = inflight.drained();
        let after = inflight.begin();
        drop(before);
        assert!(drained.now_or_never().is_some());
        drop(after);
    }

    #[test]
    fn several_waiters_each_have_their_own_moment() {
        let inflight = Inflight::new();
        let first = inflight.begin();
        let mut one = Box::pin(inflight.drained());
        let second = inflight.begin();
        let mut two = Box::pin(inflight.drained());
        drop(second);
        assert!((&mut one).now_or_never().is_none());
        assert!((&mut two).now_or_never().is_none(), "the first began before both");
        drop(first);
        assert!((&mut one).now_or_never().is_some());
        assert!((&mut two).now_or_never().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_last_guard_wakes_the_waiter() {
        let inflight = Inflight::new();
        let guard = inflight.begin();
        let waiting = tokio::spawn(inflight.drained());
        tokio::task::yield_now().await;
        drop(guard);
        waiting.await.unwrap();
        assert_eq!(format!("{inflight:?}"), "Inflight { guards: 0, waiters: 0 }");
    }

    #[test]
    fn a_waiter_that_gave_up_is_forgotten() {
        let inflight = Inflight::new();
        let long = inflight.begin();
        drop(inflight.drained());
        drop(inflight.begin());
        assert_eq!(format!("{inflight:?}"), "Inflight { guards: 1, waiters: 0 }");
        drop(long);
    }
}
