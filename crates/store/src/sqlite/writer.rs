//! The one writer: a thread with the one connection that writes.
//!
//! **Group commit**: while a commit is under way the next mutations gather in the queue; then all of them run in one
//! transaction, each in a savepoint of its own, so that one that is refused undoes itself alone. No delay is ever added.
//!
//! **Guaranteed**: an answer of success leaves only after the commit, and after the commit log has the records.
//! **After a commit that failed** nothing is answered before the database was opened anew and read; what stays open is
//! answered `Unknown`. A failed write or sync ends the writer for good: what the kernel then says of the file proves
//! nothing, and a second sync that succeeds proves nothing either.
//! **A full disk** is no failure: nothing of the transaction was done, and what may have the ballast is done again with it
//! (`room`).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
};

use jeton_feed::record::Head;
use jeton_types::{BootTime, Entropy, StartId};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use super::{
    CommitObserver, once, open,
    room::{Need, Room},
    row,
    tx::{Tx, Written},
};
use crate::{CommitLog, Committed, Health, StoreError, authority_time::AuthorityTime};

/// Mutations that may wait.
pub(super) const QUEUE_MAX: usize = 4_096;
/// Mutations in one transaction.
const BATCH_MAX: usize = 512;
/// Pages of the log after which it is copied into the database.
const LOG_PAGES_MAX: i64 = 1_000;

/// What the thread owns.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
    pub(super) time: Arc<AuthorityTime>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) commit_log: Arc<CommitLog>,
    /// Why nothing is written any more.
    pub(super) fence: Arc<OnceLock<String>>,
    pub(super) observer: Arc<dyn CommitObserver>,
    pub(super) health: watch::Sender<Health>,
    pub(super) room: Room,
}

/// One mutation that waits for its turn and then for the commit.
pub(super) trait Job: Send {
    /// What it needs of a full disk.
    fn need(&self) -> Need;
    /// Does it, inside a savepoint. What may have the ballast is run again once some of it is free.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Tells whoever waits. Success may be told only after the commit.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// Where mutations are handed in.
pub(super) type Queue = mpsc::Sender<Box<dyn Job>>;

/// The queue's end of a mutation.
struct Write<F, T> {
    need: Need,
    work: F,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

/// A mutation that is run once, and where its answer will come.
pub(super) fn job<T, F>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let mut work = Some(work);
    // It is never admitted on a full disk, so it is not run a second time.
    job_again(Need::Room, move |tx| work.take().ok_or(StoreError::Full)?(tx))
}

/// A mutation that may have some of the ballast, and where its answer will come.
pub(super) fn job_again<T, F>(need: Need, work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Write { need, work, done: None, reply }), answer)
}

impl<T, F> Job for Write<F, T>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn need(&self) -> Need {
        self.need
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.done = None;
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        // Whoever asked may have gone; what was done stays done.
        let _ = match (outcome, done) {
            (Ok(()), Some(done)) => reply.send(Ok(done)),
            (Ok(()), None) => reply.send(Err(StoreError::Unknown)),
            (Err(error), _) => reply.send(Err(error)),
        };
    }
}

/// Says that nothing is written any more, should the thread end by a panic.
struct LastWords(watch::Sender<Health>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send_replace(Health::Stopped("the writer panicked".to_owned()));
        }
    }
}

/// Why the writer ends.
struct Stop(String);

/// A batch, with what each is to be answered.
type Jobs = Vec<(Box<dyn Job>, Result<(), StoreError>)>;

