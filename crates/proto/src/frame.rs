//! What is too large for one message, in pieces that fit (`feed-protocol.md` 23).
//!
//! [`record_frame`] gives a record's frames as the bytes of messages, so that they are made once for all streams;
//! [`snapshot_parts`] cuts the rows of a snapshot. Neither gives a message larger than
//! [`FRAME_BYTES_MAX`], but for one change that alone would be: the forms of `jeton-types` keep each well below.

use jeton_feed::{
    frame::{Cursor, Cut, cut, fitting},
    message::{SnapshotPart, ToVerifier},
    numbers::FRAME_BYTES_MAX,
    record::{Change, Record, TokenEntry},
};
use prost::{Message as _, bytes::Bytes};

use crate::wire;

/// What a message has around its changes or rows: the longest names, and every number at its longest.
const AROUND_BYTES_MAX: usize = 512;
/// What is left for changes or rows.
const ROOM: usize = FRAME_BYTES_MAX - AROUND_BYTES_MAX;
/// What fields take at the most: a digest, an id, a number, a flag or a reason, and the length of a message or a text.
const DIGEST: usize = 34;
const ID: usize = 18;
const NUMBER: usize = 11;
const FLAG: usize = 2;
const LENGTH: usize = 4;
/// A range of addresses in text.
const RANGE: usize = 64;

/// Whether a record fits into one message.
#[must_use]
pub fn fits(record: &Record) -> bool {
    fitting(record.changes.iter().map(change_bytes_max), ROOM) == record.changes.len()
}

/// The message with the frame of a record that begins at `at`, and where the next one begins.
#[must_use]
pub fn record_frame(record: &Record, at: Cursor) -> (Bytes, Option<Cursor>) {
    let (message, next) = match cut(record, at, ROOM, change_bytes_max) {
        Cut::Whole(record) => (ToVerifier::Record(record), None),
        Cut::Part(frame, next) => (ToVerifier::Frame(frame), next),
    };
    (wire::ToVerifier::from(message).encode_to_vec().into(), next)
}

/// The rows of a part of a snapshot in parts that fit; its set hash comes with the last.
pub fn snapshot_parts(part: SnapshotPart) -> impl Iterator<Item = SnapshotPart> {
    let SnapshotPart { namespace, policy, rows, set_hash } = part;
    let mut rest = Some(rows);
    std::iter::from_fn(move || {
        let mut rows = rest.take()?;
        let after = rows.split_off(fitting(rows.iter().map(row_bytes_max), ROOM));
        rest = (!after.is_empty()).then_some(after);
        let set_hash = set_hash.filter(|_| rest.is_none());
        Some(SnapshotPart { namespace: namespace.clone(), policy: policy.clone(), rows, set_hash })
    })
}

/// At least what a change takes on the wire.
fn change_bytes_max(change: &Change) -> usize {
    let body = match change {
        Change::Token(entry) => row_bytes_max(entry),
        Change::Policy(policy) => LENGTH + policy.prefix.as_str().len() + NUMBER + FLAG,
        Change::Deadline { .. } => DIGEST + ID + NUMBER,
        Change::End { .. } => DIGEST + ID + FLAG,
        Change::Collected { .. } => DIGEST + ID,
        Change::Start(_) => ID,
        // Kind and protocol, which are small of what is known.
        Change::Unknown { .. } => 2 * NUMBER,
    };
    body + 2 * LENGTH + 2 * FLAG
}

/// At least what a row takes on the wire.
fn row_bytes_max(row: &TokenEntry) -> usize {
    // Taken apart, so that a field that is added later cannot be left out.
    let TokenEntry {
        digest: _,
        token: _,
        credential: _,
        subject,
        scopes,
        expires_at: _,
        addresses,
        disabled: _,
        ended: _,
    } = row;
    let text = |text: &str| LENGTH + text.len();
    let scopes: usize = scopes.iter().map(|scope| text(scope.as_str())).sum();
    let subject = subject.as_ref().map_or(0, |subject| text(subject.as_str()));
    LENGTH + DIGEST + 2 * ID + subject + scopes + addresses.iter().len() * RANGE + NUMBER + 2 * FLAG
}

#[cfg(test)]
mod tests;
