//! Credentials: issuing and rotating them.

use jeton_feed::record::Change;
use jeton_lifecycle::{Refusal, access::Action, issue, role, rotation};
use jeton_types::{CredentialId, NamespaceName, Secret, Span, TokenId, UnixTime};
use rusqlite::{Connection, params};

use super::{
    access::access_in_tx,
    namespace,
    row::{self, span_value, sql, time_value},
    token,
    tx::{Entry, Stamp, Tx},
};
use crate::{
    StoreError,
    actor::Actor,
    model::{
        Caller, CredentialFilter, CredentialRef, CredentialRow, CredentialState, IssueNew, Issued, NamespaceRow,
        Rotated, TokenRow,
    },
};

pub(super) fn issue(tx: &mut Tx<'_>, caller: Caller, new: IssueNew) -> Result<Issued, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    if new.namespace.is_built_in() {
        role::scopes_are_roles(&new.scopes)?;
    }
    let _authorized = actor.permit_on(Action::CredentialIssue, &new.namespace, &new.scopes)?;
    issue_as(tx, &actor, new)
}

/// Issues for an actor that may.
pub(super) fn issue_as(tx: &mut Tx<'_>, actor: &Actor, new: IssueNew) -> Result<Issued, StoreError> {
    let namespace = namespace::find(tx.conn, &new.namespace)?.ok_or(StoreError::NotFound("namespace"))?;
    let IssueNew { namespace: _, name, subject, scopes, labels, ttl, addresses } = new;
    issue::addresses_check(namespace.name.is_built_in(), &addresses)?;
    if find(tx.conn, &CredentialRef::Name(namespace.name.clone(), name.clone()))?.is_some() {
        return Err(StoreError::NameTaken);
    }
    let stamp = tx.stamp()?;
    let expires_at = issue::expiry(ttl, namespace.default_ttl, stamp.at)?;
    let credential = CredentialRow {
        id: CredentialId::new(stamp.at, tx.random()),
        namespace: namespace.name.clone(),
        name,
        subject,
        scopes,
        labels,
        ttl,
        addresses,
        created_at: stamp.at,
        revision: stamp.revision,
        disabled: None,
        deleted: None,
    };
    insert(tx.conn, &credential)?;
    let (token, secret) = token_mint(tx, &namespace, &credential, stamp, 1, expires_at)?;
    tx.publish(
        stamp,
        Entry {
            actor,
            action: "credential.issue",
            namespace: &namespace.name,
            object: credential.id.to_string(),
            reason: None,
            changes: vec![Change::Token(token.entry(&credential))],
            revocation: None,
        },
    )?;
    Ok(Issued { credential, token, secret, revision: stamp.revision })
}

pub(super) fn rotate(
    tx: &mut Tx<'_>,
    caller: Caller,
    credential: &CredentialRef,
    overlap: Span,
) -> Result<Rotated, StoreError> {
    let actor = access_in_tx(tx, caller)?;
    let credential = find_permitted(tx.conn, &actor, Action::CredentialRotate, credential, None)?;
    if credential.deleted.is_some() {
        return Err(Refusal::Deleted.into());
    }
    let namespace = namespace::find(tx.conn, &credential.namespace)?.ok_or(StoreError::NotFound("namespace"))?;
    let mut tokens = token::list(tx.conn, credential.id)?;
    let no_token = || StoreError::Corrupt(format!("{} has no token", credential.id));
    let mut previous = tokens.pop().ok_or_else(no_token)?;
    let others: Vec<_> = tokens.iter().map(TokenRow::facts).collect();
    let stamp = tx.stamp()?;
    let plan = rotation::decide(&previous.facts(), &others, overlap, credential.ttl, namespace.default_ttl, stamp.at)?;
    let (token, secret) = token_mint(tx, &namespace, &credential, stamp, plan.version, plan.expires_at)?;
    let mut changes = vec![Change::Token(token.entry(&credential))];
    if let Some(expires_at) = plan.previous_expires_at
        && previous.expires_at != Some(expires_at)
    {
        previous.expires_at = Some(expires_at);
        changes.push(Change::Deadline { digest: previous.digest, token: previous.id, expires_at });
    }
    tx.publish(
        stamp,
        Entry {
            actor: &actor,
            action: "credential.rotate",
            namespace: &namespace.name,
            object: credential.id.to_string(),
            reason: None,
            changes,
            revocation: None,
        },
    )?;
    if let Some(expires_at) = plan.previous_expires_at {
        row::run(tx.conn, sql!("token/deadline_set"), params![previous.id.as_bytes(), time_value(expires_at)])?;
    }
    Ok(Rotated { credential, token, secret, previous, revision: stamp.revision })
}

