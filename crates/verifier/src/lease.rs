//! The lease in force, as verifications read it and the session writes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;
use jeton_feed::{
    lease::{Lease, Void},
    numbers::JUMP_MAX,
};
use jeton_types::Now;

/// Lease and generation change together, in one pointer: a reader sees both of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeaseSeen {
    /// Counts the voids; a lease belongs to the generation that its renewal was sent in.
    pub(crate) generation: u64,
    pub(crate) lease: Option<Lease>,
    /// The last void, while no lease was granted since.
    pub(crate) void: Option<Void>,
    /// The generation from which on the table is another than the last one that was found to be wrong: whatever was read
    /// before may be of that one.
    pub(crate) sound_from: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LeaseCell {
    state: ArcSwap<LeaseSeen>,
    jump: AtomicBool,
}

impl LeaseCell {
    /// Copied out: no reference count that every verification on every core would fight for.
    pub(crate) fn seen(&self) -> LeaseSeen {
        **self.state.load()
    }

    pub(crate) fn set(&self, lease: Lease, generation: u64) -> bool {
        // An older renewal's lease never replaces a newer one's; on the boot clock, since a successor of a session
        // counts its requests on its own.
        self.update(|seen| {
            let fits = seen.generation == generation && seen.void != Some(Void::Goodbye);
            let newer = seen.lease.is_none_or(|held| held.sent.boot <= lease.sent.boot);
            (fits && newer).then_some(LeaseSeen { lease: Some(lease), void: None, ..seen })
        })
    }

    pub(crate) fn void(&self, why: Void) {
        self.update(|seen| {
            // Goodbye is final; a table that is wrong stays wrong until there is a lease on another, and one that was read
            // from a disk is not vouched for before there is a lease on it.
            let why = match seen.void {
                Some(Void::Goodbye) => Void::Goodbye,
                Some(Void::Mismatch) if why != Void::Goodbye => Void::Mismatch,
                Some(Void::FromDisk) if !matches!(why, Void::Goodbye | Void::Mismatch) => Void::FromDisk,
                _ => why,
            };
            let generation = seen.generation + 1;
            let sound_from = if why == Void::Mismatch { generation } else { seen.sound_from };
            Some(LeaseSeen { generation, lease: None, void: Some(why), sound_from })
        });
    }

    /// A verification saw a jump: voids the lease for all, unless there is another one by now that no jump touches.
    pub(crate) fn jumped(&self, now: Now) {
        let voided = self.update(|seen| {
            let touched = seen.lease.is_some_and(|lease| now.jump_since(lease.sent) > JUMP_MAX);
            let generation = seen.generation + 1;
            touched.then_some(LeaseSeen { generation, lease: None, void: Some(Void::Jump), ..seen })
        });
        if voided {
            self.jump.store(true, Ordering::Release);
        }
    }

    pub(crate) fn jump_take(&self) -> bool {
        self.jump.swap(false, Ordering::AcqRel)
    }

    /// Puts what `change` makes of the present state; says whether it made anything.
    fn update(&self, change: impl Fn(LeaseSeen) -> Option<LeaseSeen>) -> bool {
        let mut current = self.state.load();
        loop {
            let Some(next) = change(**current) else { return false };
            let previous = self.state.compare_and_swap(&*current, Arc::new(next));
            if Arc::ptr_eq(&current, &previous) {
                return true;
            }
            current = previous;
        }
    }
}
