//! What a verifier says of itself.

use std::time::Duration;

use jeton_feed::{
    message::Refusal,
    replica::Unappliable,
    verifier::{Fault, Note, SessionLost},
};
use jeton_types::{Freshness, NamespaceName, Revision, SessionId};

use super::{copy::CopyStatus, link::Down};

/// A verifier at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The session of this process; another after one was lost.
    pub session: SessionId,
    /// A stream to the authority stands and was accepted.
    pub connected: bool,
    /// Everything at or below this is visible to every verification; zero before the first snapshot.
    pub watermark: Revision,
    /// How long ago the authority last said how far it is. Nothing before it did.
    pub lag: Option<Duration>,
    /// What is left of the lease; zero without one.
    pub lease_remaining: Duration,
    /// Each namespace with its right to answer.
    pub namespaces: Vec<NamespaceStatus>,
    /// How many tokens are held, ended ones among them.
    pub tokens: usize,
    /// The copy of the replica in the state folder; nothing without one.
    pub copy: Option<CopyStatus>,
    /// What stands between this verifier and its authority, if anything does.
    pub trouble: Option<Trouble>,
    /// Goodbye was said, or is being said.
    pub left: bool,
    /// The driver died; every answer is stale from then on.
    pub failed: bool,
}

/// One namespace's right to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceStatus {
    /// Its name.
    pub namespace: NamespaceName,
    /// Its policy; nothing before the first snapshot.
    pub freshness: Option<Freshness>,
    /// Where it stands.
    pub right: Right,
    /// How long it lasts unless renewed: lease and grace together.
    pub remaining: Duration,
}

/// Whether, and on what, a namespace is answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Inside the lease.
    Lease,
    /// Past the lease, inside grace.
    Grace,
    /// Every answer is stale.
    None,
}

/// What stands between a verifier and its authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// The kind.
    pub kind: TroubleKind,
    /// For a person: what happened, and what to do.
    pub message: String,
}

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// The authority is away, or the way to it is broken.
    Unreachable,
    /// The token is not good.
    Unauthenticated,
    /// The authority refuses this verifier, for another reason.
    Refused,
    /// The authority speaks what this version does not.
    Unreadable,
    /// The authority knows less than this verifier has seen.
    WentBack,
    /// What this verifier holds is not what the authority's log leaves, or a snapshot did not add up.
    Mismatch,
    /// The machine was paused; over with the next lease.
    Paused,
    /// The authority ended the session; another takes its place.
    SessionLost,
    /// The driver died.
    Internal,
}

impl Trouble {
    pub(super) fn of_stream(why: &Down) -> Self {
        let kind = match why {
            Down::Unreachable { .. } | Down::Broken(_) | Down::Closed => TroubleKind::Unreachable,
            Down::Unauthenticated(_) => TroubleKind::Unauthenticated,
            Down::Refused(_) => TroubleKind::Refused,
            Down::Unreadable(_) | Down::TooLarge(_) => TroubleKind::Unreadable,
        };
        Self { kind, message: why.to_string() }
    }

    pub(super) fn of_note(note: &Note) -> Self {
        let kind = match note {
            Note::Refused(refused) => match refused.why {
                Refusal::Unauthenticated => TroubleKind::Unauthenticated,
                Refusal::Unavailable => TroubleKind::Unreachable,
                Refusal::Protocol => TroubleKind::Unreadable,
                Refusal::Rollback => TroubleKind::WentBack,
                Refusal::Forbidden | Refusal::UnknownNamespace | Refusal::Invalid | Refusal::TooMany => {
                    TroubleKind::Refused
                }
            },
            Note::OtherStore { .. } => TroubleKind::WentBack,
            Note::Fault(Fault::WentBack { .. }) => TroubleKind::WentBack,
            Note::Fault(Fault::Mistrusted | Fault::Unappliable(Unappliable::Mismatch { .. })) => TroubleKind::Mismatch,
            Note::NeedsProtocol { .. } | Note::Fault(_) => TroubleKind::Unreadable,
            Note::Jump => TroubleKind::Paused,
            Note::StreamSilent | Note::Welcomed { .. } | Note::Snapshot { .. } | Note::GrantDiscarded => {
                TroubleKind::Unreachable
            }
        };
        Self { kind, message: note.to_string() }
    }

    pub(super) fn of_loss(why: &SessionLost) -> Self {
        let message = match why {
            SessionLost::Ended => "the authority had ended the session, another takes its place".to_owned(),
            SessionLost::Refused { message } => {
                format!("the authority refused the session, another takes its place: {message}")
            }
            SessionLost::TokenEnded { reason } => format!("the authority ended the session: {reason}"),
        };
        Self { kind: TroubleKind::SessionLost, message }
    }

    pub(super) fn stuck() -> Self {
        let message = "the stream to the authority takes nothing any more, opening another".to_owned();
        Self { kind: TroubleKind::Unreachable, message }
    }

    pub(super) fn internal() -> Self {
        let message = "the verifier's driver died, every answer is stale: restart this process".to_owned();
        Self { kind: TroubleKind::Internal, message }
    }
}
