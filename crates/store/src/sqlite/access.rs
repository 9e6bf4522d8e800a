//! Who may do what, checked inside the mutation's own transaction: a caller that was revoked a moment ago does nothing
//! any more (`protocol.md` 20).

use std::net::IpAddr;

use jeton_lifecycle::{
    access::{self, Action, Authorized},
    role::{self, Grant, Reach, Role},
    token::State,
};
use jeton_types::{CredentialId, NamespaceName, ScopeSet, TokenId};

use super::{token, tx::Tx};
use crate::{
    StoreError,
    model::{Bearer, Caller},
};

/// A caller whose token is good, as this transaction sees it.
pub(super) struct Actor {
    pub(super) token: Option<TokenId>,
    pub(super) credential: Option<CredentialId>,
    pub(super) address: Option<IpAddr>,
    grants: Vec<Grant>,
}

impl Actor {
    /// The authority itself.
    pub(super) fn system() -> Self {
        Self { token: None, credential: None, address: None, grants: vec![Grant::new(Role::Admin, Reach::All)] }
    }

    /// How a row says who did it.
    pub(super) fn name(&self) -> String {
        self.token.map_or_else(|| "system".to_owned(), |token| token.to_string())
    }

    /// Whether it may do this in a namespace.
    pub(super) fn permit(&self, action: Action, namespace: &NamespaceName) -> Result<Authorized, StoreError> {
        Ok(access::permit(&self.grants, action, Some(namespace))?)
    }

    /// Whether it may do this to a credential with these scopes. In the built-in namespace scopes are roles, and nobody
    /// touches a role whose reach he is not admin of.
    pub(super) fn permit_on(
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
}

/// Reads the caller's token again.
pub(super) fn access_in_tx(tx: &Tx<'_>, caller: Caller) -> Result<Actor, StoreError> {
    let Caller::Bearer(Bearer { token: id, digest, address }) = caller else { return Ok(Actor::system()) };
    let found = token::find_by_digest(tx.conn, &digest)?;
    let (token, credential) = found.ok_or(StoreError::Unauthenticated)?;
    let good = token.id == id && token.namespace.is_built_in() && token.facts().state(tx.now()) == State::Active;
    if !good {
        return Err(StoreError::Unauthenticated);
    }
    let grants = role::roles_of(&credential.scopes);
    Ok(Actor { token: Some(id), credential: Some(credential.id), address, grants })
}
