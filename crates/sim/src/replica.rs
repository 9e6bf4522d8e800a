//! The simplest replica that keeps the promises of the trait, or breaks one on purpose.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use jeton_feed::{
    lease::{Lease, Standing, Void},
    message::SnapshotPart,
    record::{Change, EndReason, Policy, Record, TokenEntry},
    replica::{Replica, Unappliable, Visible},
    set_hash::SetHash,
};
use jeton_types::{Freshness, Hash32, NamespaceName, Now, Revision, TokenId};

use crate::{
    clock::{MILLI, Rng},
    plan::{Flaw, Rot},
    store::token_entry,
};

type Tables = BTreeMap<NamespaceName, Table>;
type Staged = (Tables, Vec<(NamespaceName, Option<Hash32>)>);

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) policy: Policy,
    /// Whether each token has not ended.
    pub(crate) active: BTreeMap<TokenId, bool>,
}

impl Table {
    fn set_hash(&self, namespace: &NamespaceName) -> Hash32 {
        let of = |(token, active): (&TokenId, &bool)| {
            let ended = (!active).then_some(EndReason::Revoked);
            SetHash::of_entry(&TokenEntry { ended, ..token_entry(*token.as_bytes()) })
        };
        self.active.iter().map(of).fold(SetHash::of_policy(namespace, &self.policy), SetHash::plus).to_hash()
    }

    fn adds_up(&self, namespace: &NamespaceName, expected: Option<Hash32>) -> Result<(), Unappliable> {
        if expected.is_none_or(|expected| expected == self.set_hash(namespace)) {
            Ok(())
        } else {
            Err(Unappliable::Mismatch { namespace: namespace.clone() })
        }
    }
}

