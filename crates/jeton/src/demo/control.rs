//! The control of the demo: what is usual elsewhere, a cache with a time to live in front of the same authority.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::get,
};
use jeton_api::{secret::SecretText, verify::VerifyRequest};
use jeton_client::Client;
use jeton_types::{ScopeSet, Secret};

use crate::{
    args::DemoControlArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

struct Control {
    client: Client,
    ttl: Duration,
    cache: Mutex<HashMap<String, (StatusCode, Instant)>>,
}

pub async fn run(args: DemoControlArgs) -> Outcome {
    let token = jeton_host::files::read_private(&args.token_file).map_err(Failure::usage)?;
    let client = Client::builder(&args.url).token(token).build()?;
    let control = Arc::new(Control { client, ttl: args.ttl.duration(), cache: Mutex::default() });
    let listener = tokio::net::TcpListener::bind(args.http).await.map_err(Failure::usage)?;
    let address = listener.local_addr().map_err(Failure::internal)?;
    output::line(&serde_json::json!({ "http": address }).to_string())?;
    // A helper of the demo, on loopback, for a minute: the product's own listeners use the limits of jeton-host.
    let stop = jeton_host::signal::shutdown_signal().map_err(Failure::internal)?;
    axum::serve(listener, Router::new().route("/auth", get(auth)).with_state(control))
        .with_graceful_shutdown(async move {
            stop.await;
        })
        .await
        .map_err(Failure::internal)?;
    Ok(Exit::Done)
}

async fn auth(State(control): State<Arc<Control>>, headers: HeaderMap) -> StatusCode {
    let Some(token) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED;
    };
    if let Ok(cache) = control.cache.lock()
        && let Some((status, at)) = cache.get(token)
        && at.elapsed() < control.ttl
    {
        return *status;
    }
    let request = VerifyRequest {
        token: SecretText(Secret::new(token.to_owned())),
        scopes: ScopeSet::default(),
        client_address: None,
        at_least_revision: None,
        max_age_ms: None,
    };
    let Ok(verdict) = control.client.verify(&request).await else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let status = if verdict.valid { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    if let Ok(mut cache) = control.cache.lock() {
        cache.insert(token.to_owned(), (status, Instant::now()));
    }
    status
}
