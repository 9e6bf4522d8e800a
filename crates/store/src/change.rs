//! What a change of a credential looks at, and what verifiers are told of it.

use jeton_feed::record::Change;
use jeton_lifecycle::change::{ChangePlan, CredentialFacts};
use jeton_types::{Revision, UnixTime};

use crate::{
    StoreError,
    model::{CredentialRow, TokenRow},
};

/// Refuses if somebody else has changed the thing since it was looked at.
pub(crate) fn if_match(wanted: Option<&[Revision]>, found: Revision) -> Result<(), StoreError> {
    if wanted.is_none_or(|wanted| wanted.contains(&found)) { Ok(()) } else { Err(StoreError::EtagMismatch) }
}

/// What the decision looks at.
pub(crate) fn facts(row: &CredentialRow) -> CredentialFacts {
    CredentialFacts {
        subject: row.subject.clone(),
        scopes: row.scopes.clone(),
        labels: row.labels.clone(),
        ttl: row.ttl,
        disabled: row.disabled.is_some(),
        deleted: row.deleted.is_some(),
    }
}

/// What verifiers are told of.
pub(crate) fn changes(
    row: &CredentialRow,
    plan: &ChangePlan,
    living: &[&TokenRow],
    expires_at: Option<UnixTime>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if plan.renews {
        changes.extend(living.iter().map(|token| {
            let mut entry = token.entry(row);
            entry.subject.clone_from(&plan.after.subject);
            entry.scopes.clone_from(&plan.after.scopes);
            entry.disabled = plan.after.disabled;
            Change::Token(entry)
        }));
    }
    if let Some(expires_at) = expires_at {
        let nearer = living.iter().filter(|token| plan.deadlines.contains(&token.id));
        changes.extend(nearer.map(|token| Change::Deadline { digest: token.digest, token: token.id, expires_at }));
    }
    changes
}
