//! Verdicts.

use std::{net::IpAddr, time::Duration};

use jeton_types::{CredentialId, Invalid, NamespaceName, Revision, ScopeSet, Subject, TokenId};
pub use jeton_types::{Source, VerdictCode};
use serde::{Deserialize, Serialize};

use crate::{secret::SecretText, time::Timestamp};

/// `POST /v1/verify`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The text that claims to be a token.
    pub token: SecretText,
    /// What it must be allowed to do, all of it.
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
    /// From where the token was presented to whoever asks. A token that may be presented from some addresses alone is
    /// `address_denied` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "ip", example = "203.0.113.7"))]
    pub client_address: Option<IpAddr>,
    /// The answer must rest on all there is at or below this revision, such as that of a revocation; else 503 `stale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_revision: Option<Revision>,
    /// The answer must rest on all that was committed until this long before it was asked for, at most an hour; else 503
    /// `stale`. Zero asks for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<MaxAgeMs>,
}

/// How old the evidence of a verdict may be, in milliseconds, of at most an hour: no namespace lets anything older be
/// relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MaxAgeMs(u64);

impl MaxAgeMs {
    /// The longest.
    pub const MAX: Duration = Duration::from_secs(3_600);

    /// As a length of time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for MaxAgeMs {
    type Error = Invalid;

    fn try_from(millis: u64) -> Result<Self, Invalid> {
        if Duration::from_millis(millis) > Self::MAX {
            return Err(Invalid("max_age_ms is at most 3600000: no verifier relies on anything older"));
        }
        Ok(Self(millis))
    }
}

impl From<MaxAgeMs> for u64 {
    fn from(age: MaxAgeMs) -> Self {
        age.0
    }
}

/// What is known of a token, and on what evidence. A verdict that cannot be given is no verdict but a problem, `stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictView {
    /// Whether to let it in.
    pub valid: bool,
    /// Why, or why not.
    pub code: VerdictCode,
    /// The namespace.
    pub namespace: Option<NamespaceName>,
    /// The token's public id.
    pub token_id: Option<TokenId>,
    /// The credential it is a version of.
    pub credential_id: Option<CredentialId>,
    /// Whom the credential speaks for.
    pub subject: Option<Subject>,
    /// All that it may do.
    pub scopes: ScopeSet,
    /// From when it is expired.
    pub expires_at: Option<Timestamp>,
    /// How far the view was from which this was answered.
    pub revision: Revision,
    /// The authority's time at which it was answered, as the answering side reckons it.
    pub as_of: Timestamp,
    /// When this verdict is no longer to be relied on.
    pub not_after: Option<Timestamp>,
    /// Who answered.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use jeton_types::UnixTime;

    use super::*;

    #[test]
    fn a_verdict_has_every_key() {
        let at = Timestamp(UnixTime::from_micros(1_767_323_045_678_901));
        let view = VerdictView {
            valid: false,
            code: VerdictCode::Unknown,
            namespace: None,
            token_id: None,
            credential_id: None,
            subject: None,
            scopes: ScopeSet::default(),
            expires_at: None,
            revision: Revision::new(9).unwrap(),
            as_of: at,
            not_after: Some(at),
            source: Source::Replica,
        };
        insta::assert_snapshot!(serde_json::to_string(&view).unwrap(), @r#"{"valid":false,"code":"unknown","namespace":null,"token_id":null,"credential_id":null,"subject":null,"scopes":[],"expires_at":null,"revision":9,"as_of":"2026-01-02T03:04:05.678901Z","not_after":"2026-01-02T03:04:05.678901Z","source":"replica"}"#);
    }

    #[test]
    fn what_verifying_takes() {
        for good in [
            r#"{"token":"x"}"#,
            r#"{"token":"","scopes":["orders:read"]}"#,
            r#"{"token":"x","client_address":"::1","at_least_revision":9007199254740991,"max_age_ms":3600000}"#,
        ] {
            assert!(serde_json::from_str::<VerifyRequest>(good).is_ok(), "{good}");
        }
        for bad in [
            "{}",
            r#"{"token":1}"#,
            r#"{"token":"x","scope":"y"}"#,
            r#"{"token":null}"#,
            r#"{"token":"x","client_address":"10.0.0.1:80"}"#,
            r#"{"token":"x","at_least_revision":9007199254740992}"#,
            r#"{"token":"x","at_least_revision":-1}"#,
            r#"{"token":"x","max_age_ms":3600001}"#,
            r#"{"token":"x","max_age_ms":1.5}"#,
        ] {
            assert!(serde_json::from_str::<VerifyRequest>(bad).is_err(), "{bad}");
        }
    }
}
