//! With real verifiers on the feed.

use http::StatusCode;
use jeton_authority::AuthorityConfig;
use jeton_client::feed::{TokenSource, Verifier, VerifierConfig};
use jeton_types::Secret;
use jeton_verifier::{Code, Required};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{World, text, until};

async fn verifier(world: &World, name: &str, token: &str) -> Verifier {
    let url = format!("http://{}", world.running.feed_addr);
    let token = TokenSource::Held(Secret::new(token.to_owned()));
    let config = VerifierConfig::new(url, token, name.parse().unwrap(), vec!["acme".parse().unwrap()]);
    let verifier = Verifier::start(config).unwrap();
    verifier.wait_ready().await.unwrap();
    verifier
}

async fn code(verifier: &Verifier, token: &str) -> Code {
    verifier.verify(token.as_bytes(), &Required::default(), None).await.code()
}

fn line<'a>(lines: &'a Value, name: &str) -> &'a Value {
    lines.as_array().unwrap().iter().find(|line| line["id"] == name).unwrap()
}

#[tokio::test]
async fn a_token_is_good_everywhere_once_issued_and_nowhere_once_its_receipt_is_complete() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, token) = world.issue("jeton", "edges", &["verifier@acme"]).await;
    let edges = [verifier(&world, "edge-1", &token).await, verifier(&world, "edge-2", &token).await];

    let list = world.get("/v1/verifiers").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let shown = line(&list["items"], "edge-1");
    assert_eq!(shown["state"], "live");
    assert_eq!(shown["connected"], true);
    assert_eq!(shown["namespaces"], json!(["acme"]));

    for round in 0..20 {
        let (id, secret) = world.issue("acme", &format!("service-{round}"), &[]).await;
        for edge in &edges {
            assert_eq!(code(edge, &secret).await, Code::Valid);
        }
        let body = json!({"selector": {"credential": id}, "wait": "complete"});
        let view = world.post("/v1/namespaces/acme/revocations", body).await.expect(StatusCode::CREATED).json();
        assert_eq!(view["receipt"]["state"], "complete");
        for (edge, name) in edges.iter().zip(["edge-1", "edge-2"]) {
            assert_eq!(code(edge, &secret).await, Code::Revoked);
            assert_eq!(line(&view["receipt"]["verifiers"], name)["state"], "acked");
        }
    }

    // One that leaves is waited for no more.
    assert!(edges[0].leave().await);
    until(async || world.get("/v1/verifiers").await.json()["items"].as_array().unwrap().len() == 1).await;
    let (id, _) = world.issue("acme", "last", &[]).await;
    let body = json!({"selector": {"credential": id}, "wait": "complete"});
    let view = world.post("/v1/namespaces/acme/revocations", body).await.expect(StatusCode::CREATED).json();
    let names: Vec<_> = view["receipt"]["verifiers"].as_array().unwrap().iter().map(|line| text(&line["id"])).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!names.contains(&"edge-1".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_list_of_verifiers_names_no_namespace_of_others() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    let (_, token) = world.issue("jeton", "edges", &["verifier@acme", "verifier@other"]).await;
    let url = format!("http://{}", world.running.feed_addr);
    let config = VerifierConfig::new(
        url,
        TokenSource::Held(Secret::new(token)),
        "edge-1".parse().unwrap(),
        vec!["acme".parse().unwrap(), "other".parse().unwrap()],
    );
    let edge = Verifier::start(config).unwrap();
    edge.wait_ready().await.unwrap();
    let (_, auditor) = world.issue("jeton", "auditor", &["auditor@acme"]).await;
    let list = world.get_as(&auditor, "/v1/verifiers").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"][0]["namespaces"], json!(["acme"]));
    let (_, stranger) = world.issue("jeton", "stranger", &["auditor@jeton"]).await;
    let list = world.get_as(&stranger, "/v1/verifiers").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn an_authority_stops_at_once_and_its_verifiers_come_back() {
    // Of its own address: nobody else's port 0 becomes this port while it is free.
    let feed = "127.0.0.2:0".parse().unwrap();
    let world = World::start_with(TempDir::new().unwrap(), |config| AuthorityConfig { feed, ..config }).await;
    world.namespace("acme").await;
    let (_, token) = world.issue("jeton", "edges", &["verifier@acme"]).await;
    let edge = verifier(&world, "edge-1", &token).await;
    let feed = world.running.feed_addr;
    let World { running, dir, .. } = world;
    running.shutdown().await;
    let world = World::start_with(dir, |config| AuthorityConfig { feed, ..config }).await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    until(async || code(&edge, &secret).await == Code::Valid).await;
    let list = world.get("/v1/verifiers").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "the same session goes on: {list}");
}
