//! One line in the log and one count for each request. Both say the route's template and never what was sent: a path,
//! a query or a header may hold a secret.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Method};
use jeton_api::problem::Code;
use tokio::time::Instant;

use crate::core::Core;

/// Where the lines of the requests go, for a filter of the log.
pub(crate) const TARGET: &str = "jeton::access";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What stands for a route that is not there.
const NO_ROUTE: &str = "none";

pub(crate) async fn observe(
    State(core): State<Core>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (began, id, method) = (Instant::now(), request_id(), word(request.method()));
    let mut response = next.run(request).await;
    let took = began.elapsed();
    let (route, status) = (matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str), response.status().as_u16());
    core.metrics.request_observe(method, route, status, took);
    let code = response.extensions().get::<Code>().map_or("ok", |code| code.as_str());
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(target: TARGET, method, route, status, code, took_us, request_id = id, "request");
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Different for each request and, but for an accident, for each process: for finding the line that belongs to an
/// answer. No secret and no order.
fn request_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The method, of which a client may send any.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
