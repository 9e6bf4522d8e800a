use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use serde_json::json;

use crate::world::{World, text};

#[tokio::test]
async fn a_credential_is_issued_and_shown_without_its_secret() {
    let world = World::start().await;
    world.namespace("acme").await;
    let body = json!({
        "name": "billing", "subject": "svc:billing", "scopes": ["orders:read"], "labels": {"team": "core"}, "ttl": "30d"
    });
    let issued = world.post("/v1/namespaces/acme/credentials", body).await.expect(StatusCode::CREATED);
    assert_eq!(issued.header("cache-control"), "no-store");
    let view = issued.json();
    let (id, token) = (text(&view["credential"]["id"]), text(&view["token"]["id"]));
    let secret = text(&view["token"]["secret"]);
    assert_eq!(issued.header("location"), format!("/v1/credentials/{id}"));
    assert!(secret.starts_with("acme_") && secret.len() == 54, "{} characters", secret.len());
    assert_eq!(view["credential"]["labels"], json!({"team": "core"}));
    assert_eq!(view["token"]["version"], 1);
    assert_eq!(view["token"]["stage"], "current");
    assert_eq!(world.verdict(&secret).await, "valid");

    for path in [
        format!("/v1/credentials/{id}"),
        format!("/v1/credentials/{id}/tokens"),
        format!("/v1/tokens/{token}"),
        "/v1/namespaces/acme/credentials".to_owned(),
        "/v1/namespaces/acme/credentials?name=billing".to_owned(),
    ] {
        let shown = world.get(&path).await.expect(StatusCode::OK);
        assert!(!shown.text.contains(&secret), "{path}");
        assert!(shown.text.contains(&id), "{path}: {}", shown.text);
    }
    let mut shown = world.get(&format!("/v1/credentials/{id}")).await.json();
    // What is shown later says of its use, too.
    let usage = shown["usage"].take();
    assert_eq!(usage[0]["token_id"], json!(token));
    assert_eq!(shown, view["credential"]);
    let shown = world.get(&format!("/v1/tokens/{token}")).await.json();
    assert_eq!(shown["hint"], view["token"]["hint"]);
    assert_eq!(shown["state"], "active");
    let none = world.get("/v1/namespaces/acme/credentials?name=nobody").await.expect(StatusCode::OK).json();
    assert_eq!(none["items"], json!([]));
}

#[tokio::test]
async fn a_rotation_overlaps_and_ends_by_itself() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, first) = world.issue("acme", "billing", &[]).await;
    let path = format!("/v1/credentials/{id}/rotate");
    let rotated = world.post(&path, json!({"overlap": "1h"})).await.expect(StatusCode::CREATED);
    let view = rotated.json();
    let second = text(&view["token"]["secret"]);
    assert_eq!(rotated.header("location"), format!("/v1/tokens/{}", text(&view["token"]["id"])));
    assert_eq!(view["token"]["version"], 2);
    assert_eq!(view["previous"]["stage"], "previous");
    assert!(view["previous"]["expires_at"].is_string());
    assert_eq!(world.verdict(&first).await, "valid");
    assert_eq!(world.verdict(&second).await, "valid");

    let detail = world.post(&path, json!({})).await.problem(409, "rotation_in_progress");
    assert!(detail.contains("until 20"), "{detail}");

    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.verdict(&first).await, "expired");
    assert_eq!(world.verdict(&second).await, "valid");
    let tokens = world.get(&format!("/v1/credentials/{id}/tokens")).await.expect(StatusCode::OK).json();
    let stages: Vec<_> = tokens["items"].as_array().unwrap().iter().map(|token| token["stage"].clone()).collect();
    assert_eq!(stages, ["retired", "current"]);
    world.post(&path, json!({})).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_namespace_says_unless_told_otherwise() {
    let world = World::start().await;
    let body = json!({"name": "acme", "prefix": "acme", "default_ttl": "1m"});
    world.post("/v1/namespaces", body).await.expect(StatusCode::CREATED);
    let (_, short) = world.issue("acme", "short", &[]).await;
    let long = world.post("/v1/namespaces/acme/credentials", json!({"name": "long", "ttl": "2m"})).await;
    let long = text(&long.expect(StatusCode::CREATED).json()["token"]["secret"]);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.verdict(&short).await, "expired");
    assert_eq!(world.verdict(&long).await, "valid");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.verdict(&long).await, "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_good_at_once() {
    let world = World::start().await;
    world.namespace("acme").await;
    let calls = (0..64).map(|caller| {
        let api = world.api.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for round in 0..4 {
                let (id, secret) = api.issue("acme", &format!("service-{caller}-{round}"), &[]).await;
                assert_eq!(api.verdict(&secret).await, "valid");
                ids.push(id);
            }
            ids
        })
    });
    let mut ids = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        ids.extend(call.await.unwrap());
    }
    assert_eq!(ids.len(), 256);
    let mut listed = BTreeSet::new();
    let mut path = "/v1/namespaces/acme/credentials?limit=100".to_owned();
    loop {
        let page = world.get(&path).await.expect(StatusCode::OK).json();
        listed.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item["id"])));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/namespaces/acme/credentials?limit=100&after={next}");
    }
    assert_eq!(listed, ids);
}

#[tokio::test]
async fn what_was_issued_survives_a_restart() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let root = world.root.clone();
    let world = world.restart().await;
    assert_eq!(world.root, root, "the root token is written once");
    assert!(world.running.root_token.is_none());
    assert_eq!(world.verdict(&secret).await, "valid");
    world.get(&format!("/v1/credentials/{id}")).await.expect(StatusCode::OK);
}
