use http::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

/// What is shown of the use of a credential's one token, once `count` is reached: it is stored within a second or so.
async fn used(world: &World, credential: &str, count: u64) -> Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let shown = world.get(&format!("/v1/credentials/{credential}")).await.expect(StatusCode::OK).json();
        let usage = shown["usage"][0].clone();
        if usage["count"] == count && usage["after_end"]["count"] == (if count == 2 { json!(1) } else { Value::Null }) {
            return usage;
        }
        assert!(std::time::Instant::now() < deadline, "{usage}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_the_authority_sees_itself_counts_too() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let usage = used(&world, &id, 0).await;
    assert_eq!(
        (&usage["first_used_at"], &usage["last_used_at"], &usage["after_end"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(usage["known_until"].is_string(), "no verifier serves it, so all is known: {usage}");
    for _ in 0..2 {
        assert_eq!(world.verdict(&secret).await, "valid");
    }
    let revoke = json!({"selector": {"credential": "acme/billing"}, "wait": "committed"});
    let _ = world.post("/v1/namespaces/acme/revocations", revoke).await;
    let presented = json!({"token": secret, "client_address": "192.0.2.7"});
    let verdict = world.post("/v1/verify", presented).await.expect(StatusCode::OK).json();
    assert_eq!(verdict["code"], "revoked");
    let usage = used(&world, &id, 2).await;
    assert!(usage["first_used_at"].is_string() && usage["last_used_at"].is_string());
    let presenter = &usage["after_end"]["presenters"][0];
    assert_eq!(
        (&presenter["address"], &presenter["verifier"], &presenter["count"]),
        (&json!("192.0.2.7"), &json!("authority"), &json!(1))
    );
    // The same wherever the token is read, and nothing of it where something was changed.
    let token = usage["token_id"].as_str().unwrap();
    let shown = world.get(&format!("/v1/tokens/{token}")).await.expect(StatusCode::OK).json();
    assert_eq!((&shown["usage"]["count"], &shown["usage"]["after_end"]), (&json!(2), &usage["after_end"]));
    let listed = world.get(&format!("/v1/credentials/{id}/tokens")).await.expect(StatusCode::OK).json();
    assert_eq!(listed["items"][0]["usage"]["count"], 2);
}
