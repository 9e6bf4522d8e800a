//! Request bodies: JSON, read once and strictly. How long and how large a body may be is the listener's business.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
};
use http::{HeaderMap, header};
use jeton_api::problem::Code;
use jeton_host::serve::{BodyError, read_body};
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::access::Access;

/// A body that has not been read yet: a handler reads it once it knows that the caller may do what it asks.
pub(crate) struct Payload {
    headers: HeaderMap,
    body: Body,
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body })
    }
}

impl Payload {
    /// The body as a `T`. Unknown fields, wrong types and anything after the document are refused. While the body is on
    /// its way `access` pauses.
    pub(crate) async fn json<T: DeserializeOwned>(self, access: &mut Access) -> Result<T, Failure> {
        let bytes = self.begun(access).await?;
        no_token(&bytes)?;
        document(&bytes)
    }

    /// The same, of a request in which a token belongs. What else may hold one is the handler's business: [`no_token`].
    pub(crate) async fn json_with_token<T: DeserializeOwned>(self, access: &mut Access) -> Result<T, Failure> {
        document(&self.begun(access).await?)
    }

    async fn begun(self, access: &mut Access) -> Result<Bytes, Failure> {
        access.pause();
        let bytes = self.bytes().await?;
        access.body(&bytes);
        Ok(bytes)
    }

    /// The body as a `T`, of a request that needs no token.
    pub(crate) async fn json_open<T: DeserializeOwned>(self) -> Result<T, Failure> {
        document(&self.bytes().await?)
    }

    async fn bytes(self) -> Result<Bytes, Failure> {
        if !is_json(&self.headers) {
            return Err(Failure::new(Code::UnsupportedMediaType, "send JSON, with `content-type: application/json`"));
        }
        let bytes = read_body(self.body).await.map_err(unreadable)?;
        if bytes.is_empty() {
            return Err(Failure::new(Code::InvalidRequest, "the body is empty; send a JSON object"));
        }
        Ok(bytes)
    }
}

/// Refuses a token where none belongs: in a name, a subject, a label or a reason it would be stored, shown and exported.
pub(crate) fn no_token(text: &[u8]) -> Result<(), Failure> {
    if jeton_types::token::stands_in(text) {
        return Err(Failure::new(
            Code::InvalidRequest,
            "a token stands where none belongs; nothing was done: leave it out, and replace it if others may have seen it",
        ));
    }
    Ok(())
}

fn document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // An array of the fields in their order would be taken for the object too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::new(Code::InvalidRequest, "the body does not fit this route: send a JSON object"));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(Code::InvalidRequest, format!("the body does not fit this route: {error}")))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn unreadable(error: BodyError) -> Failure {
    match error.reason() {
        Some(reason) => reason.into(),
        None => Failure::new(Code::InvalidRequest, "the body did not arrive whole"),
    }
}
