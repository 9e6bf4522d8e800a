//! What one stream sends: snapshot or resume, records, heartbeats, watermarks, in one order; grants beside them.
//!
//! Everything but the hub's own messages leaves through [`Sender::run`] alone, so that a watermark follows what it
//! speaks of. The hub's messages carry no content; they may overtake, so that a long catching up costs no lease.

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use jeton_feed::{
    frame::Cursor,
    message::{ToVerifier, Welcome},
    numbers::HEARTBEAT_EVERY,
    record::{Head, Record},
};
use jeton_proto::{
    codec::Outbound,
    frame::{fits, snapshot_parts},
};
use jeton_store::{SnapshotSink, Store, StoreError, model::SnapshotItem};
use jeton_types::{NamespaceName, Revision, UnixTime};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval, interval_at},
};
use tracing::{info, warn};

use super::{handle::Shared, outgoing::Outgoing, stream::End};

/// Records that are fetched at once.
const BATCH: usize = 256;
/// Watermark requests that wait for their answer.
const ASKED_MAX: usize = 32;
/// Pieces of a snapshot that wait between the store and the stream.
const PIECES_MAX: usize = 2;
/// While others wait, a snapshot may take this long,
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(30);
/// and this much longer for each piece: some hundred rows a second are no more than what any link has.
const SNAPSHOT_PACE: Duration = Duration::from_secs(1);
/// Records whose acknowledgement is measured, at most.
const UNACKED_MAX: usize = 4_096;

/// See the module.
pub(super) struct Sender<'a> {
    pub(super) shared: &'a Shared,
    pub(super) out: &'a Outgoing,
    /// What the hub wants sent.
    pub(super) control: &'a mut mpsc::Receiver<ToVerifier>,
    /// The watermark requests of the verifier.
    pub(super) asks: mpsc::Receiver<u64>,
    pub(super) namespaces: &'a [NamespaceName],
    pub(super) unacked: &'a Unacked,
    pub(super) covered: &'a Covered,
    /// Watermark requests that are to be answered by a head that is read from now on.
    pub(super) asked: VecDeque<u64>,
    pub(super) heartbeats: Interval,
    /// The revision of the last head that was sent.
    pub(super) told: Revision,
}

/// When a stream's heartbeats are due.
pub(super) fn heartbeats() -> Interval {
    let mut heartbeats = interval(HEARTBEAT_EVERY);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeats
}

/// Hands pieces of a snapshot over to the stream. It gives up when the receiver is gone, at the latest when the verifier has
/// taken nothing for too long.
struct HandOver(mpsc::Sender<SnapshotItem>);

impl SnapshotSink for HandOver {
    fn take(&mut self, item: SnapshotItem) -> ControlFlow<()> {
        go_on(self.0.blocking_send(item))
    }

    async fn take_or_wait(&mut self, item: SnapshotItem) -> ControlFlow<()> {
        go_on(self.0.send(item).await)
    }
}

fn go_on<E>(sent: Result<(), E>) -> ControlFlow<()> {
    if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// What the welcome says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The protocol that is spoken.
    pub(super) protocol: u32,
    /// Where the verifier may go on; nothing if a snapshot comes.
    pub(super) resume: Option<Revision>,
    /// What it has seen is of another history.
    pub(super) foreign: bool,
    /// What it holds is not what the log leaves (`feed-protocol.md` 24).
    pub(super) mismatch: bool,
}

