//! Single calls of the HTTP API.
//!
//! One request, one answer, within a time and a size. A redirect is never followed, since it would carry the token to
//! wherever somebody else says; nothing is tried twice but what is done once under a key, since only the caller knows
//! whether that is safe.

mod events;

use std::time::Duration;

pub use events::{EventStream, ServerEvent};

use ::http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT},
    uri::{Authority, Scheme},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jeton_api::problem::Problem;
use jeton_types::Secret;
use serde::{Serialize, de::DeserializeOwned};

/// How long a connection may take to come about, unless told otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take as a whole, unless told otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: &str = "application/json";
const AGENT: &str = concat!("jeton/", env!("CARGO_PKG_VERSION"));

/// A client of one authority's (or sidecar's) HTTP API. Cheap to clone; connections are shared and kept.
#[derive(Clone)]
pub struct ApiClient {
    scheme: Scheme,
    authority: Authority,
    base_path: String,
    authorization: Option<HeaderValue>,
    call_timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why a client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The URL is not one that can be called.
    #[error("`{url}` is no URL of an authority: {why}; it looks like http://127.0.0.1:7400")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token has characters that no token has.
    #[error("the token holds characters that no token has; check that its file holds the token alone")]
    Token,
}

/// Why a call brought no answer of its kind.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other side refused, and says why.
    #[error("{0}")]
    Problem(Problem),
    /// No answer: not there, gone, or too slow.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that this client cannot use.
    #[error("{0}")]
    Bad(String),
}

impl ApiClient {
    /// A client of the API at `base_url`, which speaks with `token` if there is one.
    ///
    /// # Errors
    /// [`SetupError`] if the URL or the token cannot be used.
    pub fn new(base_url: &str, token: Option<Secret<String>>) -> Result<Self, SetupError> {
        let (scheme, authority, base_path) =
            split_url(base_url).map_err(|why| SetupError::Url { url: shown(base_url), why })?;
        let authorization = token.as_ref().map(bearer).transpose()?;
        Ok(Self {
            scheme,
            authority,
            base_path,
            authorization,
            call_timeout: CALL_TIMEOUT,
            client: pool(CONNECT_TIMEOUT),
        })
    }

    /// The same client, whose calls may take `call` as a whole and `connect` for a new connection.
    #[must_use]
    pub fn with_timeouts(self, connect: Duration, call: Duration) -> Self {
        Self { call_timeout: call, client: pool(connect), ..self }
    }

    /// The same client and connections, whose calls may take `call` as a whole.
    #[must_use]
    pub fn with_call_timeout(self, call: Duration) -> Self {
        Self { call_timeout: call, ..self }
    }

