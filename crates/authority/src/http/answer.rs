//! Answers that say yes: one-line JSON, and what must not be kept by a cache.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// The content type of everything but problems and keys.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// For secrets and verdicts, and for everything else that a token had to be shown for.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// 200 with a JSON document.
pub(crate) fn ok<T: Serialize>(view: &T) -> Response {
    json(StatusCode::OK, view)
}

/// 201 with a JSON document and where to find the thing.
pub(crate) fn created<T: Serialize>(location: &str, view: &T) -> Response {
    let mut response = json(StatusCode::CREATED, view);
    // Made of ids and names, which are visible ASCII.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// 202 with a JSON document.
pub(crate) fn accepted<T: Serialize>(view: &T) -> Response {
    json(StatusCode::ACCEPTED, view)
}

fn json<T: Serialize>(status: StatusCode, view: &T) -> Response {
    match serde_json::to_vec(view) {
        Ok(body) => document(status, JSON, body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as json");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer of any content type that no cache may keep.
pub(crate) fn document(status: StatusCode, content_type: HeaderValue, body: impl Into<axum::body::Body>) -> Response {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, NO_STORE)]);
    (status, headers, body.into()).into_response()
}
