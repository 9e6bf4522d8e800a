//! `/auth`: the sub-request of nginx `auth_request`, Caddy `forward_auth`, Traefik and HAProxy.
//!
//! Proxies differ in what they pass: any method, any path below, the client's own query. None of it decides anything here; only
//! the token does, and what the proxy itself demands. Seen with real proxies: two `Authorization` headers arrive as
//! two or joined by a comma; `X_Jeton_Subject` reaches an upstream that folds underscores; `Connection: X-Jeton-Subject`
//! makes a proxy strip the header that it was told to trust. All of these are refused.

use std::fmt::{Display, Write as _};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::Response,
};
use bytes::Bytes;
use jeton_client::feed::{Answer, Origin};
use jeton_host::serve::{Peer, RequestBody};
use jeton_types::ScopeSet;
use jeton_verifier::{Code, Required, Verdict};

use super::Edge;

/// What a proxy sets to demand scopes, joined by spaces. A client that sets it can only demand more of itself.
const REQUIRE_SCOPES: HeaderName = HeaderName::from_static("x-jeton-require-scopes");

const TOKEN_ID: HeaderName = HeaderName::from_static("x-jeton-token-id");
const CREDENTIAL_ID: HeaderName = HeaderName::from_static("x-jeton-credential-id");
const NAMESPACE: HeaderName = HeaderName::from_static("x-jeton-namespace");
const SUBJECT: HeaderName = HeaderName::from_static("x-jeton-subject");
const SCOPES: HeaderName = HeaderName::from_static("x-jeton-scopes");

const OWN: &str = "x-jeton-";

/// Answers, unless that needs the authority's word on a token that may be newer than the replica.
pub(super) fn answer_now(edge: &Edge, request: &Request<RequestBody>) -> Option<Response> {
    let Ok((token, required)) = presented(request.headers()) else { return Some(unauthorized()) };
    let Origin { client, .. } = origin(edge, request);
    edge.0.verifier.verify_now(token, &required, client).map(|answer| told(&answer))
}

/// Answers, after the authority's word if it needs that.
pub(super) async fn answer(edge: &Edge, request: &Request<RequestBody>) -> Response {
    let Ok((token, required)) = presented(request.headers()) else { return unauthorized() };
    told(&edge.0.verifier.verify_from(token, &required, origin(edge, request)).await)
}

fn origin(edge: &Edge, request: &Request<RequestBody>) -> Origin {
    let peer = request.body().peer();
    Origin { client: edge.0.client_address.of(request.headers(), peer), peer: peer.map(|Peer(address)| address.ip()) }
}

fn told(answer: &Answer) -> Response {
    match answer {
        Answer::Verdict(verdict) => respond(verdict),
        Answer::Stale(_) => unavailable(),
    }
}

/// The request does not present exactly one token in exactly one way.
struct Unpresentable;

/// The token, and what is demanded of it.
fn presented(headers: &HeaderMap) -> Result<(&[u8], Required), Unpresentable> {
    for name in headers.keys() {
        // `http` keeps names in lower case.
        let name = name.as_str();
        if name.contains('_') && name.replace('_', "-").starts_with(OWN) {
            return Err(Unpresentable);
        }
    }
    for hop in headers.get_all(CONNECTION) {
        let names = hop.to_str().map_err(|_| Unpresentable)?.split(',');
        if names.map(|name| name.trim().to_ascii_lowercase()).any(|name| name.replace('_', "-").starts_with(OWN)) {
            return Err(Unpresentable);
        }
    }
    let value = only(headers, &AUTHORIZATION)?.ok_or(Unpresentable)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7).ok_or(Unpresentable)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.contains(&b',') {
        return Err(Unpresentable);
    }
    let scopes = match only(headers, &REQUIRE_SCOPES)? {
        Some(value) => {
            let text = value.to_str().map_err(|_| Unpresentable)?;
            ScopeSet::parse(text.split(' ').filter(|scope| !scope.is_empty())).map_err(|_| Unpresentable)?
        }
        None => ScopeSet::default(),
    };
    Ok((token.trim_ascii(), Required { scopes, ..Required::default() }))
}

/// The only value of a header; two are refused.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Unpresentable> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Unpresentable) } else { Ok(first) }
}

