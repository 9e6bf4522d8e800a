//! Credentials: issuing, showing, rotating.

use axum::{extract::State, response::Response};
use jeton_api::{
    credential::{CredentialQuery, CredentialView, IssueRequest, IssuedView, RotateRequest, RotatedView},
    page::Page,
};
use jeton_lifecycle::Action;
use jeton_store::{
    Store,
    model::{CredentialRow, IssueNew},
};
use jeton_types::{CredentialId, CredentialRef, NamespaceName};

use super::{
    answer,
    asked::{Asked, Named, Part, page},
    failure::Failure,
    namespace,
    payload::Payload,
    token,
};
use crate::{access::Access, core::Core, metric::IssuePhase};

/// Answers after the record is published, so that no verifier can miss the token from here on (G1): the store sees to
/// that order.
pub(crate) async fn issue(
    State(core): State<Core>,
    mut access: Access,
    Named(namespace): Named<NamespaceName>,
    payload: Payload,
) -> Result<Response, Failure> {
    let began = core.time.read().0.boot;
    access.permit_change(Action::CredentialIssue, &namespace)?;
    let request: IssueRequest = payload.json(&mut access).await?;
    let new = IssueNew {
        namespace,
        name: request.name,
        subject: request.subject,
        scopes: request.scopes,
        labels: request.labels,
        ttl: request.ttl,
    };
    let accepted = core.time.read().0.boot;
    let issued = core.store.credential_issue(access.into_caller(), new).await?;
    let (ended, now) = core.time.read();
    core.metrics.issue_observe(IssuePhase::Check, accepted.since(began));
    core.metrics.issue_observe(IssuePhase::Commit, ended.boot.since(accepted));
    core.metrics.issue_observe(IssuePhase::Total, ended.boot.since(began));
    let location = format!("/v1/credentials/{}", issued.credential.id);
    let view = IssuedView {
        credential: view(issued.credential),
        token: token::view_new(issued.token, issued.secret, now),
        revision: issued.revision,
    };
    Ok(answer::created(&location, &view))
}

/// A page of a namespace's credentials, or the one of a name.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Named(namespace): Named<NamespaceName>,
    Asked(query): Asked<CredentialQuery>,
) -> Result<Response, Failure> {
    access.permit(Action::CredentialRead, Some(&namespace))?;
    let part: Part<CredentialId> = Part::parse(query.after.as_deref(), query.limit)?;
    namespace::must_exist(&core, &namespace).await?;
    if let Some(name) = query.name {
        let row = core.store.credential(CredentialRef::Name(namespace, name)).await?;
        let row = row.filter(|row| part.after.is_none_or(|after| row.id > after));
        return Ok(answer::ok(&Page::whole(row.into_iter().map(view).collect())));
    }
    let rows = core.store.credentials(namespace, part.after, part.limit + 1).await?;
    Ok(answer::ok(&page(rows, part.limit, |row| row.id.to_string(), view)))
}

pub(crate) async fn show(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<CredentialId>,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("credential");
    let row = core.store.credential(CredentialRef::Id(id)).await?.ok_or_else(absent)?;
    access.permit_id(Action::CredentialRead, &row.namespace, absent)?;
    Ok(answer::ok(&view(row)))
}

/// Mints the next version; the one before it goes on until the end of the overlap.
pub(crate) async fn rotate(
    State(core): State<Core>,
    mut access: Access,
    Named(id): Named<CredentialId>,
    payload: Payload,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("credential");
    let row = core.store.credential(CredentialRef::Id(id)).await?.ok_or_else(absent)?;
    access.permit_change_id(Action::CredentialRotate, &row.namespace, absent)?;
    let request: RotateRequest = payload.json(&mut access).await?;
    let rotated = core.store.credential_rotate(access.into_caller(), CredentialRef::Id(id), request.overlap()).await?;
    let now = core.time.now();
    let location = format!("/v1/tokens/{}", rotated.token.id);
    let newest = rotated.token.version;
    let view = RotatedView {
        credential: view(rotated.credential),
        token: token::view_new(rotated.token, rotated.secret, now),
        previous: token::view(rotated.previous, newest, now),
        revision: rotated.revision,
    };
    Ok(answer::created(&location, &view))
}

fn view(row: CredentialRow) -> CredentialView {
    CredentialView {
        id: row.id,
        namespace: row.namespace,
        name: row.name,
        subject: row.subject,
        scopes: row.scopes,
        labels: row.labels,
        ttl: row.ttl,
        created_at: row.created_at.into(),
        revision: row.revision,
    }
}
