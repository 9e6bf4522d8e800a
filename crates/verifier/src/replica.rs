//! A replica in memory: table, watermark and lease.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use jeton_feed::{
    lease::{Lease, Standing, Void},
    message::SnapshotPart,
    record::{Change, Policy, Record},
    replica::{Replica, Unappliable, Visible},
    set_hash::SetHash,
};
use jeton_types::{
    BootTime, Digest, Freshness, Hash32, NamespaceName, Now, Prefix, Revision,
    fault::{Fault, injected},
    token,
};

use crate::{
    decide::Required,
    first_use::CaughtUp,
    lease::LeaseCell,
    look::{Found, Looked},
    table::{Place, ShardedTable, Table},
    verdict::{Code, Outcome, Source, StaleWhy, Verdict},
    view::{Namespace, View},
};

/// Looks that one verification makes: a second one when the lease passed during the first and there is a newer.
const LOOKS_MAX: usize = 2;

/// The replica of one verifier process, shared by `Arc`: a session writes it, every thread reads it.
///
/// A verification takes no lock across its steps and allocates nothing. What it costs beyond reading: one shard's read
/// lock for the look-up, the copy of an entry and two `Arc` clones, of its scopes and of the namespace's name, because the
/// verdict outlives the look and carries them. Watermark and lease are copied out of atomics, the view is held by an `arc-swap` guard.
#[derive(Debug)]
pub struct MemoryReplica<T: Table = ShardedTable> {
    served: Vec<Arc<NamespaceName>>,
    view: ArcSwap<View<T>>,
    /// Moved with `Release` after what it covers is in the view; read with `Acquire` before the view.
    watermark: AtomicU64,
    /// Nanoseconds on the boot clock, moved and read like the watermark; see [`MemoryReplica::confirm`].
    confirmed: AtomicU64,
    pub(crate) leases: LeaseCell,
    /// What the one writer keeps; never taken by a verification.
    writer: Mutex<Writer<T>>,
}

/// A served namespace at a glance.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its name.
    pub name: Arc<NamespaceName>,
    /// What its tokens begin with.
    pub prefix: Prefix,
    /// What holds past the lease.
    pub freshness: Freshness,
    /// How many tokens the table holds, tombstones among them.
    pub tokens: usize,
}

/// The tables of a replica, to be read while it is written to. What was changed meanwhile may be in it or not; a copy of it is
/// whole with the records that were applied until it was read to its end.
#[derive(Debug)]
pub struct Tables<T = ShardedTable> {
    /// What had been applied when it was taken.
    pub at: Revision,
    namespaces: Vec<Namespace<T>>,
}

impl<T: Table> Tables<T> {
    /// A namespace's policy and table.
    #[must_use]
    pub fn of(&self, name: &NamespaceName) -> Option<(&Policy, &T)> {
        let found = self.namespaces.iter().find(|namespace| *namespace.name == *name)?;
        Some((&found.policy, &found.table))
    }

