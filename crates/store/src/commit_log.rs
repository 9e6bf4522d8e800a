//! How the rest of the process learns of commits.
//!
//! The writer appends each record here after its transaction is durable and before the mutation is answered. So
//! whoever has an answer finds its record here, and nothing here can be lost again. The ring is a shortcut: what has
//! left it is read from the database.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jeton_feed::record::{Head, Record};
use jeton_types::{BootTime, Revision, RevocationId};
use tokio::sync::{mpsc, watch};

/// Records that are kept in memory,
const RING_RECORDS_MAX: usize = 16_384;
/// and their changes; the newest record is kept however many it has.
const RING_CHANGES_MAX: usize = 131_072;
/// Changes of the records that are handed out at once, but for the first of them, which may have more.
pub(crate) const BATCH_CHANGES_MAX: usize = 16_384;

/// How many of these records, by their numbers of changes, are handed out at once.
pub(crate) fn batch(changes: impl IntoIterator<Item = usize>) -> usize {
    let (mut count, mut sum) = (0, 0_usize);
    for changes in changes {
        sum = sum.saturating_add(changes);
        if count > 0 && sum > BATCH_CHANGES_MAX {
            break;
        }
        count += 1;
    }
    count
}

/// One record, committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The record.
    pub record: Arc<Record>,
    /// The revocation that it belongs to, if it does.
    pub revocation: Option<RevocationId>,
    /// The boot clock just before its commit.
    pub boot: BootTime,
}

/// The last records in memory, and who is told of new ones.
#[derive(Debug)]
pub struct CommitLog {
    inner: Mutex<Inner>,
    changed: watch::Sender<Revision>,
}

#[derive(Debug)]
struct Inner {
    ring: VecDeque<Arc<Record>>,
    ring_max: usize,
    changes: usize,
    /// Every record above this one is in the ring.
    floor: Revision,
    head: Head,
    subscribers: Vec<mpsc::UnboundedSender<Arc<Committed>>>,
}

impl CommitLog {
    pub(crate) fn new(head: Head) -> Self {
        Self::with_ring(head, RING_RECORDS_MAX)
    }

    fn with_ring(head: Head, ring_max: usize) -> Self {
        let (changed, _) = watch::channel(head.revision);
        let inner =
            Inner { ring: VecDeque::new(), ring_max, changes: 0, floor: head.revision, head, subscribers: Vec::new() };
        Self { inner: Mutex::new(inner), changed }
    }

    /// Where the log stands: everything up to here is durable.
    #[must_use]
    pub fn head(&self) -> Head {
        self.inner().head.clone()
    }

    /// The first records above `revision`, at most `limit`, of all namespaces and in order; fewer if they are large. Nothing if some of them have
    /// left memory: then the store has them.
    #[must_use]
    pub fn after(&self, revision: Revision, limit: usize) -> Option<Vec<Arc<Record>>> {
        let inner = self.inner();
        if revision < inner.floor {
            return None;
        }
        let first = inner.ring.partition_point(|record| record.revision <= revision);
        let found = || inner.ring.range(first..).take(limit);
        let count = batch(found().map(|record| record.changes.len()));
        Some(found().take(count).cloned().collect())
    }

