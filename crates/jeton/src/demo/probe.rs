//! What a proxy does: `GET /auth` with somebody's token, and the status that comes back.

use std::{net::SocketAddr, time::Duration};

use http::{Request, header::AUTHORIZATION};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jeton_types::Secret;

/// How long a consumer waits for a sidecar before it tries the next.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Asks sidecars. Cheap to clone.
#[derive(Clone)]
pub struct Probe(Client<HttpConnector, Empty<Bytes>>);

impl Probe {
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE));
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(8).build(connector))
    }

    /// The status of `/auth` for this token; nothing if there was none in time.
    pub async fn auth(&self, sidecar: SocketAddr, token: &Secret<String>, patience: Duration) -> Option<u16> {
        let request = Request::get(format!("http://{sidecar}/auth"))
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()))
            .body(Empty::new())
            .ok()?;
        let exchange = async {
            let answer = self.0.request(request).await.ok()?;
            let status = answer.status().as_u16();
            answer.into_body().collect().await.ok()?;
            Some(status)
        };
        tokio::time::timeout(patience, exchange).await.ok().flatten()
    }
}
