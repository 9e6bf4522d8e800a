//! What the path and the query of a request ask for.

use std::{fmt::Display, str::FromStr};

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use jeton_api::{
    page::{LIMIT_DEFAULT, LIMIT_MAX, Page},
    problem::Code,
};
use serde::de::DeserializeOwned;

use super::{failure::Failure, payload::no_token};

/// The one thing that the path names. What has not the form of its kind cannot exist, so it is not found.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for Named<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Failure::new(Code::NotFound, "the path is not UTF-8"))?;
        text.parse().map(Self).map_err(|form: T::Err| Failure::new(Code::NotFound, format!("no such thing: {form}")))
    }
}

/// The query, strictly: unknown and doubled parameters are refused.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // Whoever stands in between logs it: a token in a query is refused, so that nobody gets used to it.
        no_token(parts.uri.query().unwrap_or_default().as_bytes())?;
        Query::try_from_uri(&parts.uri).map(|Query(query)| Self(query)).map_err(|rejection| {
            let error =
                std::error::Error::source(&rejection).map_or_else(|| rejection.to_string(), ToString::to_string);
            Failure::new(Code::InvalidRequest, format!("the query does not fit this route: {error}"))
        })
    }
}

/// A part of a list: what comes after `after`, at most `limit`.
#[derive(Debug)]
pub(crate) struct Part<K> {
    pub(crate) after: Option<K>,
    pub(crate) limit: usize,
}

impl<K: FromStr> Part<K> {
    /// From the two words of a query.
    pub(crate) fn parse(after: Option<&str>, limit: Option<usize>) -> Result<Self, Failure> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Failure::new(Code::InvalidRequest, format!("`limit` is a number from 1 to {LIMIT_MAX}")));
        }
        let after = after.map(str::parse).transpose().map_err(|_| {
            Failure::new(Code::InvalidRequest, "`after` is the `next` of the page before, word for word")
        })?;
        Ok(Self { after, limit })
    }
}

/// The page of `rows`, of which one more than `limit` was looked for; `key` is what the next page comes after.
pub(crate) fn page<R, V>(
    mut rows: Vec<R>,
    limit: usize,
    key: impl Fn(&R) -> String,
    view: impl FnMut(R) -> V,
) -> Page<V> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(key);
    Page { items: rows.into_iter().map(view).collect(), next }
}
