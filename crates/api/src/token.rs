//! Tokens, as they are shown: never their secret, but once.

use jeton_lifecycle::{Stage, State};
use jeton_types::{CredentialId, NamespaceName, Revision, RevocationId, TokenId};
use serde::{Deserialize, Serialize};

use crate::{secret::SecretText, time::Timestamp, usage::UsageView};

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenView {
    /// Its public id.
    pub id: TokenId,
    /// Which version of its credential it is.
    pub version: u32,
    /// The credential.
    pub credential_id: CredentialId,
    /// The namespace.
    pub namespace: NamespaceName,
    /// What may be shown of its text: the prefix and the last four characters.
    pub hint: String,
    /// Where it stands among the versions of its credential.
    pub stage: Stage,
    /// Whether it is good.
    pub state: State,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is expired.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// By which revocation; its receipt says who knows.
    pub revocation_id: Option<RevocationId>,
    /// The revision at which verifiers forgot it, long after it had expired: since then they call it unknown.
    #[serde(default)]
    pub collected_revision: Option<Revision>,
    /// What is known of its use; told where tokens are read.
    pub usage: Option<UsageView>,
}

/// A token as the one answer has it that hands it out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewTokenView {
    /// Its public id.
    pub id: TokenId,
    /// Which version of its credential it is.
    pub version: u32,
    /// Its text. It is not stored and is never shown again.
    pub secret: SecretText,
    /// What may be shown of its text from now on.
    pub hint: String,
    /// Where it stands: `current`.
    pub stage: Stage,
    /// Whether it is good: `active`.
    pub state: State,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is expired.
    pub expires_at: Option<Timestamp>,
}
