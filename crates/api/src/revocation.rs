//! Revocations, and who has seen them.

use std::{fmt, str::FromStr, time::Duration};

pub use jeton_lifecycle::Effect;
use jeton_types::{
    CredentialRef, Invalid, Labels, NamespaceName, Revision, RevocationId, SessionId, Subject, TokenId, VerifierName,
    limits::REASON_BYTES_MAX,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{secret::SecretText, time::Timestamp};

/// Tokens that are listed one by one; of more, only the number is told.
pub const TOKENS_LISTED_MAX: usize = 100;

/// `POST /v1/namespaces/{ns}/revocations`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// What to end.
    pub selector: SelectorRequest,
    /// Why, for whoever looks at it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for a complete receipt: at most ten minutes, 30 s if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<TimeoutMs>,
    /// Only say what would end; nothing is changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl RevokeRequest {
    /// How long to wait for a complete receipt.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(TimeoutMs::DEFAULT, TimeoutMs::duration)
    }
}

/// What a revocation ends: the tokens for which all of this is so. At least one is named.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SelectorRequest {
    /// Tokens of this credential: `NS/NAME` or `cred_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialRef>,
    /// This token, by its public id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<TokenId>,
    /// This token, by its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// Tokens of credentials that speak for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Tokens of credentials that have all of these labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Tokens that were issued before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<Timestamp>,
}

impl SelectorRequest {
    /// All tokens of a credential.
    #[must_use]
    pub fn credential(credential: CredentialRef) -> Self {
        Self { credential: Some(credential), ..Self::default() }
    }

    /// One token, by its public id.
    #[must_use]
    pub fn token_id(token: TokenId) -> Self {
        Self { token_id: Some(token), ..Self::default() }
    }

    /// One token, by its text.
    #[must_use]
    pub fn secret(secret: SecretText) -> Self {
        Self { secret: Some(secret), ..Self::default() }
    }

    /// Whether nothing is named, which selects nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credential.is_none()
            && self.token_id.is_none()
            && self.secret.is_none()
            && self.subject.is_none()
            && self.labels.is_empty()
            && self.issued_before.is_none()
    }
}

/// What a revocation would end, by `dry_run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokePreviewView {
    /// Always: nothing was revoked.
    pub dry_run: bool,
    /// How many tokens would end. More than 100,000 are refused.
    pub count: u64,
    /// Which: the first hundred.
    pub tokens: Vec<TokenId>,
    /// How many more than are listed.
    pub tokens_omitted: u64,
}

/// `POST /v1/burn`: whoever holds a token may end it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BurnRequest {
    /// The token.
    pub token: SecretText,
    /// Why, for whoever looks at it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// What burning answers, the same whether or not there was such a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BurnView {
    /// Always. If there was such a token, it has ended.
    pub accepted: bool,
}

/// What to wait for before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The revocation is durable.
    #[default]
    Committed,
    /// Its receipt is complete, or the time is over.
    Complete,
}

/// A time to wait, in milliseconds, of at most ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct TimeoutMs(u64);

impl TimeoutMs {
    /// The wait where none is said.
    pub const DEFAULT: Duration = Duration::from_secs(30);
    /// The longest wait.
    pub const MAX: Duration = Duration::from_secs(600);

    /// The wait.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for TimeoutMs {
    type Error = Invalid;

    fn try_from(millis: u64) -> Result<Self, Invalid> {
        if Duration::from_millis(millis) > Self::MAX {
            return Err(Invalid("timeout_ms is at most 600000: to wait longer, ask for the receipt again"));
        }
        Ok(Self(millis))
    }
}

impl From<TimeoutMs> for u64 {
    fn from(timeout: TimeoutMs) -> Self {
        timeout.0
    }
}

/// Why something was revoked: printable text of at most 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason(Box<str>);

impl Reason {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if (1..=REASON_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid("a reason is printable text of 1 to 512 bytes, in one line"))
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A revocation, with its receipt as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationView {
    /// Its id.
    pub id: RevocationId,
    /// The namespace.
    pub namespace: NamespaceName,
    /// What it took away.
    pub effect: Effect,
    /// Its revision.
    pub revision: Revision,
    /// How many tokens it touched; zero for a namespace that was disabled, which touches all.
    pub count: u64,
    /// Which: the first hundred.
    pub tokens: Vec<TokenId>,
    /// How many more than are listed.
    pub tokens_omitted: u64,
    /// Why.
    pub reason: Option<String>,
    /// When it was durable.
    pub committed_at: Timestamp,
    /// Who has seen it.
    pub receipt: ReceiptView,
}

/// Who has seen a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptView {
    /// Whether it is complete.
    pub state: ReceiptState,
    /// Since when.
    pub completed_at: Option<Timestamp>,
    /// Each session that could have accepted, the authority itself among them.
    pub verifiers: Vec<VerifierLine>,
}

impl ReceiptView {
    /// Whether it is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == ReceiptState::Complete
    }

    /// Whether no verifier serves the namespace: the authority is the only line.
    #[must_use]
    pub fn no_verifier(&self) -> bool {
        self.verifiers.iter().all(VerifierLine::is_authority)
    }

    /// The sessions that are waited for.
    pub fn pending(&self) -> impl Iterator<Item = &VerifierLine> {
        self.verifiers.iter().filter(|line| line.state == LineState::Pending)
    }

    /// By when it will be complete in any case, if that is known of every session that is waited for.
    #[must_use]
    pub fn stops_by(&self) -> Option<Timestamp> {
        let moments: Option<Vec<Timestamp>> = self.pending().map(|line| line.stops_by).collect();
        moments.and_then(|moments| moments.into_iter().max())
    }
}

