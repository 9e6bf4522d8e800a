//! The copy of the replica in the state folder: written now and then, read at the start (`feed-protocol.md` 28).
//!
//! Purpose: a process that comes in the place of another goes on from what that one had, and is sent only what has changed.
//! Guarantee: nothing is kept of a table that was found to be wrong; what is read is whole, and is of the namespaces served.
//! The copy is written beside the verifications and the apply path, by a thread that reads some rows at a time; whoever applies
//! a record meanwhile lays it aside, and it follows the rows. Not guaranteed: that there is a copy, or a recent one. If it cannot be
//! written the verifier goes on without; an old one costs a few records more.

mod format;
#[cfg(test)]
mod tests;

use std::{
    io::{self, BufReader, BufWriter},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jeton_feed::{message::ToVerifier, record::Record, verifier::Session};
use jeton_host::files::{ReplicaFile, replica_discard, replica_open, replica_settle};
use jeton_types::{BootTime, Clock, NamespaceName, Revision};
use jeton_verifier::{MemoryReplica, Tables};

pub(super) use self::format::Whole;
use self::format::{Point, Unfit, Writer, bytes_of};
use super::observe::Observe;

/// A copy is written no sooner than this after the one before,
const EVERY: Duration = Duration::from_secs(30);
/// nor than this many times as long as that one took: so it takes a thirtieth of a disk's time at most.
const REST: u32 = 30;
/// Also without a change of the rows it is written after so long, so that it is not left behind by the log.
const REFRESH: Duration = Duration::from_secs(600);
/// Records that are laid aside while one copy is written. With more the copy is given up, and tried again later.
const ASIDE_MAX: usize = 32 * 1024 * 1024;
const BUFFER: usize = 256 * 1024;

/// The copy in the state folder, as others are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyStatus {
    /// How large the file is.
    pub bytes: u64,
    /// How long ago it was written, or read, by this process.
    pub age: Duration,
    /// How far it is.
    pub at: Revision,
}

/// Reads the copy, if there is one that fits; says what became of it. Blocks for as long as reading takes.
pub(super) fn load(folder: &Path, namespaces: &[NamespaceName]) -> Option<(Whole, u64)> {
    let unfit = match read(folder, namespaces) {
        Ok(Some((whole, bytes))) => {
            let tokens: usize = whole.replica.namespaces().iter().map(|served| served.tokens).sum();
            tracing::info!(
                tokens,
                bytes,
                revision = %whole.at,
                "read the copy of the replica from the state folder; nothing is answered of it before the first lease"
            );
            return Some((whole, bytes));
        }
        Ok(None) => {
            tracing::info!("the state folder holds no copy of the replica: a snapshot comes");
            return None;
        }
        Err(unfit) => unfit,
    };
    let file = folder.join(jeton_host::files::STATE_REPLICA);
    tracing::warn!("{} {unfit}: it is not used, and a snapshot comes instead{}", file.display(), advice(&unfit));
    if matches!(unfit, Unfit::Damaged(_))
        && let Err(error) = replica_discard(folder)
    {
        tracing::warn!(%error, "the damaged copy cannot be removed; the next copy replaces it");
    }
    None
}

fn read(folder: &Path, namespaces: &[NamespaceName]) -> Result<Option<(Whole, u64)>, Unfit> {
    let Some(file) = replica_open(folder).map_err(Unfit::Io)? else { return Ok(None) };
    let bytes = file.metadata().map_err(Unfit::Io)?.len();
    let whole = format::read(BufReader::with_capacity(BUFFER, file), namespaces)?;
    Ok(Some((whole, bytes)))
}

const fn advice(unfit: &Unfit) -> &'static str {
    match unfit {
        Unfit::Io(_) => ". Give the file to this process's user alone (chmod 600), or remove it",
        Unfit::Damaged(_) => ". If it happens again, check this machine's disk and memory",
        Unfit::Newer(_) | Unfit::OtherNamespaces(_) => ". The next copy replaces it",
    }
}

