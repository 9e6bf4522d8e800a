//! The same authority over the model of a store: what works with the port does not know what is behind it.

use http::StatusCode;
use jeton_client::feed::{TokenSource, Verifier, VerifierConfig};
use jeton_store::Disk;
use jeton_types::Secret;
use jeton_verifier::Required;
use serde_json::json;
use tempfile::TempDir;

use crate::world::{World, text};

const REVOCATIONS: &str = "/v1/namespaces/acme/revocations";

async fn accepted(verifier: &Verifier, token: &str) -> bool {
    verifier.verify(token.as_bytes(), &Required::default(), None).await.valid()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_over_the_model_issues_verifies_and_revokes_with_a_receipt() {
    let disk = Disk::default();
    let world = World::start_over(&disk, TempDir::new().unwrap()).await;
    world.namespace("acme").await;
    let (id, first) = world.issue("acme", "billing", &["orders:read"]).await;
    assert_eq!(world.verdict(&first).await, "valid");

    let (_, edge) = world.issue("jeton", "edge-1", &["verifier@acme"]).await;
    let config = VerifierConfig::new(
        format!("http://{}", world.running.feed_addr),
        TokenSource::Held(Secret::new(edge)),
        "edge-1".parse().unwrap(),
        vec!["acme".parse().unwrap()],
    );
    let verifier = Verifier::start(config).unwrap();
    verifier.wait_ready().await.unwrap();
    assert!(accepted(&verifier, &first).await);

    let rotated = world.post(&format!("/v1/credentials/{id}/rotate"), json!({})).await.expect(StatusCode::CREATED);
    let second = text(&rotated.json()["token"]["secret"]);
    assert!(accepted(&verifier, &second).await, "at first use");
    let body = json!({"selector": {"credential": "acme/billing"}, "reason": "leaked", "wait": "complete"});
    let revoked = world.post(REVOCATIONS, body).await.expect(StatusCode::CREATED).json();
    let receipt = &revoked["receipt"];
    assert_eq!((&receipt["state"], &revoked["count"]), (&json!("complete"), &json!(2)));
    let lines: Vec<(String, String)> =
        receipt["verifiers"].as_array().unwrap().iter().map(|line| (text(&line["id"]), text(&line["state"]))).collect();
    let acked = |id: &str| (id.to_owned(), "acked".to_owned());
    assert_eq!(lines, [acked("authority"), acked("edge-1")]);
    for token in [&first, &second] {
        assert_eq!(world.verdict(token).await, "revoked");
        assert!(!accepted(&verifier, token).await);
    }
    assert!(verifier.leave().await);

    // The model's disk outlives the process.
    let World { running, dir, .. } = world;
    running.shutdown().await;
    let world = World::start_over(&disk, dir).await;
    assert_eq!(world.verdict(&second).await, "revoked");
    let shown = world.get(&format!("/v1/revocations/{}", text(&revoked["id"]))).await.expect(StatusCode::OK);
    assert_eq!(shown.json(), revoked);
}
