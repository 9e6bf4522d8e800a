//! Verifiers: the sessions that could accept a token, and how they stand.

use axum::{extract::State, response::Response};
use jeton_api::{
    page::PageQuery,
    verifier::{SessionState, VerifierView},
};
use jeton_feed::authority::{self, SessionView};
use jeton_lifecycle::Action;
use jeton_types::SessionId;

use super::{
    answer,
    asked::{Asked, Part, page},
    failure::Failure,
};
use crate::{access::Access, core::Core};

/// The sessions that serve a namespace that the caller may read, in the order of their ids. Of the others that such a
/// session serves he learns nothing.
pub(crate) async fn list(
    State(core): State<Core>,
    access: Access,
    Asked(query): Asked<PageQuery>,
) -> Result<Response, Failure> {
    access.permit_somewhere(Action::VerifierRead)?;
    let part: Part<SessionId> = Part::parse(query.after.as_deref(), query.limit)?;
    let mut sessions = core.hub.sessions();
    for session in &mut sessions {
        session.facts.namespaces.retain(|namespace| access.may(Action::VerifierRead, namespace));
    }
    sessions.retain(|session| {
        !session.facts.namespaces.is_empty() && part.after.is_none_or(|after| session.facts.session > after)
    });
    sessions.sort_unstable_by_key(|session| session.facts.session);
    Ok(answer::ok(&page(sessions, part.limit, |session| session.facts.session.to_string(), view)))
}

fn view(session: SessionView) -> VerifierView {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    VerifierView {
        id: session.facts.verifier,
        session: session.facts.session,
        credential_id: session.facts.credential,
        namespaces: session.facts.namespaces,
        state: match session.state {
            authority::SessionState::Live => SessionState::Live,
            authority::SessionState::Lapsed => SessionState::Lapsed,
            authority::SessionState::Connecting => SessionState::Connecting,
            authority::SessionState::Silent => SessionState::Silent,
        },
        connected: session.connected,
        epoch: session.epoch,
        opened: session.facts.opened,
        acked: session.acked,
        lag_ms: millis(session.lag),
        lease_remaining_ms: millis(session.lease_remaining),
        silent_since: session.silent_since.map(Into::into),
    }
}
