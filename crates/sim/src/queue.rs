//! What is to happen, in order of time and then of being scheduled.

use std::{cmp::Reverse, collections::BinaryHeap};

/// The events themselves lie still; the heap moves three numbers each.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    ordinal: u64,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), ordinal: 0 }
    }

    pub(crate) fn push(&mut self, at: u64, event: E) {
        self.ordinal += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.heap.push(Reverse((at, self.ordinal, place)));
    }

    /// The next event, if it is due by `end`.
    pub(crate) fn pop(&mut self, end: u64) -> Option<(u64, E)> {
        let Reverse((at, _, place)) = *self.heap.peek().filter(|Reverse((at, ..))| *at <= end)?;
        self.heap.pop();
        self.free.push(place);
        Some((at, self.events[place].take()?))
    }
}
