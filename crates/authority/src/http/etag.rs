//! Entity tags: a thing's tag is the revision that last changed it.

use axum::{extract::FromRequestParts, response::Response};
use http::{HeaderValue, header, request::Parts};
use jeton_api::problem::Code;
use jeton_types::Revision;

use super::failure::Failure;

/// The revisions at which a change may be made, from `If-Match`; nothing if any will do.
pub(crate) struct IfMatch(pub(crate) Option<Vec<Revision>>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut wanted = None;
        for value in parts.headers.get_all(header::IF_MATCH) {
            let text = value.to_str().map_err(|_| form())?;
            if text.trim() == "*" {
                continue;
            }
            let wanted: &mut Vec<Revision> = wanted.get_or_insert_default();
            for tag in text.split(',').map(str::trim) {
                wanted.extend(revision(tag)?);
            }
        }
        Ok(Self(wanted))
    }
}

/// The revision of a tag; none for a weak one or one that we never made, which match nothing.
fn revision(tag: &str) -> Result<Option<Revision>, Failure> {
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(form)?;
    Ok(inner.parse().ok().and_then(Revision::new).filter(|_| strong.len() == tag.len()))
}

fn form() -> Failure {
    Failure::new(Code::InvalidRequest, "`If-Match` is the `ETag` of the answer before, word for word, or `*`")
}

/// The same answer with a tag.
pub(crate) fn tagged(mut response: Response, revision: Revision) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(values: &[&str], expect: Option<Option<&[u64]>>) {
        let mut request = http::Request::builder();
        for value in values {
            request = request.header(header::IF_MATCH, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let found = IfMatch::from_request_parts(&mut parts, &()).await.ok();
        let found = found.map(|IfMatch(wanted)| wanted.map(|all| all.into_iter().map(Revision::get).collect()));
        assert_eq!(found, expect.map(|wanted| wanted.map(<[u64]>::to_vec)), "{values:?}");
    }

    #[tokio::test]
    async fn forms() {
        check(&[], Some(None)).await;
        check(&["*"], Some(None)).await;
        check(&["\"7\""], Some(Some(&[7]))).await;
        check(&["\"7\", \"8\"", "\"9\""], Some(Some(&[7, 8, 9]))).await;
        check(&["W/\"7\""], Some(Some(&[]))).await;
        check(&["\"x\""], Some(Some(&[]))).await;
        check(&["7"], None).await;
        check(&["\""], None).await;
        check(&[""], None).await;
    }
}