impl Sender<'_> {
    /// Sends until something ends it.
    pub(super) async fn run(mut self, terms: Terms) -> End {
        match self.follow(terms).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(&mut self, terms: Terms) -> Result<std::convert::Infallible, End> {
        let log = self.shared.parts.store.commit_log();
        let mut changed = log.changed();
        let Terms { protocol, resume, foreign, mismatch } = terms;
        self.covered.raise(resume.unwrap_or_default());
        let (head, authority_time) = (self.shared.head(), self.shared.parts.time.now());
        self.told = head.revision;
        // The first of all: the hub may have something urgent to say by now.
        self.out
            .urge(ToVerifier::Welcome(Welcome { protocol, resume, mismatch, head, authority_time, foreign }))
            .await?;
        let mut sent = match resume {
            Some(resume) => resume,
            None => self.snapshot().await?,
        };
        let mut heartbeat_due = false;
        loop {
            self.asks_take();
            let asked = std::mem::take(&mut self.asked);
            changed.mark_unchanged();
            // Read after the requests above arrived: what had been answered by then is in it.
            let head = log.head();
            sent = self.catch_up(sent, &head).await?;
            if !asked.is_empty() {
                self.head_tell(sent, &head).await?;
            }
            for request in asked {
                self.send(ToVerifier::Watermark { request, watermark: sent }).await?;
            }
            if std::mem::take(&mut heartbeat_due) {
                self.heartbeat(sent, &head).await?;
            }
            if !self.asked.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                Some(message) = self.control.recv() => self.out.urge(message).await?,
                Some(request) = self.asks.recv() => self.asked.push_back(request),
                // The log lives as long as the store.
                Ok(()) = changed.changed() => {}
                _ = self.heartbeats.tick() => heartbeat_due = true,
            }
        }
    }

    /// Takes the requests that have come. Of too many the oldest are dropped: who asked does not wait any more.
    fn asks_take(&mut self) {
        while let Ok(request) = self.asks.try_recv() {
            if self.asked.len() == ASKED_MAX {
                self.asked.pop_front();
            }
            self.asked.push_back(request);
        }
    }

    /// Sends what is above `sent` up to the head, of the session's namespaces, or a snapshot if the log does not have all of
    /// it any more (`feed-protocol.md` 28); answers how far that is.
    async fn catch_up(&mut self, mut sent: Revision, head: &Head) -> Result<Revision, End> {
        while sent < head.revision {
            let Some(records) = records(self.shared, sent, head.revision).await? else {
                // What was cut may have been of these namespaces, and nothing that is left need name it.
                info!(%sent, "the log was cut above what a stream was sent: it gets a snapshot");
                return self.snapshot().await;
            };
            if records.is_empty() {
                break;
            }
            let mut large = None;
            for record in records {
                if record.revision > head.revision {
                    // The next head's.
                    return Ok(sent.max(head.revision));
                }
                if self.namespaces.contains(&record.namespace) {
                    self.head_tell(sent, head).await?;
                    if !fits(&record) {
                        // Let go, with those after it: a slow verifier would keep them all in memory.
                        large = Some((record.revision, record.committed_at));
                        break;
                    }
                    self.unacked.sent(record.revision, record.committed_at);
                    self.send(ToVerifier::Record(Record::clone(&record))).await?;
                }
                sent = record.revision;
            }
            if let Some((revision, committed_at)) = large {
                if !self.frames(sent, revision, committed_at).await? {
                    info!(%revision, "a record was cut from the log while it was sent: the stream gets a snapshot");
                    return self.snapshot().await;
                }
                sent = revision;
            }
        }
        Ok(sent.max(head.revision))
    }

    /// Sends a record in frames (`feed-protocol.md` 23). `sent` is what was sent before it: no watermark goes further until the
    /// last frame is on its way. False if the log does not have the record any more.
    async fn frames(&mut self, sent: Revision, revision: Revision, committed_at: UnixTime) -> Result<bool, End> {
        let mut at = Some(Cursor::FIRST);
        while let Some(cursor) = at {
            let Some(frame) = self.shared.frames.frame(self.shared, revision, cursor).await? else { return Ok(false) };
            if frame.next.is_none() {
                // Before it leaves: the acknowledgement of the whole must find it, and of a part there is none.
                self.unacked.sent(revision, committed_at);
                self.covered.raise(revision);
            }
            self.content(frame.message).await?;
            at = frame.next;
            self.asks_take();
            if at.is_some() && self.heartbeats.tick().now_or_never().is_some() {
                let head = self.shared.parts.store.commit_log().head();
                self.heartbeat(sent, &head).await?;
            }
        }
        Ok(true)
    }

    /// Sees to it that a head has been sent that covers what comes next: whoever has seen a record or a watermark can then
    /// prove it to an authority that has lost it (`feed-protocol.md` 26).
    async fn head_tell(&mut self, sent: Revision, head: &Head) -> Result<(), End> {
        if head.revision > self.told { self.heartbeat(sent, head).await } else { Ok(()) }
    }

    async fn heartbeat(&mut self, watermark: Revision, head: &Head) -> Result<(), End> {
        let head = self.shared.parts.keys.head_seal(head);
        self.told = self.told.max(head.revision);
        let authority_time = self.shared.parts.time.now();
        self.send(ToVerifier::Heartbeat { watermark, authority_time, head }).await
    }

    /// Sends everything that is enforced, from one view that opens now: after the stream was registered, so that it
    /// is never older than anything that was sent to this session (`feed-protocol.md` 23).
    async fn snapshot(&mut self) -> Result<Revision, End> {
        let began = Instant::now();
        let (pieces, mut waiting) = mpsc::channel::<SnapshotItem>(PIECES_MAX);
        let shared = self.shared;
        let reading = shared.parts.store.snapshot(self.namespaces.to_vec(), HandOver(pieces));
        let sending = async {
            // It may wait long for its turn, and a verifier that hears nothing gives the stream up and loses its place.
            let mut heartbeats = interval_at(Instant::now() + HEARTBEAT_EVERY, HEARTBEAT_EVERY);
            heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut place = Some(shared.snapshots.wait());
            let mut pace = Pace::default();
            let mut parts = VecDeque::new();
            loop {
                let message = tokio::select! {
                    biased;
                    Some(part) = std::future::ready(parts.pop_front()) => ToVerifier::SnapshotRows(part),
                    piece = waiting.recv() => match piece {
                        None => break,
                        Some(SnapshotItem::Begin { at }) => {
                            place = None;
                            pace = Pace::default();
                            ToVerifier::SnapshotBegin { at }
                        }
                        Some(SnapshotItem::Rows(mut part)) => {
                            pace.pieces += 1;
                            part.set_hash = part.set_hash.filter(|_| shared.parts.witness.agrees(&part.namespace));
                            parts.extend(snapshot_parts(part));
                            continue;
                        }
                    },
                    // Nothing is covered by what was sent so far.
                    _ = heartbeats.tick() => ToVerifier::Heartbeat {
                        watermark: Revision::ZERO,
                        authority_time: shared.parts.time.now(),
                        head: shared.head(),
                    },
                };
                let sent = self.send(message).await;
                // Two are read at a time: whoever takes a piece now and then must not keep the others waiting for ever.
                let too_slow = place.is_none() && pace.is_too_slow(shared.snapshots.waiting());
                if let Err(end) = if too_slow { Err(End::Slow) } else { sent } {
                    waiting.close();
                    return Err(end);
                }
            }
            Ok(())
        };
        let (read, was_sent) = tokio::join!(reading, sending);
        was_sent?;
        let at = match read {
            Ok(Some(at)) => at,
            Ok(None) => return Err(End::Closed),
            Err(error) => {
                warn!(%error, "a snapshot could not be read");
                return Err(End::Unavailable);
            }
        };
        // The view may have been of a moment before the log was told of it.
        let mut changed = shared.parts.store.commit_log().changed();
        if changed.wait_for(|head| *head >= at).await.is_err() {
            return Err(End::Closing);
        }
        let head = shared.parts.store.commit_log().head();
        self.head_tell(Revision::ZERO, &head).await?;
        self.send(ToVerifier::SnapshotEnd { at }).await?;
        self.shared.parts.metrics.snapshot_observe(began.elapsed());
        Ok(at)
    }

    /// Sends one message of the ordered ones, after whatever the hub wants sent.
    async fn send(&mut self, message: ToVerifier) -> Result<(), End> {
        // Before it leaves: its acknowledgement must find it here.
        match &message {
            ToVerifier::Record(record) => self.covered.raise(record.revision),
            ToVerifier::SnapshotEnd { at } => self.covered.raise(*at),
            ToVerifier::Heartbeat { watermark, .. } | ToVerifier::Watermark { watermark, .. } => {
                self.covered.raise(*watermark);
            }
            _ => {}
        }
        self.content(Outbound::Message(message.into())).await
    }

    /// Sends once there is room for content; whatever the hub wants sent meanwhile does not wait for that.
    async fn content(&mut self, message: Outbound) -> Result<(), End> {
        let until = Outgoing::patience();
        loop {
            tokio::select! {
                biased;
                Some(first) = self.control.recv() => self.out.urge(first).await?,
                room = self.out.room(until) => {
                    room?.send(Ok(message));
                    return Ok(());
                }
            }
        }
    }
}

