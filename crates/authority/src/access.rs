//! Who calls: the bearer token of each request, and what it may do.
//!
//! A request that reads is decided here, in one read view, and counts as a verification under way until its answer is
//! made (`feed-protocol.md` 20). A request that changes something is only turned away here if its token is no good at all;
//! whether it may do what it asks is decided once more by the store, inside the transaction that does it.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request};
use jeton_host::serve::Peer;
use jeton_lifecycle::{Action, Grant, Reach, State, access, role, token};
use jeton_store::{
    Store,
    model::{Bearer, Caller},
};
use jeton_types::{CredentialId, Digest, NamespaceName, Prefix, Secret, token::parse};

use crate::{
    core::Core,
    http::{
        failure::Failure,
        once::{Key, Once},
    },
    inflight::Guard,
};

/// What whoever watches an authority looks at. It goes on when the data are not believed any more, or the alarm would go
/// unseen; neither says anything of a token.
const WATCHED: [&str; 2] = ["/metrics", "/v1/events"];

/// A request whose token is good.
pub(crate) struct Access {
    bearer: Bearer,
    credential: CredentialId,
    /// Under which the mutation is asked for, if any.
    key: Option<Key>,
    grants: Vec<Grant>,
    /// Held until the answer is made, or until the request waits for something.
    verification: Option<Guard>,
}

impl FromRequestParts<Core> for Access {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut request::Parts, core: &Core) -> Result<Self, Failure> {
        let text = bearer(&parts.headers)?;
        let parsed = parse(text.expose().as_bytes()).map_err(|_| Failure::unauthenticated())?;
        if parsed.prefix != Prefix::BUILT_IN {
            return Err(Failure::unauthenticated());
        }
        let address = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        if !WATCHED.contains(&parts.uri.path()) {
            believed(core)?;
        }
        let mut access = authenticate(core, parsed.digest, address).await?;
        if !parts.method.is_safe() {
            access.key = Key::read(parts, &text, access.credential)?;
        }
        Ok(access)
    }
}

/// Refuses once a rollback is known: what the data say of a token, the caller's own included, may have been taken back.
pub(crate) fn believed(core: &Core) -> Result<(), Failure> {
    core.fence.found().map_or(Ok(()), |found| Err(Failure::rollback(found)))
}

async fn authenticate(core: &Core, digest: Digest, address: Option<IpAddr>) -> Result<Access, Failure> {
    // Before the read view opens.
    let verification = core.inflight.begin();
    let found = core.store.token_by_digest(digest).await?;
    let (token, credential) = found.ok_or_else(Failure::unauthenticated)?;
    let state = token::state(token.ended.is_some(), token.expires_at, core.time.now());
    if !token.namespace.is_built_in() || state != State::Active || credential.disabled.is_some() {
        return Err(Failure::unauthenticated());
    }
    Ok(Access {
        bearer: Bearer { token: token.id, digest, address },
        credential: credential.id,
        key: None,
        grants: role::roles_of(&credential.scopes),
        verification: Some(verification),
    })
}

impl Access {
    /// Refuses unless the caller may do `action` in `namespace`; without one, everywhere.
    pub(crate) fn permit(&self, action: Action, namespace: Option<&NamespaceName>) -> Result<(), Failure> {
        access::permit(&self.grants, action, namespace).map(|_| ()).map_err(Failure::from)
    }

    /// Whether the caller may do `action` in `namespace`.
    pub(crate) fn may(&self, action: Action, namespace: &NamespaceName) -> bool {
        access::permit(&self.grants, action, Some(namespace)).is_ok()
    }

    /// Refuses unless the caller may read this thing of `namespace` that was asked for by an id. Who has no business
    /// in the namespace at all does not learn that there is such a thing.
    pub(crate) fn permit_id(
        &self,
        action: Action,
        namespace: &NamespaceName,
        absent: impl FnOnce() -> Failure,
    ) -> Result<(), Failure> {
        if self.knows(namespace) { self.permit(action, Some(namespace)) } else { Err(absent()) }
    }

    /// Refuses unless there is a namespace in which the caller may do `action`: where he may nowhere, an empty answer would
    /// be taken for one.
    pub(crate) fn permit_somewhere(&self, action: Action) -> Result<(), Failure> {
        let somewhere = self.grants.iter().any(|grant| match &grant.reach {
            Reach::All => access::permit(&self.grants, action, None).is_ok(),
            Reach::Namespace(namespace) => self.may(action, namespace),
        });
        if somewhere { Ok(()) } else { self.permit(action, None) }
    }

    /// Refuses early what the store would refuse anyway, so that a caller without the right learns that and not what
    /// is wrong with his request. In the built-in namespace it depends on what the credential may do, which only the
    /// store knows.
    pub(crate) fn permit_change(&self, action: Action, namespace: &NamespaceName) -> Result<(), Failure> {
        if namespace.is_built_in() { Ok(()) } else { self.permit(action, Some(namespace)) }
    }

    /// [`Self::permit_change`] for a thing that was asked for by an id. In the built-in namespace a credential is the
    /// business of whoever is admin where it reaches, so that alone hides nothing there.
    pub(crate) fn permit_change_id(
        &self,
        action: Action,
        namespace: &NamespaceName,
        absent: impl FnOnce() -> Failure,
    ) -> Result<(), Failure> {
        if namespace.is_built_in() || self.knows(namespace) {
            self.permit_change(action, namespace)
        } else {
            Err(absent())
        }
    }

    /// [`Self::permit_change_id`] where the body decides which of several actions it will be.
    pub(crate) fn permit_any_change_id(
        &self,
        actions: &[Action],
        namespace: &NamespaceName,
        absent: impl FnOnce() -> Failure,
    ) -> Result<(), Failure> {
        match actions.iter().find(|action| self.permit_change(**action, namespace).is_ok()).or(actions.first()) {
            Some(action) => self.permit_change_id(*action, namespace, absent),
            None => Ok(()),
        }
    }

    fn knows(&self, namespace: &NamespaceName) -> bool {
        let reach = Reach::Namespace(namespace.clone());
        self.grants.iter().any(|grant| grant.reach.includes(&reach))
    }

    /// Ends the verification, because the request is going to wait for its sender. No revocation must wait for that.
    pub(crate) fn pause(&mut self) {
        self.verification = None;
    }

    /// The body as it came: under a key, another body is another request.
    pub(crate) fn body(&mut self, bytes: &[u8]) {
        if let Some(key) = &mut self.key {
            key.body(bytes);
        }
    }

    /// Ends the verification and hands the caller to the store, which checks it again; the mutation is done once per
    /// `Idempotency-Key`. What waits for a receipt must not be a verification under way itself: the authority's own
    /// acknowledgement would wait for it.
    pub(crate) fn into_once(self, core: &Core) -> Result<Once, Failure> {
        let Self { bearer, credential, key, .. } = self;
        Once::new(core, Caller::Bearer(bearer), credential, key)
    }

    /// Verifies anew, after a pause.
    pub(crate) async fn again(self, core: &Core) -> Result<Self, Failure> {
        authenticate(core, self.bearer.digest, self.bearer.address).await
    }

    /// The caller, for a read that the store checks again; the verification goes on.
    pub(crate) const fn caller(&self) -> Caller {
        Caller::Bearer(self.bearer)
    }
}

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<Secret<String>, Failure> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Failure::unauthenticated()) };
    let (scheme, text) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(Failure::unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Failure::unauthenticated());
    }
    Ok(Secret::new(text.trim().to_owned()))
}
