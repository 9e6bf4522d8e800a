//! Verifiers, as the authority sees them.

use std::fmt;

use jeton_types::{CredentialId, NamespaceName, Revision, SessionId, VerifierName};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One session: one process of a verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifierView {
    /// The verifier's name. Two sessions may bear the same.
    pub id: VerifierName,
    /// The session.
    pub session: SessionId,
    /// The credential that it came with.
    pub credential_id: CredentialId,
    /// The namespaces it serves.
    pub namespaces: Vec<NamespaceName>,
    /// How it stands.
    pub state: SessionState,
    /// Whether it has a stream now.
    pub connected: bool,
    /// Higher with each stream.
    pub epoch: u64,
    /// Where the authority was when the session was registered.
    pub opened: Revision,
    /// Up to where every later verification of it sees everything.
    pub acked: Option<Revision>,
    /// How long ago the oldest record was committed that it has not acknowledged.
    pub lag_ms: u64,
    /// What is left of its lease, as the authority reckons it.
    pub lease_remaining_ms: u64,
    /// Since when nothing was granted to it.
    pub silent_since: Option<Timestamp>,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It holds a lease.
    Live,
    /// Its lease is over; it may be in grace.
    Lapsed,
    /// It has not been granted a lease yet.
    Connecting,
    /// It has been silent for so long that it cannot accept anything any more.
    Silent,
}

impl SessionState {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Lapsed => "lapsed",
            Self::Connecting => "connecting",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
