//! The file that a replica is copied into (`docs/adr/0029`).
//!
//! A name and the number of the format; then frames: rows as they were at some moment while they were read, the records that
//! were applied meanwhile, and last how far all of it is; then a SHA-256 over everything before. Rows and records have the form
//! that they travel in, so what a row gains there, it has here. There is no secret in it: of a token its digest.
//!
//! Guaranteed: what was cut off, altered or written by another version is never taken for a copy. Not guaranteed: anything
//! against somebody who may write the file; it is this user's alone.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    mem,
};

use jeton_feed::{
    message::ToVerifier,
    record::{Change, Head, Record},
    replica::{Replica as _, Visible},
};
use jeton_proto::{BadMessage, MESSAGE_BYTES_MAX, wire};
use jeton_types::{Digest, Hash32, NamespaceName, Revision};
use jeton_verifier::MemoryReplica;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

const NAME: &[u8; 12] = b"jeton-copy\r\n";
/// Anything that a reader of this format would read wrongly needs another number.
const FORMAT: u32 = 1;

const KIND_BEGIN: u8 = 1;
const KIND_MESSAGE: u8 = 2;
const KIND_END: u8 = 3;

/// What a copy begins with.
#[derive(Clone, PartialEq, prost::Message)]
struct Begin {
    #[prost(string, repeated, tag = "1")]
    namespaces: Vec<String>,
    /// The rows know at least this.
    #[prost(uint64, tag = "2")]
    at: u64,
}

/// What it ends with, before the checksum.
#[derive(Clone, PartialEq, prost::Message)]
struct End {
    /// Rows and records together are what the log leaves up to here.
    #[prost(uint64, tag = "1")]
    at: u64,
    #[prost(message, optional, tag = "2")]
    head: Option<wire::Head>,
    /// Of each namespace, in the order of the beginning.
    #[prost(bytes = "vec", repeated, tag = "3")]
    set_hashes: Vec<Vec<u8>>,
}

/// How far a copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::feed) struct Point {
    pub(in crate::feed) at: Revision,
    pub(in crate::feed) head: Head,
    /// In the order of the namespaces that the copy is of.
    pub(in crate::feed) set_hashes: Vec<Hash32>,
}

/// Why a file is not gone on from.
#[derive(Debug, thiserror::Error)]
pub(in crate::feed) enum Unfit {
    #[error("cannot be read: {0}")]
    Io(io::Error),
    #[error("was written by a newer version (format {0}, this one reads {FORMAT})")]
    Newer(u32),
    #[error("is of the namespaces {}, not of those served now", .0.join(", "))]
    OtherNamespaces(Vec<String>),
    #[error("is damaged: {0}")]
    Damaged(&'static str),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early"),
            _ => Self::Io(error),
        }
    }
}

impl From<prost::DecodeError> for Unfit {
    fn from(_: prost::DecodeError) -> Self {
        Self::Damaged("a part of it cannot be read")
    }
}

impl From<BadMessage> for Unfit {
    fn from(_: BadMessage) -> Self {
        Self::Damaged("a part of it breaks a rule of form")
    }
}

/// A record, or some rows, in its form in the file: that of the feed.
pub(in crate::feed) fn bytes_of(message: ToVerifier) -> Vec<u8> {
    wire::ToVerifier::from(message).encode_to_vec()
}

