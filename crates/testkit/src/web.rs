use std::{net::SocketAddr, time::Duration};

use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client that reports every status, follows nothing and tries nothing twice.
#[derive(Clone)]
pub struct Web {
    client: Client<HttpConnector, Full<Bytes>>,
    patience: Duration,
}

impl Default for Web {
    fn default() -> Self {
        Self::patient(PATIENCE)
    }
}

/// How long an answer may take, unless it is said.
const PATIENCE: Duration = Duration::from_secs(60);

impl Web {
    /// One for which an answer that takes longer than this is none.
    #[must_use]
    pub fn patient(patience: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        Self { client, patience }
    }

    /// Another that has none of its connections.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::patient(self.patience)
    }

    /// `GET path`; nothing if there was no answer.
    pub async fn get(&self, to: SocketAddr, path: &str, bearer: Option<&str>) -> Option<Answer> {
        self.send(Method::GET, to, path, bearer, None).await
    }

    /// `POST path` with JSON; nothing if there was no answer.
    pub async fn post(&self, to: SocketAddr, path: &str, bearer: Option<&str>, body: &Value) -> Option<Answer> {
        self.send(Method::POST, to, path, bearer, Some(body)).await
    }

    /// The status of `/auth` at a sidecar; 0 if there was no answer.
    pub async fn auth(&self, sidecar: SocketAddr, token: &str) -> u16 {
        self.get(sidecar, "/auth", Some(token)).await.map_or(0, |answer| answer.status)
    }

    /// Any request: with these header fields, in this order, and this body; nothing if there was no answer.
    pub async fn request(
        &self,
        method: &str,
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.exchange(request.body(Full::new(body.into())).ok()?).await
    }

    async fn send(
        &self,
        method: Method,
        to: SocketAddr,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(format!("http://{to}{path}"));
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.exchange(request.body(Full::new(Bytes::from(body))).ok()?).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        tokio::time::timeout(self.patience, async {
            let (head, body) = self.client.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
        .await
        .ok()
        .flatten()
    }
}
