use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use jeton_authority::AuthorityConfig;
use serde_json::json;
use tempfile::TempDir;

use crate::world::{World, text, until};

#[tokio::test]
async fn a_process_is_alive_ready_and_measured() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    world.verdict(&secret).await;
    for path in ["/livez", "/readyz"] {
        world.get_open(path).await.expect(StatusCode::OK);
    }
    let metrics = world.get("/metrics").await.expect(StatusCode::OK);
    assert!(metrics.header("content-type").starts_with("text/plain"), "{:?}", metrics.headers);
    for name in ["jeton_issue_duration_seconds", "jeton_commit_batch_size", "jeton_verifications_total"] {
        assert!(metrics.text.contains(name), "{name} in {}", metrics.text);
    }
    assert!(!metrics.text.contains(&secret));
}

#[tokio::test]
async fn the_public_keys_are_open_and_stay() {
    let world = World::start().await;
    let path = "/.well-known/jwks.json";
    let first = world.get_open(path).await.expect(StatusCode::OK).json();
    assert_eq!(text(&first["keys"][0]["alg"]), "EdDSA");
    assert!(first["keys"][0].get("d").is_none(), "no private part");
    let world = world.restart().await;
    assert_eq!(world.get_open(path).await.expect(StatusCode::OK).json(), first);
}

#[tokio::test]
async fn an_unknown_route_and_an_unknown_method_are_problems() {
    let world = World::start().await;
    for path in ["/", "/v1", "/v2/namespaces", "/v1/rotations"] {
        world.get(path).await.problem(404, "not_found");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/v1/namespaces", "GET,HEAD,POST"),
        (Method::GET, "/v1/verify", "POST"),
        (Method::PUT, "/v1/namespaces/acme/revocations", "POST"),
        (Method::POST, "/livez", "GET,HEAD"),
    ] {
        let request = world.request(&method, path, Some(&world.root)).body(Full::default()).unwrap();
        let answer = world.send(request).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn while_it_drains_it_serves_but_is_not_ready() {
    let drain = Duration::from_secs(600);
    let World { running, api, dir, .. } =
        World::start_with(TempDir::new().unwrap(), |config| AuthorityConfig { drain, ..config }).await;
    let shutdown = tokio::spawn(running.shutdown());
    until(async || api.get_open("/readyz").await.status != StatusCode::OK).await;
    api.get_open("/readyz").await.problem(503, "unavailable");
    api.get_open("/livez").await.expect(StatusCode::OK);
    api.namespace("acme").await;
    shutdown.abort();
    drop(dir);
}

#[tokio::test]
async fn a_signal_ends_it() {
    let World { running, api, dir, .. } = World::start().await;
    let (signal, received) = tokio::sync::oneshot::channel::<()>();
    let ending = tokio::spawn(running.run_until(received));
    api.namespace("acme").await;
    signal.send(()).unwrap();
    assert_eq!(ending.await.unwrap(), Ok(()));
    World::start_in(dir).await.get("/v1/namespaces/acme").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn no_secret_is_in_the_folder() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    world.post("/v1/verify", json!({"token": secret})).await.expect(StatusCode::OK);
    let body = json!({"selector": {"secret": secret}});
    world.post("/v1/namespaces/acme/revocations", body).await.expect(StatusCode::CREATED);
    let folder = world.dir.path().join("data");
    world.running.shutdown().await;
    let needle = &secret.as_bytes()["acme_".len()..][..43];
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
        }
    }
}
