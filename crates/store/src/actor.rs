//! Who acts, and what they may do: one rule for every store.

use std::net::IpAddr;

use jeton_lifecycle::{
    access::{self, Action, Authorized},
    role::{self, Grant, Reach, Role},
    token::State,
};
use jeton_types::{CredentialId, NamespaceName, ScopeSet, TokenId, UnixTime};

use crate::{
    StoreError,
    model::{Bearer, CredentialRow, TokenRow},
};

/// A caller whose token is good, as this transaction sees it.
pub(crate) struct Actor {
    pub(crate) token: Option<TokenId>,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) address: Option<IpAddr>,
    grants: Vec<Grant>,
}

impl Actor {
    /// The authority itself.
    pub(crate) fn system() -> Self {
        Self { token: None, credential: None, address: None, grants: vec![Grant::new(Role::Admin, Reach::All)] }
    }

    /// Whoever holds a token, for what concerns that token alone.
    pub(crate) const fn holder(token: TokenId, credential: CredentialId, address: Option<IpAddr>) -> Self {
        Self { token: Some(token), credential: Some(credential), address, grants: Vec::new() }
    }

    /// The bearer of a token, if it is good: `found` is what the store has under its digest.
    pub(crate) fn bearer(
        bearer: Bearer,
        found: Option<(TokenRow, CredentialRow)>,
        now: UnixTime,
    ) -> Result<Self, StoreError> {
        let (token, credential) = found.ok_or(StoreError::Unauthenticated)?;
        let good = token.id == bearer.token
            && token.namespace.is_built_in()
            && token.facts().state(now) == State::Active
            && credential.disabled.is_none();
        if !good {
            return Err(StoreError::Unauthenticated);
        }
        let grants = role::roles_of(&credential.scopes);
        Ok(Self { token: Some(token.id), credential: Some(credential.id), address: bearer.address, grants })
    }

    /// How a row says who did it.
    pub(crate) fn name(&self) -> String {
        self.token.map_or_else(|| "system".to_owned(), |token| token.to_string())
    }

    /// Whether it may do this in a namespace.
    pub(crate) fn permit(&self, action: Action, namespace: &NamespaceName) -> Result<Authorized, StoreError> {
        Ok(access::permit(&self.grants, action, Some(namespace))?)
    }

    /// Whether it may do this to a credential with these scopes. In the built-in namespace scopes are roles, and nobody
    /// touches a role whose reach he is not admin of.
    pub(crate) fn permit_on(
        &self,
        action: Action,
        namespace: &NamespaceName,
        scopes: &ScopeSet,
    ) -> Result<Authorized, StoreError> {
        if namespace.is_built_in() {
            return Ok(access::permit_grants(&self.grants, &role::roles_of(scopes))?);
        }
        self.permit(action, namespace)
    }

    /// Whoever may neither give to a credential nor take from it has no business with it at all.
    pub(crate) fn may_touch(&self, row: &CredentialRow) -> Result<(), StoreError> {
        let give = self.permit_on(Action::CredentialUpdate, &row.namespace, &row.scopes);
        let take = self.permit_on(Action::Revoke, &row.namespace, &row.scopes);
        if give.is_ok() || take.is_ok() { Ok(()) } else { give.map(|_| ()) }
    }
}
