//! Where what a store reads piece by piece goes.

use std::ops::ControlFlow;

use crate::model::SnapshotItem;

/// Where the pieces of a snapshot go.
pub trait SnapshotSink: Send + 'static {
    /// Takes a piece, on a thread that may block.
    fn take(&mut self, item: SnapshotItem) -> ControlFlow<()>;

    /// The same from a store that reads without a thread. A sink that blocks must say here how it waits instead.
    fn take_or_wait(&mut self, item: SnapshotItem) -> impl Future<Output = ControlFlow<()>> + Send {
        std::future::ready(self.take(item))
    }
}

impl<F: FnMut(SnapshotItem) -> ControlFlow<()> + Send + 'static> SnapshotSink for F {
    fn take(&mut self, item: SnapshotItem) -> ControlFlow<()> {
        self(item)
    }
}