/// A batch that ran and waits for its commit.
struct Gathered {
    before: Head,
    after: Head,
    start: Option<StartId>,
    written: Vec<Written>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn spawn(self) -> std::io::Result<(Queue, thread::JoinHandle<()>)> {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let thread = thread::Builder::new().name("jeton-store".to_owned()).spawn(move || self.run(queue))?;
        Ok((sender, thread))
    }

    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let _last_words = LastWords(self.health.clone());
        let mut start = None;
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            let Err(Stop(why)) = self.batch(batch, &mut start).and_then(|()| self.log_cut()) else { continue };
            queue.close();
            while let Some(waiting) = queue.blocking_recv() {
                waiting.answer(Err(StoreError::Stopped(why.clone())));
            }
            return;
        }
        // So that the next start has nothing to read again, and a copy of the one file is a copy of the store.
        if let Err(failed) = self.log_copy("TRUNCATE") {
            warn!(%failed, "the log was not cut at the end; the next start reads it");
        }
    }

    fn batch(&mut self, batch: Vec<Box<dyn Job>>, start: &mut Option<StartId>) -> Result<(), Stop> {
        let mut waiting = self.admitted(batch);
        while !waiting.is_empty() {
            waiting = self.attempt(waiting, start)?;
        }
        Ok(())
    }

    /// While the disk is full, those that wait for room are told so before they begin.
    fn admitted(&mut self, batch: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if batch.iter().any(|job| job.need() != Need::Always) {
            self.room.regain();
        }
        let (admitted, refused): (Vec<_>, Vec<_>) = batch.into_iter().partition(|job| self.room.admits(job.need()));
        for job in refused {
            job.answer(Err(StoreError::Full));
        }
        admitted
    }

    /// Does them in one transaction. Hands back those that found no room on the disk and are to be tried again.
    fn attempt(&mut self, batch: Vec<Box<dyn Job>>, start: &mut Option<StartId>) -> Result<Vec<Box<dyn Job>>, Stop> {
        let began = self.time.boot();
        let mut jobs: Jobs = Vec::with_capacity(batch.len());
        let mut waiting = batch.into_iter();
        let gathered = match self.gather(&mut waiting, &mut jobs, *start) {
            Ok(gathered) => gathered,
            Err(error) => {
                // The whole transaction is gone, so nothing that was done in it ever happened.
                jobs.extend(waiting.map(|job| (job, Ok(()))));
                return self.abandon(jobs, error);
            }
        };
        // Before the commit and not after it: should the process be stopped in between, the records are as old as that.
        let boot = self.time.boot();
        match self.conn.execute_batch("COMMIT") {
            Ok(()) => {
                *start = gathered.start;
                self.publish(gathered.written, boot);
                let size = jobs.iter().filter(|(_, outcome)| outcome.is_ok()).count();
                self.observer.committed(size, self.time.boot().since(began));
                answer(jobs);
                Ok(Vec::new())
            }
            Err(failed) => self.commit_failed(jobs, &failed, gathered, boot, start),
        }
    }

    /// Runs the waiting jobs in one transaction, which is left open. Fails if SQLite gave the transaction up.
    fn gather(
        &self,
        waiting: &mut impl Iterator<Item = Box<dyn Job>>,
        jobs: &mut Jobs,
        start: Option<StartId>,
    ) -> Result<Gathered, StoreError> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut tx = Tx::new(&self.conn, &self.time, &*self.entropy, start)?;
        let before = tx.head().clone();
        once::shred(&self.conn, tx.now())?;
        if before != self.commit_log.head() {
            return Err(StoreError::Stopped("another process has written to the database".to_owned()));
        }
        let full = self.room.is_full();
        for mut job in waiting {
            if let Some(why) = self.fence.get() {
                jobs.push((job, Err(StoreError::Rollback(why.clone()))));
                continue;
            }
            match in_savepoint(&mut tx, &mut *job, full) {
                Ok(()) => jobs.push((job, Ok(()))),
                Err(Undone::Alone(error)) => jobs.push((job, Err(error))),
                Err(Undone::All(error)) => {
                    jobs.push((job, Ok(())));
                    return Err(error);
                }
            }
        }
        let (after, start, written) = tx.finish();
        Ok(Gathered { before, after, start, written })
    }

    /// Answers a batch of which nothing was committed, or hands back what is to be tried again.
    fn abandon(&mut self, mut jobs: Jobs, error: StoreError) -> Result<Vec<Box<dyn Job>>, Stop> {
        if !self.conn.is_autocommit()
            && let Err(failed) = self.conn.execute_batch("ROLLBACK")
        {
            warn!(%failed, "a transaction did not roll back");
        }
        let open = !self.conn.is_autocommit();
        if error == StoreError::Full && !open {
            return Ok(self.out_of_room(jobs));
        }
        fail(&mut jobs, &error);
        let outcome = match error {
            StoreError::Stopped(why) | StoreError::Corrupt(why) => Err(self.stop(why)),
            _ if open => Err(self.stop("a transaction did not roll back".to_owned())),
            _ => Ok(Vec::new()),
        };
        answer(jobs);
        outcome
    }

    /// A commit failed: reads what there is before anything is answered (`feed-protocol.md` 1).
    fn commit_failed(
        &mut self,
        mut jobs: Jobs,
        failed: &rusqlite::Error,
        gathered: Gathered,
        boot: BootTime,
        start: &mut Option<StartId>,
    ) -> Result<Vec<Box<dyn Job>>, Stop> {
        let error = row::commit_error(failed);
        warn!(%failed, "a commit failed");
        if let StoreError::Stopped(why) | StoreError::Corrupt(why) = error {
            fail(&mut jobs, &StoreError::Unknown);
            let stop = self.stop(why);
            answer(jobs);
            return Err(stop);
        }
        // Closing the old connection rolls back whatever it still had open.
        let found = open::reopen(&self.path).and_then(|conn| {
            drop(std::mem::replace(&mut self.conn, conn));
            open::counter(&self.conn)
        });
        let (outcome, answered) = match found {
            // The log takes a commit's last page last: one that found no room for it was not committed.
            Ok((head, _)) if error == StoreError::Full && head == gathered.before => {
                return Ok(self.out_of_room(jobs));
            }
            Ok((head, _)) if gathered.before != gathered.after && head == gathered.before => (error, Ok(Vec::new())),
            Ok((head, _)) if head == gathered.after => {
                self.publish(gathered.written, boot);
                *start = gathered.start;
                (StoreError::Unknown, Ok(Vec::new()))
            }
            Ok((head, _)) => {
                let why = format!("after a failed commit the head is {}", head.revision);
                (StoreError::Unknown, Err(self.stop(why)))
            }
            Err(error) => (StoreError::Unknown, Err(self.stop(error.to_string()))),
        };
        fail(&mut jobs, &outcome);
        answer(jobs);
        answered
    }

    /// The disk is full, and nothing of this was done. Gives up a part of the ballast for those that may have it, and hands
    /// them back; the others are told.
    fn out_of_room(&mut self, jobs: Jobs) -> Vec<Box<dyn Job>> {
        self.room.filled();
        let (again, told): (Jobs, Jobs) =
            jobs.into_iter().partition(|(job, outcome)| outcome.is_ok() && self.room.admits(job.need()));
        let (again, mut refused) = if !again.is_empty() && self.room.release() {
            (again.into_iter().map(|(job, _)| job).collect(), told)
        } else {
            (Vec::new(), told.into_iter().chain(again).collect())
        };
        fail(&mut refused, &StoreError::Full);
        answer(refused);
        again
    }

    /// Says that this is the end, before anybody is answered: who gets an answer finds `health` saying why.
    fn stop(&self, why: String) -> Stop {
        error!(%why, "the store has stopped writing");
        self.health.send_replace(Health::Stopped(why.clone()));
        Stop(why)
    }

    fn publish(&self, written: Vec<Written>, boot: BootTime) {
        let committed = written
            .into_iter()
            .map(|Written { mut record, revocation }| {
                if !self.observer.vouch(&record) {
                    Arc::make_mut(&mut record).set_hash = None;
                }
                Committed { record, revocation, boot }
            })
            .collect::<Vec<_>>();
        if !committed.is_empty() {
            self.commit_log.append(committed);
        }
    }

    /// Copies the log into the database once it is long. A failed sync in here is as bad as one in a commit.
    fn log_cut(&mut self) -> Result<(), Stop> {
        let mut cut = self.log_shorten();
        // A log that is cut is written anew from its beginning, which takes less of the ballast than one that grows.
        if cut == Err(StoreError::Full) && self.room.is_full() && self.room.admits(Need::Half) && self.room.release() {
            cut = self.log_shorten();
        }
        match cut {
            Ok(()) => Ok(()),
            Err(StoreError::Stopped(why) | StoreError::Corrupt(why)) => Err(self.stop(why)),
            Err(error) => {
                if !self.room.is_full() {
                    warn!(%error, "the log could not be cut; it grows until it can");
                }
                Ok(())
            }
        }
    }

    fn log_shorten(&self) -> Result<(), StoreError> {
        if self.log_copy("NOOP")? > LOG_PAGES_MAX {
            self.log_copy("PASSIVE")?;
        }
        Ok(())
    }

    /// Asks for the log to be copied into the database; says how many pages it has.
    fn log_copy(&self, mode: &str) -> rusqlite::Result<i64> {
        self.conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
    }
}

