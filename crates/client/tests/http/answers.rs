//! Reads: what is an answer, and what is none.

use std::time::Duration;

use jeton_api::verify::VerifyRequest;
use jeton_client::{Client, Error, Kind, retry::Retry};
use jeton_types::ScopeSet;
use serde_json::json;

use crate::fake::{Fake, Reply, admin_token, ok, problem};

#[tokio::test]
async fn a_read_carries_the_token_and_is_tried_again() {
    let fake = Fake::playing([Reply::Half, problem(503, "unavailable", ""), ok(&json!({ "keys": [] }))]).await;
    assert!(fake.client().keys().await.unwrap().keys.is_empty());
    let bearer = format!("Bearer {}", admin_token(7).expose());
    assert_eq!(fake.headers("authorization"), vec![Some(bearer); 3]);
    assert_eq!(fake.headers("idempotency-key"), [None, None, None]);
    assert_eq!(fake.came()[0].line(), "GET /.well-known/jwks.json");
}

async fn failure(reply: Reply) -> Error {
    Fake::playing([reply]).await.client().with_retry(Retry::NEVER).keys().await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_answer_is_bad_and_says_so() {
    for (reply, why) in [
        (Reply::Answer(307, "location: http://198.51.100.1/\r\n", String::new()), "redirects to http://198.51.100.1/"),
        (Reply::Answer(200, "", " ".repeat(9 * 1024 * 1024)), "longer than"),
        (Reply::Answer(200, "", "<html>".to_owned()), "not what was asked for"),
        (Reply::Answer(500, "", "<html>".to_owned()), "is it an authority?"),
    ] {
        let error = failure(reply).await;
        assert!(matches!(error, Error::Bad(_)) && error.to_string().contains(why), "{error:?}");
        assert_eq!(error.kind(), Kind::Internal);
    }
    let error = failure(Reply::Answer(502, "", "<html>".to_owned())).await;
    assert!(matches!(error, Error::Unreachable(_)) && error.to_string().contains("502"), "{error:?}");
    let error = failure(problem(404, "not_found", "")).await;
    assert_eq!((error.to_string().as_str(), error.kind()), ("about not_found", Kind::Refused));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let fake = Fake::playing([Reply::Silence]).await;
    let hurried = fake.client().with_retry(Retry::NEVER).with_deadline(Duration::from_millis(20));
    let error = hurried.keys().await.unwrap_err();
    assert!(error.kind() == Kind::Unreachable && error.to_string().contains("within 20ms"), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Client::builder(format!("http://{free}")).retry(Retry::NEVER).build().unwrap();
    let error = nobody.keys().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot reach http://{free}: ")), "{error}");
    assert!(!nobody.ready().await);
}

/// A verdict is about now: what cannot be said now is the answer. A connection that broke is none.
#[tokio::test]
async fn a_verdict_that_cannot_be_given_is_not_asked_for_again() {
    let request = VerifyRequest {
        token: admin_token(1).into(),
        scopes: ScopeSet::default(),
        client_address: None,
        at_least_revision: None,
        max_age_ms: None,
    };
    for reply in [problem(503, "stale", "retry-after: 1\r\n"), problem(429, "too_many", "retry-after: 1\r\n")] {
        let fake = Fake::playing([Reply::Hangup, reply]).await;
        let error = fake.client().verify(&request).await.unwrap_err();
        assert_eq!((error.kind(), fake.pace.pauses()), (Kind::Unreachable, vec![50]));
    }
}
