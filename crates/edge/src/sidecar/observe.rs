//! One line in the log for each request: the route's template and never what was sent.

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::Method,
    middleware::{Next, from_fn},
    response::Response,
};
use tokio::time::Instant;
use tracing::Level;

/// Where the lines of the requests go, for a filter of the log.
const TARGET: &str = "jeton::access";

/// Whether anybody reads the lines: they are on the way of every request to what is behind the proxy.
pub(super) fn wanted() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// Logs what the router answers, if anybody reads it.
pub(super) fn logged(router: Router) -> Router {
    if wanted() { router.layer(from_fn(observe)) } else { router }
}

async fn observe(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let asked = Asked::now(request.method());
    let response = next.run(request).await;
    asked.answered(matched.as_ref().map_or("none", MatchedPath::as_str), &response);
    response
}

/// A request whose line is written once it is answered.
pub(super) struct Asked {
    began: Instant,
    method: &'static str,
}

impl Asked {
    pub(super) fn now(method: &Method) -> Self {
        Self { began: Instant::now(), method: word(method) }
    }

    pub(super) fn answered<B>(self, route: &str, response: &axum::http::Response<B>) {
        let Self { began, method } = self;
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::info!(target: TARGET, method, route, status = response.status().as_u16(), took_us, "request");
    }
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
