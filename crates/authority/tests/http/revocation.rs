use std::sync::Arc;

use http::{Method, StatusCode};
use http_body_util::Full;
use jeton_host::clock::{OsEntropy, SystemClock};
use jeton_store::{OpenConfig, Sqlite, Store, model::SessionRow};
use jeton_types::{CredentialId, Revision, SessionId, UnixTime};
use serde_json::{Value, json};

use crate::world::{Answer, World, text, until};

const REVOCATIONS: &str = "/v1/namespaces/acme/revocations";

async fn jws(world: &World, id: &str) -> Answer {
    let path = format!("/v1/revocations/{id}/receipt");
    let request = world.request(&Method::GET, &path, Some(&world.root)).header("accept", "application/jose");
    world.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn a_revoked_credential_is_refused_at_once_and_the_receipt_is_signed() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    let body = json!({"selector": {"credential": "acme/billing"}, "reason": "leaked", "wait": "complete"});
    let revoked = world.post(REVOCATIONS, body).await.expect(StatusCode::CREATED);
    let view = revoked.json();
    let id = text(&view["id"]);
    assert_eq!(revoked.header("location"), format!("/v1/revocations/{id}"));
    assert_eq!(view["count"], 1);
    assert_eq!(view["reason"], "leaked");
    assert_eq!(view["receipt"]["state"], "complete");
    assert!(view["receipt"]["completed_at"].is_string());
    let lines = view["receipt"]["verifiers"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "no verifier serves acme");
    assert_eq!(lines[0]["id"], "authority");
    assert_eq!(lines[0]["state"], "acked");
    assert_eq!(world.verdict(&secret).await, "revoked");

    assert_eq!(world.get(&format!("/v1/revocations/{id}")).await.expect(StatusCode::OK).json(), view);
    let receipt = world.get(&format!("/v1/revocations/{id}/receipt")).await.expect(StatusCode::OK).json();
    assert_eq!(receipt, view["receipt"]);
    let signed = jws(&world, &id).await.expect(StatusCode::OK);
    assert_eq!(signed.header("content-type"), "application/jose");
    assert_eq!(signed.text.split('.').count(), 3);
    assert!(!signed.text.ends_with('\n'));
    let list = world.get("/v1/revocations").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"], json!([view]));

    let token = text(&view["tokens"][0]);
    let shown = world.get(&format!("/v1/tokens/{token}")).await.expect(StatusCode::OK).json();
    assert_eq!(shown["state"], "revoked");
    assert_eq!(shown["stage"], "retired");
    assert_eq!(shown["revocation_id"], id);
}

#[tokio::test]
async fn a_receipt_checks_offline() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.issue("acme", "billing", &[]).await;
    let body = json!({"selector": {"credential": "acme/billing"}, "wait": "complete"});
    let view = world.post(REVOCATIONS, body).await.expect(StatusCode::CREATED).json();
    let signed = jws(&world, &text(&view["id"])).await.expect(StatusCode::OK).text;
    let keys = world.get("/.well-known/jwks.json").await.expect(StatusCode::OK).json();
    let keys = serde_json::from_value(keys).unwrap();
    let payload = jeton_client::receipt::check(&signed, &keys).unwrap();
    assert_eq!(payload.id.to_string(), text(&view["id"]));
    let changed = signed.replacen('.', ".a", 1);
    assert!(jeton_client::receipt::check(&changed, &keys).is_err());
}

#[tokio::test]
async fn a_second_revocation_answers_with_the_first() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let complete = |selector: Value| json!({"selector": selector, "wait": "complete"});
    let first = world.post(REVOCATIONS, complete(json!({"secret": secret}))).await.expect(StatusCode::CREATED).json();
    let token = text(&first["tokens"][0]);
    for selector in [json!({"secret": secret}), json!({"token_id": token}), json!({"credential": id})] {
        let again = world.post(REVOCATIONS, complete(selector)).await.expect(StatusCode::OK);
        assert_eq!(again.json(), first);
    }
}

#[tokio::test]
async fn all_versions_of_a_credential_end_and_the_next_is_good() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, first) = world.issue("acme", "billing", &[]).await;
    let rotate = format!("/v1/credentials/{id}/rotate");
    let second = world.post(&rotate, json!({})).await.expect(StatusCode::CREATED).json();
    let revoked = world.post(REVOCATIONS, json!({"selector": {"credential": id}})).await.expect(StatusCode::CREATED);
    assert_eq!(revoked.json()["count"], 2);
    assert_eq!(world.verdict(&first).await, "revoked");
    assert_eq!(world.verdict(&text(&second["token"]["secret"])).await, "revoked");
    let third = world.post(&rotate, json!({})).await.expect(StatusCode::CREATED).json();
    assert_eq!(world.verdict(&text(&third["token"]["secret"])).await, "valid");
}

/// A session that an earlier process left in the registry: nobody knows yet whether it still accepts.
async fn silent_session(world: World, namespace: &str) -> World {
    let World { running, dir, .. } = world;
    running.shutdown().await;
    let config =
        OpenConfig { clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy), observer: Arc::new(|_: usize, _| {}) };
    let store = Sqlite::open(&dir.path().join("data"), config).unwrap();
    let session = SessionRow {
        session: SessionId::from_bytes([7; 16]),
        verifier: "edge-7".parse().unwrap(),
        credential: CredentialId::from_bytes([7; 16]),
        namespaces: vec![namespace.parse().unwrap()],
        opened: Revision::ZERO,
        opened_at: UnixTime::ZERO,
        place: None,
        ended: None,
    };
    store.session_open(session).await.unwrap();
    drop(store);
    World::start_in(dir).await
}