/// Keeps the copy.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    namespaces: Vec<NamespaceName>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Counts what makes a copy that is being written worthless.
    generation: u64,
    /// What is laid aside for the copy that is being written.
    aside: Option<Aside>,
    /// The thread is not done yet, though what it writes may be worthless.
    writing: bool,
    /// Something was applied that the last copy does not have.
    changed: bool,
    next_at: BootTime,
    refresh_at: BootTime,
    last: Option<Last>,
}

#[derive(Debug)]
struct Aside {
    records: Vec<Vec<u8>>,
    bytes: usize,
    point: Point,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    bytes: u64,
    written: BootTime,
    at: Revision,
}

/// A copy that is to be written.
pub(super) struct Job {
    tables: Tables,
    generation: u64,
}

/// Why a copy was not written.
#[derive(Debug)]
enum Unwritten {
    /// It would have been wrong, or of nothing by now.
    Worthless,
    Failed(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Keeper {
    pub(super) fn new(folder: PathBuf, namespaces: Vec<NamespaceName>) -> Self {
        let state = State {
            generation: 0,
            aside: None,
            writing: false,
            changed: false,
            next_at: BootTime::ZERO,
            refresh_at: BootTime::from_nanos(u64::MAX),
            last: None,
        };
        Self { folder, namespaces, state: Mutex::new(state) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn status(&self, now: BootTime) -> Option<CopyStatus> {
        let Last { bytes, written, at } = self.state().last?;
        Some(CopyStatus { bytes, age: now.since(written), at })
    }

    /// A copy of this many bytes was read.
    pub(super) fn loaded(&self, at: Revision, bytes: u64, now: BootTime) {
        let mut state = self.state();
        state.last = Some(Last { bytes, written: now, at });
        (state.next_at, state.refresh_at) = (now.plus(EVERY), now.plus(REFRESH));
    }

    /// Whether records are laid aside now.
    pub(super) fn takes_records(&self) -> bool {
        self.state().aside.is_some()
    }

    /// A record was applied; it is given if [`Keeper::takes_records`] said so before.
    pub(super) fn applied(&self, record: Option<Record>) {
        let mut state = self.state();
        state.changed = true;
        let (Some(aside), Some(record)) = (&mut state.aside, record) else { return };
        let bytes = bytes_of(ToVerifier::Record(record));
        aside.bytes += bytes.len();
        aside.records.push(bytes);
        if aside.bytes > ASIDE_MAX {
            tracing::info!("more changes come than a copy of the replica can keep up with: it is tried again later");
            state.give_up();
        }
    }

    /// What is being written would miss something.
    pub(super) fn spoiled(&self) {
        let mut state = self.state();
        state.changed = true;
        state.give_up();
    }

    /// Another table is in force: what is being written is of the one before.
    pub(super) fn replaced(&self) {
        let mut state = self.state();
        state.give_up();
        (state.changed, state.next_at) = (true, BootTime::ZERO);
    }

    /// The table was found to be wrong, or to be of another history: what was made of it is removed, before anything else.
    /// What is being written does not come in its place: that is decided under the same lock.
    pub(super) fn discard(&self) {
        let mut state = self.state();
        state.give_up();
        state.last = None;
        match replica_discard(&self.folder) {
            Ok(()) => tracing::warn!("the copy of the replica in the state folder is discarded"),
            Err(error) => tracing::error!(
                %error,
                "the copy of the replica in {} cannot be removed: remove it before this verifier is started again",
                self.folder.display()
            ),
        }
    }

    /// Takes in how far the session is by now, and begins a copy if one is due; to be called after each step.
    pub(super) fn follow(&self, session: &Session, replica: &MemoryReplica, now: BootTime) -> Option<Job> {
        let mut state = self.state();
        let due = !state.writing && session.status().live && state.is_due(now);
        if state.aside.is_none() && !due {
            return None;
        }
        let Some(point) = self.point(session, replica) else {
            state.give_up();
            return None;
        };
        if let Some(aside) = &mut state.aside {
            aside.point = point;
        }
        if due { self.begin(&mut state, session, replica) } else { None }
    }

    /// The last copy of a process that leaves, if it says more than the one before.
    pub(super) fn last(&self, session: &Session, replica: &MemoryReplica) -> Option<Job> {
        let mut state = self.state();
        if state.writing || !state.changed {
            return None;
        }
        self.begin(&mut state, session, replica)
    }

    fn begin(&self, state: &mut State, session: &Session, replica: &MemoryReplica) -> Option<Job> {
        let (point, tables) = (self.point(session, replica)?, replica.tables()?);
        state.aside = Some(Aside { records: Vec::new(), bytes: 0, point });
        (state.writing, state.changed) = (true, false);
        Some(Job { tables, generation: state.generation })
    }

    fn point(&self, session: &Session, replica: &MemoryReplica) -> Option<Point> {
        let (at, head) = session.resume_point()?;
        Some(Point { at, head: head.clone(), set_hashes: replica.set_hashes_kept(&self.namespaces) })
    }

    /// Writes a copy. Blocks for as long as that takes; nobody waits for it.
    pub(super) fn write(&self, job: Job, clock: &dyn Clock, observe: &dyn Observe) {
        let began = clock.now().boot;
        let written = self.write_file(&job);
        drop(job);
        let now = clock.now().boot;
        let mut state = self.state();
        let rest = now.since(began).saturating_mul(REST).max(EVERY);
        state.writing = false;
        state.next_at = state.next_at.max(now.plus(rest));
        match written {
            Ok((bytes, at)) => {
                state.refresh_at = now.plus(REFRESH);
                state.last = Some(Last { bytes, written: now, at });
                drop(state);
                tracing::debug!(bytes, revision = %at, "a copy of the replica is written");
            }
            Err(Unwritten::Worthless) => state.changed = true,
            Err(Unwritten::Failed(error)) => {
                state.aside = None;
                state.changed = true;
                drop(state);
                observe.copy_failed();
                tracing::warn!(
                    %error,
                    "the replica cannot be copied into {}: this verifier goes on, but its next start takes longer; make room \
                     there, or give it another --state-dir",
                    self.folder.display()
                );
            }
        }
    }

    fn write_file(&self, job: &Job) -> Result<(u64, Revision), Unwritten> {
        let file = BufWriter::with_capacity(BUFFER, ReplicaFile::create(&self.folder)?);
        let mut writer = Writer::begin(file, &self.namespaces, job.tables.at)?;
        let mut failed = None;
        let read = job.tables.read(|part| {
            if self.state().generation != job.generation {
                return ControlFlow::Break(());
            }
            match writer.message(&bytes_of(ToVerifier::SnapshotRows(part))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        if read.is_break() {
            return Err(Unwritten::Worthless);
        }
        // What was read is whole with what was applied until now, and says so.
        let aside = self.state().taken(job.generation).ok_or(Unwritten::Worthless)?;
        for record in &aside.records {
            writer.message(record)?;
        }
        let (file, bytes) = writer.end(&aside.point)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync()?;
        let state = self.state();
        if state.generation != job.generation {
            return Err(Unwritten::Worthless);
        }
        file.put_in_place()?;
        drop(state);
        replica_settle(&self.folder)?;
        Ok((bytes, aside.point.at))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_due(&self, now: BootTime) -> bool {
        now >= self.next_at && (self.changed || now >= self.refresh_at)
    }

    fn give_up(&mut self) {
        self.generation += 1;
        self.aside = None;
    }

    fn taken(&mut self, generation: u64) -> Option<Aside> {
        if self.generation == generation { self.aside.take() } else { None }
    }
}
