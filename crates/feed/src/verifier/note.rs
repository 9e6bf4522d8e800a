//! What a session has to say to those who watch it.

use std::fmt;

use jeton_types::Revision;

use crate::{message::Refused, replica::Unappliable};

/// Something to log or count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Note {
    /// The hello was accepted.
    Welcomed {
        /// The protocol that is spoken.
        protocol: u32,
        /// What the stream goes on from; nothing if a snapshot comes.
        resume: Option<Revision>,
    },
    /// A snapshot is in force.
    Snapshot {
        /// The revision it was taken at.
        at: Revision,
        /// How many rows it had.
        rows: u64,
    },
    /// The hello was refused.
    Refused(Refused),
    /// A record needs a newer verifier; this one stays stale.
    NeedsProtocol {
        /// The number of the change's kind.
        kind: u32,
        /// The protocol that knows it.
        needs_protocol: u32,
    },
    /// The authority sent what cannot be followed; lease and grace are dropped.
    Fault(Fault),
    /// The authority is of another history than what is held: lease and grace are dropped, and a snapshot takes its place.
    OtherStore {
        /// What this verifier has seen.
        known: Revision,
        /// Where the authority stands.
        head: Revision,
    },
    /// Nothing came in for too long; the stream is given up.
    StreamSilent,
    /// The machine was paused, or its wall clock set forward; lease and grace are dropped.
    Jump,
    /// A grant came for a renewal that was voided meanwhile.
    GrantDiscarded,
}

/// What the authority sent that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A record does not follow; a snapshot is asked for.
    Unappliable(Unappliable),
    /// What the authority was told of this replica is not what the log leaves; a snapshot comes.
    Mistrusted,
    /// A message came out of turn.
    Unexpected(&'static str),
    /// The authority chose a protocol that was not offered.
    Protocol(u32),
    /// The authority knows less than this verifier has seen: an old state was put back, or it is another store.
    WentBack {
        /// What this verifier has seen.
        known: Revision,
        /// Where the authority stands.
        head: Revision,
    },
}

impl Note {
    /// Whether somebody should look at it.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::NeedsProtocol { .. } | Self::Fault(_) | Self::OtherStore { .. } | Self::Jump
        )
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcomed { resume: Some(resume), .. } => write!(f, "connected, going on from revision {resume}"),
            Self::Welcomed { resume: None, .. } => f.write_str("connected, a snapshot comes"),
            Self::Snapshot { at, rows } => write!(f, "snapshot of revision {at} in force, {rows} rows"),
            Self::Refused(refused) => write!(f, "the authority refused the session: {}", refused.message),
            Self::NeedsProtocol { kind, needs_protocol } => write!(
                f,
                "change kind {kind} needs protocol {needs_protocol}: upgrade this verifier, it answers stale until then"
            ),
            Self::Fault(fault) => fault.fmt(f),
            Self::OtherStore { known, head } => write!(
                f,
                "the authority at revision {head} is of another history than what this verifier had seen, up to {known}: \
                 taking all of it anew"
            ),
            Self::StreamSilent => f.write_str("nothing heard from the authority, opening another stream"),
            Self::Jump => f.write_str("this machine was paused or its clock set forward, lease dropped"),
            Self::GrantDiscarded => f.write_str("a lease granted before the last void is discarded"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unappliable(why) => write!(f, "{why}: taking a snapshot"),
            Self::Mistrusted => f.write_str(
                "this replica is not what the log leaves: taking a snapshot. If it happens again, check this machine's memory",
            ),
            Self::Unexpected(what) => write!(f, "the authority sent {what} out of turn: taking a snapshot"),
            Self::Protocol(protocol) => write!(f, "the authority chose protocol {protocol}, which was not offered"),
            Self::WentBack { known, head } => write!(
                f,
                "the authority is at revision {head}, behind {known} which this verifier has seen: start it from a \
                 folder that knows that revision"
            ),
        }
    }
}
