//! The sidecar: one verifier, one HTTP listener, one way out.

mod auth;
mod client;
mod front;
mod metric;
mod observe;
mod problem;
mod verify;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use jeton_client::feed::{Dial, StartError as FeedError, TokenSource, Verifier, VerifierConfig};
use jeton_host::serve::{BindError, Limits, Listen, Listener, serve};
use jeton_types::{Clock, Entropy, NamespaceName, VerifierName};
use tokio::{sync::watch, task::JoinHandle};

pub use self::client::client_address_header;
use self::{client::ClientAddress, front::Front, metric::Metrics};

/// What a sidecar is told when it starts.
#[derive(Debug, Clone)]
pub struct SidecarConfig {
    /// The authority's feed, such as `http://127.0.0.1:7401`.
    pub feed_url: String,
    /// The namespaces to serve.
    pub namespaces: Vec<NamespaceName>,
    /// The sidecar's own token; a file is read again when it changes.
    pub token: TokenSource,
    /// Where the proxy or service beside it asks.
    pub http: SocketAddr,
    /// Whether to listen beyond loopback although there is no TLS yet.
    pub plaintext: bool,
    /// Its name in receipts.
    pub name: VerifierName,
    /// How long it serves on after it was told to stop, not ready any more.
    pub drain: Duration,
    /// Its state folder, if it keeps one.
    pub state_dir: Option<PathBuf>,
    /// The header in which its proxy writes the client's address; without one, the client is whoever is connected.
    pub client_address_header: Option<HeaderName>,
}

/// Why a sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The verifier could not be set up.
    #[error(transparent)]
    Verifier(#[from] FeedError),
}

/// What every handler works with.
#[derive(Clone)]
struct Edge(Arc<Parts>);

struct Parts {
    verifier: Verifier,
    metrics: Arc<Metrics>,
    draining: watch::Receiver<bool>,
    client_address: ClientAddress,
}

/// A running sidecar.
pub struct Running {
    /// Where it listens.
    pub http_addr: SocketAddr,
    verifier: Verifier,
    drain: Duration,
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// The sidecar.
#[derive(Debug)]
pub struct Sidecar;

impl Sidecar {
    /// Opens the listener, starts the verifier, and serves. It is ready once the authority has granted a lease.
    ///
    /// # Errors
    /// [`StartError`], whose text says what to do.
    pub async fn start(
        config: SidecarConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let listener = Listener::bind(config.http, "--http", config.plaintext).await?;
        Self::start_on(config, listener, None, clock, entropy)
    }

    /// The same over a network that is given: `listener` in the place of its own port, `dial` in that of TCP to the
    /// authority.
    ///
    /// # Errors
    /// As [`Sidecar::start`].
    pub fn start_on(
        config: SidecarConfig,
        listener: impl Listen,
        dial: Option<Arc<dyn Dial>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let http_addr = listener.address();
        let metrics = Arc::new(Metrics::new());
        let verifier = Verifier::start(VerifierConfig {
            url: config.feed_url,
            token: config.token,
            name: config.name,
            namespaces: config.namespaces,
            state_dir: config.state_dir,
            clock,
            entropy,
            observe: metrics.clone(),
            dial,
        })?;
        let (draining, is_draining) = watch::channel(false);
        let (stop, mut stopped) = watch::channel(false);
        let client_address = ClientAddress::new(config.client_address_header);
        let edge = Edge(Arc::new(Parts { verifier: verifier.clone(), metrics, draining: is_draining, client_address }));
        let front = Front::new(edge.clone(), observe::logged(router(edge)));
        let server = tokio::spawn(serve(listener, front, problem::refuse, Limits::http(), async move {
            // A sender that is gone is also a reason to stop.
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        Ok(Running { http_addr, verifier, drain: config.drain, draining, stop, server })
    }
}

impl Running {
    /// The verifier inside.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Leaves in order: not ready, serve on for the drain, give the last answer, say goodbye, close.
    pub async fn shutdown(self) {
        self.draining.send_replace(true);
        tokio::time::sleep(self.drain).await;
        self.stop.send_replace(true);
        if self.server.await.is_err() {
            tracing::error!("the listener of the sidecar died");
        }
        // Only now is the last answer out: goodbye is final.
        self.verifier.leave().await;
    }
}

fn router(edge: Edge) -> Router {
    Router::new()
        .route("/v1/verify", post(verify::verify))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || {
            problem::answer(
                jeton_api::problem::Code::NotFound,
                "the routes are /auth, /v1/verify, /livez, /readyz and /metrics",
            )
        })
        .method_not_allowed_fallback(async || {
            problem::answer(
                jeton_api::problem::Code::MethodNotAllowed,
                "POST /v1/verify, GET the others, /auth takes any method",
            )
        })
        .with_state(edge)
}

/// Fails only when every answer would be stale, and while draining.
async fn readyz(State(edge): State<Edge>) -> Response {
    if *edge.0.draining.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if edge.0.verifier.ready() {
        return "ready\n".into_response();
    }
    let why = edge.0.verifier.status().trouble.map_or_else(|| "no lease yet".to_owned(), |trouble| trouble.message);
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
}

async fn metrics(State(edge): State<Edge>) -> Response {
    let (content_type, text) = edge.0.metrics.encode(&edge.0.verifier.status());
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
