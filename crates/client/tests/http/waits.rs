//! Waiting for a receipt: over broken connections, and no longer than asked.

use std::time::Duration;

use jeton_api::revocation::{RevokeRequest, SelectorRequest, Wait};
use jeton_client::{Error, Kind};
use jeton_types::{RevocationId, TokenId};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, ok, problem};

const AT: &str = "2026-01-02T03:04:05.678901Z";

fn revocation(state: &str) -> Value {
    json!({
        "id": RevocationId::from_bytes([3; 16]), "namespace": "acme", "effect": "revoke", "revision": 9, "count": 1,
        "tokens": [TokenId::from_bytes([2; 16])], "tokens_omitted": 0, "reason": null, "committed_at": AT,
        "receipt": { "state": state, "completed_at": (state == "complete").then_some(AT), "verifiers": [] },
    })
}

fn request() -> RevokeRequest {
    RevokeRequest {
        selector: SelectorRequest::token_id(TokenId::from_bytes([2; 16])),
        reason: None,
        wait: Wait::Committed,
        timeout_ms: None,
        dry_run: false,
    }
}

#[tokio::test]
async fn a_wait_goes_on_over_broken_connections() {
    let script = [
        // The answer to the revocation itself is lost: asked again under its key it is told.
        Reply::Half,
        ok(&revocation("pending")),
        Reply::Hangup,
        problem(503, "unavailable", "retry-after: 1\r\n"),
        ok(&revocation("pending")),
        ok(&revocation("complete")),
    ];
    let fake = Fake::playing(script).await;
    let namespace = "acme".parse().unwrap();
    let view = fake.client().revoke_and_wait(&namespace, &request(), Duration::from_secs(30)).await.unwrap();
    assert!(view.receipt.is_complete());
    let came = fake.came();
    assert!(came[..2].iter().all(|came| came.line() == "POST /v1/namespaces/acme/revocations"));
    assert!(came[0].body.contains(r#""wait":"complete","timeout_ms":500"#), "{}", came[0].body);
    assert_eq!(came[0].header("idempotency-key"), came[1].header("idempotency-key"));
    let path = format!("GET /v1/revocations/{}", RevocationId::from_bytes([3; 16]));
    assert!(came[2..].iter().all(|came| came.line() == path));
}

/// An authority that is away for longer than a read is tried.
#[tokio::test]
async fn a_wait_outlasts_an_authority_that_is_away() {
    let away = vec![Reply::Hangup; 7];
    let script = [ok(&revocation("pending"))].into_iter().chain(away).chain([ok(&revocation("complete"))]);
    let fake = Fake::playing(script).await;
    let namespace = "acme".parse().unwrap();
    let view = fake.client().revoke_and_wait(&namespace, &request(), Duration::from_secs(30)).await.unwrap();
    assert!(view.receipt.is_complete() && fake.came().len() == 9);
}

#[tokio::test]
async fn a_wait_ends_in_its_time() {
    let fake = Fake::playing(vec![ok(&revocation("pending")); 20]).await;
    let mut seen = 0;
    let view = serde_json::from_value(revocation("pending")).unwrap();
    let view = fake.client().receipt_wait(view, Duration::from_millis(450), |_| seen += 1).await.unwrap();
    assert!(!view.receipt.is_complete());
    assert_eq!((seen, fake.pace.pauses()), (6, vec![100, 100, 100, 100, 50]));
    // Away until the end: that is what is told.
    let fake = Fake::playing(vec![Reply::Hangup; 60]).await;
    let error = fake.client().receipt_wait(view, Duration::from_secs(3), |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[tokio::test]
async fn a_dry_run_is_never_sent_as_a_revocation() {
    let preview = json!({ "dry_run": true, "count": 1, "tokens": [TokenId::from_bytes([2; 16])], "tokens_omitted": 0 });
    let fake = Fake::playing([ok(&preview)]).await;
    let (client, namespace) = (fake.client(), "acme".parse().unwrap());
    let dry = RevokeRequest { dry_run: true, ..request() };
    assert!(matches!(client.revoke(&namespace, &dry).await, Err(Error::Usage(_))));
    assert_eq!(fake.came().len(), 0);
    assert_eq!(client.revoke_preview(&namespace, &request()).await.unwrap().count, 1);
    assert!(fake.came()[0].body.contains(r#""dry_run":true"#));
}

#[tokio::test]
async fn a_receipt_is_its_text() {
    let fake = Fake::playing([Reply::Answer(200, "", "a.b.c\n".to_owned()), problem(409, "receipt_pending", "")]).await;
    let (client, id) = (fake.client(), RevocationId::from_bytes([3; 16]));
    assert_eq!(client.receipt(id).await.unwrap(), "a.b.c");
    assert_eq!(client.receipt(id).await.unwrap_err().code(), Some(jeton_api::problem::Code::ReceiptPending));
    assert_eq!(fake.came()[0].header("accept"), Some("application/jose"));
}
