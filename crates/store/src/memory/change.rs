//! Changes of what is there.

use jeton_feed::record::{Change, Policy};
use jeton_lifecycle::{
    Effect,
    access::Action,
    change, issue,
    namespace::{self as governing, NamespaceFacts},
    role,
};
use jeton_types::{CredentialId, NamespaceName};
use serde_json::json;

use super::{
    revocation::{Ending, ends},
    state::Draft,
};
use crate::{
    StoreError,
    change::{changes, facts, if_match, namespace_action, namespace_facts, namespace_permit},
    model::{
        Caller, CredentialDelete, CredentialPatch, CredentialRef, CredentialRow, NamespacePatch, NamespaceRow, Patched,
        PolicyRow, SwitchedOff, TokenRow,
    },
};

impl Draft<'_> {
    pub(super) fn credential_patch(
        &mut self,
        caller: Caller,
        id: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        let row = self.state.credential(&CredentialRef::Id(id)).cloned().ok_or(StoreError::NotFound("credential"))?;
        actor.may_touch(&row)?;
        if let (true, Some(scopes)) = (row.namespace.is_built_in(), &patch.change.scopes) {
            role::scopes_are_roles(scopes)?;
        }
        if let Some(addresses) = &patch.change.addresses {
            issue::addresses_check(row.namespace.is_built_in(), addresses)?;
        }
        if_match(patch.if_match.as_deref(), row.revision)?;
        let tokens = self.state.tokens_of(id);
        let token_facts: Vec<_> = tokens.iter().map(TokenRow::facts).collect();
        let stamp = self.stamp()?;
        let plan = change::decide(&facts(&row), &token_facts, &patch.change, stamp.at)?;
        if plan.gives {
            let _authorized = actor.permit_on(Action::CredentialUpdate, &row.namespace, &row.scopes)?;
            let _authorized = actor.permit_on(Action::CredentialUpdate, &row.namespace, &plan.after.scopes)?;
        }
        if plan.ends.is_some() {
            let _authorized = actor.permit_on(Action::Revoke, &row.namespace, &row.scopes)?;
        }
        if plan.is_empty() {
            let wanted_off = patch.change.disabled == Some(true);
            let off = row.disabled.filter(|_| wanted_off);
            let revocation = off.map(|off| self.state.revocation(off.revocation)).transpose()?;
            return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
        }
        let living: Vec<&TokenRow> = tokens.iter().filter(|token| token.lives()).collect();
        let changes = changes(&row, &plan, &living, patch.change.expires_at);
        let deadlines = changes.iter().filter(|change| matches!(change, Change::Deadline { .. })).count();
        let ending = Ending {
            actor: &actor,
            effect: plan.ends.unwrap_or(Effect::Narrow),
            action: "credential.update",
            namespace: &row.namespace,
            object: Some(id.to_string()),
            reason: patch.reason,
            selector: json!({ "credential": id }).to_string(),
            count: if plan.ends == Some(Effect::Expire) { deadlines } else { living.len() } as u64,
            changes,
        };
        let revocation = if plan.ends.is_some() {
            Some(self.end(stamp, ending)?)
        } else {
            self.publish(stamp, ending.entry(None))?;
            None
        };
        let by_this = revocation.as_ref().map(|by| SwitchedOff { at: stamp.at, revocation: by.id });
        let after = CredentialRow {
            subject: plan.after.subject,
            scopes: plan.after.scopes,
            labels: plan.after.labels,
            ttl: plan.after.ttl,
            addresses: plan.after.addresses,
            revision: stamp.revision,
            disabled: if plan.after.disabled { row.disabled.or(by_this) } else { None },
            ..row
        };
        self.state.credentials.insert(id, after.clone());
        Ok(Patched { revision: stamp.revision, row: after, revocation, fresh: true })
    }

    pub(super) fn credential_delete(
        &mut self,
        caller: Caller,
        id: CredentialId,
        delete: CredentialDelete,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        let mut row = self.state.permitted(&actor, Action::Revoke, &CredentialRef::Id(id), None)?;
        if let Some(off) = row.deleted {
            let revocation = Some(self.state.revocation(off.revocation)?);
            return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
        }
        if_match(delete.if_match.as_deref(), row.revision)?;
        let tokens = self.state.tokens_of(id);
        let changes: Vec<Change> = tokens.iter().filter(|token| token.lives()).map(ends).collect();
        let stamp = self.stamp()?;
        let ending = Ending {
            actor: &actor,
            effect: Effect::Delete,
            action: "credential.delete",
            namespace: &row.namespace,
            object: Some(id.to_string()),
            reason: delete.reason,
            selector: json!({ "credential": id }).to_string(),
            count: changes.len() as u64,
            changes,
        };
        let revocation = self.end(stamp, ending)?;
        row.deleted = Some(SwitchedOff { at: stamp.at, revocation: revocation.id });
        row.revision = stamp.revision;
        self.state.credentials.insert(id, row.clone());
        Ok(Patched { revision: stamp.revision, row, revocation: Some(revocation), fresh: true })
    }

    pub(super) fn namespace_patch(
        &mut self,
        caller: Caller,
        name: &NamespaceName,
        patch: NamespacePatch,
    ) -> Result<Patched<NamespaceRow>, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        namespace_permit(&actor, name, &patch.change)?;
        let mut row = self.state.namespace(name)?.clone();
        let facts = namespace_facts(&row);
        let plan = governing::decide(&facts, &patch.change)?;
        if_match(patch.if_match.as_deref(), row.revision)?;
        if !plan.changes {
            let off = row.disabled.filter(|_| patch.change.disabled == Some(true));
            let revocation = off.map(|off| self.state.revocation(off.revocation)).transpose()?;
            return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
        }
        let stamp = self.stamp()?;
        let NamespaceFacts { freshness, default_ttl, disabled, .. } = plan.after;
        let policy = Policy { prefix: row.prefix.clone(), freshness, disabled };
        let ending = Ending {
            actor: &actor,
            effect: plan.ends.unwrap_or(Effect::Disable),
            action: namespace_action(plan.ends, facts.disabled && !disabled),
            namespace: name,
            object: Some(name.to_string()),
            reason: patch.reason,
            selector: json!({ "namespace": name }).to_string(),
            count: 0,
            changes: if plan.renews { vec![Change::Policy(policy)] } else { Vec::new() },
        };
        let revocation = if plan.ends.is_some() {
            Some(self.end(stamp, ending)?)
        } else {
            self.publish(stamp, ending.entry(None))?;
            None
        };
        let by_this = revocation.as_ref().map(|by| SwitchedOff { at: stamp.at, revocation: by.id });
        row.disabled = if disabled { row.disabled.or(by_this) } else { None };
        if freshness != row.freshness {
            self.state.policies.push(PolicyRow { namespace: name.clone(), revision: stamp.revision, freshness });
        }
        (row.freshness, row.default_ttl, row.revision) = (freshness, default_ttl, stamp.revision);
        self.state.namespaces.insert(name.clone(), row.clone());
        Ok(Patched { revision: stamp.revision, row, revocation, fresh: true })
    }
}
