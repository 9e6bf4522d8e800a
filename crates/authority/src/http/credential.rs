//! Credentials: issuing, showing, rotating, changing, deleting.

use axum::{Extension, extract::State, response::Response};
use jeton_api::{
    credential::{
        Constraints, CredentialChangedView, CredentialDeleteQuery, CredentialPatch, CredentialQuery, CredentialView,
        IssueRequest, IssuedView, RotateRequest, RotatedView,
    },
    page::Page,
    problem::Code,
    revocation::{TimeoutMs, Wait},
};
use jeton_host::serve::Permit;
use jeton_lifecycle::Action;
use jeton_store::{
    Store,
    model::{
        self, CredentialChange, CredentialDelete, CredentialFilter, CredentialRow, CredentialState, IssueNew, Patched,
    },
};
use jeton_types::{CredentialId, CredentialRef, NamespaceName};

use super::{
    answer,
    asked::{Asked, Named, Part, page},
    etag::{IfMatch, tagged},
    failure::Failure,
    namespace,
    payload::Payload,
    revocation, token, usage,
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
        addresses: request.constraints.addresses,
    };
    let accepted = core.time.read().0.boot;
    let once = access.into_once(&core)?;
    let issued = once.settle(once.store.credential_issue(once.caller, new).await).await?;
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
    let filter = CredentialFilter { subject: query.subject, labels: query.labels, state: query.state };
    namespace::must_exist(&core, &namespace).await?;
    if let Some(name) = query.name {
        let row = core.store.credential(CredentialRef::Name(namespace, name)).await?;
        let row = row.filter(|row| part.after.is_none_or(|after| row.id > after) && fits(&filter, row));
        return Ok(answer::ok(&Page::whole(row.into_iter().map(view).collect())));
    }
    let rows = core.store.credentials(namespace, filter, part.after, part.limit + 1).await?;
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
    let revision = row.revision;
    let usage = Some(usage::usages(&core, id).await?);
    Ok(tagged(answer::ok(&CredentialView { usage, ..view(row) }), revision))
}

/// Changes what is named. What that gives and what it ends needs different rights, which the store sees to.
pub(crate) async fn update(
    State(core): State<Core>,
    mut access: Access,
    Named(id): Named<CredentialId>,
    IfMatch(if_match): IfMatch,
    permit: Option<Extension<Permit>>,
    payload: Payload,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("credential");
    let row = core.store.credential(CredentialRef::Id(id)).await?.ok_or_else(absent)?;
    access.permit_any_change_id(&[Action::CredentialUpdate, Action::Revoke], &row.namespace, absent)?;
    let request: CredentialPatch = payload.json(&mut access).await?;
    let change = CredentialChange {
        subject: request.subject,
        scopes: request.scopes,
        labels: request.labels,
        ttl: request.ttl,
        addresses: request.constraints.map(|constraints| constraints.addresses),
        disabled: request.disabled,
        expires_at: request.expires_at.map(Into::into),
    };
    if change == CredentialChange::default() {
        return Err(Failure::new(
            Code::InvalidRequest,
            "nothing is to be changed: name one of subject, scopes, labels, ttl, constraints, disabled, expires_at",
        ));
    }
    let reason = request.reason.map(|reason| reason.as_str().to_owned());
    let patch = model::CredentialPatch { change, if_match, reason };
    let once = access.into_once(&core)?;
    let patched = once.settle(once.store.credential_patch(once.caller, id, patch).await).await?;
    changed(&core, patched, permit, request.wait, request.timeout_ms).await
}

/// Ends a credential and its tokens, for good.
pub(crate) async fn delete(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<CredentialId>,
    IfMatch(if_match): IfMatch,
    permit: Option<Extension<Permit>>,
    query: Result<Asked<CredentialDeleteQuery>, Failure>,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("credential");
    let row = core.store.credential(CredentialRef::Id(id)).await?.ok_or_else(absent)?;
    access.permit_change_id(Action::Revoke, &row.namespace, absent)?;
    let Asked(query) = query?;
    let reason = query.reason.map(|reason| reason.as_str().to_owned());
    let delete = CredentialDelete { if_match, reason };
    let once = access.into_once(&core)?;
    let patched = once.settle(once.store.credential_delete(once.caller, id, delete).await).await?;
    changed(&core, patched, permit, query.wait, query.timeout_ms).await
}

async fn changed(
    core: &Core,
    patched: Patched<CredentialRow>,
    permit: Option<Extension<Permit>>,
    wait: Wait,
    timeout_ms: Option<TimeoutMs>,
) -> Result<Response, Failure> {
    let timeout = timeout_ms.map_or(TimeoutMs::DEFAULT, TimeoutMs::duration);
    let view = CredentialChangedView {
        revision: patched.revision,
        revocation: revocation::ended(core, patched.revocation, permit, wait, timeout).await?,
        credential: view(patched.row),
    };
    Ok(tagged(answer::ok(&view), view.credential.revision))
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
    let once = access.into_once(&core)?;
    let rotated = once.store.credential_rotate(once.caller, CredentialRef::Id(id), request.overlap()).await;
    let rotated = once.settle(rotated).await?;
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
        constraints: Constraints { addresses: row.addresses },
        created_at: row.created_at.into(),
        revision: row.revision,
        state: CredentialState::of(row.disabled.is_some(), row.deleted.is_some()),
        disabled_at: row.disabled.map(|off| off.at.into()),
        deleted_at: row.deleted.map(|off| off.at.into()),
        usage: None,
    }
}

fn fits(filter: &CredentialFilter, row: &CredentialRow) -> bool {
    let state = CredentialState::of(row.disabled.is_some(), row.deleted.is_some());
    filter.subject.as_ref().is_none_or(|subject| row.subject.as_ref() == Some(subject))
        && filter.labels.iter().all(|label| row.labels.iter().any(|held| held == label))
        && filter.state.is_none_or(|wanted| wanted == state)
}
