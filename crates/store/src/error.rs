use jeton_lifecycle::{Refusal, access::Denied, role::UnknownRole};
use jeton_types::{Revision, UnixTime};

use crate::idempotency::Replay;

/// What a store answers when it does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What was named does not exist; the word says what kind of thing.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The name is taken in its namespace.
    #[error("the name is taken: choose another")]
    NameTaken,
    /// The prefix belongs to another namespace.
    #[error("the prefix is taken by another namespace: choose another")]
    PrefixTaken,
    /// A rule of the lifecycle refuses it.
    #[error(transparent)]
    Refused(Refusal),
    /// A scope of the built-in namespace names no role.
    #[error(transparent)]
    UnknownRole(#[from] UnknownRole),
    /// The caller's token is not there, ended or expired.
    #[error("the caller's token is not good: it does not exist, was revoked, or expired")]
    Unauthenticated,
    /// The caller may not do this.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// The thing was changed since it was looked at.
    #[error("it was changed since you looked: look again, then decide again")]
    EtagMismatch,
    /// Under this key something else was asked for.
    #[error("this idempotency key was used for another request: take a new key for each request")]
    KeyReused,
    /// This was done before, under the same key. Nothing was changed now.
    #[error("this was done before, under the same idempotency key")]
    Replayed(Box<Replay>),
    /// The previous token is still active.
    #[error("a rotation is in progress: the previous token is still active")]
    RotationInProgress {
        /// From when it is not.
        until: UnixTime,
    },
    /// A selector matches no token.
    #[error("nothing matched: no token is selected")]
    NothingMatched,
    /// A selector matches only what was collected.
    #[error("all that matched expired long ago, and no verifier holds it any more: there is nothing left to end")]
    LongExpired,
    /// A selector matches more tokens than one revocation may end.
    #[error(
        "{count} tokens match, and one revocation ends at most 100,000: narrow the selector, or disable the namespace, which is one record"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The log does not reach back so far any more (`feed-protocol.md` 28).
    #[error(
        "the log was cut, and begins at revision {retained_from}: read the state as it is now, and go on from there"
    )]
    LogCut {
        /// The oldest record that it still has.
        retained_from: Revision,
    },
    /// The disk is full; nothing was changed.
    #[error(
        "the disk of the data folder is full and nothing was changed: make room there, then try again; until then only what ends authority is written"
    )]
    Full,
    /// It cannot be done now; nothing was changed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The commit failed in a way that leaves its outcome open: read before you try again.
    #[error("it is not known whether the change was committed: read before you try again")]
    Unknown,
    /// The writer has stopped for good after a failed write or sync: the process must end and start anew.
    #[error("the store has stopped writing ({0}): start the process again once the disk is sound")]
    Stopped(String),
    /// The data were put back to an older state (`feed-protocol.md` 26): nothing is written any more.
    #[error("{0}")]
    Rollback(String),
    /// The database contradicts itself.
    #[error("the database is corrupt ({0}): put back a backup")]
    Corrupt(String),
    /// The database is not Jeton's, or is of a version that this one does not know.
    #[error("the database is not one that this version of jeton can use: {0}")]
    Foreign(String),
    /// The linked SQLite is one that can corrupt a database.
    #[error("this needs SQLite 3.51.3 or later, and {0} is linked: build with the bundled one")]
    SqliteTooOld(&'static str),
    /// The first token could not be written to where its owner looks for it; nothing was changed.
    #[error("the root token could not be written: {0}")]
    RootFile(String),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::RotationInProgress { until } => Self::RotationInProgress { until },
            other => Self::Refused(other),
        }
    }
}
