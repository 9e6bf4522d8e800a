//! Receipts: from what the hub found to the statement that is signed. Whoever holds one checks it with
//! `jeton_client::receipt::check`.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jeton_api::{
    receipt::{ReceiptParts, ReceiptPayload},
    revocation::{Effect, LineState, ReceiptState, ReceiptView, VerifierLine},
};
use jeton_feed::{
    authority::{Evidence, EvidenceKind, ReceiptFacts},
    record::Change,
};
use jeton_store::model::StoredReceipt;
use jeton_types::{Freshness, StartId, TokenId, UnixTime};
use serde::de::Error as _;

/// What the hub's facts do not say.
#[derive(Debug, Clone)]
pub struct Background {
    /// What the revision took away.
    pub effect: Effect,
    /// The longest grace that any session of the namespace was allowed.
    pub freshness: Freshness,
    /// The start that completed it.
    pub start: StartId,
    /// All tokens that it touched.
    pub tokens: Vec<TokenId>,
    /// Authority time.
    pub signed_at: UnixTime,
    /// Whether sessions may end by succession.
    pub succession: bool,
}

/// What is to be signed for a complete receipt; nothing for one that is not complete.
#[must_use]
pub fn payload(facts: &ReceiptFacts, background: Background) -> Option<ReceiptPayload> {
    let completed_at = facts.completed_at.filter(|_| facts.complete)?;
    Some(ReceiptPayload::new(ReceiptParts {
        id: facts.revocation,
        namespace: facts.namespace.clone(),
        effect: background.effect,
        freshness: background.freshness,
        revision: facts.revision,
        start: background.start,
        committed_at: facts.committed_at,
        completed_at,
        signed_at: background.signed_at.max(completed_at),
        tokens: background.tokens,
        verifiers: lines(&facts.evidence),
        succession: background.succession,
    }))
}

/// The tokens that a record took authority from, by what it took.
#[must_use]
pub fn touched(effect: Effect, changes: &[Change]) -> Vec<TokenId> {
    let token = |change: &Change| match (effect, change) {
        (Effect::Revoke | Effect::Delete, Change::End { token, .. })
        | (Effect::Expire, Change::Deadline { token, .. }) => Some(*token),
        (Effect::Disable | Effect::Narrow, Change::Token(entry)) => Some(entry.token),
        _ => None,
    };
    changes.iter().filter_map(token).collect()
}

/// A receipt that is not complete, as the API shows it.
#[must_use]
pub fn pending_view(facts: &ReceiptFacts) -> ReceiptView {
    ReceiptView { state: ReceiptState::Pending, completed_at: None, verifiers: lines(&facts.evidence) }
}

/// A complete receipt, as the API shows it.
///
/// # Errors
/// If the stored evidence cannot be read: the database was changed by another hand.
pub fn complete_view(stored: &StoredReceipt) -> Result<ReceiptView, serde_json::Error> {
    Ok(ReceiptView {
        state: ReceiptState::Complete,
        completed_at: Some(stored.completed_at.into()),
        verifiers: serde_json::from_str(&stored.evidence)?,
    })
}

/// What a stored receipt signs. It was signed here, so nobody checks it again.
///
/// # Errors
/// If it cannot be read: the database was changed by another hand.
pub fn signed(jws: &str) -> Result<ReceiptPayload, serde_json::Error> {
    let payload = jws.split('.').nth(1).unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(serde_json::Error::custom)?;
    serde_json::from_slice(&payload)
}

/// The evidence as the API and the signed statement have it; the store keeps it as a JSON array of the same.
#[must_use]
pub fn lines(evidence: &[Evidence]) -> Vec<VerifierLine> {
    evidence.iter().map(line).collect()
}

fn line(evidence: &Evidence) -> VerifierLine {
    VerifierLine {
        id: evidence.verifier.clone(),
        session: evidence.session,
        state: match evidence.state {
            EvidenceKind::Acked => LineState::Acked,
            EvidenceKind::Goodbye => LineState::Goodbye,
            EvidenceKind::Succeeded => LineState::Succeeded,
            EvidenceKind::Fenced => LineState::Fenced,
            EvidenceKind::Pending => LineState::Pending,
        },
        at: evidence.at.map(Into::into),
        silent_since: evidence.silent_since.map(Into::into),
        stops_by: evidence.stops_by.map(Into::into),
    }
}

#[cfg(test)]
mod tests;
