//! What travels on a stream, both ways. The wire form of each is in `jeton-proto`.

use jeton_types::{Hash32, NamespaceName, Place, Revision, SessionId, UnixTime, VerifierName};

use crate::{
    frame::Frame,
    record::{Head, Policy, Record, TokenEntry},
    usage::Report,
};

/// From a verifier to the authority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ToAuthority {
    /// The first message of each stream.
    Hello(Hello),
    /// Every later verification in this process sees all up to here (`feed-protocol.md` 17).
    Ack {
        /// Up to and including this revision.
        revision: Revision,
    },
    /// Asks for a lease.
    Renew {
        /// The verifier's own number of this request; the grant repeats it.
        request: u64,
    },
    /// Asks how far the authority is (`feed-protocol.md` 18).
    Ask {
        /// The verifier's own number of this request; the answer repeats it.
        request: u64,
    },
    /// Which tokens were used (`feed-protocol.md` 30).
    Usage(Report),
    /// No answer follows any more. Final.
    Goodbye,
}

/// Who opens a stream, and how far it is (`feed-protocol.md` 7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hello {
    /// The oldest protocol that the verifier speaks.
    pub protocol_oldest: u32,
    /// The newest protocol that the verifier speaks.
    pub protocol: u32,
    /// The session: one process.
    pub session: SessionId,
    /// The verifier's name.
    pub verifier: VerifierName,
    /// Higher with each stream of the session.
    pub epoch: u64,
    /// The namespaces it serves, fixed for the session's life.
    pub namespaces: Vec<NamespaceName>,
    /// What it has applied and can go on from; nothing if it has no state.
    pub resume: Option<Revision>,
    /// The set hash of each namespace in the order of `namespaces`, as summed up over the verifier's own table just now;
    /// none without a state to go on from.
    pub set_hashes: Vec<Hash32>,
    /// The last head seen, as it was sealed (`feed-protocol.md` 26).
    pub head: Option<Head>,
    /// Where the process runs, if it holds a state folder (`feed-protocol.md` 27).
    pub place: Option<Place>,
    /// Sessions of processes that held the same place before and are gone.
    pub claims: Vec<SessionId>,
}

/// From the authority to a verifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ToVerifier {
    /// The hello is accepted; what follows continues from `resume`, or begins with a snapshot.
    Welcome(Welcome),
    /// A snapshot begins: what was there before is replaced as a whole at its end.
    SnapshotBegin {
        /// The one view it is taken from.
        at: Revision,
    },
    /// A namespace's policy and some of its rows.
    SnapshotRows(SnapshotPart),
    /// The snapshot is whole.
    SnapshotEnd {
        /// The same as in its beginning; the watermark from here on.
        at: Revision,
    },
    /// The next record of a namespace of this session.
    Record(Record),
    /// The next part of a record that does not fit into one message (`feed-protocol.md` 23).
    Frame(Frame),
    /// Once a second: everything at or below `watermark` has been sent on this stream.
    Heartbeat {
        /// How far the authority is.
        watermark: Revision,
        /// Authority time, for display.
        authority_time: UnixTime,
        /// Where the log stands.
        head: Head,
    },
    /// A lease, for the request of this number.
    Grant(Grant),
    /// The answer to [`ToAuthority::Ask`]: everything at or below `watermark` has been sent on this stream before it.
    Watermark {
        /// The number of the request.
        request: u64,
        /// The head as read after the request arrived.
        watermark: Revision,
    },
    /// The session must end: its token did (`feed-protocol.md` 9). The verifier drops lease and grace and says goodbye.
    End {
        /// Why, for a person.
        reason: String,
    },
    /// The answer to the hello of a session that has ended (`feed-protocol.md` 6).
    Ended,
    /// The hello is refused; the session goes on as it was.
    Refused(Refused),
    /// These of the claimed sessions are over, durably: they need not be claimed again.
    Succeeded {
        /// The sessions.
        sessions: Vec<SessionId>,
    },
    /// The report of this number has been counted, durably.
    UsageTaken {
        /// The number.
        number: u64,
    },
}

/// A namespace's policy and some of its rows, as a snapshot has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotPart {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Its policy, the same in every part.
    pub policy: Policy,
    /// Rows, tombstones among them.
    pub rows: Vec<TokenEntry>,
    /// In the namespace's last part: the hash over all of it (`feed-protocol.md` 24), unless the authority is in doubt.
    pub set_hash: Option<Hash32>,
}

/// An accepted hello.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Welcome {
    /// The protocol that is spoken from here on.
    pub protocol: u32,
    /// The revision that what follows continues from; nothing if a snapshot comes.
    pub resume: Option<Revision>,
    /// Whether the set hashes of the hello are not those of its resume point: what the verifier holds is wrong.
    pub mismatch: bool,
    /// Where the log stands.
    pub head: Head,
    /// Authority time, for display.
    pub authority_time: UnixTime,
    /// What the verifier has seen is of another history: whatever was granted for it counts no more. A snapshot comes.
    pub foreign: bool,
}

/// A granted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The number of the request that it answers.
    pub request: u64,
    /// Authority time of the grant; expiry is reckoned from it (`feed-protocol.md` 15).
    pub authority_time: UnixTime,
}

/// Why a hello was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refused {
    /// The kind.
    pub why: Refusal,
    /// What to do, for a person.
    pub message: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The token is not good.
    Unauthenticated,
    /// The token may not verify in one of the namespaces.
    Forbidden,
    /// A namespace does not exist.
    UnknownNamespace,
    /// The two speak no common protocol.
    Protocol,
    /// The hello breaks a rule of form.
    Invalid,
    /// Try again a little later.
    Unavailable,
    /// The authority's data were put back to an older state; nobody is fed, and no lease counts (`feed-protocol.md` 26).
    Rollback,
    /// There are too many sessions of this verifier already.
    TooMany,
}
