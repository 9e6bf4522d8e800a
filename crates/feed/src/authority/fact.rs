//! What goes into the hub and what comes out of it.

use jeton_types::{
    BootTime, CredentialId, Freshness, NamespaceName, Now, Place, Revision, RevocationId, SessionId, StartId, TokenId,
    UnixTime, VerifierName,
};

use super::receipt::{Evidence, EvidenceKind, ReceiptFacts};
use crate::{message::ToVerifier, record::Head};

/// What the store knows when the authority starts, read in one view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubSetup {
    /// This start.
    pub start: StartId,
    /// Both clocks.
    pub now: Now,
    /// Authority time.
    pub authority_time: UnixTime,
    /// Where the log stands.
    pub head: Head,
    /// Every session that has not ended.
    pub sessions: Vec<SessionFacts>,
    /// Every policy record ever, in revision order.
    pub policies: Vec<PolicyFact>,
    /// The last record of each namespace.
    pub last_records: Vec<(NamespaceName, Revision)>,
    /// The greatest revision with a complete receipt, for each namespace that has one.
    pub floors: Vec<(NamespaceName, Revision)>,
    /// Revocations without a complete receipt.
    pub pending: Vec<Pending>,
}

/// A session as the registry holds it; none of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionFacts {
    /// The session.
    pub session: SessionId,
    /// The verifier's name.
    pub verifier: VerifierName,
    /// The credential that it came with.
    pub credential: CredentialId,
    /// What it serves.
    pub namespaces: Vec<NamespaceName>,
    /// The head's revision in the transaction that registered it. Its first view is taken after that.
    pub opened: Revision,
    /// The place that its process holds, if it holds one (`feed-protocol.md` 27).
    pub place: Option<Place>,
}

impl SessionFacts {
    /// Whether `other`, which claims this session, is a process in the same place, so that this one's is gone. The name
    /// must be the same, and the credential, unless the other serves all that this one did: nobody ends what he could
    /// not have been fed.
    #[must_use]
    pub fn is_succeeded_by(&self, other: &Self) -> bool {
        self.session != other.session
            && self.place.is_some()
            && self.place == other.place
            && self.verifier == other.verifier
            && (self.credential == other.credential
                || self.namespaces.iter().all(|name| other.namespaces.contains(name)))
    }
}

/// One record that set a namespace's freshness.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyFact {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The record.
    pub revision: Revision,
    /// What holds from it on.
    pub freshness: Freshness,
}

/// A revocation whose receipt was not complete when the authority started.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The revocation.
    pub revocation: RevocationId,
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its record.
    pub revision: Revision,
    /// Authority time of its commit.
    pub committed_at: UnixTime,
    /// Sessions that ended between the commit and this start: their evidence, from the registry.
    pub ended_before: Vec<Evidence>,
}

/// One transport stream, numbered by the driver; a number is never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// One record, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Committed {
    /// Its revision.
    pub revision: Revision,
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Authority time of the commit.
    pub committed_at: UnixTime,
    /// The boot clock at the commit, no later than it was durable: how far behind a session is counts from there.
    pub boot: BootTime,
    /// The freshness that it sets, if it sets one.
    pub policy: Option<Freshness>,
    /// The revocation that it is, if it is one: a receipt begins.
    pub revocation: Option<RevocationId>,
    /// The tokens that it ends. Those of the built-in namespace may have streams.
    pub ended_tokens: Vec<TokenId>,
    /// Where the log stands with it.
    pub head: Head,
}

/// What can happen to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A record became durable; in revision order, each once (those that the setup covers are passed over).
    Committed(Committed),
    /// A session was registered durably.
    SessionOpened(SessionFacts),
    /// A hello was found good and its stream begins.
    StreamOpened {
        /// The session that it continues.
        session: SessionId,
        /// The stream.
        stream: StreamId,
        /// The hello's epoch.
        epoch: u64,
        /// The token that the hello came with.
        token: TokenId,
        /// What the verifier says it holds.
        resume: Option<Revision>,
    },
    /// A stream is gone, cut or broken. Ends nothing.
    StreamClosed {
        /// The stream.
        stream: StreamId,
    },
    /// The verifier has made everything up to here visible.
    Ack {
        /// Where it came from.
        stream: StreamId,
        /// Up to and including this revision.
        revision: Revision,
    },
    /// The verifier asks for a lease.
    Renew {
        /// Where it came from.
        stream: StreamId,
        /// The verifier's number of the request.
        request: u64,
        /// Whether the stream's token is active and still has the role, looked up after the request arrived.
        token_good: bool,
    },
    /// No answer follows any more from this session.
    Goodbye {
        /// Where it came from, an old stream included.
        stream: StreamId,
    },
    /// The session of this stream says that its process took the place of those of these sessions.
    Claimed {
        /// Where it came from.
        stream: StreamId,
        /// The sessions.
        sessions: Vec<SessionId>,
    },
    /// Every verification that this process had begun on an older view has been released; a hello counts as one until
    /// its [`Input::StreamOpened`].
    AuthorityAcked {
        /// Up to and including this revision.
        revision: Revision,
    },
    /// A complete receipt is durable.
    ReceiptStored {
        /// Whose.
        revocation: RevocationId,
    },
    /// The data were found to be older than what a verifier has seen. Nothing is granted or completed from here on.
    RolledBack {
        /// What happened and what to do, for a person.
        message: String,
    },
    /// A new start was recorded, because real time had jumped ([`Effect::JumpSeen`]).
    Restarted {
        /// The new start.
        start: StartId,
    },
    /// Time passed.
    Tick,
}

/// What the driver does about it, in order, before it feeds the next input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a message. A stream that is gone swallows it.
    Send {
        /// On this stream.
        stream: StreamId,
        /// The message.
        message: ToVerifier,
    },
    /// Close the stream: nothing is sent on it or taken from it after what was sent before.
    Cut {
        /// The stream.
        stream: StreamId,
    },
    /// Make the receipt durable, then tell it and feed [`Input::ReceiptStored`]. Repeated until that comes.
    ReceiptComplete(ReceiptFacts),
    /// A pending receipt changed: see [`Hub::receipt`](super::Hub::receipt).
    ReceiptProgress {
        /// Whose.
        revocation: RevocationId,
    },
    /// Persist that the session has ended.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// By what.
        evidence: EvidenceKind,
        /// Authority time.
        at: UnixTime,
    },
    /// Look these claimed sessions up in the registry, after the ends told before: one that was never registered is
    /// registered as ended, so that its hello is answered so when it arrives; one that is registered and unknown here is
    /// on its way to its first stream, and ends if [`SessionFacts::is_succeeded_by`] says so. Those that have ended,
    /// durably, are told to the stream as [`ToVerifier::Succeeded`].
    ClaimsSettle {
        /// Where the claim came from.
        stream: StreamId,
        /// Who claims.
        by: Box<SessionFacts>,
        /// The sessions.
        sessions: Vec<SessionId>,
        /// Authority time.
        at: UnixTime,
    },
    /// Take the session out of the registry: it has been silent for longer than any grace.
    SessionForgotten {
        /// The session.
        session: SessionId,
    },
    /// Real time ran ahead of boot time: every stream has been cut and every interval counts anew. Record a new start,
    /// then feed [`Input::Restarted`].
    JumpSeen,
}
