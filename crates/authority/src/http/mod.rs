//! The HTTP API: one module per resource. A handler finds out who calls, reads what is asked, lets the store decide
//! and shows the outcome; nothing is decided here.

mod answer;
mod asked;
mod audit;
mod burn;
mod credential;
mod etag;
mod event;
pub(crate) mod failure;
mod key;
mod namespace;
mod observe;
pub(crate) mod once;
mod payload;
mod process;
mod revocation;
mod token;
mod usage;
mod verifier;
mod verify;

use std::convert::Infallible;

use ::http::Method;
use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jeton_api::problem::Code;
use jeton_host::serve::{Admission, AdmissionConfig, Peer, Priority, Reason, RequestBody};
use tower::{Layer, Service, util::MapRequest};

use crate::core::Core;
use failure::Failure;

/// The whole API behind admission control.
pub(crate) fn service(
    core: Core,
) -> impl Service<
    Request<RequestBody>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    Admission::new(AdmissionConfig::default())
        .layer(priority, refuse)
        .layer(MapRequest::new(router(core), Peer::extend))
}

/// What the listener and the admission control answer in place of a handler.
pub(crate) fn refuse(reason: Reason) -> Response {
    let response = Failure::from(reason).into_response();
    tracing::info!(target: observe::TARGET, status = response.status().as_u16(), code = reason.as_str(), "request refused unread");
    response
}

/// Reads are shed before changes, above all before revocations.
fn priority(request: &Request<RequestBody>) -> Priority {
    match (request.method(), request.uri().path()) {
        (_, "/livez" | "/readyz" | "/metrics") => Priority::Always,
        (&Method::GET | &Method::HEAD, _) | (_, "/v1/verify" | "/v1/burn") => Priority::Low,
        _ => Priority::High,
    }
}

fn router(core: Core) -> Router {
    Router::new()
        .route("/v1/namespaces", get(namespace::list).post(namespace::create))
        .route("/v1/namespaces/{ns}", get(namespace::show).patch(namespace::update))
        .route("/v1/namespaces/{ns}/credentials", get(credential::list).post(credential::issue))
        .route("/v1/namespaces/{ns}/revocations", post(revocation::create))
        .route("/v1/credentials/{id}", get(credential::show).patch(credential::update).delete(credential::delete))
        .route("/v1/credentials/{id}/rotate", post(credential::rotate))
        .route("/v1/credentials/{id}/tokens", get(token::list))
        .route("/v1/tokens/{id}", get(token::show))
        .route("/v1/revocations", get(revocation::list))
        .route("/v1/revocations/{id}", get(revocation::show))
        .route("/v1/revocations/{id}/receipt", get(revocation::receipt))
        .route("/v1/burn", post(burn::burn))
        .route("/v1/verify", post(verify::verify))
        .route("/v1/verifiers", get(verifier::list))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/head", get(audit::head))
        .route("/v1/events", get(event::stream))
        .route("/metrics", get(process::metrics))
        .route("/livez", get(process::livez))
        .route("/readyz", get(process::readyz))
        .route("/openapi.json", get(process::openapi))
        .route("/.well-known/jwks.json", get(key::jwks))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(axum::middleware::from_fn_with_state(core.clone(), observe::observe))
        .with_state(core)
}

async fn unknown_route() -> Failure {
    Failure::new(Code::NotFound, "there is no such route; the API is under /v1")
}

async fn unknown_method(method: Method) -> Failure {
    Failure::new(Code::MethodNotAllowed, format!("this route does not take {method}; see the `allow` header"))
}