/// What was not done.
enum Undone {
    /// This mutation alone, and the others go on.
    Alone(StoreError),
    /// Everything in the transaction.
    All(StoreError),
}

fn in_savepoint(tx: &mut Tx<'_>, job: &mut dyn Job, full: bool) -> Result<(), Undone> {
    let mark = tx.mark();
    let begun = tx.conn.prepare_cached("SAVEPOINT mutation").and_then(|mut statement| statement.execute([]));
    begun.map_err(|error| Undone::All(error.into()))?;
    // A panic in one mutation is that mutation's failure, not everybody's.
    let mut done = catch_unwind(AssertUnwindSafe(|| job.run(tx)))
        .unwrap_or_else(|_| Err(StoreError::Unavailable("the mutation panicked".to_owned())));
    if let Err(error @ (StoreError::Stopped(_) | StoreError::Corrupt(_) | StoreError::Full)) = done {
        return Err(Undone::All(error));
    }
    // It may have had the ballast for an end of authority, and was none.
    if done.is_ok() && full && job.need() == Need::Ballast && tx.only_gave(&mark) {
        done = Err(StoreError::Full);
    }
    if let Err(error) = done {
        tx.restore(mark);
        if tx.conn.is_autocommit() {
            return Err(Undone::All(error));
        }
        savepoint_close(tx.conn, "ROLLBACK TO mutation").map_err(Undone::All)?;
        savepoint_close(tx.conn, "RELEASE mutation").map_err(Undone::All)?;
        return Err(Undone::Alone(error));
    }
    savepoint_close(tx.conn, "RELEASE mutation").map_err(Undone::All)
}

/// What a savepoint that does not close leaves in the transaction is nobody's: the whole transaction must go.
fn savepoint_close(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    let closed = conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    closed.map(drop).map_err(|error| StoreError::Stopped(format!("a savepoint did not close: {error}")))
}

/// What would have been answered as done is answered with `error` instead.
fn fail(jobs: &mut Jobs, error: &StoreError) {
    for (_, outcome) in jobs.iter_mut().filter(|(_, outcome)| outcome.is_ok()) {
        *outcome = Err(error.clone());
    }
}

fn answer(jobs: Jobs) {
    for (job, outcome) in jobs {
        job.answer(outcome);
    }
}
