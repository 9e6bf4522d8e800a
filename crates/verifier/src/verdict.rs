//! What an answer says.

use std::{fmt, sync::Arc};

use jeton_feed::{lease::Void, record::TokenEntry};
use jeton_types::{CredentialId, NamespaceName, Revision, ScopeSet, Subject, TokenId, UnixTime};
pub use jeton_types::{Source, VerdictCode as Code};

/// An answer with its evidence. Only the steps of a look make one, at its release.
///
/// It holds a copy of the token's entry, made without an allocation.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub(crate) code: Code,
    pub(crate) namespace: Option<Arc<NamespaceName>>,
    pub(crate) entry: Option<TokenEntry>,
    pub(crate) revision: Revision,
    pub(crate) as_of: UnixTime,
    pub(crate) not_after: Option<UnixTime>,
    pub(crate) source: Source,
}

impl Verdict {
    /// Whether the token is good for what was asked.
    #[must_use]
    pub fn valid(&self) -> bool {
        self.code == Code::Valid
    }

    /// Why.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The namespace of the token's prefix, if it is served here.
    #[must_use]
    pub fn namespace(&self) -> Option<&NamespaceName> {
        self.namespace.as_deref()
    }

    /// The token's public id, if there is such a token.
    #[must_use]
    pub fn token(&self) -> Option<TokenId> {
        self.entry.as_ref().map(|entry| entry.token)
    }

    /// The credential that it is a version of.
    #[must_use]
    pub fn credential(&self) -> Option<CredentialId> {
        self.entry.as_ref().map(|entry| entry.credential)
    }

    /// Whom the credential speaks for.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.entry.as_ref().and_then(|entry| entry.subject.as_ref())
    }

    /// What it may do; nothing if there is no such token.
    #[must_use]
    pub fn scopes(&self) -> Option<&ScopeSet> {
        self.entry.as_ref().map(|entry| &entry.scopes)
    }

    /// From when it is expired, in authority time.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.entry.as_ref().and_then(|entry| entry.expires_at)
    }

    /// The watermark when the table was read: all there is at or below it was seen.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// When the table was read, in authority time as far as it is known here (for display; without any lease it is this
    /// machine's wall clock).
    #[must_use]
    pub const fn as_of(&self) -> UnixTime {
        self.as_of
    }

    /// Until when the answer could be given on what was known, in authority time as far as it is known here. Nothing
    /// for what never changes: `malformed`, and `revoked`.
    #[must_use]
    pub const fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// What it rests on.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }
}

/// How a verification comes out. Unavailable is neither valid nor invalid.
#[derive(Debug, Clone)]
#[must_use]
pub enum Outcome {
    /// The answer.
    Answer(Verdict),
    /// The token may be newer than the replica, or a newer view was demanded: ask for a watermark, then look again
    /// (`feed-protocol.md` 18).
    NeedsWatermark(Waiting),
    /// Nobody here can tell.
    Stale(StaleWhy),
}

/// What a verification waits for.
#[derive(Debug, Clone)]
pub enum Waiting {
    /// The token may be newer than the replica.
    Token {
        /// The namespace of its prefix.
        namespace: Arc<NamespaceName>,
        /// The revision at which it claims to have been issued.
        birth: Revision,
    },
    /// The replica has not reached this revision, which was demanded ([`crate::Required::at_least`]).
    Revision(Revision),
    /// The replica may be older than was demanded ([`crate::Required::max_age`]).
    Age,
}

/// Why nobody here can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StaleWhy {
    /// No snapshot has come yet.
    NoState,
    /// No lease was granted yet.
    NoLease,
    /// Lease and grace have passed.
    Lapsed,
    /// Lease and grace were dropped.
    Voided(Void),
    /// The lease passed while this was answered, and there is a newer one: look again.
    Overtaken,
    /// What was asked is newer than the replica, and the authority did not answer in time.
    NotInTime,
    /// What was asked is newer than the replica, and there is no stream to ask on.
    StreamDown,
    /// What was asked is newer than the replica, and too many wait already.
    TooManyWait,
    /// The authority itself has not reached the revision that was demanded.
    Behind,
}

impl StaleWhy {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoState => "no_state",
            Self::NoLease => "no_lease",
            Self::Lapsed => "lapsed",
            Self::Voided(Void::Ended) => "session_ended",
            Self::Voided(Void::Jump) => "clock_jump",
            Self::Voided(Void::Unappliable) => "unappliable",
            Self::Voided(Void::Rollback) => "rollback",
            Self::Voided(Void::OtherStore) => "other_store",
            Self::Voided(Void::FromDisk) => "from_disk",
            Self::Voided(Void::Mismatch) => "mismatch",
            Self::Voided(Void::Goodbye) => "leaving",
            Self::Overtaken => "overtaken",
            Self::NotInTime => "not_in_time",
            Self::StreamDown => "stream_down",
            Self::TooManyWait => "too_many_wait",
            Self::Behind => "behind",
        }
    }
}

impl fmt::Display for StaleWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoState => "no snapshot has come from the authority yet",
            Self::NoLease => "the authority has granted no lease yet",
            Self::Lapsed => "cut off from the authority for longer than the namespace allows",
            Self::Voided(Void::Ended) => "the authority ended this verifier's session",
            Self::Voided(Void::Jump) => "this machine was paused or its clock set forward",
            Self::Voided(Void::Unappliable) => "a change from the authority could not be applied",
            Self::Voided(Void::Rollback) => "the authority's data were put back to an older state",
            Self::Voided(Void::OtherStore) => "the authority is another one, and its state has not come yet",
            Self::Voided(Void::FromDisk) => "this verifier has started from its disk and waits for its first lease",
            Self::Voided(Void::Mismatch) => {
                "this replica is not what the authority's log leaves, and a snapshot is awaited"
            }
            Self::Voided(Void::Goodbye) => "this verifier is leaving",
            Self::Overtaken => "answering took longer than the lease",
            Self::NotInTime => "what was asked is newer than this replica and the authority did not answer in time",
            Self::StreamDown => "what was asked is newer than this replica and the authority cannot be reached",
            Self::TooManyWait => "what was asked is newer than this replica and too many wait already",
            Self::Behind => "the revision that was demanded is not reached yet",
        })
    }
}
