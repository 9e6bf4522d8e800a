//! One write transaction, as a mutation sees it.
//!
//! A mutation takes a [`Stamp`] first: then it knows its revision, and may mint. What it changed it hands to
//! [`Tx::publish`], which writes the change record and the audit entry and moves the counter; there is no way to write
//! one without the other two.

use std::sync::Arc;

use jeton_feed::record::{Change, Head, Record};
use jeton_lifecycle::audit;
use jeton_types::{Entropy, NamespaceName, Prefix, Revision, RevocationId, StartId, UnixTime, token::Minted};
use rusqlite::{Connection, params};

use super::{
    enforced, open,
    row::{self, sql, time_value},
    trail,
};
use crate::{
    StoreError,
    actor::Actor,
    authority_time::AuthorityTime,
    record_code::{self, Framed},
};

/// An open write transaction.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    time: &'a AuthorityTime,
    entropy: &'a dyn Entropy,
    head: Head,
    /// The newest audit entry.
    audit: audit::Head,
    /// The start of this process; nothing before it was recorded.
    start: Option<StartId>,
    written: Vec<Written>,
}

/// A record that was written, and is not committed yet.
pub(super) struct Written {
    pub(super) record: Arc<Record>,
    pub(super) revocation: Option<RevocationId>,
}

/// A revision to be used in this mutation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) revision: Revision,
    /// Authority time.
    pub(super) at: UnixTime,
    start: StartId,
}

/// What a mutation did, to be published.
pub(super) struct Entry<'a> {
    pub(super) actor: &'a Actor,
    /// Resource and verb.
    pub(super) action: &'static str,
    pub(super) namespace: &'a NamespaceName,
    /// The id or name of what was changed.
    pub(super) object: String,
    pub(super) reason: Option<&'a str>,
    pub(super) changes: Vec<Change>,
    pub(super) revocation: Option<RevocationId>,
}

impl<'a> Tx<'a> {
    /// To be called with a transaction open on `conn`.
    pub(super) fn new(
        conn: &'a Connection,
        time: &'a AuthorityTime,
        entropy: &'a dyn Entropy,
        start: Option<StartId>,
    ) -> Result<Self, StoreError> {
        let (head, authority_time) = open::counter(conn)?;
        time.raise(authority_time);
        Ok(Self { conn, time, entropy, head, audit: trail::head(conn)?, start, written: Vec::new() })
    }

    /// What to restore when what follows is undone.
    pub(super) fn mark(&self) -> Mark {
        Mark { head: self.head.clone(), audit: self.audit, start: self.start, written: self.written.len() }
    }

    /// After a savepoint rolled back.
    pub(super) fn restore(&mut self, mark: Mark) {
        self.head = mark.head;
        self.audit = mark.audit;
        self.start = mark.start;
        self.written.truncate(mark.written);
    }

    /// Whether records were written since the mark, and none of them ends authority.
    pub(super) fn only_gave(&self, mark: &Mark) -> bool {
        let since = self.written.get(mark.written..).unwrap_or_default();
        !since.is_empty() && since.iter().all(|written| written.revocation.is_none())
    }

    /// The end: what there is to be told of once it is durable.
    pub(super) fn finish(self) -> (Head, Option<StartId>, Vec<Written>) {
        (self.head, self.start, self.written)
    }

    /// Authority time.
    pub(super) fn now(&self) -> UnixTime {
        self.time.now()
    }

    /// Where the log stands so far.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Unpredictable bytes.
    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// From here on, records are of this start.
    pub(super) fn start_begin(&mut self, start: StartId) {
        self.start = Some(start);
    }

    /// The next revision: `max(last + 1, now)`.
    pub(super) fn stamp(&self) -> Result<Stamp, StoreError> {
        let start = self.start.ok_or_else(|| {
            StoreError::Unavailable("no start of the authority has been recorded in this process".to_owned())
        })?;
        let at = self.now();
        let revision = self.head.revision.next(at).ok_or_else(|| {
            StoreError::Unavailable("revisions are used up: the clock stands after the year 2255".to_owned())
        })?;
        Ok(Stamp { revision, at, start })
    }

    /// A secret that is born at the stamp's revision.
    pub(super) fn mint(&self, prefix: &Prefix, stamp: Stamp) -> Minted {
        jeton_types::token::mint(prefix, stamp.revision, self.random())
    }

    /// Appends the record, writes the audit entry, moves the counter. To be called *before* the rows are written that the
    /// changes speak of: the namespace's set hash loses them as they were. What is born with the record may be there.
    pub(super) fn publish(&mut self, stamp: Stamp, entry: Entry<'_>) -> Result<Arc<Record>, StoreError> {
        let namespace = entry.namespace;
        let (predecessor, set_hash) =
            row::one(self.conn, sql!("namespace/last_record"), [namespace.as_str()], |found| {
                Ok((row::revision(found, 0)?, row::hash_opt(found, 1)?))
            })?
            .ok_or(StoreError::NotFound("namespace"))?;
        let set_hash = enforced::set_hash_after(self.conn, namespace, set_hash, stamp, &entry.changes)?.to_hash();
        let changes = record_code::encode(&entry.changes)?;
        let framed =
            Framed { revision: stamp.revision, predecessor, namespace, start: stamp.start, committed_at: stamp.at };
        let chain_hash = record_code::chain(&self.head.chain_hash, &framed, &changes);
        let at = time_value(stamp.at);
        let revision = row::int(stamp.revision.get());
        row::run(
            self.conn,
            sql!("record/insert"),
            params![
                revision,
                row::int(predecessor.get()),
                namespace.as_str(),
                stamp.start.as_bytes(),
                chain_hash.as_bytes(),
                set_hash.as_bytes(),
                at,
                changes
            ],
        )?;
        row::run(
            self.conn,
            sql!("namespace/last_record_advance"),
            params![namespace.as_str(), revision, set_hash.as_bytes()],
        )?;
        let audited = audit::Entry {
            seq: self.audit.seq + 1,
            revision: stamp.revision,
            at: stamp.at,
            token: entry.actor.token,
            credential: entry.actor.credential,
            address: entry.actor.address.map(|address| address.to_string()),
            action: entry.action.to_owned(),
            namespace: namespace.clone(),
            object: entry.object,
            reason: entry.reason.map(str::to_owned),
        };
        self.audit = trail::append(self.conn, &audited, self.audit)?;
        row::run(
            self.conn,
            sql!("counter/advance"),
            params![
                revision,
                stamp.start.as_bytes(),
                chain_hash.as_bytes(),
                at,
                row::int(self.audit.seq),
                self.audit.hash.as_bytes()
            ],
        )?;
        self.head = Head { revision: stamp.revision, start: stamp.start, chain_hash, mac: None };
        let record = Record {
            revision: stamp.revision,
            predecessor,
            namespace: namespace.clone(),
            start: stamp.start,
            chain_hash,
            set_hash: Some(set_hash),
            committed_at: stamp.at,
            changes: entry.changes,
        };
        let record = Arc::new(record);
        self.written.push(Written { record: Arc::clone(&record), revocation: entry.revocation });
        Ok(record)
    }
}

/// Where a mutation began.
pub(super) struct Mark {
    head: Head,
    audit: audit::Head,
    start: Option<StartId>,
    written: usize,
}
