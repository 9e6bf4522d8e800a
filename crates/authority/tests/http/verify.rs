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