    /// The URL that is called, as one would type it.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.base_path)
    }

    /// `GET path`, whose answer is JSON. The path begins with `/` and may have a query.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let answer = self.call(Method::GET, path, JSON, None).await?;
        read_json(&answer)
    }

    /// `GET path`, whose answer is text of the type `accept`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_text(&self, path: &str, accept: &str) -> Result<String, CallError> {
        let answer = self.call(Method::GET, path, accept, None).await?;
        String::from_utf8(answer.into()).map_err(|_| CallError::Bad(format!("the answer to {path} is not text")))
    }

    /// `POST path` with a body of one line of JSON, whose answer is JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Bad(format!("the request: {error}")))?;
        let answer = self.call(Method::POST, path, JSON, Some(body.into())).await?;
        read_json(&answer)
    }

    /// `PATCH path` with a body of one line of JSON, whose answer is JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn patch<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Bad(format!("the request: {error}")))?;
        let answer = self.call(Method::PATCH, path, JSON, Some(body.into())).await?;
        read_json(&answer)
    }

    /// `DELETE path`, whose answer is JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let answer = self.call(Method::DELETE, path, JSON, None).await?;
        read_json(&answer)
    }

    /// `POST path` of a mutation, under a key of which the authority does it once. So it is safe to try a second time when
    /// the connection breaks, and that is done.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn post_once<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: &str,
    ) -> Result<T, CallError> {
        let body =
            Bytes::from(serde_json::to_vec(body).map_err(|error| CallError::Bad(format!("the request: {error}")))?);
        let key =
            HeaderValue::from_str(key).map_err(|_| CallError::Bad("the idempotency key is no text".to_owned()))?;
        let request = || -> Result<Request<Full<Bytes>>, CallError> {
            let mut request = self.request(Method::POST, path, JSON, Some(body.clone()))?;
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
            Ok(request)
        };
        let (first, second) = (request()?, request()?);
        let answer = self.in_time(async {
            match self.exchange(first).await {
                Err(CallError::Unreachable(_)) => self.exchange(second).await,
                answered => answered,
            }
        });
        read_json(&answer.await?)
    }

    async fn call(&self, method: Method, path: &str, accept: &str, body: Option<Bytes>) -> Result<Bytes, CallError> {
        let request = self.request(method, path, accept, body)?;
        self.in_time(self.exchange(request)).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CallError> {
        let answer = self.client.request(request).await.map_err(|error| self.unreachable(&error))?;
        self.answer(answer).await
    }

    async fn in_time(&self, exchange: impl Future<Output = Result<Bytes, CallError>>) -> Result<Bytes, CallError> {
        tokio::time::timeout(self.call_timeout, exchange).await.unwrap_or_else(|_| {
            let (url, waited) = (self.base_url(), self.call_timeout);
            Err(CallError::Unreachable(format!("no answer from {url} within {waited:?}")))
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let bad = |_| CallError::Bad(format!("`{path}` is no path of the API"));
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.base_path))
            .build()
            .map_err(bad)?;
        let mut request = Request::builder().method(method).uri(uri).header(ACCEPT, accept).header(USER_AGENT, AGENT);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        request.body(Full::new(body.unwrap_or_default())).map_err(bad)
    }

    async fn answer(&self, answer: Response<Incoming>) -> Result<Bytes, CallError> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                CallError::Bad(format!("the answer from {} is longer than {ANSWER_BYTES_MAX} bytes", self.base_url()))
            } else {
                CallError::Unreachable(format!("{} broke off its answer", self.base_url()))
            }
        })?;
        let body = body.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        if head.status.is_redirection() {
            let to = head.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
            let url = self.base_url();
            return Err(CallError::Bad(format!(
                "{url} redirects to {to}, which is not followed; give that URL if it is right"
            )));
        }
        Err(self.refusal(head.status, &body))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> CallError {
        match serde_json::from_slice(body) {
            Ok(problem) => CallError::Problem(problem),
            // 502, 503 and 504 of something in between: the authority itself never answered.
            Err(_) if matches!(status.as_u16(), 502..=504) => {
                CallError::Unreachable(format!("{} answers {status}", self.base_url()))
            }
            Err(_) => CallError::Bad(format!(
                "{} answers {status} and does not say why; is it an authority?",
                self.base_url()
            )),
        }
    }

    fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> CallError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        CallError::Unreachable(format!("cannot reach {}: {cause}; is it running there?", self.base_url()))
    }
}

impl std::fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiClient").field("base_url", &self.base_url()).finish_non_exhaustive()
    }
}

fn pool(connect_timeout: Duration) -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect_timeout));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .build(connector)
}

/// Scheme, host and path of a URL that can be called.
pub(crate) fn split_url(url: &str) -> Result<(Scheme, Authority, String), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it cannot be read")?;
    let parts = uri.into_parts();
    match parts.scheme.as_ref().map(Scheme::as_str) {
        Some("http") => {}
        Some("https") => return Err("https is not supported yet"),
        _ => return Err("it does not begin with http://"),
    }
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err("it names no host") };
    if authority.as_str().contains('@') {
        return Err("user and password have no place in it");
    }
    let path = parts.path_and_query.as_ref();
    if path.is_some_and(|path| path.query().is_some()) {
        return Err("it has a query");
    }
    let base_path = path.map_or("", |path| path.path()).trim_end_matches('/').to_owned();
    Ok((scheme, authority, base_path))
}

/// The URL as a message may repeat it: without what stands before an `@`, which may be a password.
pub(crate) fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => url.to_owned(),
    }
}

fn bearer(token: &Secret<String>) -> Result<HeaderValue, SetupError> {
    let text = Secret::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| SetupError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body)
        .map_err(|error| CallError::Bad(format!("the answer is not what was asked for: {error}")))
}

#[cfg(test)]
mod tests;
