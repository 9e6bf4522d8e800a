//! `POST /v1/verify`, for one's own services: the verdict with its reason and evidence.

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{
        HeaderMap, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use jeton_api::{
    problem::Code as ProblemCode,
    time::Timestamp,
    verify::{MaxAgeMs, VerdictView, VerifyRequest},
};
use jeton_client::feed::{Answer, Origin};
use jeton_host::serve::{Peer, read_body};
use jeton_verifier::{Required, Verdict};

use super::{Edge, problem};

pub(super) async fn verify(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !is_json(&headers) {
        return problem::answer(ProblemCode::UnsupportedMediaType, "send the body as application/json");
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(error) => {
            let broken = || problem::answer(ProblemCode::InvalidRequest, "the body did not arrive whole");
            return error.reason().map_or_else(broken, problem::refuse);
        }
    };
    // An array of the fields in their order would be taken for the object too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return problem::answer(ProblemCode::InvalidRequest, "the body: send a JSON object");
    }
    let request: VerifyRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return problem::answer(ProblemCode::InvalidRequest, format!("the body: {error}")),
    };
    let required = Required {
        scopes: request.scopes,
        at_least: request.at_least_revision,
        max_age: request.max_age_ms.map(MaxAgeMs::duration),
    };
    // Whoever is connected is a service that asks for its own client, of whom it tells or does not.
    let origin = Origin { client: request.client_address, peer: peer.map(|Extension(Peer(address))| address.ip()) };
    match edge.0.verifier.verify_from(request.token.0.expose().as_bytes(), &required, origin).await {
        Answer::Verdict(verdict) => {
            let mut response = Json(view(&verdict)).into_response();
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Answer::Stale(why) => {
            problem::answer(ProblemCode::Stale, format!("{why}; try again, here or at another verifier"))
        }
    }
}

/// Whether the body claims to be JSON, once.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let kind = value.to_str().ok().and_then(|text| text.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn view(verdict: &Verdict) -> VerdictView {
    VerdictView {
        valid: verdict.valid(),
        code: verdict.code(),
        namespace: verdict.namespace().cloned(),
        token_id: verdict.token(),
        credential_id: verdict.credential(),
        subject: verdict.subject().cloned(),
        scopes: verdict.scopes().cloned().unwrap_or_default(),
        expires_at: verdict.expires_at().map(Timestamp),
        revision: verdict.revision(),
        as_of: Timestamp(verdict.as_of()),
        not_after: verdict.not_after().map(Timestamp),
        source: verdict.source(),
    }
}
