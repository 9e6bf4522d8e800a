//! Tokens, shown without their secrets.

use axum::{extract::State, response::Response};
use jeton_api::{
    page::Page,
    token::{NewTokenView, TokenView},
};
use jeton_lifecycle::{Action, token};
use jeton_store::{Store, model::TokenRow};
use jeton_types::{CredentialId, CredentialRef, Secret, TokenId, UnixTime};

use super::{answer, asked::Named, failure::Failure, usage::usages};
use crate::{access::Access, core::Core};

/// All versions of a credential, oldest first.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<CredentialId>,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("credential");
    let credential = core.store.credential(CredentialRef::Id(id)).await?.ok_or_else(absent)?;
    access.permit_id(Action::CredentialRead, &credential.namespace, absent)?;
    let rows = core.store.tokens(id).await?;
    let (newest, now) = (newest(&rows), core.time.now());
    let usages = usages(&core, id).await?;
    let used = |row: TokenRow| TokenView {
        usage: usages.iter().find(|usage| usage.token_id == row.id).cloned(),
        ..view(row, newest, now)
    };
    Ok(answer::ok(&Page::whole(rows.into_iter().map(used).collect())))
}

pub(crate) async fn show(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<TokenId>,
) -> Result<Response, Failure> {
    let absent = || Failure::absent("token");
    let token = core.store.token(id).await?.ok_or_else(absent)?;
    access.permit_id(Action::CredentialRead, &token.namespace, absent)?;
    // Its stage depends on the other versions; so that one view says all, it is taken from there too.
    let rows = core.store.tokens(token.credential).await?;
    let newest = newest(&rows);
    let row = rows.into_iter().find(|row| row.id == id).ok_or_else(absent)?;
    let usage = usages(&core, row.credential).await?.into_iter().find(|usage| usage.token_id == id);
    Ok(answer::ok(&TokenView { usage, ..view(row, newest, core.time.now()) }))
}

/// A token that was just minted, with its secret.
pub(crate) fn view_new(row: TokenRow, secret: Secret<String>, now: UnixTime) -> NewTokenView {
    let state = token::state(row.ended.is_some(), row.expires_at, now);
    NewTokenView {
        id: row.id,
        version: row.version,
        secret: secret.into(),
        hint: row.hint,
        stage: token::stage(row.version, row.version, state),
        state,
        issued_at: row.issued_at.into(),
        expires_at: row.expires_at.map(Into::into),
    }
}

/// A token of a credential whose newest version is `newest`.
pub(crate) fn view(row: TokenRow, newest: u32, now: UnixTime) -> TokenView {
    let state = token::state(row.ended.is_some(), row.expires_at, now);
    TokenView {
        id: row.id,
        version: row.version,
        credential_id: row.credential,
        namespace: row.namespace,
        hint: row.hint,
        stage: token::stage(row.version, newest, state),
        state,
        issued_at: row.issued_at.into(),
        expires_at: row.expires_at.map(Into::into),
        revoked_at: row.ended.map(|ended| ended.at.into()),
        revocation_id: row.ended.map(|ended| ended.revocation),
        collected_revision: row.collected,
        usage: None,
    }
}

fn newest(rows: &[TokenRow]) -> u32 {
    rows.iter().map(|row| row.version).max().unwrap_or_default()
}
