//! Namespaces.

use axum::{Extension, extract::State, response::Response};
use jeton_api::{
    namespace::{NamespaceChangedView, NamespaceCreateRequest, NamespacePatch, NamespaceView, revocation_bound},
    page::PageQuery,
    revocation::TimeoutMs,
};
use jeton_host::serve::Permit;
use jeton_lifecycle::{Action, namespace::NamespaceChange};
use jeton_store::{
    Store,
    model::{self, NamespaceNew, NamespaceRow},
};
use jeton_types::NamespaceName;

use super::{
    answer,
    asked::{Asked, Named, Part, page},
    etag::{IfMatch, tagged},
    failure::Failure,
    payload::Payload,
    revocation,
};
use crate::{access::Access, core::Core};

pub(crate) async fn create(
    State(core): State<Core>,
    mut access: Access,
    payload: Payload,
) -> Result<Response, Failure> {
    access.permit(Action::NamespaceCreate, None)?;
    let request: NamespaceCreateRequest = payload.json(&mut access).await?;
    let new = NamespaceNew {
        name: request.name,
        prefix: request.prefix,
        freshness: request.freshness.unwrap_or_default(),
        default_ttl: request.default_ttl,
    };
    let once = access.into_once(&core)?;
    let row = once.settle(once.store.namespace_create(once.caller, new).await).await?;
    Ok(answer::created(&format!("/v1/namespaces/{}", row.name), &view(row)))
}

/// Those that the caller may read.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Asked(query): Asked<PageQuery>,
) -> Result<Response, Failure> {
    access.permit_somewhere(Action::NamespaceRead)?;
    let part: Part<NamespaceName> = Part::parse(query.after.as_deref(), query.limit)?;
    let mut rows = core.store.namespaces().await?;
    rows.retain(|row| {
        access.may(Action::NamespaceRead, &row.name) && part.after.as_ref().is_none_or(|after| row.name > *after)
    });
    Ok(answer::ok(&page(rows, part.limit, |row| row.name.to_string(), view)))
}

pub(crate) async fn show(
    State(core): State<Core>,
    access: Access,
    Named(name): Named<NamespaceName>,
) -> Result<Response, Failure> {
    access.permit(Action::NamespaceRead, Some(&name))?;
    let row = core.store.namespace(name).await?.ok_or_else(|| Failure::absent("namespace"))?;
    let revision = row.revision;
    Ok(tagged(answer::ok(&view(row)), revision))
}

/// Changes a namespace.
pub(crate) async fn update(
    State(core): State<Core>,
    mut access: Access,
    Named(name): Named<NamespaceName>,
    IfMatch(if_match): IfMatch,
    permit: Option<Extension<Permit>>,
    payload: Payload,
) -> Result<Response, Failure> {
    // Most of it takes more; the store knows what it is.
    access.permit(Action::Revoke, Some(&name))?;
    let request: NamespacePatch = payload.json(&mut access).await?;
    let timeout = request.timeout_ms.map_or(TimeoutMs::DEFAULT, TimeoutMs::duration);
    let reason = request.reason.map(|reason| reason.as_str().to_owned());
    let NamespacePatch { freshness, default_ttl, disabled, .. } = request;
    let change = NamespaceChange { freshness, default_ttl, disabled };
    let patch = model::NamespacePatch { change, if_match, reason };
    let once = access.into_once(&core)?;
    let patched = once.settle(once.store.namespace_patch(once.caller, name, patch).await).await?;
    let view = NamespaceChangedView {
        revision: patched.revision,
        revocation: revocation::ended(&core, patched.revocation, permit, request.wait, timeout).await?,
        namespace: view(patched.row),
    };
    Ok(tagged(answer::ok(&view), view.namespace.revision))
}

/// Refuses if there is no such namespace, where an empty list would be taken for an answer.
pub(crate) async fn must_exist(core: &Core, name: &NamespaceName) -> Result<(), Failure> {
    match core.store.namespace(name.clone()).await? {
        Some(_) => Ok(()),
        None => Err(Failure::absent("namespace")),
    }
}

fn view(row: NamespaceRow) -> NamespaceView {
    NamespaceView {
        name: row.name,
        prefix: row.prefix,
        freshness: row.freshness,
        default_ttl: row.default_ttl,
        revocation_bound_ms: u64::try_from(revocation_bound(row.freshness).as_millis()).unwrap_or(u64::MAX),
        created_at: row.created_at.into(),
        revision: row.revision,
        disabled_at: row.disabled.map(|off| off.at.into()),
    }
}