fn respond(verdict: &Verdict) -> Response {
    match verdict.code() {
        Code::Valid => identity(verdict),
        Code::InsufficientScope => {
            let mut response = empty(StatusCode::FORBIDDEN);
            let challenge = HeaderValue::from_static(r#"Bearer realm="jeton", error="insufficient_scope""#);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }
        Code::AddressDenied => empty(StatusCode::FORBIDDEN),
        Code::RateLimited => {
            let mut response = empty(StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Code::Stale => unavailable(),
        Code::Malformed | Code::Unknown | Code::Revoked | Code::Expired | Code::NotYetValid | Code::Disabled => {
            unauthorized()
        }
    }
}

/// 200 with every identity header, empty when absent, so that a client's own copy never survives a proxy that overwrites.
fn identity(verdict: &Verdict) -> Response {
    // One piece of text for all of them, of which each has its part.
    let mut text = String::with_capacity(IDENTITY_BYTES);
    let mut part = |value: Option<&dyn Display>| {
        let begin = text.len();
        // Writing to a string does not fail.
        let _ = value.map(|value| write!(text, "{value}"));
        begin..text.len()
    };
    let (token, credential) = (verdict.token(), verdict.credential());
    let parts = [
        (TOKEN_ID, part(token.as_ref().map(|id| id as _))),
        (CREDENTIAL_ID, part(credential.as_ref().map(|id| id as _))),
        (NAMESPACE, part(verdict.namespace().map(|name| name as _))),
        (SUBJECT, part(verdict.subject().map(|subject| subject as _))),
        (SCOPES, part(verdict.scopes().map(|scopes| scopes as _))),
    ];
    let text = Bytes::from(text);
    let mut response = Response::new(Body::empty());
    // Room for these and the two that are added: the table does not grow under way.
    response.headers_mut().reserve(parts.len() + 2);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    for (name, part) in parts {
        let value = HeaderValue::from_maybe_shared(text.slice(part));
        response.headers_mut().insert(name, value.unwrap_or(HeaderValue::from_static("")));
    }
    response
}

/// Room for two ids, a namespace, a subject and some scopes.
const IDENTITY_BYTES: usize = 256;

/// The same bytes for every reason, so that nobody learns from the answer whether a token ever was.
fn unauthorized() -> Response {
    let mut response = empty(StatusCode::UNAUTHORIZED);
    let challenge = HeaderValue::from_static(r#"Bearer realm="jeton", error="invalid_token""#);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

fn unavailable() -> Response {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) {
            (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(parse) {
            headers.append(name, value);
        }
        headers
    }

    fn check(lines: &[(&str, &str)], expect: Option<(&str, &str)>) {
        let headers = headers(lines);
        let found = presented(&headers).ok();
        let found = found.map(|(token, required)| (token.to_vec(), required.scopes.to_string()));
        assert_eq!(found, expect.map(|(token, scopes)| (token.as_bytes().to_vec(), scopes.to_owned())), "{lines:?}");
    }

    #[test]
    fn one_token_in_one_way() {
        check(&[("authorization", "Bearer t")], Some(("t", "")));
        check(&[("authorization", "bearer  t ")], Some(("t", "")));
        check(&[], None);
        check(&[("authorization", "Bearer")], None);
        check(&[("authorization", "Basic dDp0")], None);
        check(&[("authorization", "Bearer t"), ("authorization", "Bearer u")], None);
        check(&[("authorization", "Bearer t, Bearer u")], None);
    }

    #[test]
    fn demanded_scopes() {
        check(&[("authorization", "Bearer t"), ("x-jeton-require-scopes", "b  a")], Some(("t", "a b")));
        check(&[("authorization", "Bearer t"), ("x-jeton-require-scopes", "a"), ("x-jeton-require-scopes", "b")], None);
        check(&[("authorization", "Bearer t"), ("x-jeton-require-scopes", "a\"")], None);
    }

    #[test]
    fn what_makes_a_proxy_trust_the_client() {
        check(&[("authorization", "Bearer t"), ("x_jeton_subject", "root")], None);
        check(&[("authorization", "Bearer t"), ("x-jeton_subject", "root")], None);
        check(&[("authorization", "Bearer t"), ("connection", "close, X-Jeton-Subject")], None);
        // A plain copy is overwritten by the proxy, which sets all five.
        check(&[("authorization", "Bearer t"), ("x-jeton-subject", "root")], Some(("t", "")));
        check(&[("authorization", "Bearer t"), ("connection", "close")], Some(("t", "")));
    }
}
