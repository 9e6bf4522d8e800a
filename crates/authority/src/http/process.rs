//! The process itself: alive, ready, measured.

use std::sync::LazyLock;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode};
use jeton_api::problem::Code;
use jeton_lifecycle::Action;

use super::{answer, failure::Failure};
use crate::{
    access::Access,
    core::{Core, Phase},
};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Says that the process runs, and no more.
pub(crate) async fn livez() -> Response {
    answer::document(StatusCode::OK, TEXT, "ok\n")
}

/// Says whether to send something here: not while draining, nor once a rollback is
/// known.
pub(crate) async fn readyz(State(core): State<Core>) -> Response {
    if *core.phase.borrow() > Phase::Serving {
        return Failure::new(Code::Unavailable, "this authority is shutting down").into_response();
    }
    if let Some(found) = core.fence.found() {
        return Failure::rollback(found).into_response();
    }
    answer::document(StatusCode::OK, TEXT, "ready\n")
}

/// The metrics in the Prometheus text format.
pub(crate) async fn metrics(State(core): State<Core>, access: Access) -> Result<Response, Failure> {
    access.permit(Action::MetricsRead, None)?;
    core.hub.measure();
    let (content_type, text) = jeton_host::metric::encode(&core.metrics.registry);
    Ok(answer::document(StatusCode::OK, HeaderValue::from_static(content_type), text))
}

/// What `docs/reference/openapi.json` holds, in one line; a test makes it anew from the shapes and compares.
static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    const KEPT: &str = include_str!("../../../../docs/reference/openapi.json");
    serde_json::from_str(KEPT).map_or_else(|_| KEPT.to_owned(), |document: serde_json::Value| document.to_string())
});

/// The description of this API. Open to everybody.
pub(crate) async fn openapi() -> Response {
    answer::document(StatusCode::OK, HeaderValue::from_static("application/json"), OPENAPI.as_str())
}
