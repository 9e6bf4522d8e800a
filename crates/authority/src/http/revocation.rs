//! Revocations and their receipts.

use std::time::Duration;

use axum::{Extension, extract::State, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jeton_api::{
    page::Page,
    problem::Code,
    revocation::{ReceiptView, RevocationView, RevokePreviewView, RevokeRequest, SelectorRequest, Wait, listed},
};
use jeton_host::serve::Permit;
use jeton_lifecycle::Action;
use jeton_store::{
    Store,
    model::{RevocationRow, RevokeNew, SecretKey, Selector},
};
use jeton_types::{NamespaceName, RevocationId, Secret, TokenId, token::parse};
use serde::Deserialize;

use super::{
    answer,
    asked::{Asked, Named, Part},
    failure::Failure,
    payload::{Payload, no_token},
};
use crate::{access::Access, core::Core, receipt};

const JOSE: &str = "application/jose";
/// Revocations that are read at once.
const LOOK_MAX: usize = 500;
/// Revocations that one request looks at, most of which may be of namespaces that the caller may not read; then the
/// page ends early.
const LOOKED_AT_MAX: usize = 10_000;

/// Which revocations are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationQuery {
    namespace: Option<NamespaceName>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Ends tokens, for good. With `wait: complete` the answer waits for the receipt; where that takes too long the answer
/// is the same but for a pending receipt, since what was asked for has been done.
pub(crate) async fn create(
    State(core): State<Core>,
    mut access: Access,
    Named(namespace): Named<NamespaceName>,
    permit: Option<Extension<Permit>>,
    payload: Payload,
) -> Result<Response, Failure> {
    access.permit_change(Action::Revoke, &namespace)?;
    let mut request: RevokeRequest = payload.json_with_token(&mut access).await?;
    // A token belongs into its place, and nowhere beside it.
    let secret = request.selector.secret.take();
    no_token(&serde_json::to_vec(&request).unwrap_or_default())?;
    request.selector.secret = secret;
    let timeout = request.timeout();
    let dry_run = request.dry_run;
    let new = RevokeNew {
        selector: selector(request.selector)?,
        namespace: Some(namespace),
        reason: request.reason.map(|reason| reason.as_str().to_owned()),
    };
    if dry_run {
        // A read like any other: a verification under way until its answer is made.
        let access = access.again(&core).await?;
        let found = core.store.revocation_preview(access.caller(), new).await?;
        let tokens_omitted = found.count.saturating_sub(found.tokens.len() as u64);
        let view = RevokePreviewView { dry_run, count: found.count, tokens: found.tokens, tokens_omitted };
        return Ok(answer::ok(&view));
    }
    let once = access.into_once(&core)?;
    let revoked = once.settle(once.store.revocation_create(once.caller, new).await).await?;
    if request.wait == Wait::Complete {
        wait(&core, revoked.revocation.id, permit, timeout).await;
    }
    let location = format!("/v1/revocations/{}", revoked.revocation.id);
    let view = view(&core, revoked.revocation).await?;
    Ok(if revoked.fresh { answer::created(&location, &view) } else { answer::ok(&view) })
}

/// Those of the namespaces that the caller may read, oldest first.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Asked(query): Asked<RevocationQuery>,
) -> Result<Response, Failure> {
    match &query.namespace {
        Some(namespace) => access.permit(Action::RevocationRead, Some(namespace))?,
        None => access.permit_somewhere(Action::RevocationRead)?,
    }
    let part: Part<RevocationId> = Part::parse(query.after.as_deref(), query.limit)?;
    let wanted = |row: &RevocationRow| match &query.namespace {
        Some(namespace) => row.namespace == *namespace,
        None => access.may(Action::RevocationRead, &row.namespace),
    };
    let mut after = part.after;
    let mut items = Vec::new();
    let mut looked_at = 0;
    let next = loop {
        let rows = core.store.revocations(after, LOOK_MAX).await?;
        let last_of_all = rows.len() < LOOK_MAX;
        looked_at += rows.len();
        let mut wanted = rows.iter().filter(|row| wanted(row));
        let room = part.limit - items.len();
        let taken: Vec<RevocationRow> = wanted.by_ref().take(room).cloned().collect();
        let more = wanted.next().is_some();
        after = if more { taken.last().map(|row| row.id).or(after) } else { rows.last().map(|row| row.id).or(after) };
        for row in taken {
            items.push(view(&core, row).await?);
        }
        if more || (!last_of_all && looked_at >= LOOKED_AT_MAX) {
            break after.map(|id| id.to_string());
        }
        if last_of_all {
            break None;
        }
    };
    Ok(answer::ok(&Page { items, next }))
}

pub(crate) async fn show(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<RevocationId>,
) -> Result<Response, Failure> {
    let row = find(&core, &access, id).await?;
    Ok(answer::ok(&view(&core, row).await?))
}

