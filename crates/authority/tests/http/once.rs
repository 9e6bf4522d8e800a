use std::collections::HashSet;

use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::world::{Answer, Api, World, text};

async fn keyed(api: &Api, token: &str, method: Method, path: &str, key: &str, body: impl ToString) -> Answer {
    let request = api.request(&method, path, Some(token)).header("content-type", "application/json");
    api.send(request.header("idempotency-key", key).body(Full::from(body.to_string())).unwrap()).await
}

async fn post(api: &Api, path: &str, key: &str, body: impl ToString) -> Answer {
    keyed(api, &api.root, Method::POST, path, key, body).await
}

const ISSUE: &str = "/v1/namespaces/acme/credentials";

#[tokio::test]
async fn the_same_secret_once_also_after_a_restart() {
    let world = World::start().await;
    world.namespace("acme").await;
    let body = json!({"name": "billing"});
    let first = post(&world, ISSUE, "k1", &body).await.expect(StatusCode::CREATED);
    let again = post(&world, ISSUE, "k1", &body).await.expect(StatusCode::CREATED);
    assert_eq!((first.json(), first.header("location")), (again.json(), again.header("location")));
    let world = world.restart().await;
    let again = post(&world, ISSUE, "k1", &body).await.expect(StatusCode::CREATED);
    assert_eq!(first.json(), again.json());
    assert_eq!(world.verdict(&text(&first.json()["token"]["secret"])).await, "valid");
    let list = world.get(ISSUE).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    // A rotation, which without a key would be refused the second time.
    let path = format!("/v1/credentials/{}/rotate", text(&first.json()["credential"]["id"]));
    let first = post(&world, &path, "k2", json!({"overlap": "1h"})).await.expect(StatusCode::CREATED);
    let again = post(&world, &path, "k2", json!({"overlap": "1h"})).await.expect(StatusCode::CREATED);
    assert_eq!(first.json()["token"]["secret"], again.json()["token"]["secret"]);
    assert_eq!(first.json()["previous"]["id"], again.json()["previous"]["id"]);
    post(&world, &path, "k3", json!({"overlap": "1h"})).await.problem(409, "rotation_in_progress");
}

#[tokio::test]
async fn every_mutation_is_told_again_as_it_was_answered() {
    let world = World::start().await;
    let body = json!({"name": "acme", "prefix": "acme", "freshness": "strict"});
    for turn in 0..2 {
        let answer = post(&world, "/v1/namespaces", "same", &body).await.expect(StatusCode::CREATED);
        assert_eq!(answer.json()["name"], "acme", "{turn}");
    }
    let (id, _) = world.issue("acme", "billing", &["a", "b"]).await;
    let path = format!("/v1/credentials/{id}");
    let revocation = "/v1/namespaces/acme/revocations";
    let calls = [
        (Method::PATCH, path.as_str(), json!({"scopes": ["a"]}), StatusCode::OK),
        (Method::POST, revocation, json!({"selector": {"credential": "acme/billing"}}), StatusCode::CREATED),
        (Method::DELETE, path.as_str(), json!(null), StatusCode::OK),
        (Method::PATCH, "/v1/namespaces/acme", json!({"disabled": true}), StatusCode::OK),
    ];
    for (number, (method, path, body, status)) in calls.into_iter().enumerate() {
        let body = if method == Method::DELETE { String::new() } else { body.to_string() };
        let key = format!("k{number}");
        let first = keyed(&world, &world.root, method.clone(), path, &key, &body).await.expect(status).json();
        let again = keyed(&world, &world.root, method.clone(), path, &key, &body).await.expect(status).json();
        assert_eq!(first["revision"], again["revision"], "{method} {path}");
        assert_eq!(first["id"], again["id"], "{method} {path}");
        assert_eq!(first["revocation"]["id"], again["revocation"]["id"], "{method} {path}");
        // The same key for another target.
        keyed(&world, &world.root, Method::POST, "/v1/namespaces", &key, json!({"name": "b", "prefix": "bb"}))
            .await
            .problem(422, "key_reused");
    }
}

