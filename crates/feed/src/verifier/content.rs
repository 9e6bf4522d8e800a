//! What a replica is made of, as it comes in: snapshots and records (`feed-protocol.md` 23 and 24).

use jeton_types::{Now, Revision};

use super::{AwaitingSnapshot, Effect, Fault, Note, Session, State, acknowledge};
use crate::{
    frame::{Frame, Joined, join},
    lease::Void,
    message::SnapshotPart,
    record::Record,
    replica::{Replica, Unappliable},
};

impl Session {
    pub(super) fn snapshot_begin<R: Replica>(&mut self, now: Now, at: Revision, replica: &R, out: &mut Vec<Effect>) {
        // Not only what is whole: an end that is enforced already must not be taken back (`feed-protocol.md` 23).
        let known = replica.watermark().max(self.seen);
        if at < known {
            return self.fault_slow(Fault::WentBack { known, head: at }, replica, out);
        }
        match self.state {
            State::AwaitingSnapshot(AwaitingSnapshot { begun: None, .. }) | State::Live(_) => {
                replica.snapshot_begin();
                if matches!(self.state, State::Live(_)) {
                    out.push(Effect::AsksFailed);
                }
                self.state = State::AwaitingSnapshot(AwaitingSnapshot { heard: now.boot, begun: Some(at), rows: 0 });
            }
            _ => self.fault(Fault::Unexpected("the beginning of a snapshot"), replica, out),
        }
    }

    pub(super) fn snapshot_rows<R: Replica>(&mut self, part: SnapshotPart, replica: &R, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::AwaitingSnapshot(state)
                if state.begun.is_some() && self.config.namespaces.contains(&part.namespace) =>
            {
                state.rows += part.rows.len() as u64;
                replica.snapshot_rows(part);
            }
            _ => self.fault(Fault::Unexpected("rows of a snapshot"), replica, out),
        }
    }

    pub(super) fn snapshot_end<R: Replica>(&mut self, now: Now, at: Revision, replica: &R, out: &mut Vec<Effect>) {
        let rows = match &self.state {
            State::AwaitingSnapshot(state) if state.begun == Some(at) => state.rows,
            _ => return self.fault(Fault::Unexpected("the end of a snapshot"), replica, out),
        };
        match replica.snapshot_end(at) {
            Ok(visible) => {
                out.push(Effect::Note(Note::Snapshot { at, rows }));
                self.watermark = visible.revision();
                self.whole = true;
                self.live(now, visible, out);
            }
            Err(why) => {
                // What is known here is kept, ends above all: that the authority forgot one is no reason to forget it too. But
                // not if it is known only from a disk, or if a row here has changed that nobody wrote: then no snapshot would
                // ever add up.
                let mine = || self.unvouched || replica.set_hashes(&self.config.namespaces).is_err();
                if matches!(why, Unappliable::Mismatch { .. }) && mine() {
                    self.mistrust(replica, out);
                    return self.fault(Fault::Unappliable(why), replica, out);
                }
                self.whole = false;
                self.fault_slow(Fault::Unappliable(why), replica, out);
            }
        }
    }

    pub(super) fn record<R: Replica>(&mut self, record: &Record, replica: &R, out: &mut Vec<Effect>) {
        match &self.state {
            State::Live(live) if live.joining.is_none() => {}
            State::Live(_) => return self.fault(Fault::Unexpected("a record within another"), replica, out),
            _ => return self.fault(Fault::Unexpected("a record"), replica, out),
        }
        self.apply(record, replica, out);
    }

    /// Enforces what may be enforced by itself; the watermark and the acknowledgement wait for the last frame.
    pub(super) fn frame<R: Replica>(&mut self, frame: Frame, replica: &R, out: &mut Vec<Effect>) {
        let State::Live(live) = &mut self.state else {
            return self.fault(Fault::Unexpected("a frame of a record"), replica, out);
        };
        let revision = frame.record.revision;
        let joined = join(&mut live.joining, frame);
        if joined.is_ok() {
            self.seen = self.seen.max(revision);
        }
        match joined {
            Ok(Joined::Ends(part)) => {
                if let Err(why) = replica.ends_enforce(&part) {
                    self.unappliable(why, replica, out);
                }
            }
            Ok(Joined::Held) => {}
            Ok(Joined::Last(rest)) => self.apply(&rest, replica, out),
            Err(why) => self.fault(Fault::Unexpected(why), replica, out),
        }
    }

    fn apply<R: Replica>(&mut self, record: &Record, replica: &R, out: &mut Vec<Effect>) {
        match replica.record_apply(record) {
            Ok(visible) => {
                self.watermark = self.watermark.max(visible.revision());
                self.needs_protocol = None;
                out.push(acknowledge(&visible));
                self.applied = Some(visible);
            }
            Err(why) => self.unappliable(why, replica, out),
        }
    }

    fn unappliable<R: Replica>(&mut self, why: Unappliable, replica: &R, out: &mut Vec<Effect>) {
        match why {
            Unappliable::UnknownChange { kind, needs_protocol } => {
                // The state before it stays whole, so the next stream begins with this record again: never skipped.
                self.needs_protocol = Some(needs_protocol);
                replica.lease_void(Void::Unappliable);
                self.held = None;
                out.extend([Effect::Note(Note::NeedsProtocol { kind, needs_protocol }), Effect::Disconnect]);
                let after = self.backoff.slow();
                self.reconnect(after, out);
            }
            why => {
                if matches!(why, Unappliable::Mismatch { .. }) {
                    self.mistrust(replica, out);
                }
                self.fault(Fault::Unappliable(why), replica, out);
            }
        }
    }

    /// The table is wrong: nothing is answered, and nothing acknowledged, until a snapshot has taken its place.
    pub(super) fn mistrust<R: Replica>(&mut self, replica: &R, out: &mut Vec<Effect>) {
        replica.mistrust();
        self.held = None;
        self.whole = false;
        out.push(Effect::Mistrusted);
    }
}