/// What a copy of a replica holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    tables: Tables,
    truth: Tables,
    rotten: BTreeSet<TokenId>,
    /// For the flawed ones.
    lease: Option<Lease>,
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
    /// What the tables would be had nothing rotted, and the tokens that did.
    truth: RefCell<Tables>,
    rotten: RefCell<BTreeSet<TokenId>>,
    /// A record that is applied although the table is wrong.
    pub(crate) unnoticed: Cell<Option<Revision>>,
    /// Snapshots that were put in force.
    pub(crate) snapshots: Cell<u64>,
    /// With the set hashes that it should have in the end.
    staged: RefCell<Option<Staged>>,
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
            truth: RefCell::default(),
            rotten: RefCell::default(),
            unnoticed: Cell::default(),
            snapshots: Cell::default(),
            staged: RefCell::default(),
            watermark: Cell::default(),
            lease: Cell::default(),
            generation: Cell::default(),
            late: RefCell::default(),
            clock: Cell::default(),
        }
    }

    /// What a copy of it holds now.
    pub(crate) fn held(&self) -> Held {
        Held {
            tables: self.tables.borrow().clone(),
            truth: self.truth.borrow().clone(),
            rotten: self.rotten.borrow().clone(),
            lease: self.lease.get().filter(|_| self.flaw == Some(Flaw::WarmServesBeforeLease)),
        }
    }

    /// One that was read from a copy.
    pub(crate) fn warm(namespaces: Vec<NamespaceName>, flaw: Option<Flaw>, held: Held, watermark: Revision) -> Self {
        let Held { tables, truth, rotten, lease } = held;
        Self {
            tables: RefCell::new(tables),
            truth: RefCell::new(truth),
            rotten: RefCell::new(rotten),
            lease: Cell::new(lease),
            watermark: Cell::new(watermark),
            ..Self::new(namespaces, flaw)
        }
    }

    /// Reads the lease and then a table, as a verification does first; of `tokens` those that it finds good.
    pub(crate) fn read(&self, now: Now, namespace: &NamespaceName, tokens: &[TokenId]) -> Option<Reading> {
        self.late_apply(now);
        let (lease, generation) = (self.lease.get(), self.generation.get());
        let tables = self.tables.borrow();
        let table = tables.get(namespace)?;
        let rotten = self.rotten.borrow();
        let good = |token: &TokenId| table.active.get(token) == Some(&true) && !rotten.contains(token);
        let good = tokens.iter().copied().filter(good).collect();
        Some(Reading { namespace: namespace.clone(), freshness: table.policy.freshness, good, lease, generation })
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

    /// Lets a row rot; says whether there was one.
    pub(crate) fn rot(&self, row: usize, how: Rot, rng: &mut Rng) -> bool {
        let mut tables = self.tables.borrow_mut();
        let place = row % tables.len().max(1);
        let Some(table) = tables.values_mut().nth(place) else { return false };
        let token = match how {
            Rot::Added => TokenId::from_bytes(bytes_of(rng)),
            Rot::Lost | Rot::Altered => {
                let Some(token) = table.active.keys().nth(row % table.active.len().max(1)) else { return false };
                *token
            }
        };
        match how {
            Rot::Lost => {
                table.active.remove(&token);
            }
            Rot::Added => {
                table.active.insert(token, true);
            }
            Rot::Altered => {
                let active = table.active.get(&token) == Some(&true);
                table.active.insert(token, !active);
            }
        }
        self.rotten.borrow_mut().insert(token)
    }

    /// The namespaces whose tables are not what the log leaves.
    pub(crate) fn wrong(&self) -> Vec<NamespaceName> {
        let (tables, truth) = (self.tables.borrow(), self.truth.borrow());
        tables
            .iter()
            .filter(|(name, table)| truth[*name].active != table.active)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether a record, or a part of one, can follow what is held.
    fn follows(&self, record: &Record) -> Result<(), Unappliable> {
        if record.predecessor > self.watermark.get() || record.revision <= self.watermark.get() {
            let (named, applied) = (record.predecessor, self.watermark.get());
            return Err(Unappliable::Gap { namespace: record.namespace.clone(), named, applied });
        }
        let tables = self.tables.borrow();
        let held = |token: &TokenId| tables[&record.namespace].active.contains_key(token);
        let missing = record.changes.iter().find_map(|change| match change {
            Change::End { token, .. } if !held(token) => Some(*token),
            _ => None,
        });
        match missing {
            Some(token) => Err(Unappliable::Missing { namespace: record.namespace.clone(), token }),
            None => Ok(()),
        }
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
        *self.staged.borrow_mut() = Some((Tables::new(), Vec::new()));
    }

    fn snapshot_rows(&self, part: SnapshotPart) {
        let SnapshotPart { namespace, policy, rows, set_hash } = part;
        if let Some((staged, set_hashes)) = &mut *self.staged.borrow_mut() {
            set_hashes.push((namespace.clone(), set_hash));
            let table = staged.entry(namespace).or_insert_with(|| Table { policy, active: BTreeMap::new() });
            table.active.extend(rows.into_iter().map(|row| (row.token, row.ended.is_none())));
        }
    }

    fn snapshot_end(&self, at: Revision) -> Result<Visible, Unappliable> {
        let (staged, set_hashes) = self.staged.borrow_mut().take().unwrap_or_default();
        for (namespace, set_hash) in set_hashes {
            staged[&namespace].adds_up(&namespace, set_hash)?;
        }
        if at >= self.watermark.get() {
            self.late.borrow_mut().clear();
            self.rotten.borrow_mut().clear();
            self.snapshots.set(self.snapshots.get() + 1);
            *self.truth.borrow_mut() = staged.clone();
            *self.tables.borrow_mut() = staged;
            self.watermark.set(at);
        }
        Ok(Visible::up_to(self.watermark.get()))
    }

    fn anew(&self) {
        *self.staged.borrow_mut() = None;
        self.watermark.set(Revision::ZERO);
    }

    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable> {
        if !self.namespaces.contains(&record.namespace) {
            return Err(Unappliable::Foreign(record.namespace.clone()));
        }
        self.follows(record)?;
        apply(&mut self.truth.borrow_mut(), record);
        if self.flaw == Some(Flaw::AckBeforeApply) {
            self.late.borrow_mut().push((self.clock.get(), record.clone()));
        } else {
            let mut tables = self.tables.borrow_mut();
            apply(&mut tables, record);
            if self.flaw != Some(Flaw::ChainOnly) {
                tables[&record.namespace].adds_up(&record.namespace, record.set_hash)?;
            }
            drop(tables);
            if self.wrong().contains(&record.namespace) {
                self.unnoticed.set(Some(record.revision));
            }
        }
        self.watermark.set(record.revision);
        Ok(Visible::up_to(record.revision))
    }

    fn ends_enforce(&self, part: &Record) -> Result<(), Unappliable> {
        self.follows(part)?;
        for tables in [&self.truth, &self.tables] {
            apply(&mut tables.borrow_mut(), part);
        }
        Ok(())
    }

    fn set_hashes(&self, namespaces: &[NamespaceName]) -> Result<Vec<Hash32>, Unappliable> {
        let tables = self.tables.borrow();
        let of = |namespace: &NamespaceName| Some(tables.get(namespace)?.set_hash(namespace));
        Ok(namespaces.iter().map(of).collect::<Option<_>>().unwrap_or_default())
    }

    fn mistrust(&self) {
        self.lease_void(Void::Mismatch);
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
    let table = tables.get_mut(&record.namespace).unwrap();
    for change in &record.changes {
        match change {
            Change::Policy(policy) => table.policy = policy.clone(),
            Change::Token(entry) => {
                table.active.entry(entry.token).or_insert(entry.ended.is_none());
            }
            Change::End { token, .. } => {
                table.active.insert(*token, false);
            }
            Change::Deadline { .. } | Change::Collected { .. } | Change::Start(_) | Change::Unknown { .. } => {}
        }
    }
}

/// Sixteen bytes nobody else has.
pub(crate) fn bytes_of(rng: &mut Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&rng.next_u64().to_be_bytes());
    bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
    bytes
}
