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

/// Logs what the router answers, if anybody reads it: this is on the way of every request to what is behind the proxy.
pub(super) fn logged(router: Router) -> Router {
    if tracing::enabled!(target: TARGET, Level::INFO) { router.layer(from_fn(observe)) } else { router }
}

async fn observe(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let (began, method) = (Instant::now(), word(request.method()));
    let response = next.run(request).await;
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    tracing::info!(target: TARGET, method, route, status = response.status().as_u16(), took_us, "request");
    response
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
