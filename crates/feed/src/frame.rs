//! Records in frames (`feed-protocol.md` 23): cut by the authority, joined by a verifier.
//!
//! A record that is too large for one message travels as several, each with some of its changes. So what is more urgent,
//! above all a lease, gets between them, and nobody holds the whole in one piece.
//!
//! Guaranteed: joined, the frames of a record are that record, or they are refused. What only takes away is handed out as
//! it comes; everything else is kept back until the last frame, so that no verification sees half of a change of rights.
//! Not guaranteed: that the rest comes. A stream that ends in between leaves ends that are enforced and not acknowledged,
//! and the next one begins with the first frame again.

use crate::record::{Change, Record};

/// One of several parts of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its number, from 1.
    pub number: u32,
    /// Whether it is the record's last.
    pub last: bool,
    /// The record with the changes of this frame alone, and with its set hash in the last frame alone.
    pub record: Record,
}

/// Where the next frame of a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    number: u32,
    change: usize,
}

impl Cursor {
    /// The beginning of a record.
    pub const FIRST: Self = Self { number: 1, change: 0 };
}

/// What one message carries of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// It fits into one message as it is.
    Whole(Record),
    /// A part of it, and where the next begins.
    Part(Frame, Option<Cursor>),
}

/// How many of the first changes fit into `room`, by their sizes: at least one, if there is one.
pub fn fitting(sizes: impl IntoIterator<Item = usize>, room: usize) -> usize {
    let (mut count, mut taken) = (0, 0_usize);
    for size in sizes {
        taken = taken.saturating_add(size);
        if count > 0 && taken > room {
            break;
        }
        count += 1;
    }
    count
}

/// Cuts the frame of a record that begins at `at`, with as many changes as fit into `room`. The same record, room and
/// sizes give the same frames.
#[must_use]
pub fn cut(record: &Record, at: Cursor, room: usize, size: impl Fn(&Change) -> usize) -> Cut {
    let rest = record.changes.get(at.change..).unwrap_or_default();
    let count = fitting(rest.iter().map(size), room);
    let last = count == rest.len();
    if last && at == Cursor::FIRST {
        return Cut::Whole(record.clone());
    }
    let part = Record {
        changes: rest.iter().take(count).cloned().collect(),
        set_hash: record.set_hash.filter(|_| last),
        ..header(record)
    };
    let next = (!last).then_some(Cursor { number: at.number.saturating_add(1), change: at.change + count });
    Cut::Part(Frame { number: at.number, last, record: part }, next)
}

/// A record of which not all frames have come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Joining {
    /// What every frame of it says.
    header: Record,
    /// The number of the last frame that came.
    number: u32,
    /// From the first change on that does more than take away: nothing behind it may be done before it.
    held: Vec<Change>,
}

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined {
    /// These changes only take away: they may be enforced now.
    Ends(Record),
    /// Nothing yet.
    Held,
    /// It was the last: these changes are still to be applied, and then all of the record is.
    Last(Record),
}

impl Joining {
    /// The record's revision.
    #[must_use]
    pub const fn revision(&self) -> jeton_types::Revision {
        self.header.revision
    }
}

/// Takes the next frame in.
///
/// # Errors
/// What is wrong with it, for a person; nothing is under way then.
pub fn join(under_way: &mut Option<Joining>, frame: Frame) -> Result<Joined, &'static str> {
    let Frame { number, last, mut record } = frame;
    let (changes, set_hash) = (std::mem::take(&mut record.changes), record.set_hash.take());
    let mut joining = match under_way.take() {
        None if number == 1 => Joining { header: record, number, held: Vec::new() },
        None => return Err("a frame of a record whose first frame did not come"),
        Some(joining) if joining.header.revision != record.revision => {
            return Err("a frame of another record within a record");
        }
        Some(joining) if number.checked_sub(1) != Some(joining.number) => {
            return Err("a frame that is not the next of its record");
        }
        Some(joining) if joining.header != record => return Err("a frame that contradicts those before it"),
        Some(joining) => Joining { number, ..joining },
    };
    if last && number == 1 {
        return Err("a record in a single frame that says to be a part");
    }
    if !last && (changes.is_empty() || set_hash.is_some()) {
        return Err("a frame that is of no use before the last");
    }
    if last {
        joining.held.extend(changes);
        return Ok(Joined::Last(Record { changes: joining.held, set_hash, ..joining.header }));
    }
    if joining.held.is_empty() && changes.iter().all(takes_away) {
        let ends = Record { changes, ..joining.header.clone() };
        *under_way = Some(joining);
        return Ok(Joined::Ends(ends));
    }
    joining.held.extend(changes);
    *under_way = Some(joining);
    Ok(Joined::Held)
}

/// Whether a change can only make verdicts worse, and is the same when it is done twice.
const fn takes_away(change: &Change) -> bool {
    matches!(change, Change::End { .. } | Change::Deadline { .. })
}

fn header(record: &Record) -> Record {
    // Taken apart, so that a field that is added later cannot be left out.
    let Record { revision, predecessor, namespace, start, chain_hash, set_hash: _, committed_at, changes: _ } = record;
    Record {
        revision: *revision,
        predecessor: *predecessor,
        namespace: namespace.clone(),
        start: *start,
        chain_hash: *chain_hash,
        set_hash: None,
        committed_at: *committed_at,
        changes: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
