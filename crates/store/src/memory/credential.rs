//! Namespaces and credentials that come about, and tokens that are minted.

use jeton_feed::record::Change;
use jeton_lifecycle::{Refusal, access::Action, issue, role, rotation};
use jeton_types::{CredentialId, NamespaceName, Secret, Span, TokenId, UnixTime, token};

use super::state::{Draft, Entry, Stamp};
use crate::{
    StoreError,
    actor::Actor,
    model::{
        Caller, CredentialRef, CredentialRow, IssueNew, Issued, NamespaceNew, NamespaceRow, PolicyRow, Rotated,
        TokenRow,
    },
};

impl Draft<'_> {
    pub(super) fn namespace_create(&mut self, caller: Caller, new: NamespaceNew) -> Result<NamespaceRow, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        let _authorized = actor.permit(Action::NamespaceCreate, &new.name)?;
        if let Some(ttl) = new.default_ttl {
            issue::ttl_check(ttl)?;
        }
        if self.state.namespaces.contains_key(&new.name) {
            return Err(StoreError::NameTaken);
        }
        if self.state.by_prefix(&new.prefix).is_some() {
            return Err(StoreError::PrefixTaken);
        }
        let stamp = self.stamp()?;
        let row = self.namespace_insert(new, stamp);
        let entry = Entry {
            actor: &actor,
            action: "namespace.create",
            namespace: &row.name,
            object: row.name.to_string(),
            reason: None,
            changes: vec![Change::Policy(row.policy())],
            revocation: None,
        };
        self.publish(stamp, entry)?;
        Ok(row)
    }

    pub(super) fn namespace_insert(&mut self, new: NamespaceNew, stamp: Stamp) -> NamespaceRow {
        let NamespaceNew { name, prefix, freshness, default_ttl } = new;
        let (created_at, revision) = (stamp.at, stamp.revision);
        let row = NamespaceRow { name, prefix, freshness, default_ttl, created_at, revision, disabled: None };
        self.state.policies.push(PolicyRow { namespace: row.name.clone(), revision, freshness });
        self.state.namespaces.insert(row.name.clone(), row.clone());
        row
    }

    pub(super) fn credential_issue(&mut self, caller: Caller, new: IssueNew) -> Result<Issued, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        if new.namespace.is_built_in() {
            role::scopes_are_roles(&new.scopes)?;
        }
        let _authorized = actor.permit_on(Action::CredentialIssue, &new.namespace, &new.scopes)?;
        self.issue_as(&actor, new)
    }

    pub(super) fn issue_as(&mut self, actor: &Actor, new: IssueNew) -> Result<Issued, StoreError> {
        let home = self.state.namespace(&new.namespace)?.clone();
        issue::addresses_check(home.name.is_built_in(), &new.addresses)?;
        if self.state.credential(&CredentialRef::Name(home.name.clone(), new.name.clone())).is_some() {
            return Err(StoreError::NameTaken);
        }
        let stamp = self.stamp()?;
        let expires_at = issue::expiry(new.ttl, home.default_ttl, stamp.at)?;
        let credential = self.credential_insert(new, stamp);
        let (token, secret) = self.mint(&home, &credential, stamp, 1, expires_at);
        let entry = Entry {
            actor,
            action: "credential.issue",
            namespace: &home.name,
            object: credential.id.to_string(),
            reason: None,
            changes: vec![Change::Token(token.entry(&credential))],
            revocation: None,
        };
        self.publish(stamp, entry)?;
        Ok(Issued { credential, token, secret, revision: stamp.revision })
    }

    pub(super) fn credential_insert(&mut self, new: IssueNew, stamp: Stamp) -> CredentialRow {
        let IssueNew { namespace, name, subject, scopes, labels, ttl, addresses } = new;
        let row = CredentialRow {
            id: CredentialId::new(stamp.at, self.random()),
            namespace,
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
        self.state.credentials.insert(row.id, row.clone());
        row
    }

    pub(super) fn mint(
        &mut self,
        home: &NamespaceRow,
        credential: &CredentialRow,
        stamp: Stamp,
        version: u32,
        expires_at: Option<UnixTime>,
    ) -> (TokenRow, Secret<String>) {
        let minted = token::mint(&home.prefix, stamp.revision, self.random());
        let token = TokenRow {
            id: TokenId::new(stamp.at, self.random()),
            credential: credential.id,
            namespace: home.name.clone(),
            version,
            digest: minted.digest,
            hint: minted.hint,
            birth: stamp.revision,
            issued_at: stamp.at,
            expires_at,
            ended: None,
            collected: None,
        };
        self.state.tokens.insert(token.id, token.clone());
        (token, minted.text)
    }

    pub(super) fn credential_rotate(
        &mut self,
        caller: Caller,
        credential: &CredentialRef,
        overlap: Span,
    ) -> Result<Rotated, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        let credential = self.state.permitted(&actor, Action::CredentialRotate, credential, None)?;
        if credential.deleted.is_some() {
            return Err(Refusal::Deleted.into());
        }
        let home = self.state.namespace(&credential.namespace)?.clone();
        let mut tokens = self.state.tokens_of(credential.id);
        let mut previous = tokens.pop().ok_or(StoreError::NotFound("token"))?;
        let others: Vec<_> = tokens.iter().map(TokenRow::facts).collect();
        let stamp = self.stamp()?;
        let plan = rotation::decide(&previous.facts(), &others, overlap, credential.ttl, home.default_ttl, stamp.at)?;
        let (token, secret) = self.mint(&home, &credential, stamp, plan.version, plan.expires_at);
        let mut changes = vec![Change::Token(token.entry(&credential))];
        if let Some(expires_at) = plan.previous_expires_at
            && previous.expires_at != Some(expires_at)
        {
            self.deadline_set(previous.id, expires_at);
            previous.expires_at = Some(expires_at);
            changes.push(Change::Deadline { digest: previous.digest, token: previous.id, expires_at });
        }
        let entry = Entry {
            actor: &actor,
            action: "credential.rotate",
            namespace: &home.name,
            object: credential.id.to_string(),
            reason: None,
            changes,
            revocation: None,
        };
        self.publish(stamp, entry)?;
        Ok(Rotated { credential, token, secret, previous, revision: stamp.revision })
    }

    /// A deadline only ever comes nearer.
    pub(super) fn deadline_set(&mut self, token: TokenId, expires_at: UnixTime) {
        if let Some(row) = self.state.tokens.get_mut(&token) {
            row.expires_at = Some(row.expires_at.map_or(expires_at, |before| before.min(expires_at)));
        }
    }
}

impl super::state::State {
    /// The credential, if the actor may do this to it. Who may not ask about a name does not learn whether it is there.
    pub(super) fn permitted(
        &self,
        actor: &Actor,
        action: Action,
        credential: &CredentialRef,
        within: Option<&NamespaceName>,
    ) -> Result<CredentialRow, StoreError> {
        if let CredentialRef::Name(namespace, _) = credential
            && !namespace.is_built_in()
        {
            let _authorized = actor.permit(action, namespace)?;
        }
        let found = self.credential(credential);
        let found = found.filter(|found| within.is_none_or(|name| *name == found.namespace));
        let found = found.ok_or(StoreError::NotFound("credential"))?;
        let _authorized = actor.permit_on(action, &found.namespace, &found.scopes)?;
        Ok(found.clone())
    }
}