    /// The head's revision, for those who want to be woken.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Revision> {
        self.changed.subscribe()
    }

    /// Every record from here on, in order and without a gap. Never blocks the writer, so whoever subscribes must keep
    /// up; it is meant for the one machine that follows the whole log.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Arc<Committed>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.inner().subscribers.push(sender);
        receiver
    }

    /// To be called by the writer alone, after the commit and before any answer.
    pub(crate) fn append(&self, batch: Vec<Committed>) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        for committed in batch {
            let committed = Arc::new(committed);
            let record = &committed.record;
            inner.head =
                Head { revision: record.revision, start: record.start, chain_hash: record.chain_hash, mac: None };
            inner.ring.push_back(Arc::clone(record));
            inner.changes += record.changes.len();
            while (inner.ring.len() > inner.ring_max || inner.changes > RING_CHANGES_MAX)
                && inner.ring.len() > 1
                && let Some(gone) = inner.ring.pop_front()
            {
                inner.changes -= gone.changes.len();
                inner.floor = gone.revision;
            }
            inner.subscribers.retain(|subscriber| subscriber.send(Arc::clone(&committed)).is_ok());
        }
        // Under the lock, so that whoever is woken finds the record.
        self.changed.send_replace(inner.head.revision);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jeton_feed::record::Change;
    use jeton_types::{Hash32, NamespaceName, StartId, UnixTime};

    use super::*;

    fn revision(value: u64) -> Revision {
        Revision::new(value).unwrap()
    }

    fn committed(at: u64) -> Committed {
        let record = Record {
            revision: revision(at),
            predecessor: Revision::ZERO,
            namespace: NamespaceName::built_in(),
            start: StartId::from_bytes([1; 16]),
            chain_hash: Hash32([u8::try_from(at).unwrap(); 32]),
            set_hash: None,
            committed_at: UnixTime::ZERO,
            changes: Vec::new(),
        };
        Committed { record: Arc::new(record), revocation: None, boot: BootTime::ZERO }
    }

    fn revisions(found: Option<Vec<Arc<Record>>>) -> Option<Vec<u64>> {
        found.map(|records| records.iter().map(|record| record.revision.get()).collect())
    }

    #[test]
    fn the_ring_answers_or_says_that_it_cannot() {
        let head =
            Head { revision: revision(10), start: StartId::from_bytes([0; 16]), chain_hash: Hash32::ZERO, mac: None };
        let log = CommitLog::with_ring(head, 3);
        let mut subscriber = log.subscribe();
        let changed = log.changed();
        assert_eq!(revisions(log.after(revision(10), 9)), Some(vec![]));
        assert_eq!(revisions(log.after(revision(9), 9)), None, "written before this process began");
        log.append(vec![committed(12), committed(14)]);
        assert_eq!(revisions(log.after(revision(10), 9)), Some(vec![12, 14]));
        assert_eq!(revisions(log.after(revision(13), 9)), Some(vec![14]), "need not be a revision that exists");
        log.append(vec![committed(15), committed(17)]);
        assert_eq!(revisions(log.after(revision(11), 9)), None);
        assert_eq!(revisions(log.after(revision(12), 9)), Some(vec![14, 15, 17]));
        assert_eq!(revisions(log.after(revision(12), 2)), Some(vec![14, 15]));
        assert_eq!(revisions(log.after(revision(99), 9)), Some(vec![]));
        assert_eq!(log.head().revision, revision(17));
        assert_eq!(log.head().chain_hash, Hash32([17; 32]));
        assert_eq!(*changed.borrow(), revision(17));
        let told: Vec<u64> =
            std::iter::from_fn(|| subscriber.try_recv().ok()).map(|c| c.record.revision.get()).collect();
        assert_eq!(told, [12, 14, 15, 17]);
    }

    #[test]
    fn large_records_are_few() {
        let large = |at, changes| {
            let mut committed = committed(at);
            let record = Arc::get_mut(&mut committed.record).unwrap();
            record.changes = vec![Change::Start(StartId::from_bytes([1; 16])); changes];
            committed
        };
        let head =
            Head { revision: revision(10), start: StartId::from_bytes([0; 16]), chain_hash: Hash32::ZERO, mac: None };
        let log = CommitLog::new(head);
        log.append(vec![large(11, 1), large(12, BATCH_CHANGES_MAX - 1), large(13, 1), large(14, RING_CHANGES_MAX / 2)]);
        assert_eq!(revisions(log.after(revision(10), 9)), Some(vec![11, 12]));
        assert_eq!(revisions(log.after(revision(11), 9)), Some(vec![12, 13]));
        assert_eq!(revisions(log.after(revision(12), 9)), Some(vec![13]), "the next one is too large");
        assert_eq!(revisions(log.after(revision(13), 9)), Some(vec![14]));
        log.append(vec![large(15, RING_CHANGES_MAX / 2)]);
        assert_eq!(revisions(log.after(revision(12), 9)), None, "they have left memory");
        assert_eq!(revisions(log.after(revision(13), 9)), Some(vec![14]));
        log.append(vec![large(16, 2 * RING_CHANGES_MAX)]);
        assert_eq!(revisions(log.after(revision(14), 9)), None);
        assert_eq!(revisions(log.after(revision(15), 9)), Some(vec![16]), "the newest is always there");
    }
}
