//! The audit trail.

use axum::{extract::State, response::Response};
use jeton_api::{
    audit::{AuditHeadView, AuditQuery},
    page::Page,
};
use jeton_lifecycle::{Action, audit::Link};
use jeton_store::Store;

use super::{
    answer,
    asked::{Asked, Part},
    failure::Failure,
};
use crate::{access::Access, audit::view, core::Core};

/// Entries that are read at once.
const LOOK_MAX: usize = 1_000;
/// Entries that one request looks at, most of which may be of namespaces that the caller may not read; then the page
/// ends early.
const LOOKED_AT_MAX: usize = 20_000;

/// Those of the namespaces whose trail the caller may read, oldest first.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Asked(query): Asked<AuditQuery>,
) -> Result<Response, Failure> {
    match &query.namespace {
        Some(namespace) => access.permit(Action::AuditRead, Some(namespace))?,
        None => access.permit_somewhere(Action::AuditRead)?,
    }
    let part: Part<u64> = Part::parse(query.after.as_deref(), query.limit)?;
    // Where nothing has to be left out, no more is read than is shown.
    let all = query.namespace.is_some() || access.permit(Action::AuditRead, None).is_ok();
    let look = if all { part.limit + 1 } else { LOOK_MAX };
    let mut after = part.after.unwrap_or(0);
    let mut items = Vec::new();
    let mut looked_at = 0;
    let next = loop {
        let links = core.store.audit_list(query.namespace.clone(), after, look).await?;
        let last_of_all = links.len() < look;
        looked_at += links.len();
        let may = |link: &Link| access.may(Action::AuditRead, &link.entry.namespace);
        let mut more = false;
        for link in links {
            let seq = link.entry.seq;
            if may(&link) {
                if items.len() == part.limit {
                    more = true;
                    break;
                }
                items.push(view(link));
            }
            after = seq;
        }
        if more || (!last_of_all && looked_at >= LOOKED_AT_MAX) {
            break Some(after.to_string());
        }
        if last_of_all {
            break None;
        }
    };
    Ok(answer::ok(&Page { items, next }))
}

/// The newest entry, for whoever may read all of them: with it, what was cut off at the end is found.
pub(crate) async fn head(State(core): State<Core>, access: Access) -> Result<Response, Failure> {
    access.permit(Action::AuditRead, None)?;
    let head = core.store.audit_head().await?;
    Ok(answer::ok(&AuditHeadView { seq: head.seq, hash: head.hash }))
}