/// The credential, if it is there, within the namespace that is asked for if any is, and the actor may do this to it.
pub(super) fn find_permitted(
    conn: &Connection,
    actor: &Actor,
    action: Action,
    credential: &CredentialRef,
    within: Option<&NamespaceName>,
) -> Result<CredentialRow, StoreError> {
    const MISSING: StoreError = StoreError::NotFound("credential");
    if let CredentialRef::Name(namespace, _) = credential
        && !namespace.is_built_in()
    {
        // Before the look, so that whoever may not ask does not learn what is there.
        let _authorized = actor.permit(action, namespace)?;
    }
    let found = find(conn, credential)?.ok_or(MISSING)?;
    if within.is_some_and(|namespace| *namespace != found.namespace) {
        return Err(MISSING);
    }
    let _authorized = actor.permit_on(action, &found.namespace, &found.scopes)?;
    Ok(found)
}

pub(super) fn find(conn: &Connection, credential: &CredentialRef) -> Result<Option<CredentialRow>, StoreError> {
    Ok(match credential {
        CredentialRef::Id(id) => row::one(conn, sql!("credential/find"), [id.as_bytes()], row::credential_row)?,
        CredentialRef::Name(namespace, name) => {
            row::one(conn, sql!("credential/find_by_name"), [namespace.as_str(), name.as_str()], row::credential_row)?
        }
    })
}

pub(super) fn list(
    conn: &Connection,
    namespace: &NamespaceName,
    filter: &CredentialFilter,
    after: Option<CredentialId>,
    limit: usize,
) -> Result<Vec<CredentialRow>, StoreError> {
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let params = params![
        namespace.as_str(),
        after,
        row::int(limit as u64),
        filter.subject.as_ref().map(|subject| subject.as_str()),
        row::labels_value(&filter.labels),
        filter.state.map(CredentialState::as_str)
    ];
    Ok(row::all(conn, sql!("credential/list"), params, row::credential_row)?)
}

pub(super) fn token_mint(
    tx: &Tx<'_>,
    namespace: &NamespaceRow,
    credential: &CredentialRow,
    stamp: Stamp,
    version: u32,
    expires_at: Option<UnixTime>,
) -> Result<(TokenRow, Secret<String>), StoreError> {
    let minted = tx.mint(&namespace.prefix, stamp);
    let token = TokenRow {
        id: TokenId::new(stamp.at, tx.random()),
        credential: credential.id,
        namespace: namespace.name.clone(),
        version,
        digest: minted.digest,
        hint: minted.hint,
        birth: stamp.revision,
        issued_at: stamp.at,
        expires_at,
        ended: None,
        collected: None,
    };
    token::insert(tx.conn, &token)?;
    Ok((token, minted.text))
}

pub(super) fn insert(conn: &Connection, credential: &CredentialRow) -> Result<(), StoreError> {
    row::run(
        conn,
        sql!("credential/insert"),
        params![
            credential.id.as_bytes(),
            credential.namespace.as_str(),
            credential.name.as_str(),
            credential.subject.as_ref().map(|subject| subject.as_str()),
            row::scopes_value(&credential.scopes),
            row::labels_value(&credential.labels),
            credential.ttl.map(span_value),
            time_value(credential.created_at),
            row::int(credential.revision.get()),
            row::addresses_value(&credential.addresses)
        ],
    )?;
    Ok(())
}