#[tokio::test]
async fn a_wait_that_times_out_is_still_a_revocation() {
    let world = World::start().await;
    let body = json!({"name": "acme", "prefix": "acme", "freshness": "grace=1m"});
    world.post("/v1/namespaces", body).await.expect(StatusCode::CREATED);
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    let world = silent_session(world, "acme").await;

    let body = json!({"selector": {"credential": "acme/billing"}, "wait": "complete", "timeout_ms": 20});
    let view = world.post(REVOCATIONS, body).await.expect(StatusCode::CREATED).json();
    assert_eq!(world.verdict(&secret).await, "revoked");
    assert_eq!(view["receipt"]["state"], "pending");
    assert!(view["receipt"]["completed_at"].is_null());
    let lines = view["receipt"]["verifiers"].as_array().unwrap();
    let silent = lines.iter().find(|line| line["id"] == "edge-7").unwrap();
    assert_eq!(silent["state"], "pending");
    assert!(silent["stops_by"].is_string(), "{silent}");

    let id = text(&view["id"]);
    jws(&world, &id).await.problem(409, "receipt_pending");
    let receipt = world.get(&format!("/v1/revocations/{id}/receipt")).await.expect(StatusCode::OK).json();
    assert_eq!(receipt["state"], "pending");
    let verifiers = world.get("/v1/verifiers").await.expect(StatusCode::OK).json();
    assert_eq!(verifiers["items"][0]["id"], "edge-7");
    assert_eq!(verifiers["items"][0]["connected"], false);

    // Committed is enough unless asked otherwise, and a second time is answered as it stands.
    let again = world.post(REVOCATIONS, json!({"selector": {"credential": "acme/billing"}})).await;
    assert_eq!(again.expect(StatusCode::OK).json()["id"], id);
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_authority_stops() {
    let world = World::start().await;
    let body = json!({"name": "acme", "prefix": "acme", "freshness": "grace=1h"});
    world.post("/v1/namespaces", body).await.expect(StatusCode::CREATED);
    world.issue("acme", "billing", &[]).await;
    let World { running, api, dir, .. } = silent_session(world, "acme").await;
    let waiting = tokio::spawn({
        let api = api.clone();
        let body = json!({"selector": {"credential": "acme/billing"}, "wait": "complete", "timeout_ms": 600_000});
        async move { api.post(REVOCATIONS, body).await }
    });
    until(async || api.get("/v1/revocations").await.expect(StatusCode::OK).json()["items"] != json!([])).await;
    running.shutdown().await;
    let view = waiting.await.unwrap().expect(StatusCode::CREATED).json();
    assert_eq!(view["receipt"]["state"], "pending");

    // The next process goes on waiting for the same session.
    let world = World::start_in(dir).await;
    let receipt = world.get(&format!("/v1/revocations/{}/receipt", text(&view["id"]))).await.expect(StatusCode::OK);
    assert_eq!(receipt.json()["state"], "pending");
}

#[tokio::test]
async fn a_session_that_is_silent_for_too_long_is_counted_out() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.issue("acme", "billing", &[]).await;
    let world = silent_session(world, "acme").await;
    world.clock.advance(std::time::Duration::from_secs(7));
    let body = json!({"selector": {"credential": "acme/billing"}, "wait": "complete"});
    let view = world.post(REVOCATIONS, body).await.expect(StatusCode::CREATED).json();
    assert_eq!(view["receipt"]["state"], "complete");
    let lines = view["receipt"]["verifiers"].as_array().unwrap();
    assert_eq!(lines.iter().find(|line| line["id"] == "edge-7").unwrap()["state"], "fenced");
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_read() {
    let world = World::start().await;
    for name in ["acme", "other"] {
        world.namespace(name).await;
        for credential in ["one", "two"] {
            world.issue(name, credential, &[]).await;
            let body = json!({"selector": {"credential": format!("{name}/{credential}")}});
            world.post(&format!("/v1/namespaces/{name}/revocations"), body).await.expect(StatusCode::CREATED);
        }
    }
    let (_, auditor) = world.issue("jeton", "auditor", &["auditor@other"]).await;
    let namespaces = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| text(&item["namespace"])).collect()
    };
    let all = world.get("/v1/revocations").await.expect(StatusCode::OK).json();
    assert_eq!(namespaces(&all), ["acme", "acme", "other", "other"]);
    let theirs = world.get_as(&auditor, "/v1/revocations").await.expect(StatusCode::OK).json();
    assert_eq!(namespaces(&theirs), ["other", "other"]);
    world.get_as(&auditor, "/v1/revocations?namespace=acme").await.problem(403, "forbidden");

    let mut found = Vec::new();
    let mut path = "/v1/revocations?namespace=acme&limit=1".to_owned();
    loop {
        let page = world.get(&path).await.expect(StatusCode::OK).json();
        found.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item["id"])));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/revocations?namespace=acme&limit=1&after={next}");
    }
    assert_eq!(found, [text(&all["items"][0]["id"]), text(&all["items"][1]["id"])]);
}
