//! The real replica over a table that may rot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jeton_feed::{
    lease::Lease,
    message::SnapshotPart,
    record::{EndReason, TokenEntry},
    replica::Replica as _,
    set_hash::SetHash,
};
use jeton_types::{
    Digest, NamespaceName, Revision,
    fault::{Fault, injected},
};
use jeton_verifier::{MemoryReplica, Place, ShardedTable, Table};

use crate::{clock::Rng, plan::Rot, store::token_entry};

pub(crate) type Replica = MemoryReplica<RottingTable>;

/// The product's table, seen through what has become of some of its rows.
#[derive(Debug, Default)]
pub(crate) struct RottingTable {
    inner: ShardedTable,
    wrong: Mutex<Wrong>,
}

#[derive(Debug, Default)]
struct Wrong {
    /// Rows that changed by themselves: what is read of them.
    rotten: BTreeMap<Digest, Option<TokenEntry>>,
    /// Rows that were written wrong, or came wrong from a copy: the table's own sum is over them.
    written: BTreeSet<Digest>,
    /// Ends that were acknowledged and are not there yet, for the fault of that name.
    late: Vec<(Digest, EndReason)>,
}

impl RottingTable {
    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it holds is not what the log leaves.
    pub(crate) fn is_wrong(&self) -> bool {
        let wrong = self.wrong();
        !wrong.rotten.is_empty() || !wrong.written.is_empty()
    }

    /// The same, and its own sum says so.
    pub(crate) fn is_written_wrong(&self) -> bool {
        !self.wrong().written.is_empty()
    }

    /// Lets a row rot, in memory or as it was written; says whether there was one.
    pub(crate) fn rot(&self, row: usize, how: Rot, rng: &mut Rng) -> bool {
        let rows = rows(self);
        let found = rows.get(row % rows.len().max(1)).cloned();
        let (digest, to) = match (how, found) {
            (Rot::Added, _) => {
                let entry = token_entry(rng.bytes());
                (entry.digest, Some(entry))
            }
            (Rot::Lost, Some(entry)) => (entry.digest, None),
            (Rot::Altered, Some(entry)) => {
                let ended = if entry.ended.is_some() { None } else { Some(EndReason::Revoked) };
                (entry.digest, Some(TokenEntry { ended, ..entry }))
            }
            (Rot::Lost | Rot::Altered, None) => return false,
        };
        // That one is written as ended which is not, is beyond what is promised: ends are kept against everybody.
        if rng.chance(50) || to.as_ref().is_some_and(|entry| entry.ended.is_some()) {
            self.wrong().rotten.insert(digest, to);
        } else {
            self.inner.remove(&digest);
            if let Some(entry) = to {
                self.inner.put(entry);
            }
            self.wrong().written.insert(digest);
        }
        true
    }

    fn mark(&self, digests: &BTreeSet<Digest>) {
        self.wrong().written.extend(digests);
    }

    fn late_apply(&self) {
        for (digest, reason) in std::mem::take(&mut self.wrong().late) {
            self.inner.end(&digest, reason);
        }
    }

    /// What the sum of the inner table lacks of what is said to be visible.
    fn late_sum(&self, mut sum: SetHash) -> SetHash {
        for (digest, reason) in &self.wrong().late {
            if let Some(entry) = self.inner.find(digest) {
                sum = sum.minus(SetHash::of_entry(&entry));
                sum = sum.plus(SetHash::of_entry(&TokenEntry { ended: entry.ended.or(Some(*reason)), ..entry }));
            }
        }
        sum
    }
}

impl Table for RottingTable {
    fn find(&self, digest: &Digest) -> Option<TokenEntry> {
        match self.wrong().rotten.get(digest) {
            Some(rotten) => rotten.clone(),
            None => self.inner.find(digest),
        }
    }

    fn put(&self, entry: TokenEntry) {
        self.late_apply();
        // A write of the row is a write of all of it.
        self.wrong().rotten.remove(&entry.digest);
        self.inner.put(entry);
    }

    fn deadline(&self, digest: &Digest, expires_at: jeton_types::UnixTime) {
        self.inner.deadline(digest, expires_at);
    }