    /// Reads all of it in parts, at least one for each namespace, until `each` breaks off.
    pub fn read(&self, mut each: impl FnMut(SnapshotPart) -> ControlFlow<()>) -> ControlFlow<()> {
        for Namespace { name, policy, table } in &self.namespaces {
            let part = |rows| SnapshotPart {
                namespace: NamespaceName::clone(name),
                policy: policy.clone(),
                rows,
                set_hash: None,
            };
            each(part(Vec::new()))?;
            let mut place = Place::BEGIN;
            while let Some((rows, next)) = table.some(place) {
                place = next;
                if !rows.is_empty() {
                    each(part(rows))?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[derive(Debug)]
struct Writer<T> {
    building: Option<Building<T>>,
    /// The table was found to be wrong, so it bears witness to nothing.
    mistrusted: bool,
    positions: HashMap<Arc<NamespaceName>, Position>,
    /// Views that somebody may still read. Dropped here and not by the last reader, who has no time to free a table.
    retired: Vec<Arc<View<T>>>,
}

/// A snapshot under way.
#[derive(Debug)]
struct Building<T> {
    namespaces: Vec<Namespace<T>>,
    /// What each should add up to in the end.
    set_hashes: HashMap<Arc<NamespaceName>, Hash32>,
}

/// What was applied last in a namespace.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// A snapshot: its last record is at or below this.
    Snapshot(Revision),
    /// This very record.
    Record(Revision),
}

impl<T: Table> MemoryReplica<T> {
    /// An empty replica of these namespaces: every answer is stale until a session fills it.
    #[must_use]
    pub fn new(namespaces: &[NamespaceName]) -> Self {
        let served: Vec<_> = namespaces.iter().cloned().map(Arc::new).collect();
        let view = View::new(Vec::new(), served.len());
        Self {
            view: ArcSwap::from_pointee(view),
            watermark: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            leases: LeaseCell::default(),
            writer: Mutex::new(Writer {
                building: None,
                mistrusted: false,
                positions: HashMap::new(),
                retired: Vec::new(),
            }),
            served,
        }
    }

    /// Answers for a token's text that was presented from `client`, as far as that is known. The clock is read at the start
    /// and again before the release.
    pub fn verify(&self, text: &[u8], required: &Required, client: Option<IpAddr>, clock: impl Fn() -> Now) -> Outcome {
        self.answer(text, required, client, None, clock)
    }

    /// Answers after a watermark was asked for: a token that is absent now is unknown (`feed-protocol.md` 18).
    pub fn verify_caught_up(
        &self,
        text: &[u8],
        required: &Required,
        client: Option<IpAddr>,
        caught_up: CaughtUp,
        clock: impl Fn() -> Now,
    ) -> Outcome {
        self.answer(text, required, client, Some(caught_up), clock)
    }

    fn answer(
        &self,
        text: &[u8],
        required: &Required,
        client: Option<IpAddr>,
        caught_up: Option<CaughtUp>,
        clock: impl Fn() -> Now,
    ) -> Outcome {
        let mut outcome = Outcome::Stale(StaleWhy::Overtaken);
        for _ in 0..LOOKS_MAX {
            outcome = match self.look(text, clock()) {
                Ok(looked) => {
                    let looked = if let Some(caught_up) = caught_up { looked.caught_up(caught_up) } else { looked };
                    looked.compute(required, client).release(clock(), self)
                }
                Err(verdict) => Outcome::Answer(verdict),
            };
            if !matches!(outcome, Outcome::Stale(StaleWhy::Overtaken)) {
                break;
            }
        }
        outcome
    }

    /// Reads what there is to know of a token's text. `now` is read before the call.
    ///
    /// # Errors
    /// The verdict `malformed`, which needs neither table nor lease.
    #[expect(clippy::result_large_err, reason = "the verdict is the answer; a box would be an allocation for garbage")]
    pub fn look(&self, text: &[u8], now: Now) -> Result<Looked, Verdict> {
        let Ok(parsed) = token::parse(text) else {
            return Err(Verdict {
                code: Code::Malformed,
                namespace: None,
                entry: None,
                revision: self.watermark(),
                as_of: now.real,
                not_after: None,
                source: Source::Replica,
            });
        };
        // The order matters: `look.rs` says why.
        let mut watermark = self.watermark();
        let mut seen = self.leases.seen();
        let mut confirmed = self.confirmed();
        loop {
            let view = self.view.load();
            let (freshness, disabled, found) = match view.of_prefix(parsed.prefix) {
                Some(namespace) => {
                    let name = Arc::clone(&namespace.name);
                    let found = match namespace.table.find(&parsed.digest) {
                        Some(entry) => Found::Here { namespace: name, entry },
                        None => Found::Absent { namespace: name, birth: parsed.birth },
                    };
                    (namespace.policy.freshness, namespace.policy.disabled, found)
                }
                // What is no prefix of ours will never be one: as good as the replica is for anything.
                None if view.whole => (view.longest, false, Found::Foreign),
                None => (Freshness::Strict, false, Found::NoState),
            };
            // Only a view that is still in force after the read was the one in force at the read: so policy and table
            // are of one moment. Each turn of the loop takes a snapshot or a policy change, so it ends.
            if !Arc::ptr_eq(&view, &self.view.load()) {
                continue;
            }
            let covered = self.watermark();
            if covered >= watermark {
                return Ok(Looked {
                    at: now,
                    watermark,
                    seen,
                    confirmed,
                    freshness,
                    disabled,
                    caught_up: false,
                    found,
                });
            }
            // It was that of another store, and covers nothing in this table.
            (watermark, seen, confirmed) = (covered, self.leases.seen(), self.confirmed());
        }
    }

    /// Everything at or below this is visible.
    #[must_use]
    pub fn watermark(&self) -> Revision {
        // Only revisions are ever stored.
        Revision::new(self.watermark.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// A watermark request that was sent at this moment has been answered, and everything up to the answer is visible: so
    /// whatever was committed before that moment is.
    pub fn confirm(&self, sent: BootTime) {
        self.confirmed.fetch_max(sent.as_nanos(), Ordering::Release);
    }

    fn confirmed(&self) -> BootTime {
        BootTime::from_nanos(self.confirmed.load(Ordering::Acquire))
    }

    /// The lease in force, passed or not.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.leases.seen().lease
    }

    /// The namespaces whose state is there.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Served> {
        let of = |namespace: &Namespace<T>| Served {
            name: Arc::clone(&namespace.name),
            prefix: namespace.policy.prefix.clone(),
            freshness: namespace.policy.freshness,
            tokens: namespace.table.len(),
        };
        self.view.load().iter().map(of).collect()
    }

    /// Whether any answer would be better than stale.
    #[must_use]
    pub fn ready(&self, now: Now) -> bool {
        let (seen, view) = (self.leases.seen(), self.view.load());
        view.iter().next().is_some()
            && seen.lease.is_some_and(|lease| {
                matches!(lease.standing(now, view.longest), Standing::Live(_) | Standing::Grace(_))
            })
    }

    /// Whether a verification has seen a jump of the clocks since this was asked last; the session wants to know
    /// ([`jeton_feed::verifier::Input::JumpSeen`]). The lease is void already.
    pub fn jump_take(&self) -> bool {
        self.leases.jump_take()
    }

    /// What a copy of the replica is made of; nothing unless every namespace is there. To be called by the one that writes.
    #[must_use]
    pub fn tables(&self) -> Option<Tables<T>> {
        let _writer = self.writer();
        let view = self.view.load();
        view.whole.then(|| Tables { at: self.watermark(), namespaces: view.iter().cloned().collect() })
    }

    /// Whether the table of a namespace has a row of this digest, ended or not.
    #[must_use]
    pub fn holds(&self, namespace: &NamespaceName, digest: &Digest) -> bool {
        self.view.load().of_name(namespace).is_some_and(|namespace| namespace.table.find(digest).is_some())
    }

    /// The set hash of each of these namespaces as it was kept, write by write; none unless all are there.
    #[must_use]
    pub fn set_hashes_kept(&self, namespaces: &[NamespaceName]) -> Vec<Hash32> {
        let view = self.view.load();
        namespaces.iter().map(|name| view.of_name(name).map(set_hash)).collect::<Option<_>>().unwrap_or_default()
    }

    /// Takes over what another replica of the same namespaces holds, before this one holds anything: what was read from a disk.
    /// Nothing is answered of it before a lease was granted on it, not even that a token has ended (`feed-protocol.md` 28).
    pub fn take_over(&self, other: Self) {
        let mut writer = self.writer();
        let read = other.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.view.load().iter().next().is_some() || self.served != other.served {
            return;
        }
        self.leases.void(Void::FromDisk);
        writer.positions = read.positions;
        writer.retired.push(self.view.swap(other.view.load_full()));
        self.watermark_raise(Revision::new(other.watermark.into_inner()).unwrap_or_default());
    }

    fn writer(&self) -> MutexGuard<'_, Writer<T>> {
        // Poisoned only by a panic in the lines below; what they leave half done is an unfinished record, whose
        // watermark and acknowledgement have not moved.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.retired.retain(|view| Arc::strong_count(view) > 1);
        writer
    }

    fn put_in_force(&self, writer: &mut Writer<T>, view: View<T>) {
        writer.retired.push(self.view.swap(Arc::new(view)));
    }

    fn served(&self, name: &NamespaceName) -> Option<&Arc<NamespaceName>> {
        self.served.iter().find(|served| ***served == *name)
    }

    /// After everything that it covers: a reader that sees it sees that too.
    fn watermark_raise(&self, to: Revision) {
        self.watermark.fetch_max(to.get(), Ordering::Release);
    }
}

#[cfg(test)]
impl<T: Table> MemoryReplica<T> {
    pub(crate) fn table_of(&self, namespace: &NamespaceName) -> Arc<T> {
        Arc::clone(&self.view.load().of_name(namespace).unwrap().table)
    }
}

impl<T: Table> Replica for MemoryReplica<T> {
    fn watermark(&self) -> Revision {
        Self::watermark(self)
    }

    fn snapshot_begin(&self) {
        self.writer().building = Some(Building { namespaces: Vec::new(), set_hashes: HashMap::new() });
    }

    fn snapshot_rows(&self, part: SnapshotPart) {
        let SnapshotPart { namespace, policy, rows, set_hash } = part;
        let mut writer = self.writer();
        let mistrusted = writer.mistrusted;
        let (Some(name), Some(building)) = (self.served(&namespace), writer.building.as_mut()) else { return };
        if let Some(set_hash) = set_hash {
            building.set_hashes.insert(Arc::clone(name), set_hash);
        }
        let building = &mut building.namespaces;
        if !building.iter().any(|built| built.name == *name) {
            building.push(Namespace { name: Arc::clone(name), policy: policy.clone(), table: Arc::new(T::default()) });
        }
        let Some(built) = building.iter_mut().find(|built| built.name == *name) else { return };
        built.policy = policy;
        let view = self.view.load();
        let known = view.of_name(&namespace).filter(|_| !mistrusted);
        for row in rows {
            // What ended here stays ended, even if the authority should have forgotten it (S7).
            let known = known.and_then(|known| known.table.find(&row.digest));
            built.table.put(row.settled(known.as_ref()));
        }
    }

    fn snapshot_end(&self, at: Revision) -> Result<Visible, Unappliable> {
        let mut writer = self.writer();
        let Some(Building { namespaces: built, set_hashes }) = writer.building.take() else {
            return Ok(Visible::up_to(self.watermark()));
        };
        let watermark = self.watermark();
        if at < watermark {
            // What is served has seen all that this has, and more.
            return Ok(Visible::up_to(watermark));
        }
        for namespace in &built {
            adds_up(namespace, set_hashes.get(&namespace.name).copied())?;
        }
        writer.mistrusted = false;
        writer.positions = built.iter().map(|built| (Arc::clone(&built.name), Position::Snapshot(at))).collect();
        self.put_in_force(&mut writer, View::new(built, self.served.len()));
        self.watermark_raise(at);
        Ok(Visible::up_to(at))
    }

    fn anew(&self) {
        let mut writer = self.writer();
        (writer.building, writer.positions) = (None, HashMap::new());
        // What is served stays until the snapshot is whole: without a lease nothing is answered of it but what has ended.
        self.watermark.store(0, Ordering::Release);
        // Another store answered that.
        self.confirmed.store(0, Ordering::Release);
    }

    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable> {
        let mut writer = self.writer();
        let name = self.served(&record.namespace).ok_or_else(|| Unappliable::Foreign(record.namespace.clone()))?;
        for change in &record.changes {
            if let Change::Unknown { kind, needs_protocol } = *change {
                return Err(Unappliable::UnknownChange { kind, needs_protocol });
            }
        }
        let watermark = self.watermark();
        if !follows(writer.positions.get(name).copied(), record, watermark)? {
            return Ok(Visible::up_to(watermark));
        }
        let view = self.view.load_full();
        let gap = || Unappliable::Gap {
            namespace: record.namespace.clone(),
            named: record.predecessor,
            applied: Revision::ZERO,
        };
        let namespace = view.of_name(name).ok_or_else(gap)?;
        all_there(&*namespace.table, record)?;
        for change in &record.changes {
            match change {
                Change::Policy(policy) => {
                    let next = self.view.load().with_policy(name, policy);
                    self.put_in_force(&mut writer, next);
                }
                Change::Token(entry) => namespace.table.put(entry.clone()),
                Change::Deadline { digest, expires_at, .. } => namespace.table.deadline(digest, *expires_at),
                Change::End { digest, reason, .. } => namespace.table.end(digest, *reason),
                Change::Collected { digest, .. } => namespace.table.remove(digest),
                // Refused above; and starts belong to a namespace that is never fed.
                Change::Unknown { .. } | Change::Start(_) => {}
            }
        }
        // By the policy of the view that is in force now.
        let view = self.view.load();
        if let Some(namespace) = view.of_name(name) {
            adds_up(namespace, record.set_hash)?;
        }
        writer.positions.insert(Arc::clone(name), Position::Record(record.revision));
        self.watermark_raise(record.revision);
        Ok(Visible::up_to(record.revision))
    }

    fn ends_enforce(&self, part: &Record) -> Result<(), Unappliable> {
        let writer = self.writer();
        let name = self.served(&part.namespace).ok_or_else(|| Unappliable::Foreign(part.namespace.clone()))?;
        if !follows(writer.positions.get(name).copied(), part, self.watermark())? {
            return Ok(());
        }
        let view = self.view.load();
        let (namespace, named) = (part.namespace.clone(), part.predecessor);
        let gap = Unappliable::Gap { namespace, named, applied: Revision::ZERO };
        let table = &view.of_name(name).ok_or(gap)?.table;
        all_there(&**table, part)?;
        for change in &part.changes {
            match change {
                Change::Deadline { digest, expires_at, .. } => table.deadline(digest, *expires_at),
                Change::End { digest, reason, .. } => table.end(digest, *reason),
                // Whatever else there is waits for the whole record.
                _ => {}
            }
        }
        // Neither the position nor the watermark moves: the next stream begins with this record anew.
        Ok(())
    }

    fn set_hashes(&self, namespaces: &[NamespaceName]) -> Result<Vec<Hash32>, Unappliable> {
        // The one lock of those who write: no row changes while it is summed up.
        let _writer = self.writer();
        let view = self.view.load();
        let mut set_hashes = Vec::with_capacity(namespaces.len());
        for name in namespaces {
            let Some(namespace) = view.of_name(name) else { return Ok(Vec::new()) };
            let kept = namespace.table.set_hash();
            if namespace.table.set_hash_renew() != kept {
                return Err(Unappliable::Mismatch { namespace: name.clone() });
            }
            set_hashes.push(set_hash(namespace));
        }
        Ok(set_hashes)
    }

    fn mistrust(&self) {
        self.writer().mistrusted = true;
        self.leases.void(Void::Mismatch);
    }

    fn watermark_advance(&self, to: Revision) {
        self.watermark_raise(to);
    }

    fn lease_generation(&self) -> u64 {
        self.leases.seen().generation
    }

    fn lease_set(&self, lease: Lease, generation: u64) -> bool {
        self.leases.set(lease, generation)
    }

    fn lease_void(&self, why: Void) {
        self.leases.void(why);
    }
}

/// What the authority should say of a namespace that holds this.
fn set_hash<T: Table>(namespace: &Namespace<T>) -> Hash32 {
    SetHash::of_policy(&namespace.name, &namespace.policy).plus(namespace.table.set_hash()).to_hash()
}

/// Refuses what is not as the authority says, if it says (`feed-protocol.md` 24).
fn adds_up<T: Table>(namespace: &Namespace<T>, expected: Option<Hash32>) -> Result<(), Unappliable> {
    match expected {
        Some(expected) if expected != set_hash(namespace) && !injected(Fault::ChainOnly) => {
            Err(Unappliable::Mismatch { namespace: NamespaceName::clone(&namespace.name) })
        }
        _ => Ok(()),
    }
}

/// Whether a record is the next one of its namespace; false if it has been applied before.
fn follows(position: Option<Position>, record: &Record, watermark: Revision) -> Result<bool, Unappliable> {
    let applied = match position {
        None => Revision::ZERO,
        Some(Position::Snapshot(at) | Position::Record(at)) => at,
    };
    if position.is_some() && record.revision <= applied {
        return Ok(false);
    }
    let follows = match position {
        None => false,
        Some(Position::Snapshot(at)) => record.predecessor <= at,
        Some(Position::Record(at)) => record.predecessor == at,
    };
    // At or below a watermark that was told to cover everything, and yet not applied: the watermark or the record lies.
    if !follows || record.revision <= watermark {
        let (namespace, named) = (record.namespace.clone(), record.predecessor);
        return Err(Unappliable::Gap { namespace, named, applied: applied.max(watermark) });
    }
    Ok(true)
}

/// Whether every token that the record ends or shortens is there, or comes with the record.
fn all_there(table: &impl Table, record: &Record) -> Result<(), Unappliable> {
    let mut brought: HashSet<&Digest> = HashSet::new();
    for change in &record.changes {
        match change {
            Change::Token(entry) => {
                brought.insert(&entry.digest);
            }
            Change::Deadline { digest, token, .. }
            | Change::End { digest, token, .. }
            | Change::Collected { digest, token }
                if !brought.contains(digest) && table.find(digest).is_none() =>
            {
                return Err(Unappliable::Missing { namespace: record.namespace.clone(), token: *token });
            }
            _ => {}
        }
    }
    Ok(())
}
