//! The line in which mutations wait. Whoever finds nobody at work does all that waits, those of others too; so a mutation
//! whose future was dropped is done all the same, and no thread is needed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jeton_types::StartId;

use super::Shared;

/// A mutation that waits. It answers whoever asked for it, and panics never.
pub(super) type Mutation = Box<dyn FnOnce(&Arc<Shared>, &mut Option<StartId>) + Send>;

#[derive(Default)]
pub(super) struct Line(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Mutation>,
    /// Somebody is at work.
    busy: bool,
    /// The start of this process; nothing before it was recorded.
    start: Option<StartId>,
}

impl Line {
    /// Puts a mutation at the end; it is done before this returns, or by whoever is at work now.
    pub(super) fn hand_in(&self, shared: &Arc<Shared>, mutation: Mutation) {
        let mut inner = self.inner();
        inner.waiting.push_back(mutation);
        if inner.busy {
            return;
        }
        inner.busy = true;
        let mut start = inner.start;
        while let Some(next) = inner.waiting.pop_front() {
            drop(inner);
            next(shared, &mut start);
            inner = self.inner();
        }
        inner.start = start;
        inner.busy = false;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
