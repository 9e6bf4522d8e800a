//! The gate that every verification passes: open until the verifier leaves, then shut for good.
//!
//! A goodbye says that no answer follows any more, so it must wait for those that have begun. One word holds the flag
//! and the count, so that none can slip in between the two.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

const SHUT: usize = 1 << (usize::BITS - 1);

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: AtomicUsize,
    emptied: Notify,
}

/// One verification under way.
#[derive(Debug)]
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Lets a verification begin, unless the gate is shut.
    pub(super) fn enter(&self) -> Option<Pass<'_>> {
        let before = self.state.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(self);
        // The pass of a latecomer takes its count back when dropped.
        (before & SHUT == 0).then_some(pass)
    }

    pub(super) fn shut(&self) {
        self.state.fetch_or(SHUT, Ordering::SeqCst);
    }

    pub(super) fn is_shut(&self) -> bool {
        self.state.load(Ordering::SeqCst) & SHUT != 0
    }

    /// Comes back once the gate is shut and no verification is under way.
    pub(super) async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            tokio::pin!(notified);
            // Registered before the look, so that the last one out cannot be missed.
            notified.as_mut().enable();
            if self.state.load(Ordering::SeqCst) == SHUT {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::SeqCst) == SHUT + 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_shut_gate_empties_with_the_last_one_out() {
        let gate = Gate::default();
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        gate.shut();
        assert!(gate.enter().is_none() && gate.is_shut());
        let mut emptied = Box::pin(gate.emptied());
        assert!(emptied.as_mut().now_or_never().is_none());
        drop(first);
        assert!(emptied.as_mut().now_or_never().is_none());
        drop(second);
        emptied.await;
        gate.emptied().await;
    }
}