/// The next records, some of them; nothing if the log does not reach back to them any more.
async fn records(shared: &Shared, after: Revision, upto: Revision) -> Result<Option<Vec<Arc<Record>>>, End> {
    let store = &shared.parts.store;
    if let Some(records) = store.commit_log().after(after, BATCH) {
        return Ok(Some(records));
    }
    let mut records = match store.records(after, upto, BATCH).await {
        Ok(records) => records,
        Err(StoreError::LogCut { .. }) => return Ok(None),
        Err(error) => {
            warn!(%error, "records could not be read for a verifier");
            return Err(End::Unavailable);
        }
    };
    // The store has what it summed up itself; what is in memory was vouched for.
    for record in &mut records {
        record.set_hash = record.set_hash.filter(|_| shared.parts.witness.agrees(&record.namespace));
    }
    Ok(Some(records.into_iter().map(Arc::new).collect()))
}

/// Snapshots that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Snapshots(AtomicUsize);

/// One of them, until dropped.
struct Place<'a>(&'a AtomicUsize);

impl Snapshots {
    fn wait(&self) -> Place<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Place(&self.0)
    }

    fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How fast a snapshot is taken.
#[derive(Debug)]
struct Pace {
    began: Instant,
    pieces: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { began: Instant::now(), pieces: 0 }
    }
}

