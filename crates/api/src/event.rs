//! What happens, as `GET /v1/events` tells it: each event's name, and the JSON of its data.

use jeton_types::{CredentialId, NamespaceName, Revision, RevocationId, SessionId, TokenId, VerifierName};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The media type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// `change`: one revision. Its number is the event's id too, so that a client that comes back names the last one it has
/// seen and misses none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeEvent {
    /// The revision.
    pub revision: Revision,
    /// The namespace that it touches.
    pub namespace: NamespaceName,
    /// When it was durable.
    pub committed_at: Timestamp,
    /// What it changes.
    pub changes: Vec<ChangeView>,
}

/// One change of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeView {
    /// What it is.
    pub kind: ChangeKind,
    /// The token, where it is of one.
    pub token_id: Option<TokenId>,
    /// The credential, where the record names it.
    pub credential_id: Option<CredentialId>,
    /// From when the token is expired.
    pub expires_at: Option<Timestamp>,
}

/// The kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A namespace was created, or its policy changed.
    Policy,
    /// A token is there, or is there anew.
    Token,
    /// A token's expiry was brought to a moment.
    Deadline,
    /// A token ended, for good.
    End,
    /// Verifiers forgot a token that had expired long before.
    Collected,
    /// The authority started.
    Start,
    /// Something that this version has no word for.
    #[serde(other)]
    Other,
}

impl ChangeKind {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Token => "token",
            Self::Deadline => "deadline",
            Self::End => "end",
            Self::Collected => "collected",
            Self::Start => "start",
            Self::Other => "other",
        }
    }
}

/// `receipt`: a receipt is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptEvent {
    /// The revocation.
    pub revocation_id: RevocationId,
    /// The namespace whose tokens it ended.
    pub namespace: NamespaceName,
    /// Its revision.
    pub revision: Revision,
    /// Since when no verification accepts what was revoked, anywhere.
    pub completed_at: Timestamp,
}

/// `session`: a verifier's session was opened, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionEvent {
    /// The session.
    pub session: SessionId,
    /// The verifier's name.
    pub verifier: VerifierName,
    /// The namespaces it serves, of those that the reader may know.
    pub namespaces: Vec<NamespaceName>,
    /// `opened`, or how it ended: `goodbye`, `succeeded`, `forgotten`.
    pub state: String,
    /// When.
    pub at: Timestamp,
}

/// `alarm`: something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlarmEvent {
    /// A stable word: `clock_jump`, `clock_step`, `rollback`, `storage_full`.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_tomorrow_is_read() {
        let change = r#"{"kind":"teleported","token_id":null,"credential_id":null,"expires_at":null}"#;
        let view: ChangeView = serde_json::from_str(change).unwrap();
        assert_eq!(view.kind, ChangeKind::Other);
        for kind in [ChangeKind::Policy, ChangeKind::Token, ChangeKind::Deadline, ChangeKind::End, ChangeKind::Start] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
    }
}
