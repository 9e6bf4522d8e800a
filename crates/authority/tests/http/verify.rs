use http::StatusCode;
use jeton_types::{Revision, token::mint};
use serde_json::json;

use crate::world::{World, text};

#[tokio::test]
async fn a_verdict_carries_its_evidence() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &["orders:read", "orders:write"]).await;
    let answer = world.post("/v1/verify", json!({"token": secret, "scopes": ["orders:read"]})).await;
    let verdict = answer.expect(StatusCode::OK);
    assert_eq!(verdict.header("cache-control"), "no-store");
    let verdict = verdict.json();
    assert_eq!(verdict["valid"], true);
    assert_eq!(verdict["code"], "valid");
    assert_eq!(verdict["namespace"], "acme");
    assert_eq!(verdict["credential_id"], id);
    assert_eq!(verdict["scopes"], json!(["orders:read", "orders:write"]));
    assert_eq!(verdict["source"], "authority");
    assert!(verdict["revision"].as_u64().unwrap() > 1_600_000_000_000_000);
    assert!(verdict["as_of"].is_string());

    let answer = world.post("/v1/verify", json!({"token": secret, "scopes": ["orders:delete"]})).await;
    let verdict = answer.expect(StatusCode::OK).json();
    assert_eq!(verdict["valid"], false);
    assert_eq!(verdict["code"], "insufficient_scope");
}

#[tokio::test]
async fn texts_that_are_no_good_token() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    let tail = secret.strip_prefix("acme_").unwrap();
    let minted = |prefix: &str, birth: u64| {
        mint(&prefix.parse().unwrap(), Revision::new(birth).unwrap(), [7; 24]).text.expose().clone()
    };
    let mut typo = secret.clone().into_bytes();
    typo[20] = if typo[20] == b'x' { b'y' } else { b'x' };
    let cases = [
        ("empty", String::new(), "malformed"),
        ("words", "hello there".to_owned(), "malformed"),
        ("truncated", secret[..secret.len() - 1].to_owned(), "malformed"),
        ("one typing error", String::from_utf8(typo).unwrap(), "malformed"),
        ("no prefix", tail.to_owned(), "malformed"),
        ("not ascii", format!("acmé_{tail}"), "malformed"),
        ("very long", "a".repeat(60_000), "malformed"),
        ("a prefix that nobody has", format!("foreign_{tail}"), "unknown"),
        ("another namespace's prefix", format!("other_{tail}"), "unknown"),
        ("never issued", minted("acme", 7), "unknown"),
        ("born in the future", minted("acme", Revision::LIMIT - 1), "unknown"),
        ("as it was issued", secret, "valid"),
    ];
    for (what, token, expect) in cases {
        assert_eq!(world.verdict(&token).await, expect, "{what}");
    }
}

#[tokio::test]
async fn a_verifier_learns_nothing_of_other_namespaces() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    let (_, verifier) = world.issue("jeton", "edge", &["verifier@acme"]).await;
    let (_, ours) = world.issue("acme", "billing", &[]).await;
    let (_, theirs) = world.issue("other", "billing", &[]).await;
    for (token, expect) in [(&ours, "valid"), (&theirs, "unknown"), (&world.root, "unknown"), (&verifier, "unknown")] {
        let answer = world.post_as(&verifier, "/v1/verify", json!({"token": token})).await;
        let verdict = answer.expect(StatusCode::OK).json();
        assert_eq!(text(&verdict["code"]), expect);
    }
}

#[tokio::test]
async fn a_token_bound_to_addresses() {
    let world = World::start().await;
    world.namespace("acme").await;
    let request = json!({"name": "billing", "constraints": {"addresses": ["2001:db8::/32", "10.0.0.0/8"]}});
    let issued = world.post("/v1/namespaces/acme/credentials", request).await.expect(StatusCode::CREATED).json();
    assert_eq!(issued["credential"]["constraints"], json!({"addresses": ["10.0.0.0/8", "2001:db8::/32"]}));
    let secret = text(&issued["token"]["secret"]);
    let code = async |client: Option<&str>| {
        let mut request = json!({ "token": secret });
        if let Some(client) = client {
            request["client_address"] = client.into();
        }
        text(&world.post("/v1/verify", request).await.expect(StatusCode::OK).json()["code"])
    };
    assert_eq!(code(Some("10.1.2.3")).await, "valid");
    assert_eq!(code(Some("::ffff:10.1.2.3")).await, "valid");
    assert_eq!(code(Some("192.0.2.1")).await, "address_denied");
    assert_eq!(code(None).await, "address_denied", "who is not known is in no range");

    let path = format!("/v1/credentials/{}", text(&issued["credential"]["id"]));
    let narrow = json!({"constraints": {"addresses": ["10.0.0.0/16"]}, "wait": "complete"});
    let changed = world.patch(&path, narrow).await.expect(StatusCode::OK).json();
    assert_eq!(changed["revocation"]["receipt"]["state"], "complete", "{changed}");
    assert_eq!(code(Some("10.1.2.3")).await, "address_denied");
    let changed = world.patch(&path, json!({"constraints": {}})).await.expect(StatusCode::OK).json();
    assert_eq!(changed["revocation"], json!(null));
    assert_eq!((code(Some("10.1.2.3")).await.as_str(), code(None).await.as_str()), ("valid", "valid"));
    for bad in [json!(["10.0.0.1/8"]), json!(["10.0.0.0/33"]), json!("10.0.0.0/8"), json!(vec!["10.0.0.0/8 "; 1])] {
        let answer = world.patch(&path, json!({"constraints": {"addresses": bad}})).await;
        answer.problem(400, "invalid_request");
    }
    let host_bits = json!({"constraints": {"addresses": ["10.0.0.1/8"]}});
    let says = world.patch(&path, host_bits).await.problem(400, "invalid_request");
    assert!(says.contains("such as 10.0.0.0/8"), "{says}");
    let many: Vec<_> = (0..33).map(|n| format!("10.{n}.0.0/16")).collect();
    world.patch(&path, json!({"constraints": {"addresses": many}})).await.problem(400, "invalid_request");
    let root = json!({"name": "edge", "scopes": ["verifier@acme"], "constraints": {"addresses": ["::1"]}});
    let says = world.post("/v1/namespaces/jeton/credentials", root).await.problem(400, "invalid_request");
    assert!(says.contains("take no addresses"), "{says}");
}

#[tokio::test]
async fn how_new_the_evidence_must_be() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, secret) = world.issue("acme", "billing", &[]).await;
    let ask = async |more: serde_json::Value| {
        let mut request = json!({ "token": secret });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.post("/v1/verify", request).await
    };
    let revision = ask(json!({"max_age_ms": 0})).await.expect(StatusCode::OK).json()["revision"].as_u64().unwrap();
    ask(json!({ "at_least_revision": revision })).await.expect(StatusCode::OK);
    let ahead = ask(json!({ "at_least_revision": Revision::LIMIT - 1 })).await;
    assert!(ahead.problem(503, "stale").contains("was demanded"));
    for bad in [
        json!({ "at_least_revision": Revision::LIMIT }),
        json!({ "at_least_revision": -1 }),
        json!({ "max_age_ms": 3_600_001 }),
        json!({ "max_age_ms": -1 }),
        json!({ "max_age_ms": "1s" }),
        json!({ "client_address": "10.0.0.0/8" }),
        json!({ "client_address": "localhost" }),
    ] {
        ask(bad).await.problem(400, "invalid_request");
    }
}