#[tokio::test]
async fn another_body_is_refused_and_a_refusal_claims_nothing() {
    let world = World::start().await;
    post(&world, ISSUE, "k", json!({"name": "a"})).await.problem(404, "not_found");
    world.namespace("acme").await;
    post(&world, ISSUE, "k", json!({"name": "a"})).await.expect(StatusCode::CREATED);
    post(&world, ISSUE, "k", json!({"name": "b"})).await.problem(422, "key_reused");
    post(&world, ISSUE, "k2", json!({"name": "a"})).await.problem(409, "name_taken");
    for bad in ["", "a b", &"k".repeat(256), "\u{e9}"] {
        post(&world, ISSUE, bad, json!({"name": "c"})).await.problem(400, "invalid_request");
    }
    let two = world.request(&Method::POST, ISSUE, Some(&world.root)).header("content-type", "application/json");
    let two = two.header("idempotency-key", "x").header("idempotency-key", "y").body(Full::from("{}")).unwrap();
    world.send(two).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn each_principal_has_keys_of_his_own_and_a_changed_bearer_opens_nothing() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (issuer, secret) = world.issue("jeton", "issuer", &["issuer@acme"]).await;
    let issue = |token: &str, name: &str| {
        let (api, token, body) = (world.api.clone(), token.to_owned(), json!({"name": name}));
        async move { keyed(&api, &token, Method::POST, ISSUE, "shared", body).await }
    };
    let mine = issue(&secret, "a").await.expect(StatusCode::CREATED).json();
    // Another's key of the same letters is another key.
    issue(&world.root, "b").await.expect(StatusCode::CREATED);
    let path = format!("/v1/credentials/{issuer}/rotate");
    let rotated = world.post(&path, json!({})).await.expect(StatusCode::CREATED).json();
    let newer = text(&rotated["token"]["secret"]);
    let detail = issue(&newer, "a").await.problem(409, "secret_unavailable");
    assert!(detail.contains(&text(&mine["token"]["id"])), "{detail}");
    assert!(!detail.contains(&text(&mine["token"]["secret"])));
    issue(&newer, "other").await.problem(422, "key_reused");
    // The older token still works, and still opens it.
    let again = issue(&secret, "a").await.expect(StatusCode::CREATED).json();
    assert_eq!(again["token"]["secret"], mine["token"]["secret"]);
    // Without a good token there is nothing to be told.
    world.post("/v1/namespaces/jeton/revocations", json!({"selector": {"credential": "jeton/issuer"}})).await;
    issue(&secret, "a").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_was_kept_is_gone_after_a_day() {
    let world = World::start().await;
    world.namespace("acme").await;
    let body = json!({"name": "a"});
    post(&world, ISSUE, "k", &body).await.expect(StatusCode::CREATED);
    world.clock.advance(std::time::Duration::from_secs(24 * 3_600 - 60));
    post(&world, ISSUE, "k", &body).await.expect(StatusCode::CREATED);
    world.clock.advance(std::time::Duration::from_secs(61));
    post(&world, ISSUE, "k", &body).await.problem(409, "name_taken");
}

/// Of many at once one does it; every other is told the same, or that it is still running.
#[tokio::test]
async fn many_at_once_do_it_once() {
    let world = World::start().await;
    world.namespace("acme").await;
    let calls = (0..32).map(|_| {
        let api = world.api.clone();
        tokio::spawn(async move { post(&api, ISSUE, "k", json!({"name": "a"})).await })
    });
    let mut secrets = HashSet::new();
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        match answer.status {
            StatusCode::CREATED => drop(secrets.insert(text(&answer.json()["token"]["secret"]))),
            _ => drop(answer.problem(409, "key_running")),
        }
    }
    assert_eq!(secrets.len(), 1);
}
