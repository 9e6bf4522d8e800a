//! The frames of large records, encoded once for all streams (`feed-protocol.md` 23).
//!
//! Purpose: a revocation of 100,000 tokens is some 8 MB, and a thousand streams may be sending it. Guarantee: its frames are
//! made once while any stream is near them, no stream holds more of it than what is on its way out, and one record at a time
//! is read and cut. Not guaranteed: that a frame is still here when a slow stream comes to it; it is then made anew, and is the
//! same.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jeton_feed::{frame::Cursor, record::Record};
use jeton_proto::{codec::Outbound, frame::record_frame};
use jeton_store::Store as _;
use jeton_types::Revision;
use tracing::warn;

use super::{handle::Shared, stream::End};

/// Bytes of frames that are kept.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of frames that are made at once.
const MADE_BYTES_MAX: usize = KEPT_BYTES_MAX / 2;

/// A frame on its way to a stream.
#[derive(Clone)]
pub(super) struct Frame {
    /// Its message.
    pub(super) message: Outbound,
    /// Where the next one begins; none after the last.
    pub(super) next: Option<Cursor>,
    bytes: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Frames {
    kept: Mutex<Kept>,
    /// Held by whoever makes frames, so that those who wait for the same find them.
    making: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    frames: HashMap<Key, Frame>,
    /// Oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

type Key = (Revision, Cursor);

impl Frames {
    /// The frame of a record that begins there; nothing if the log does not have the record any more.
    pub(super) async fn frame(&self, shared: &Shared, revision: Revision, at: Cursor) -> Result<Option<Frame>, End> {
        if let Some(frame) = self.kept().frames.get(&(revision, at)) {
            return Ok(Some(frame.clone()));
        }
        let _alone = self.making.lock().await;
        if let Some(frame) = self.kept().frames.get(&(revision, at)) {
            return Ok(Some(frame.clone()));
        }
        let Some(record) = record(shared, revision).await? else { return Ok(None) };
        let make = |at| {
            shared.parts.metrics.frame_made_count();
            make(&record, at)
        };
        let first = make(at);
        self.kept().keep((revision, at), first.clone());
        let (mut next, mut made) = (first.next, first.bytes);
        while let Some(cursor) = next.filter(|_| made < MADE_BYTES_MAX) {
            // It takes a while, and others have something to do.
            tokio::task::yield_now().await;
            let frame = make(cursor);
            (next, made) = (frame.next, made + frame.bytes);
            self.kept().keep((revision, cursor), frame);
        }
        Ok(Some(first))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here panics half-way through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: Key, frame: Frame) {
        self.bytes += frame.bytes;
        if let Some(before) = self.frames.insert(key, frame) {
            self.bytes -= before.bytes;
        } else {
            self.order.push_back(key);
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.frames.remove(&oldest).map_or(0, |gone| gone.bytes);
        }
    }
}

fn make(record: &Record, at: Cursor) -> Frame {
    let (bytes, next) = record_frame(record, at);
    Frame { bytes: bytes.len(), message: Outbound::Encoded(bytes), next }
}

/// A record that was seen a moment ago; nothing if it was cut from the log since.
async fn record(shared: &Shared, revision: Revision) -> Result<Option<Arc<Record>>, End> {
    let store = &shared.parts.store;
    let before = Revision::new(revision.get().saturating_sub(1)).unwrap_or_default();
    if let Some(found) = store.commit_log().after(before, 1) {
        return Ok(found.into_iter().find(|record| record.revision == revision));
    }
    let mut found = store.record(revision).await.map_err(|error| {
        warn!(%error, "a record could not be read for a verifier");
        End::Unavailable
    })?;
    if let Some(record) = &mut found {
        record.set_hash = record.set_hash.filter(|_| shared.parts.witness.agrees(&record.namespace));
    }
    Ok(found.map(Arc::new))
}
