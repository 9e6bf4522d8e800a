//! What a change of a credential or a namespace looks at, and what verifiers are told of it.

use jeton_feed::record::Change;
use jeton_lifecycle::{
    Effect,
    access::Action,
    change::{ChangePlan, CredentialFacts},
    namespace::{NamespaceChange, NamespaceFacts},
};
use jeton_types::{NamespaceName, Revision, UnixTime};

use crate::{
    StoreError,
    actor::Actor,
    model::{CredentialRow, NamespaceRow, TokenRow},
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
        addresses: row.addresses.clone(),
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
            entry.addresses.clone_from(&plan.after.addresses);
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

/// Whether the actor may ask for it. Decided by what is asked for, not by what there is to do: whoever may not ask learns
/// nothing of how it stands.
pub(crate) fn namespace_permit(
    actor: &Actor,
    name: &NamespaceName,
    change: &NamespaceChange,
) -> Result<(), StoreError> {
    if change.governs() {
        let _authorized = actor.permit(Action::NamespaceUpdate, name)?;
    }
    if change.disabled.is_some() || !change.governs() {
        let switch = if change.disabled == Some(false) { Action::NamespaceEnable } else { Action::Revoke };
        let _authorized = actor.permit(switch, name)?;
    }
    Ok(())
}

/// What the decision looks at.
pub(crate) fn namespace_facts(row: &NamespaceRow) -> NamespaceFacts {
    NamespaceFacts {
        built_in: row.name.is_built_in(),
        freshness: row.freshness,
        default_ttl: row.default_ttl,
        disabled: row.disabled.is_some(),
    }
}

/// What the audit calls it.
pub(crate) const fn namespace_action(ends: Option<Effect>, enables: bool) -> &'static str {
    match ends {
        Some(Effect::Disable) => "namespace.disable",
        _ if enables => "namespace.enable",
        _ => "namespace.update",
    }
}