/// Writes a copy.
pub(in crate::feed) struct Writer<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub(in crate::feed) fn begin(to: W, namespaces: &[NamespaceName], at: Revision) -> io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), bytes: 0 };
        writer.write(NAME)?;
        writer.write(&FORMAT.to_be_bytes())?;
        let namespaces = namespaces.iter().map(ToString::to_string).collect();
        writer.frame(KIND_BEGIN, &Begin { namespaces, at: at.get() }.encode_to_vec())?;
        Ok(writer)
    }

    /// Some rows or a record, as [`bytes_of`] made it.
    pub(in crate::feed) fn message(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(KIND_MESSAGE, bytes)
    }

    /// Ends the copy; answers where it was written to, and how many bytes.
    pub(in crate::feed) fn end(mut self, point: &Point) -> io::Result<(W, u64)> {
        let end = End {
            at: point.at.get(),
            head: Some(point.head.clone().into()),
            set_hashes: point.set_hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        };
        self.frame(KIND_END, &end.encode_to_vec())?;
        let sum: [u8; 32] = mem::take(&mut self.hash).finalize().into();
        self.write(&sum)?;
        self.to.flush()?;
        Ok((self.to, self.bytes))
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length as usize <= MESSAGE_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a part is longer than any message"))?;
        self.write(&[kind])?;
        self.write(&length.to_be_bytes())?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// What was read.
#[derive(Debug)]
pub(in crate::feed) struct Whole {
    pub(in crate::feed) replica: MemoryReplica,
    /// Of the last record.
    pub(in crate::feed) visible: Visible,
    pub(in crate::feed) at: Revision,
    pub(in crate::feed) head: Head,
}

/// Reads a copy of these namespaces, in whatever order. Nothing of it is in force before all of it was found good: the checksum
/// over every byte, then the set hash of the table that it makes.
pub(in crate::feed) fn read(from: impl Read, namespaces: &[NamespaceName]) -> Result<Whole, Unfit> {
    let mut reader = Reader { from, hash: Sha256::new() };
    let mut name = [0; NAME.len()];
    reader.fill(&mut name)?;
    if name != *NAME {
        return Err(Unfit::Damaged("it does not begin as a copy does"));
    }
    let mut format = [0; 4];
    reader.fill(&mut format)?;
    match u32::from_be_bytes(format) {
        FORMAT => {}
        newer if newer > FORMAT => return Err(Unfit::Newer(newer)),
        _ => return Err(Unfit::Damaged("no version has written its format")),
    }
    let (KIND_BEGIN, bytes) = reader.frame()? else { return Err(Unfit::Damaged("its beginning is missing")) };
    let begin = Begin::decode(&*bytes)?;
    let mut held = begin.namespaces;
    let of: Vec<NamespaceName> = held.iter().filter_map(|name| name.parse().ok()).collect();
    held.sort_unstable();
    let mut served: Vec<_> = namespaces.iter().map(ToString::to_string).collect();
    served.sort_unstable();
    if held != served {
        return Err(Unfit::OtherNamespaces(held));
    }
    let replica = MemoryReplica::new(namespaces);
    replica.snapshot_begin();
    let mut records = Vec::new();
    let end = loop {
        match reader.frame()? {
            (KIND_MESSAGE, bytes) => match wire::ToVerifier::decode(&*bytes)?.try_into()? {
                ToVerifier::SnapshotRows(part) => replica.snapshot_rows(part),
                // What it should add up to on the way is not to be asked: until the last record the rows are of different moments.
                ToVerifier::Record(record) => records.push(Record { set_hash: None, ..record }),
                _ => return Err(Unfit::Damaged("a part of it is of no known kind")),
            },
            (KIND_END, bytes) => break End::decode(&*bytes)?,
            _ => return Err(Unfit::Damaged("a part of it is of no known kind")),
        }
    };
    reader.check()?;
    let follow = |_| Unfit::Damaged("its records do not follow its rows");
    let number = |number| Revision::new(number).ok_or(Unfit::Damaged("a revision of it is none"));
    let mut visible = replica.snapshot_end(number(begin.at)?).map_err(follow)?;
    forget_collected(&replica, &mut records);
    for record in &records {
        visible = replica.record_apply(record).map_err(follow)?;
    }
    let at = number(end.at)?;
    if at < visible.revision() {
        return Err(Unfit::Damaged("it holds more than it says"));
    }
    let hashes: Option<Vec<_>> = end.set_hashes.iter().map(|bytes| Hash32::from_slice(bytes)).collect();
    if hashes.is_none_or(|hashes| hashes.is_empty() || hashes != replica.set_hashes_kept(&of)) {
        return Err(Unfit::Damaged("what it holds does not add up"));
    }
    let head = end.head.ok_or(Unfit::Damaged("it says no head"))?.try_into()?;
    replica.watermark_advance(at);
    Ok(Whole { replica, visible, at, head })
}

/// Takes out of the records what they say of tokens that one of them collects: such a row may have been gone before it was its
/// turn to be read. What collects it stays if it is there.
fn forget_collected(replica: &MemoryReplica, records: &mut [Record]) {
    let changes = records.iter().flat_map(|record| &record.changes);
    let collected: HashSet<Digest> =
        changes.filter_map(|change| of_collected(change).then(|| subject(change))?).collect();
    if collected.is_empty() {
        return;
    }
    for Record { namespace, changes, .. } in records {
        changes.retain(|change| {
            let of = subject(change).filter(|digest| collected.contains(digest));
            of.is_none_or(|digest| of_collected(change) && replica.holds(namespace, &digest))
        });
    }
}

const fn of_collected(change: &Change) -> bool {
    matches!(change, Change::Collected { .. })
}

const fn subject(change: &Change) -> Option<Digest> {
    match change {
        Change::Token(entry) => Some(entry.digest),
        Change::Deadline { digest, .. } | Change::End { digest, .. } | Change::Collected { digest, .. } => {
            Some(*digest)
        }
        Change::Policy(_) | Change::Start(_) | Change::Unknown { .. } => None,
    }
}

struct Reader<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Reader<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Unfit> {
        self.from.read_exact(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), Unfit> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(Unfit::Damaged("a part of it is longer than any"));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok((kind, bytes))
    }

    /// The checksum, and nothing after it.
    fn check(mut self) -> Result<(), Unfit> {
        let sum: [u8; 32] = mem::take(&mut self.hash).finalize().into();
        let mut said = [0; 32];
        self.from.read_exact(&mut said)?;
        if said != sum || self.from.read(&mut [0])? != 0 {
            return Err(Unfit::Damaged("its checksum is another"));
        }
        Ok(())
    }
}