/// How a receipt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// No verification that starts after it accepts what was revoked, anywhere.
    Complete,
    /// At least one session could still accept.
    Pending,
}

impl ReceiptState {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for ReceiptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One session in a receipt, and the evidence that it cannot accept any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifierLine {
    /// The verifier's name; `authority` for the authority itself.
    pub id: VerifierName,
    /// The session; `null` for the authority.
    pub session: Option<SessionId>,
    /// The evidence.
    pub state: LineState,
    /// When the evidence was there.
    pub at: Option<Timestamp>,
    /// Of a session that is not heard of: when a lease was last granted to it.
    pub silent_since: Option<Timestamp>,
    /// Of a session that is waited for: when it will be counted out.
    pub stops_by: Option<Timestamp>,
}

impl VerifierLine {
    /// Whether this is the authority's own line.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.id.is_authority() && self.session.is_none()
    }
}

/// The evidence that a session cannot accept any more, or that there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// It acknowledged: every later verification in it sees the revocation.
    Acked,
    /// It said goodbye: nothing follows its last answer.
    Goodbye,
    /// A new process took its place.
    Succeeded,
    /// It was silent for so long that its lease and grace are over.
    Fenced,
    /// None yet.
    Pending,
}

impl LineState {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Acked, Self::Goodbye, Self::Succeeded, Self::Fenced, Self::Pending];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Goodbye => "goodbye",
            Self::Succeeded => "succeeded",
            Self::Fenced => "fenced",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for LineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first hundred of `tokens`, and how many more there are.
#[must_use]
pub fn listed(tokens: &[TokenId]) -> (Vec<TokenId>, u64) {
    let listed: Vec<TokenId> = tokens.iter().take(TOKENS_LISTED_MAX).copied().collect();
    let omitted = tokens.len() - listed.len();
    (listed, omitted as u64)
}

#[cfg(test)]
mod tests {
    use jeton_types::UnixTime;

    use super::*;

    #[test]
    fn what_revoking_takes() {
        for good in [
            r#"{"selector":{"credential":"acme/billing"},"wait":"committed"}"#,
            r#"{"selector":{"token_id":"tok_01h455vb4pex5vsknk084sn02q"},"reason":"leaked","wait":"complete","timeout_ms":600000}"#,
            r#"{"selector":{"secret":"x"},"wait":"committed"}"#,
            r#"{"selector":{"subject":"svc:x","labels":{"team":"core"},"issued_before":"2026-01-02T03:04:05.678901Z"},"wait":"committed","dry_run":true}"#,
        ] {
            let parsed: RevokeRequest = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), good);
        }
        let least: RevokeRequest =
            serde_json::from_str(r#"{"selector":{"credential":"cred_01h455vb4pex5vsknk084sn02q"}}"#).unwrap();
        assert_eq!((least.wait, least.timeout()), (Wait::Committed, Duration::from_secs(30)));
        assert!(!least.selector.is_empty() && SelectorRequest::default().is_empty());
        for bad in [
            r#"{}"#,
            r#"{"selector":{"credential":"billing"}}"#,
            r#"{"selector":{"owner":"x"}}"#,
            r#"{"selector":{"labels":{"team":1}}}"#,
            r#"{"selector":{"issued_before":"yesterday"}}"#,
            r#"{"selector":{"secret":"x"},"dry_run":1}"#,
            r#"{"selector":{"secret":"x"},"wait":"forever"}"#,
            r#"{"selector":{"secret":"x"},"timeout_ms":600001}"#,
            r#"{"selector":{"secret":"x"},"timeout_ms":-1}"#,
            r#"{"selector":{"secret":"x"},"reason":""}"#,
            r#"{"selector":{"secret":"x"},"reason":"two\nlines"}"#,
        ] {
            assert!(serde_json::from_str::<RevokeRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_revoking_answers() {
        let at = |secs: u64| Timestamp(UnixTime::from_micros(1_767_323_045_678_901 + secs * 1_000_000));
        let session = |n| Some(SessionId::from_bytes([n; 16]));
        let line = |id: &str, session, state| VerifierLine {
            id: id.parse().unwrap(),
            session,
            state,
            at: None,
            silent_since: None,
            stops_by: None,
        };
        let receipt = ReceiptView {
            state: ReceiptState::Pending,
            completed_at: None,
            verifiers: vec![
                VerifierLine { at: Some(at(0)), ..line("authority", None, LineState::Acked) },
                VerifierLine { at: Some(at(1)), ..line("edge-1", session(1), LineState::Acked) },
                VerifierLine { stops_by: Some(at(7)), ..line("edge-2", session(2), LineState::Pending) },
                VerifierLine {
                    silent_since: Some(at(0)),
                    stops_by: Some(at(382)),
                    ..line("edge-7", session(7), LineState::Pending)
                },
            ],
        };
        assert_eq!((receipt.stops_by(), receipt.no_verifier()), (Some(at(382)), false));
        let view = RevocationView {
            id: RevocationId::from_bytes([3; 16]),
            namespace: "acme".parse().unwrap(),
            effect: Effect::Revoke,
            revision: Revision::new(9).unwrap(),
            count: 1,
            tokens: vec![TokenId::from_bytes([2; 16])],
            tokens_omitted: 0,
            reason: None,
            committed_at: at(0),
            receipt,
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let tokens: Vec<TokenId> = (0..=100).map(|n| TokenId::from_bytes([n; 16])).collect();
        assert_eq!(listed(&tokens[..3]), (tokens[..3].to_vec(), 0));
        assert_eq!(listed(&tokens), (tokens[..100].to_vec(), 1));
    }
}
