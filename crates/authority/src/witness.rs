//! A second opinion on what is enforced (`feed-protocol.md` 24).
//!
//! Purpose: the store keeps one sum over the rows of each namespace and publishes it with each record; verifiers stop at
//! one that is not theirs. So a wrong sum would stop every verifier at once. The witness holds the rows as a verifier does,
//! from a snapshot and the records after it, and vouches for a sum before anybody is told of it. Guarantee: a sum that it
//! does not share is not published, nor any later one of that namespace; who verifies goes on without. A start over rows
//! that do not add up to the sum that was kept with them is refused. Not guaranteed: which of the two is wrong.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jeton_api::event::AlarmEvent;
use jeton_feed::{
    message::SnapshotPart,
    record::{Change, Policy, Record},
    set_hash::SetHash,
};
use jeton_store::{CommitObserver, Store, StoreError, model::SnapshotItem};
use jeton_types::{Hash32, NamespaceName};
use jeton_verifier::{ShardedTable, Table as _};

use crate::{
    event::{Event, Events},
    metric::Metrics,
};

/// See the module.
pub struct Witness {
    held: Mutex<Held>,
    metrics: Arc<Metrics>,
    events: Events,
}

#[derive(Default)]
struct Held {
    namespaces: HashMap<NamespaceName, Rows>,
    /// Those whose sums are not published any more.
    doubted: HashSet<NamespaceName>,
}

struct Rows {
    policy: Policy,
    table: ShardedTable,
}

impl Rows {
    fn new(policy: Policy) -> Self {
        Self { policy, table: ShardedTable::default() }
    }

    fn set_hash(&self, namespace: &NamespaceName) -> Hash32 {
        SetHash::of_policy(namespace, &self.policy).plus(self.table.set_hash()).to_hash()
    }
}

impl Witness {
    /// One that holds nothing yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, events: Events) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), metrics, events })
    }

    /// Takes in what the store holds, before anything is written to it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the rows of a namespace are not what was enforced after its last record; what the store
    /// says if it cannot be read.
    pub async fn load<S: Store>(self: &Arc<Self>, store: &S) -> Result<(), StoreError> {
        let names: Vec<NamespaceName> = store.namespaces().await?.into_iter().map(|row| row.name).collect();
        let witness = Arc::clone(self);
        let take = move |item| {
            if let SnapshotItem::Rows(part) = item {
                witness.take(part);
            }
            ControlFlow::Continue(())
        };
        store.snapshot(names, take).await?;
        let kept = store.set_hashes().await?;
        let held = self.held();
        for row in kept {
            let found = held.namespaces.get(&row.namespace).map(|rows| rows.set_hash(&row.namespace));
            if found != Some(row.set_hash) {
                return Err(StoreError::Corrupt(format!(
                    "the rows of namespace {} are not what was enforced at revision {}: some were lost, added or altered",
                    row.namespace, row.last_record
                )));
            }
        }
        Ok(())
    }

    fn take(&self, part: SnapshotPart) {
        let mut held = self.held();
        let rows = held.namespaces.entry(part.namespace).or_insert_with(|| Rows::new(part.policy));
        for row in part.rows {
            rows.table.put(row);
        }
    }

    /// Takes in a record that is durable; says whether its set hash may be published.
    pub fn vouch(&self, record: &Record) -> bool {
        let followed = catch_unwind(AssertUnwindSafe(|| self.held().follow(record)));
        match followed {
            Ok(Standing::Agreed) => true,
            Ok(Standing::Doubted) => false,
            Ok(Standing::Parted) => {
                self.alarm(record);
                false
            }
            // Whatever is the matter with the witness, the record is good.
            Err(_) => {
                self.held().doubted.insert(record.namespace.clone());
                self.alarm(record);
                false
            }
        }
    }

    /// Whether sums of this namespace are published.
    #[must_use]
    pub fn agrees(&self, namespace: &NamespaceName) -> bool {
        !self.held().doubted.contains(namespace)
    }

    fn alarm(&self, record: &Record) {
        let message = format!(
            "the sum over the rows of namespace {} is wrong since revision {}: verifiers go on without it. Back up the data \
             folder now; the next start will refuse it",
            record.namespace, record.revision
        );
        tracing::error!(namespace = %record.namespace, revision = %record.revision, "{message}");
        self.metrics.set_hash_doubted_count();
        let at = record.committed_at.into();
        self.events.tell(Event::Alarm(AlarmEvent { kind: "set_hash_doubted".to_owned(), message, at }));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic half-way through a record makes the namespace doubted for good.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitObserver for Witness {
    fn committed(&self, batch_size: usize, _: Duration) {
        self.metrics.commit_observe(batch_size);
    }

    fn vouch(&self, record: &Record) -> bool {
        Self::vouch(self, record)
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("doubted", &self.held().doubted).finish_non_exhaustive()
    }
}

enum Standing {
    Agreed,
    /// For the first time they do not agree.
    Parted,
    Doubted,
}

impl Held {
    fn follow(&mut self, record: &Record) -> Standing {
        for change in &record.changes {
            if let Change::Policy(policy) = change {
                let rows = self.namespaces.entry(record.namespace.clone()).or_insert_with(|| Rows::new(policy.clone()));
                rows.policy = policy.clone();
                continue;
            }
            let Some(Rows { table, .. }) = self.namespaces.get(&record.namespace) else { continue };
            match change {
                Change::Token(entry) => table.put(entry.clone()),
                Change::Deadline { digest, expires_at, .. } => table.deadline(digest, *expires_at),
                Change::End { digest, reason, .. } => table.end(digest, *reason),
                Change::Collected { digest, .. } => table.remove(digest),
                Change::Policy(_) | Change::Start(_) | Change::Unknown { .. } => {}
            }
        }
        if self.doubted.contains(&record.namespace) {
            return Standing::Doubted;
        }
        let own = self.namespaces.get(&record.namespace).map(|rows| rows.set_hash(&record.namespace));
        if record.set_hash.is_none() || record.set_hash == own {
            return Standing::Agreed;
        }
        self.doubted.insert(record.namespace.clone());
        Standing::Parted
    }
}

#[cfg(test)]
mod tests;
