//! A replica without a table: it checks that records follow, and keeps a book.

use std::cell::RefCell;

use jeton_types::{Hash32, NamespaceName, Revision};

use crate::{
    lease::{Lease, Void},
    message::SnapshotPart,
    record::{Change, Record},
    replica::{Replica, Unappliable, Visible},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    SnapshotBegin,
    SnapshotEnd(Revision),
    Applied(Revision),
    /// Some changes of a record of which more is to come.
    Enforced(Revision, usize),
    Advanced(Revision),
    LeaseSet(Lease),
    Mistrusted,
    Void(Void),
    Anew,
}

#[derive(Debug, Default)]
struct Inner {
    log: Vec<Entry>,
    watermark: Revision,
    last: Revision,
    lease: Option<Lease>,
    generation: u64,
    building: bool,
    /// What is looked at next does not add up.
    mismatches: usize,
}

#[derive(Debug, Default)]
pub(super) struct Book(RefCell<Inner>);

impl Book {
    pub(super) fn lease(&self) -> Option<Lease> {
        self.0.borrow().lease
    }

    pub(super) fn leases_set(&self) -> usize {
        self.0.borrow().log.iter().filter(|entry| matches!(entry, Entry::LeaseSet(_))).count()
    }

    pub(super) fn voided(&self) -> Option<Void> {
        let inner = self.0.borrow();
        let last = inner.log.iter().rev().find(|entry| matches!(entry, Entry::Void(_) | Entry::LeaseSet(_)));
        last.and_then(|entry| if let Entry::Void(why) = entry { Some(*why) } else { None })
    }

    /// Lets the next record, snapshot or sum not add up.
    pub(super) fn mismatch_next(&self) {
        self.mismatch_next_times(1);
    }

    /// The same, so many times.
    pub(super) fn mismatch_next_times(&self, times: usize) {
        self.0.borrow_mut().mismatches = times;
    }

    pub(super) fn log(&self) -> Vec<Entry> {
        self.0.borrow().log.clone()
    }
}

impl Inner {
    /// Whether this time something does not add up.
    const fn mismatches(&mut self) -> bool {
        let again = self.mismatches > 0;
        self.mismatches = self.mismatches.saturating_sub(1);
        again
    }
}

fn mismatch() -> Unappliable {
    Unappliable::Mismatch { namespace: "acme".parse().unwrap() }
}

impl Replica for Book {
    fn watermark(&self) -> Revision {
        self.0.borrow().watermark
    }

    fn snapshot_begin(&self) {
        let mut inner = self.0.borrow_mut();
        inner.building = true;
        inner.log.push(Entry::SnapshotBegin);
    }

    fn snapshot_rows(&self, _: SnapshotPart) {
        assert!(self.0.borrow().building, "rows without a beginning");
    }

    fn snapshot_end(&self, at: Revision) -> Result<Visible, Unappliable> {
        let mut inner = self.0.borrow_mut();
        assert!(std::mem::take(&mut inner.building), "an end without a beginning");
        assert!(at >= inner.watermark, "back to an older snapshot");
        if inner.mismatches() {
            return Err(mismatch());
        }
        inner.log.push(Entry::SnapshotEnd(at));
        (inner.watermark, inner.last) = (at, at);
        Ok(Visible::up_to(at))
    }

    fn anew(&self) {
        let mut inner = self.0.borrow_mut();
        assert!(inner.lease.is_none(), "what is of another history is still answered for");
        inner.log.push(Entry::Anew);
        (inner.building, inner.watermark, inner.last) = (false, Revision::ZERO, Revision::ZERO);
    }

    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable> {
        let mut inner = self.0.borrow_mut();
        for change in &record.changes {
            if let Change::Unknown { kind, needs_protocol } = *change {
                return Err(Unappliable::UnknownChange { kind, needs_protocol });
            }
        }
        if record.predecessor > inner.last || record.revision <= inner.last {
            let (namespace, named) = (record.namespace.clone(), record.predecessor);
            return Err(Unappliable::Gap { namespace, named, applied: inner.last });
        }
        if inner.mismatches() {
            return Err(mismatch());
        }
        inner.log.push(Entry::Applied(record.revision));
        inner.last = record.revision;
        inner.watermark = inner.watermark.max(record.revision);
        Ok(Visible::up_to(record.revision))
    }

    fn ends_enforce(&self, part: &Record) -> Result<(), Unappliable> {
        let mut inner = self.0.borrow_mut();
        if part.predecessor > inner.last || part.revision <= inner.last {
            let (namespace, named) = (part.namespace.clone(), part.predecessor);
            return Err(Unappliable::Gap { namespace, named, applied: inner.last });
        }
        inner.log.push(Entry::Enforced(part.revision, part.changes.len()));
        Ok(())
    }

    fn set_hashes(&self, namespaces: &[NamespaceName]) -> Result<Vec<Hash32>, Unappliable> {
        let mut inner = self.0.borrow_mut();
        if inner.mismatches() { Err(mismatch()) } else { Ok(vec![Hash32::ZERO; namespaces.len()]) }
    }

    fn mistrust(&self) {
        self.0.borrow_mut().log.push(Entry::Mistrusted);
        self.lease_void(Void::Mismatch);
    }

    fn watermark_advance(&self, to: Revision) {
        let mut inner = self.0.borrow_mut();
        inner.log.push(Entry::Advanced(to));
        inner.watermark = inner.watermark.max(to);
    }

    fn lease_generation(&self) -> u64 {
        self.0.borrow().generation
    }

    fn lease_set(&self, lease: Lease, generation: u64) -> bool {
        let mut inner = self.0.borrow_mut();
        if inner.generation != generation {
            return false;
        }
        inner.log.push(Entry::LeaseSet(lease));
        inner.lease = Some(lease);
        true
    }

    fn lease_void(&self, why: Void) {
        let mut inner = self.0.borrow_mut();
        inner.log.push(Entry::Void(why));
        inner.generation += 1;
        inner.lease = None;
    }
}
