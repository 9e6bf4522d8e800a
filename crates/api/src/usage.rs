//! What is known of tokens in use.

use std::net::IpAddr;

use jeton_types::{TokenId, VerifierName};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What is known of the use of one token, as its verifiers have told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageView {
    /// The token.
    pub token_id: TokenId,
    /// When it was first found valid.
    pub first_used_at: Option<Timestamp>,
    /// When it was last found valid.
    pub last_used_at: Option<Timestamp>,
    /// How often it was found valid.
    pub count: u64,
    /// All uses before this moment are in these figures: the oldest report among the verifiers that serve its namespace.
    /// `null` while it cannot be said, since a verifier went away without its last report.
    pub known_until: Option<Timestamp>,
    /// Who still presented it after it had ended; `null` if nobody is known to have.
    pub after_end: Option<AfterEndView>,
}

/// Presentations of a token that had ended. All of them were refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AfterEndView {
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// From where, the most frequent first, at most 32.
    pub presenters: Vec<PresenterView>,
}

/// From where a token was presented after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PresenterView {
    /// The client's address; `null` where it is not known, or where there were too many to tell apart.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    /// The verifier that refused it; `authority` for the authority itself.
    pub verifier: VerifierName,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
}
