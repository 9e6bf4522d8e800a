//! One request, one answer, within a size. A redirect is never followed, since it would carry the token to wherever
//! somebody else says.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, LOCATION, RETRY_AFTER, USER_AGENT},
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    error::SetupError,
    key::IdempotencyKey,
    retry::Failed,
    token::Bearer,
    url::{Target, shown, split_url},
};

/// The largest answer that is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
pub(crate) const JSON: &str = "application/json";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const AGENT: &str = concat!("jeton/", env!("CARGO_PKG_VERSION"));

/// What is sent, once or several times.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) accept: &'static str,
    pub(crate) body: Option<Bytes>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) if_match: Option<HeaderValue>,
    pub(crate) last_event: Option<u64>,
}

impl Outgoing {
    pub(crate) fn new(method: Method, target: Target) -> Self {
        Self { method, target, accept: JSON, body: None, key: None, if_match: None, last_event: None }
    }
}

/// Connections to one place, shared and kept.
pub(crate) struct Transport {
    scheme: Scheme,
    authority: Authority,
    base_path: String,
    bearer: Bearer,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Transport {
    pub(crate) fn new(url: &str, bearer: Bearer, connect_timeout: Duration) -> Result<Self, SetupError> {
        let (scheme, authority, base_path) = split_url(url).map_err(|why| SetupError::Url { url: shown(url), why })?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(8)
            .build(connector);
        Ok(Self { scheme, authority, base_path, bearer, http })
    }

    pub(crate) fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// The URL that is called, as one would type it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.base_path)
    }

    /// The whole answer to one request.
    pub(crate) async fn exchange(&self, outgoing: &Outgoing) -> Result<Bytes, Failed> {
        let (head, body) = self.open(outgoing).await?.into_parts();
        self.whole(&head.headers, head.status, body).await
    }

    /// The answer whose body is read as it comes, if it is a good one.
    pub(crate) async fn stream(&self, outgoing: &Outgoing) -> Result<Incoming, Failed> {
        let (head, body) = self.open(outgoing).await?.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = self.whole(&head.headers, head.status, body).await?;
        Err(Failed::Bad(format!("{} bytes in place of events", bytes.len())))
    }

    async fn open(&self, outgoing: &Outgoing) -> Result<Response<Incoming>, Failed> {
        let request = self.request(outgoing)?;
        self.http.request(request).await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            let why = format!("cannot reach {}: {cause}; is it running there?", self.url());
            if error.is_connect() { Failed::Connect(why) } else { Failed::Broken(why) }
        })
    }

    fn request(&self, outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, Failed> {
        let bad = |_| Failed::Bad(format!("`{}` is no path of the API", outgoing.target.as_str()));
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{}", self.base_path, outgoing.target.as_str()))
            .build()
            .map_err(bad)?;
        let mut request = Request::builder()
            .method(outgoing.method.clone())
            .uri(uri)
            .header(ACCEPT, outgoing.accept)
            .header(USER_AGENT, AGENT)
            .body(Full::new(outgoing.body.clone().unwrap_or_default()))
            .map_err(bad)?;
        let headers = request.headers_mut();
        let content_type = outgoing.body.is_some().then(|| HeaderValue::from_static(JSON));
        for (name, value) in [
            (AUTHORIZATION, self.bearer.header()),
            (CONTENT_TYPE, content_type),
            (IDEMPOTENCY_KEY, outgoing.key.as_ref().and_then(IdempotencyKey::header)),
            (IF_MATCH, outgoing.if_match.clone()),
            (LAST_EVENT_ID, outgoing.last_event.map(HeaderValue::from)),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        Ok(request)
    }

    async fn whole(&self, headers: &HeaderMap, status: StatusCode, body: Incoming) -> Result<Bytes, Failed> {
        let url = || self.url();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failed::Bad(format!("the answer from {} is longer than {ANSWER_BYTES_MAX} bytes", url()))
            } else {
                Failed::Broken(format!("{} broke off its answer", url()))
            }
        })?;
        let body = body.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        if status.is_redirection() {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
            let why = format!("{} redirects to {to}, which is not followed; give that URL if it is right", url());
            return Err(Failed::Bad(why));
        }
        // A date is not read: whoever sends one is no authority, and a wrong clock would make it a wait without end.
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        Err(match serde_json::from_slice(&body) {
            Ok(problem) => Failed::Problem { problem, retry_after },
            // The authority itself never answered.
            Err(_) if matches!(status.as_u16(), 502..=504) => {
                Failed::Gateway { why: format!("{} answers {status}", url()), retry_after }
            }
            Err(_) => Failed::Bad(format!("{} answers {status} and does not say why; is it an authority?", url())),
        })
    }
}