impl Pace {
    fn is_too_slow(&self, waiting: usize) -> bool {
        waiting > 0 && self.began.elapsed() > SNAPSHOT_PATIENCE + SNAPSHOT_PACE * self.pieces
    }
}

/// How far a stream has been sent: what a verifier can have made visible by it.
#[derive(Debug, Default)]
pub(super) struct Covered(AtomicU64);

impl Covered {
    fn raise(&self, to: Revision) {
        self.0.fetch_max(to.get(), Ordering::Relaxed);
    }

    /// Whether an acknowledgement of this can be true.
    pub(super) fn covers(&self, revision: Revision) -> bool {
        revision.get() <= self.0.load(Ordering::Relaxed)
    }
}

/// The records that a stream was sent and did not acknowledge, with when they were committed: to measure propagation.
#[derive(Debug, Default)]
pub(super) struct Unacked(Mutex<VecDeque<(Revision, UnixTime)>>);

impl Unacked {
    fn sent(&self, revision: Revision, committed_at: UnixTime) {
        let mut unacked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unacked.len() >= UNACKED_MAX {
            unacked.pop_front();
        }
        unacked.push_back((revision, committed_at));
    }

    /// Takes those out that are acknowledged now, and answers when they were committed.
    pub(super) fn acked(&self, revision: Revision) -> Vec<UnixTime> {
        let mut unacked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = unacked.partition_point(|(sent, _)| *sent <= revision);
        unacked.drain(..count).map(|(_, committed_at)| committed_at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_snapshot_gives_way_once_others_wait() {
        let snapshots = Snapshots::default();
        let mut pace = Pace::default();
        tokio::time::advance(SNAPSHOT_PATIENCE + Duration::from_secs(5)).await;
        assert!(!pace.is_too_slow(snapshots.waiting()), "nobody waits");
        let place = snapshots.wait();
        assert!(pace.is_too_slow(snapshots.waiting()));
        pace.pieces = 6;
        assert!(!pace.is_too_slow(snapshots.waiting()), "it is fast enough");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(pace.is_too_slow(snapshots.waiting()));
        drop(place);
        assert!(!pace.is_too_slow(snapshots.waiting()));
    }
}
