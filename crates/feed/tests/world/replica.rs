//! The simplest replica that keeps the promises of the trait, or breaks one on purpose.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use jeton_feed::{
    lease::{Lease, Standing, Void},
    record::{Change, Policy, Record, TokenEntry},
    replica::{Replica, Unappliable, Visible},
};
use jeton_types::{Freshness, NamespaceName, Now, Revision, TokenId};

use super::{
    clock::{MILLI, Rng},
    plan::Flaw,
};

type Tables = BTreeMap<NamespaceName, Table>;

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) freshness: Freshness,
    /// Whether each token has not ended.
    pub(crate) active: BTreeMap<TokenId, bool>,
}

/// What one verification read, to be released later.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) namespace: NamespaceName,
    pub(crate) freshness: Freshness,
    /// The tokens that it found good.
    pub(crate) good: Vec<TokenId>,
    /// Read before the table: a later one could have been granted for what the table did not show yet.
    lease: Option<Lease>,
    generation: u64,
}

#[derive(Debug)]
pub(crate) struct TestReplica {
    namespaces: Vec<NamespaceName>,
    flaw: Option<Flaw>,
    tables: RefCell<Tables>,
    staged: RefCell<Option<Tables>>,
    watermark: Cell<Revision>,
    lease: Cell<Option<Lease>>,
    generation: Cell<u64>,
    /// For the flawed ones: what is said to be visible but is not, and the clocks at the step.
    late: RefCell<Vec<(Now, Record)>>,
    pub(crate) clock: Cell<Now>,
}

impl TestReplica {
    pub(crate) fn new(namespaces: Vec<NamespaceName>, flaw: Option<Flaw>) -> Self {
        Self {
            namespaces,
            flaw,
            tables: RefCell::default(),
            staged: RefCell::default(),
            watermark: Cell::default(),
            lease: Cell::default(),
            generation: Cell::default(),
            late: RefCell::default(),
            clock: Cell::default(),
        }
    }

    /// Reads the lease and then a table, as a verification does first; of `tokens` those that it finds good.
    pub(crate) fn read(&self, now: Now, namespace: &NamespaceName, tokens: &[TokenId]) -> Option<Reading> {
        self.late_apply(now);
        let (lease, generation) = (self.lease.get(), self.generation.get());
        let tables = self.tables.borrow();
        let table = tables.get(namespace)?;
        let good = tokens.iter().copied().filter(|token| table.active.get(token) == Some(&true)).collect();
        Some(Reading { namespace: namespace.clone(), freshness: table.freshness, good, lease, generation })
    }

    /// Where an answer stands that is to be released now.
    pub(crate) fn standing(&self, now: Now, reading: &Reading) -> Option<Standing> {
        let lease = match self.flaw {
            Some(Flaw::LeaseOfRelease) => self.lease.get()?,
            _ if reading.generation != self.generation.get() => return None,
            _ => reading.lease?,
        };
        let now = if self.flaw == Some(Flaw::JumpIgnored) {
            Now { real: lease.sent.real.plus(now.boot.since(lease.sent.boot)), ..now }
        } else {
            now
        };
        Some(lease.standing(now, reading.freshness))
    }

    pub(crate) fn is_live(&self, now: Now) -> bool {
        self.lease.get().is_some_and(|lease| matches!(lease.standing(now, Freshness::Strict), Standing::Live(_)))
    }

    fn late_apply(&self, now: Now) {
        let mut late = self.late.borrow_mut();
        late.retain(|(at, record)| {
            let due = now.boot.since(at.boot).as_nanos() as u64 >= 900 * MILLI;
            if due {
                apply(&mut self.tables.borrow_mut(), record);
            }
            !due
        });
    }
}

impl Replica for TestReplica {
    fn watermark(&self) -> Revision {
        self.watermark.get()
    }

    fn snapshot_begin(&self) {
        *self.staged.borrow_mut() = Some(Tables::new());
    }

    fn snapshot_rows(&self, namespace: &NamespaceName, policy: &Policy, rows: Vec<TokenEntry>) {
        if let Some(staged) = &mut *self.staged.borrow_mut() {
            let table = staged
                .entry(namespace.clone())
                .or_insert_with(|| Table { freshness: policy.freshness, active: BTreeMap::new() });
            table.active.extend(rows.into_iter().map(|row| (row.token, row.ended.is_none())));
        }
    }

    fn snapshot_end(&self, at: Revision) -> Visible {
        let staged = self.staged.borrow_mut().take().unwrap_or_default();
        if at >= self.watermark.get() {
            self.late.borrow_mut().clear();
            *self.tables.borrow_mut() = staged;
            self.watermark.set(at);
        }
        Visible::up_to(self.watermark.get())
    }

    fn anew(&self) {
        *self.staged.borrow_mut() = None;
        self.watermark.set(Revision::ZERO);
    }

    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable> {
        if !self.namespaces.contains(&record.namespace) {
            return Err(Unappliable::Foreign(record.namespace.clone()));
        }
        if record.predecessor > self.watermark.get() || record.revision <= self.watermark.get() {
            let (named, applied) = (record.predecessor, self.watermark.get());
            return Err(Unappliable::Gap { namespace: record.namespace.clone(), named, applied });
        }
        if self.flaw == Some(Flaw::AckBeforeApply) {
            self.late.borrow_mut().push((self.clock.get(), record.clone()));
        } else {
            apply(&mut self.tables.borrow_mut(), record);
        }
        self.watermark.set(record.revision);
        Ok(Visible::up_to(record.revision))
    }

    fn watermark_advance(&self, to: Revision) {
        self.watermark.set(self.watermark.get().max(to));
    }

    fn lease_generation(&self) -> u64 {
        self.generation.get()
    }

    fn lease_set(&self, mut lease: Lease, generation: u64) -> bool {
        if generation != self.generation.get() {
            return false;
        }
        if self.flaw == Some(Flaw::LeaseFromReceive) {
            lease.sent = self.clock.get();
        }
        self.lease.set(Some(lease));
        true
    }

    fn lease_void(&self, why: Void) {
        if self.flaw == Some(Flaw::AnswerAfterGoodbye) && matches!(why, Void::Goodbye | Void::Ended) {
            return;
        }
        self.generation.set(self.generation.get() + 1);
        self.lease.set(None);
    }
}

fn apply(tables: &mut Tables, record: &Record) {
    let table = tables
        .entry(record.namespace.clone())
        .or_insert_with(|| Table { freshness: Freshness::Strict, active: BTreeMap::new() });
    for change in &record.changes {
        match change {
            Change::Policy(policy) => table.freshness = policy.freshness,
            Change::Token(entry) => {
                table.active.entry(entry.token).or_insert(entry.ended.is_none());
            }
            Change::End { token, .. } => {
                table.active.insert(*token, false);
            }
            Change::Deadline { .. } | Change::Start(_) | Change::Unknown { .. } => {}
        }
    }
}

/// Sixteen bytes nobody else has.
pub(crate) fn bytes_of(rng: &mut Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.next().to_be_bytes());
    bytes[8..].copy_from_slice(&rng.next().to_be_bytes());
    bytes
}