/// The receipt: as JSON, or signed, as a JWS, to whoever accepts `application/jose`.
pub(crate) async fn receipt(
    State(core): State<Core>,
    access: Access,
    Named(id): Named<RevocationId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let row = find(&core, &access, id).await?;
    if !accepts_jose(&headers) {
        return Ok(answer::ok(&receipt_view(&core, &row).await?));
    }
    match row.receipt {
        Some(stored) => Ok(answer::document(StatusCode::OK, HeaderValue::from_static(JOSE), stored.jws)),
        None => Err(Failure::new(
            Code::ReceiptPending,
            "only a complete receipt is signed; ask for it as JSON to see who is waited for, and until when",
        )),
    }
}

async fn find(core: &Core, access: &Access, id: RevocationId) -> Result<RevocationRow, Failure> {
    let absent = || Failure::absent("revocation");
    let row = core.store.revocation(id).await?.ok_or_else(absent)?;
    access.permit_id(Action::RevocationRead, &row.namespace, absent)?;
    Ok(row)
}

fn selector(request: SelectorRequest) -> Result<Selector, Failure> {
    if request.is_empty() {
        return Err(Failure::new(
            Code::InvalidRequest,
            "the selector is empty: name at least one of credential, token_id, secret, subject, labels, issued_before",
        ));
    }
    Ok(Selector {
        credential: request.credential,
        token: request.token_id,
        secret: request.secret.map(|text| secret_key(&text.0)).transpose()?,
        subject: request.subject,
        labels: request.labels,
        issued_before: request.issued_before.map(Into::into),
    })
}

/// What may be known of a token's text.
pub(crate) fn secret_key(text: &Secret<String>) -> Result<SecretKey, Failure> {
    let malformed = || Failure::new(Code::InvalidRequest, "the secret is not a token: its form or checksum is wrong");
    let parsed = parse(text.expose().as_bytes()).map_err(|_| malformed())?;
    let prefix = parsed.prefix.parse().map_err(|_| malformed())?;
    Ok(SecretKey { digest: parsed.digest, prefix })
}

/// What ended authority, with its receipt as it stands once it was waited for.
pub(crate) async fn ended(
    core: &Core,
    row: Option<RevocationRow>,
    permit: Option<Extension<Permit>>,
    how: Wait,
    timeout: Duration,
) -> Result<Option<RevocationView>, Failure> {
    let Some(row) = row else { return Ok(None) };
    if how == Wait::Complete {
        wait(core, row.id, permit, timeout).await;
    }
    view(core, row).await.map(Some)
}

/// Waits until the receipt is complete and stored, the time is over, or the process stops.
async fn wait(core: &Core, id: RevocationId, permit: Option<Extension<Permit>>, timeout: Duration) {
    if let Some(Extension(permit)) = permit {
        // Who waits must not keep out who works.
        permit.release();
    }
    tokio::select! {
        biased;
        _ = core.hub.wait_complete(id, timeout) => {}
        () = core.stopping() => {}
    }
}

fn accepts_jose(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JOSE)))
}

async fn view(core: &Core, row: RevocationRow) -> Result<RevocationView, Failure> {
    let (tokens, tokens_omitted) = ended_by(core, &row).await?;
    Ok(RevocationView {
        id: row.id,
        revision: row.revision,
        count: row.count,
        tokens,
        tokens_omitted,
        committed_at: row.committed_at.into(),
        receipt: receipt_view(core, &row).await?,
        namespace: row.namespace,
        effect: row.effect,
        reason: row.reason,
    })
}

/// The tokens that a revocation touched, and how many more there are: as its record has them, and once that was cut off the
/// log, as its receipt does, which is complete by then.
async fn ended_by(core: &Core, row: &RevocationRow) -> Result<(Vec<TokenId>, u64), Failure> {
    if let Some(record) = core.store.record(row.revision).await? {
        return Ok(listed(&receipt::touched(row.effect, &record.changes)));
    }
    // Read anew: it may have become complete since, or its record would be there.
    let stored = core.store.revocation(row.id).await?.and_then(|row| row.receipt);
    let stored = stored.ok_or_else(|| Failure::internal(&"the record of a pending receipt was cut"))?;
    let signed = receipt::signed(&stored.jws).map_err(|error| Failure::internal(&error))?;
    Ok((signed.tokens, signed.tokens_omitted))
}

/// The receipt as it stands. It is complete from the moment it is stored, not before: nothing is told that a crash
/// could take back.
async fn receipt_view(core: &Core, row: &RevocationRow) -> Result<ReceiptView, Failure> {
    if let Some(stored) = &row.receipt {
        return receipt::complete_view(stored).map_err(|error| Failure::internal(&error));
    }
    // The hub is asked before the store: what it does not know any more was stored before, and what was stored just now it may
    // still know, while whoever waited for that has been told.
    let facts = core.hub.receipt(row.id);
    let stored = core.store.revocation(row.id).await?.and_then(|row| row.receipt);
    if let (None, Some(facts)) = (&stored, facts) {
        return Ok(receipt::pending_view(&facts));
    }
    let stored =
        stored.ok_or_else(|| Failure::internal(&"a revocation has no receipt, neither complete nor pending"))?;
    receipt::complete_view(&stored).map_err(|error| Failure::internal(&error))
}
