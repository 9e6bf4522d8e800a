//! What the verifier's side of a session acts upon. The `verifier` crate has the real one.

use jeton_types::{Hash32, NamespaceName, Revision, TokenId};

use crate::{
    lease::{Lease, Void},
    message::SnapshotPart,
    record::Record,
};

/// The table, watermark and lease of a verifier, as the session writes them.
///
/// Every method that returns has made its change visible to every later verification, on every thread.
pub trait Replica {
    /// Everything at or below this has been applied; zero before the first snapshot. Goes back only by [`Self::anew`].
    fn watermark(&self) -> Revision;
    /// Begins a snapshot beside what is served; an unfinished one before it is dropped.
    fn snapshot_begin(&self);
    /// Adds rows to the unfinished snapshot.
    fn snapshot_rows(&self, part: SnapshotPart);
    /// Puts the finished snapshot in the place of what was served, then moves the watermark to `at`. What was served is
    /// kept if it is newer already.
    ///
    /// # Errors
    /// [`Unappliable::Mismatch`] if the snapshot does not add up to the set hash that came with it, in the light of what
    /// is known here; it is dropped then.
    fn snapshot_end(&self, at: Revision) -> Result<Visible, Unappliable>;
    /// What is held is of another history: the next snapshot takes its place, even if it is older. To be called after
    /// [`Self::lease_void`], so that nothing is answered of what is held, nor of what comes before the snapshot is whole.
    fn anew(&self);
    /// Applies all of a record, then moves the watermark to its revision.
    ///
    /// # Errors
    /// [`Unappliable`] if the record cannot follow what the table holds; nothing is changed then, but after
    /// [`Unappliable::Mismatch`], which is found when all is applied. The watermark stays where it was.
    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable>;
    /// Enforces ends and deadlines of a record of which more is to come (`feed-protocol.md` 23); the watermark stays where it
    /// is. Done twice it is done once: after a reset the record begins anew.
    ///
    /// # Errors
    /// [`Unappliable`] as of [`Self::record_apply`], but [`Unappliable::Mismatch`]; nothing of this part is changed then.
    fn ends_enforce(&self, part: &Record) -> Result<(), Unappliable>;
    /// The set hash of each of these namespaces, summed up anew over all rows (`feed-protocol.md` 24); none unless all are
    /// there.
    ///
    /// # Errors
    /// [`Unappliable::Mismatch`] if a row has changed that nobody wrote.
    fn set_hashes(&self, namespaces: &[NamespaceName]) -> Result<Vec<Hash32>, Unappliable>;
    /// The table is not what the log leaves: drops lease and grace as [`Self::lease_void`] does, and lets the next snapshot
    /// owe nothing to what the table says.
    fn mistrust(&self);
    /// Moves the watermark: everything at or below `to` has been applied.
    fn watermark_advance(&self, to: Revision);
    /// Counts how often a lease was voided; read before a renewal is sent and given back with its lease.
    fn lease_generation(&self) -> u64;
    /// Puts a lease in force, unless one was voided since `generation` was read. Says whether it did.
    fn lease_set(&self, lease: Lease, generation: u64) -> bool;
    /// Drops lease and grace until another is granted to a renewal sent after this.
    fn lease_void(&self, why: Void);
}

/// Proof that everything at or below a revision is visible; an acknowledgement can be made of nothing else.
#[derive(Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "fault", derive(Clone))]
#[must_use = "what is visible wants to be acknowledged"]
pub struct Visible(Revision);

impl Visible {
    /// To be made by a [`Replica`] alone, after its change is visible to every later verification.
    pub const fn up_to(revision: Revision) -> Self {
        Self(revision)
    }

    /// The revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.0
    }
}

/// A record that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Hash)]
pub enum Unappliable {
    /// The record does not follow what was applied last in its namespace.
    #[error("a record of {namespace} names predecessor {named}, but {applied} was applied last")]
    Gap {
        /// The namespace.
        namespace: NamespaceName,
        /// The predecessor that the record names.
        named: Revision,
        /// What was applied last.
        applied: Revision,
    },
    /// The record holds a change of a kind that this version does not know.
    #[error("change kind {kind} needs a verifier that speaks protocol {needs_protocol}")]
    UnknownChange {
        /// The number of the kind.
        kind: u32,
        /// The protocol that knows it.
        needs_protocol: u32,
    },
    /// The record ends or shortens a token that the table does not hold, so the table is not what the log leaves.
    #[error("a record of {namespace} changes {token}, which this replica does not hold")]
    Missing {
        /// The namespace.
        namespace: NamespaceName,
        /// The token.
        token: TokenId,
    },
    /// What the table holds does not add up to what the authority says is enforced (`feed-protocol.md` 24).
    #[error("what this replica holds of {namespace} is not what the log leaves")]
    Mismatch {
        /// The namespace.
        namespace: NamespaceName,
    },
    /// The record belongs to a namespace that this session does not serve.
    #[error("a record of {0}, which this session does not serve")]
    Foreign(NamespaceName),
}
