//! Changes of what is there: credentials that are given more, given less, switched off or deleted, and namespaces that
//! are switched off or follow another policy. What ends authority goes through the one mutator; what only gives has no receipt.

use jeton_feed::record::{Change, Policy};
use jeton_lifecycle::{
    Effect,
    access::Action,
    change::{self, CredentialFacts},
    issue,
    namespace::{self as governing, NamespaceFacts},
    role,
};
use jeton_types::{CredentialId, NamespaceName};
use rusqlite::params;
use serde_json::json;

use super::{
    access::access_in_tx,
    credential,
    ending::{self, Ending},
    namespace, revocation,
    row::{self, sql, time_value},
    token,
    tx::{Entry, Stamp, Tx},
};
use crate::{
    StoreError,
    actor::Actor,
    change::{changes, facts, if_match, namespace_action, namespace_facts, namespace_permit},
    model::{
        Caller, CredentialDelete, CredentialPatch, CredentialRef, CredentialRow, NamespacePatch, NamespaceRow, Patched,
        RevocationRow, SwitchedOff, TokenRow,
    },
};

pub(super) fn credential_patch(
    tx: &mut Tx<'_>,
    caller: Caller,
    id: CredentialId,
    patch: CredentialPatch,
) -> Result<Patched<CredentialRow>, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let row = credential::find(tx.conn, &CredentialRef::Id(id))?.ok_or(StoreError::NotFound("credential"))?;
    actor.may_touch(&row)?;
    if let (true, Some(scopes)) = (row.namespace.is_built_in(), &patch.change.scopes) {
        role::scopes_are_roles(scopes)?;
    }
    if let Some(addresses) = &patch.change.addresses {
        issue::addresses_check(row.namespace.is_built_in(), addresses)?;
    }
    if_match(patch.if_match.as_deref(), row.revision)?;
    let tokens = token::list(tx.conn, id)?;
    let token_facts: Vec<_> = tokens.iter().map(TokenRow::facts).collect();
    let stamp = tx.stamp()?;
    let plan = change::decide(&facts(&row), &token_facts, &patch.change, stamp.at)?;
    if plan.gives {
        let _authorized = actor.permit_on(Action::CredentialUpdate, &row.namespace, &row.scopes)?;
        let _authorized = actor.permit_on(Action::CredentialUpdate, &row.namespace, &plan.after.scopes)?;
    }
    if plan.ends.is_some() {
        let _authorized = actor.permit_on(Action::Revoke, &row.namespace, &row.scopes)?;
    }
    if plan.is_empty() {
        let revocation = match &row.disabled {
            Some(off) if patch.change.disabled == Some(true) => Some(revocation::must_find(tx.conn, off.revocation)?),
            _ => None,
        };
        return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
    }
    let living: Vec<&TokenRow> = tokens.iter().filter(|token| token.lives()).collect();
    let changes = changes(&row, &plan, &living, patch.change.expires_at);
    let update = Update { actor: &actor, row: &row, reason: patch.reason, living: living.len() };
    let revocation = match plan.ends {
        Some(effect) => Some(update.end(tx, stamp, effect, "credential.update", changes)?),
        None => {
            update.publish(tx, stamp, changes)?;
            None
        }
    };
    let after = write(tx, stamp, row, plan.after, revocation.as_ref())?;
    Ok(Patched { revision: stamp.revision, row: after, revocation, fresh: true })
}

pub(super) fn credential_delete(
    tx: &mut Tx<'_>,
    caller: Caller,
    id: CredentialId,
    delete: CredentialDelete,
) -> Result<Patched<CredentialRow>, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let mut row = credential::find_permitted(tx.conn, &actor, Action::Revoke, &CredentialRef::Id(id), None)?;
    if let Some(off) = &row.deleted {
        let revocation = Some(revocation::must_find(tx.conn, off.revocation)?);
        return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
    }
    if_match(delete.if_match.as_deref(), row.revision)?;
    let tokens = token::list(tx.conn, id)?;
    let living = tokens.iter().filter(|token| token.lives());
    let changes: Vec<Change> = living.map(|token| revocation::ends(token.id, token.digest)).collect();
    let stamp = tx.stamp()?;
    let update = Update { actor: &actor, row: &row, reason: delete.reason, living: changes.len() };
    let revocation = update.end(tx, stamp, Effect::Delete, "credential.delete", changes)?;
    row::run(
        tx.conn,
        sql!("credential/delete"),
        params![id.as_bytes(), time_value(stamp.at), revocation.id.as_bytes(), row::int(stamp.revision.get())],
    )?;
    row.deleted = Some(SwitchedOff { at: stamp.at, revocation: revocation.id });
    row.revision = stamp.revision;
    Ok(Patched { revision: stamp.revision, row, revocation: Some(revocation), fresh: true })
}

