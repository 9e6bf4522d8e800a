//! Namespaces.

use axum::{extract::State, response::Response};
use jeton_api::{
    namespace::{NamespaceCreateRequest, NamespaceView, revocation_bound},
    page::PageQuery,
};
use jeton_lifecycle::Action;
use jeton_store::{
    Store,
    model::{NamespaceNew, NamespaceRow},
};
use jeton_types::NamespaceName;

use super::{
    answer,
    asked::{Asked, Named, Part, page},
    failure::Failure,
    payload::Payload,
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
    let row = core.store.namespace_create(access.into_caller(), new).await?;
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
    Ok(answer::ok(&view(row)))
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
    }
}
