//! Who may do what, checked inside the mutation's own transaction: a caller that was revoked a moment ago does nothing
//! any more (`feed-protocol.md` 20).

use std::net::IpAddr;

use jeton_lifecycle::{
    access::{self, Action, Authorized},
    role::{self, Grant, Reach, Role},
    token::State,
};
use jeton_types::{CredentialId, NamespaceName, ScopeSet, TokenId, UnixTime};
use rusqlite::Connection;

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

    /// Whoever holds a token, for what concerns that token alone.
    pub(super) const fn holder(token: TokenId, credential: CredentialId, address: Option<IpAddr>) -> Self {
        Self { token: Some(token), credential: Some(credential), address, grants: Vec::new() }
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
    access_in_view(tx.conn, caller, tx.now())
}

/// Reads the caller's token in a view that is open, at this authority time.
pub(super) fn access_in_view(conn: &Connection, caller: Caller, now: UnixTime) -> Result<Actor, StoreError> {
    let Caller::Bearer(Bearer { token: id, digest, address }) = caller else { return Ok(Actor::system()) };
    let found = token::find_by_digest(conn, &digest)?;
    let (token, credential) = found.ok_or(StoreError::Unauthenticated)?;
    let good = token.id == id
        && token.namespace.is_built_in()
        && token.facts().state(now) == State::Active
        && credential.disabled.is_none();
    if !good {
        return Err(StoreError::Unauthenticated);
    }
    let grants = role::roles_of(&credential.scopes);
    Ok(Actor { token: Some(id), credential: Some(credential.id), address, grants })
}
