//! Refusals as problem details, also those of the serve loop.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
    response::Response,
};
use jeton_api::problem::{CONTENT_TYPE as PROBLEM, Code, Problem};
use jeton_host::serve::Reason;

/// A problem with this code, which says what to do.
pub(super) fn answer(code: Code, detail: impl Into<String>) -> Response {
    // It may repeat what was sent.
    let problem = Problem::new(code, jeton_types::token::redact(&detail.into()));
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if problem.status == 503 || problem.status == 429 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What the serve loop answers when it refuses.
pub(super) fn refuse(reason: Reason) -> Response {
    let code = match reason {
        Reason::UriTooLong => Code::UriTooLong,
        Reason::HeadersTooLarge => Code::HeadersTooLarge,
        Reason::BodyTooLarge => Code::TooLarge,
        Reason::BodyTooSlow => Code::RequestTimeout,
        Reason::TooManyConnections | Reason::Overloaded => Code::Unavailable,
    };
    answer(code, reason.as_str())
}
