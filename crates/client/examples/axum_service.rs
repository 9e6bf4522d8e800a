//! A service that verifies its callers' tokens itself: Jeton's verifier embedded in axum, no sidecar.
//!
//! ```text
//! jeton namespace create acme --prefix acme_live
//! jeton issue jeton/shop-1 --scope verifier@acme --out shop.token
//! jeton issue acme/billing --scope orders:read
//!
//! cargo run --example axum_service -- --feed http://127.0.0.1:7401 --namespace acme --token-file shop.token
//! curl -H "Authorization: Bearer acme_live_…" http://127.0.0.1:7500/orders
//! ```
//!
//! The verifier lives beside the routes: it holds what it needs in memory, so a request costs a look-up and no call.
//! Four things matter, and each is marked below: a stale answer is a 503 and never a 401; the client's address goes
//! along, so that one client's made-up tokens delay nobody else; on the way out the service first finishes its requests
//! and then says goodbye, so that a revocation need not wait for its silence; and if the verifier dies, so does the
//! service.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use jeton_client::feed::{Answer, TokenSource, Verifier, VerifierConfig};
use jeton_types::{NamespaceName, ScopeSet};
use jeton_verifier::{Code, Required, Verdict};

/// What a route demands: here, one scope for all of them.
#[derive(Clone)]
struct Guard {
    verifier: Verifier,
    required: Arc<Required>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_to_stderr();
    let arguments = Arguments::parse()?;
    let config = VerifierConfig::new(
        arguments.feed,
        // The file is read again when it changes, so rotating the service's own token needs no restart.
        TokenSource::File(arguments.token_file),
        "shop-1".parse()?,
        vec![arguments.namespace],
    );
    // Starts in the background: that the authority is away now is no error.
    let verifier = Verifier::start(config)?;
    let guard = Guard {
        verifier: verifier.clone(),
        required: Arc::new(Required { scopes: ScopeSet::parse(["orders:read"])?, ..Required::default() }),
    };

    let ready = verifier.clone();
    let routes = Router::new()
        .route("/orders", get(orders))
        .layer(from_fn_with_state(guard, verified))
        // Without a token: for whoever balances the load. Not ready only when every answer would be stale.
        .route(
            "/readyz",
            get(async move || if ready.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }),
        );
    let listener = tokio::net::TcpListener::bind(arguments.http).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // Ends with ctrl-c, or with the verifier: one that has died would answer stale for ever.
    let watched = verifier.clone();
    let end = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = watched.failed() => {}
        }
    };
    // `axum::serve` has no timeouts: put it behind a proxy that has, or on a server of your own.
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(end).await?;
    // After the last request and before the process ends: no answer follows, and the authority may count on it.
    let heard = verifier.leave().await;
    println!("goodbye {}", if heard { "heard" } else { "not heard: the authority counts on silence instead" });
    Ok(())
}

/// Lets a request through if its bearer token is good, and tells the route whose it is.
async fn verified(
    State(guard): State<Guard>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = bearer(request.headers()) else { return unauthorized() };
    // `client` is who is connected. Behind a proxy that is the proxy: pass on what it says of its client, if you trust it.
    match guard.verifier.verify(token.as_bytes(), &guard.required, Some(client.ip())).await {
        Answer::Verdict(verdict) if verdict.valid() => {
            request.extensions_mut().insert(verdict);
            next.run(request).await
        }
        Answer::Verdict(verdict) if verdict.code() == Code::InsufficientScope => {
            (StatusCode::FORBIDDEN, "the token is good, but not for this\n").into_response()
        }
        // Malformed, unknown, revoked and expired look alike to strangers.
        Answer::Verdict(_) => unauthorized(),
        // Nobody can tell right now. A 401 would make a client throw away a token that may be good.
        Answer::Stale(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "try again\n").into_response()
        }
    }
}

async fn orders(Extension(verdict): Extension<Verdict>) -> String {
    let subject = verdict.subject().map_or("somebody", |subject| subject.as_str());
    format!("orders of {subject}, as of revision {}\n", verdict.revision())
}

/// The one bearer token of the request. Two headers, or any other scheme, are nobody's token.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim_start_matches(' '))
}

fn unauthorized() -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a valid token is needed\n").into_response()
}

struct Arguments {
    feed: String,
    namespace: NamespaceName,
    token_file: PathBuf,
    http: SocketAddr,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn std::error::Error>> {
        let (mut feed, mut namespace, mut token_file) = ("http://127.0.0.1:7401".to_owned(), None, None);
        let mut http: SocketAddr = ([127, 0, 0, 1], 7500).into();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--feed" => feed = value,
                "--namespace" => namespace = Some(value.parse()?),
                "--token-file" => token_file = Some(value.into()),
                "--http" => http = value.parse()?,
                _ => return Err(format!("{name} is not known: --feed, --namespace, --token-file, --http").into()),
            }
        }
        let namespace = namespace.ok_or("--namespace is missing")?;
        let token_file = token_file.ok_or("--token-file is missing")?;
        Ok(Self { feed, namespace, token_file, http })
    }
}

/// What stands between the verifier and its authority is logged by the verifier, not returned.
fn tracing_to_stderr() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
}