pub(super) fn namespace_patch(
    tx: &mut Tx<'_>,
    caller: Caller,
    name: &NamespaceName,
    patch: NamespacePatch,
) -> Result<Patched<NamespaceRow>, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    namespace_permit(&actor, name, &patch.change)?;
    let mut row = namespace::find(tx.conn, name)?.ok_or(StoreError::NotFound("namespace"))?;
    let facts = namespace_facts(&row);
    let plan = governing::decide(&facts, &patch.change)?;
    if_match(patch.if_match.as_deref(), row.revision)?;
    if !plan.changes {
        let off = row.disabled.as_ref().filter(|_| patch.change.disabled == Some(true));
        let revocation = off.map(|off| revocation::must_find(tx.conn, off.revocation)).transpose()?;
        return Ok(Patched { revision: row.revision, row, revocation, fresh: false });
    }
    let stamp = tx.stamp()?;
    let NamespaceFacts { freshness, default_ttl, disabled, .. } = plan.after;
    let policy = Policy { prefix: row.prefix.clone(), freshness, disabled };
    let changes = if plan.renews { vec![Change::Policy(policy)] } else { Vec::new() };
    let enables = facts.disabled && !disabled;
    let action = namespace_action(plan.ends, enables);
    let revocation = match plan.ends {
        Some(effect) => {
            let ending = Ending {
                actor: &actor,
                effect,
                action,
                namespace: name,
                object: Some(name.to_string()),
                reason: patch.reason,
                selector: json!({ "namespace": name }).to_string(),
                // All of it, however many that are: to count them would take as long as to end them.
                count: 0,
                changes,
            };
            Some(ending::end(tx, stamp, ending)?)
        }
        None => {
            let reason = patch.reason.as_deref();
            let object = name.to_string();
            let entry = Entry { actor: &actor, action, namespace: name, object, reason, changes, revocation: None };
            tx.publish(stamp, entry)?;
            None
        }
    };
    row.disabled = match (disabled, row.disabled, &revocation) {
        (false, ..) => None,
        (true, Some(since), _) => Some(since),
        (true, None, by) => by.as_ref().map(|by| SwitchedOff { at: stamp.at, revocation: by.id }),
    };
    if freshness != row.freshness {
        namespace::policy_add(tx, stamp, name, freshness)?;
    }
    (row.freshness, row.default_ttl, row.revision) = (freshness, default_ttl, stamp.revision);
    namespace::update(tx, &row)?;
    Ok(Patched { revision: stamp.revision, row, revocation, fresh: true })
}

struct Update<'a> {
    actor: &'a Actor,
    row: &'a CredentialRow,
    reason: Option<String>,
    living: usize,
}

impl Update<'_> {
    fn end(
        self,
        tx: &mut Tx<'_>,
        stamp: Stamp,
        effect: Effect,
        action: &'static str,
        changes: Vec<Change>,
    ) -> Result<RevocationRow, StoreError> {
        let deadlines = changes.iter().filter(|change| matches!(change, Change::Deadline { .. })).count();
        let count = if effect == Effect::Expire { deadlines } else { self.living };
        ending::end(
            tx,
            stamp,
            Ending {
                actor: self.actor,
                effect,
                action,
                namespace: &self.row.namespace,
                object: Some(self.row.id.to_string()),
                reason: self.reason,
                selector: json!({ "credential": self.row.id }).to_string(),
                count: count as u64,
                changes,
            },
        )
    }

    fn publish(self, tx: &mut Tx<'_>, stamp: Stamp, changes: Vec<Change>) -> Result<(), StoreError> {
        tx.publish(
            stamp,
            Entry {
                actor: self.actor,
                action: "credential.update",
                namespace: &self.row.namespace,
                object: self.row.id.to_string(),
                reason: self.reason.as_deref(),
                changes,
                revocation: None,
            },
        )?;
        Ok(())
    }
}

/// Writes the credential as it is afterwards.
fn write(
    tx: &Tx<'_>,
    stamp: Stamp,
    before: CredentialRow,
    after: CredentialFacts,
    revocation: Option<&RevocationRow>,
) -> Result<CredentialRow, StoreError> {
    let disabled = match (after.disabled, before.disabled, revocation) {
        (false, _, _) => None,
        (true, Some(since), _) => Some(since),
        (true, None, revocation) => revocation.map(|by| SwitchedOff { at: stamp.at, revocation: by.id }),
    };
    let row = CredentialRow {
        subject: after.subject,
        scopes: after.scopes,
        labels: after.labels,
        ttl: after.ttl,
        addresses: after.addresses,
        revision: stamp.revision,
        disabled,
        ..before
    };
    row::run(
        tx.conn,
        sql!("credential/update"),
        params![
            row.id.as_bytes(),
            row.subject.as_ref().map(|subject| subject.as_str()),
            row::scopes_value(&row.scopes),
            row::labels_value(&row.labels),
            row.ttl.map(row::span_value),
            row::int(row.revision.get()),
            row::addresses_value(&row.addresses)
        ],
    )?;
    let off = row.disabled.as_ref();
    row::run(
        tx.conn,
        sql!("credential/disable"),
        params![row.id.as_bytes(), off.map(|off| time_value(off.at)), off.map(|off| *off.revocation.as_bytes())],
    )?;
    Ok(row)
}