    fn end(&self, digest: &Digest, reason: EndReason) {
        self.late_apply();
        let mut wrong = self.wrong();
        if wrong.rotten.get(digest).is_some_and(Option::is_some) {
            wrong.rotten.remove(digest);
        }
        if injected(Fault::AckBeforeApply) {
            wrong.late.push((*digest, reason));
        } else {
            self.inner.end(digest, reason);
        }
        // What was written too early is true by now.
        if self.inner.find(digest).is_some_and(|entry| entry.ended.is_some()) {
            wrong.written.remove(digest);
        }
    }

    fn remove(&self, digest: &Digest) {
        self.inner.remove(digest);
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn set_hash(&self) -> SetHash {
        self.late_sum(self.inner.set_hash())
    }

    fn set_hash_renew(&self) -> SetHash {
        let mut sum = self.late_sum(self.inner.set_hash_renew());
        for (digest, to) in &self.wrong().rotten {
            if let Some(entry) = self.inner.find(digest) {
                sum = sum.minus(SetHash::of_entry(&entry));
            }
            if let Some(entry) = to {
                sum = sum.plus(SetHash::of_entry(entry));
            }
        }
        sum
    }

    fn some(&self, at: Place) -> Option<(Vec<TokenEntry>, Place)> {
        self.inner.some(at)
    }
}

/// All rows as they are read, in an order that is the same in the same world.
fn rows(table: &RottingTable) -> Vec<TokenEntry> {
    let (mut rows, mut at) = (BTreeMap::new(), Place::BEGIN);
    while let Some((some, next)) = table.inner.some(at) {
        at = next;
        rows.extend(some.into_iter().map(|entry| (entry.digest, entry)));
    }
    for (digest, to) in &table.wrong().rotten {
        match to {
            Some(entry) => drop(rows.insert(*digest, entry.clone())),
            None => drop(rows.remove(digest)),
        }
    }
    rows.into_values().collect()
}

/// What a copy of a replica holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    parts: Vec<(SnapshotPart, BTreeSet<Digest>)>,
    /// For the fault of that name.
    lease: Option<Lease>,
}

/// A copy of what a replica holds now, as wrong as it is; nothing unless it is whole.
pub(crate) fn held(replica: &Replica, namespaces: &[NamespaceName]) -> Option<Held> {
    let tables = replica.tables()?;
    let mut parts = Vec::new();
    for name in namespaces {
        let (policy, table) = tables.of(name)?;
        let part = SnapshotPart { namespace: name.clone(), policy: policy.clone(), rows: rows(table), set_hash: None };
        let wrong = table.wrong();
        parts.push((part, wrong.rotten.keys().chain(&wrong.written).copied().collect()));
    }
    Some(Held { parts, lease: replica.lease().filter(|_| injected(Fault::LeaseSurvivesRestart)) })
}

/// A replica that was read from a copy.
pub(crate) fn warm(namespaces: &[NamespaceName], held: Held, watermark: Revision) -> Replica {
    let (replica, read) = (Replica::new(namespaces), Replica::new(namespaces));
    read.snapshot_begin();
    let mut wrong = Vec::new();
    for (part, digests) in held.parts {
        wrong.push((part.namespace.clone(), digests));
        read.snapshot_rows(part);
    }
    // Without set hashes there is nothing that it could contradict.
    let _ = read.snapshot_end(watermark);
    replica.take_over(read);
    if let Some(tables) = replica.tables() {
        for (name, digests) in wrong {
            if let Some((_, table)) = tables.of(&name) {
                table.mark(&digests);
            }
        }
    }
    if let Some(lease) = held.lease {
        replica.lease_set(lease, replica.lease_generation());
    }
    replica
}

/// What is asked of each table of a replica.
pub(crate) fn any_table(
    replica: &Replica,
    namespaces: &[NamespaceName],
    ask: fn(&RottingTable) -> bool,
) -> Vec<NamespaceName> {
    let Some(tables) = replica.tables() else { return Vec::new() };
    namespaces.iter().filter(|name| tables.of(name).is_some_and(|(_, table)| ask(table))).cloned().collect()
}
