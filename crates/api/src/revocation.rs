//! Revocations, and who has seen them.

use std::{fmt, str::FromStr, time::Duration};

use jeton_types::{
    CredentialRef, Invalid, NamespaceName, Revision, RevocationId, SessionId, TokenId, VerifierName,
    limits::REASON_BYTES_MAX,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{secret::SecretText, time::Timestamp};

/// Tokens that are listed one by one; of more, only the number is told.
pub const TOKENS_LISTED_MAX: usize = 100;

/// `POST /v1/namespaces/{ns}/revocations`
#[derive(Debug, Clone, Serialize, Deserialize)]
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
}

impl RevokeRequest {
    /// How long to wait for a complete receipt.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_ms.map_or(TimeoutMs::DEFAULT, TimeoutMs::duration)
    }
}

/// What a revocation ends: exactly one of `{"credential": "NS/NAME" | "cred_…"}`, `{"token_id": "tok_…"}` and
/// `{"secret": "…"}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "SelectorFields", into = "SelectorFields")]
pub enum SelectorRequest {
    /// All tokens of a credential.
    Credential(CredentialRef),
    /// One token, by its public id.
    TokenId(TokenId),
    /// One token, by its text.
    Secret(SecretText),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_id: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<SecretText>,
}

impl TryFrom<SelectorFields> for SelectorRequest {
    type Error = Invalid;

    fn try_from(fields: SelectorFields) -> Result<Self, Invalid> {
        match (fields.credential, fields.token_id, fields.secret) {
            (Some(credential), None, None) => Ok(Self::Credential(credential)),
            (None, Some(token), None) => Ok(Self::TokenId(token)),
            (None, None, Some(secret)) => Ok(Self::Secret(secret)),
            _ => Err(Invalid("a selector names exactly one of credential, token_id and secret")),
        }
    }
}

impl From<SelectorRequest> for SelectorFields {
    fn from(selector: SelectorRequest) -> Self {
        match selector {
            SelectorRequest::Credential(credential) => Self { credential: Some(credential), ..Self::default() },
            SelectorRequest::TokenId(token) => Self { token_id: Some(token), ..Self::default() },
            SelectorRequest::Secret(secret) => Self { secret: Some(secret), ..Self::default() },
        }
    }
}

/// What to wait for before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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
pub struct RevocationView {
    /// Its id.
    pub id: RevocationId,
    /// The namespace whose tokens it ended.
    pub namespace: NamespaceName,
    /// Its revision.
    pub revision: Revision,
    /// How many tokens it ended.
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
        ] {
            let parsed: RevokeRequest = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), good);
        }
        let least: RevokeRequest =
            serde_json::from_str(r#"{"selector":{"credential":"cred_01h455vb4pex5vsknk084sn02q"}}"#).unwrap();
        assert_eq!((least.wait, least.timeout()), (Wait::Committed, Duration::from_secs(30)));
        for bad in [
            r#"{}"#,
            r#"{"selector":{}}"#,
            r#"{"selector":{"credential":"billing"}}"#,
            r#"{"selector":{"credential":"acme/billing","secret":"x"}}"#,
            r#"{"selector":{"subject":"x"}}"#,
            r#"{"selector":{"secret":"x"},"dry_run":true}"#,
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
