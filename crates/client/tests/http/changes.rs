//! Changes: under a key, tried again by the rules, told apart where it matters.

use std::time::Duration;

use jeton_api::{
    credential::{CredentialPatch, IssueRequest, IssuedView},
    problem::Code,
    revocation::BurnRequest,
};
use jeton_client::{Change, Client, Error, Kind, retry::Retry};
use jeton_types::{CredentialId, Revision};
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, admin_token, ok, problem};

pub(crate) fn issued() -> Value {
    json!({
        "credential": {
            "id": CredentialId::from_bytes([1; 16]), "namespace": "acme", "name": "billing", "subject": null, "scopes": [],
            "labels": {}, "ttl": null, "constraints": { "addresses": [] }, "created_at": "2026-01-02T03:04:05.678901Z", "revision": 9, "state": "active",
            "disabled_at": null, "deleted_at": null,
        },
        "token": {
            "id": "tok_01h455vb4pex5vsknk084sn02q", "version": 1, "secret": "acme_live_x", "hint": "acme_live_…x",
            "stage": "current", "state": "active", "issued_at": "2026-01-02T03:04:05.678901Z", "expires_at": null,
        },
        "revision": 9,
    })
}

fn request() -> IssueRequest {
    serde_json::from_value(json!({ "name": "billing" })).unwrap()
}

fn issue(client: &Client) -> Change<'_, IssuedView> {
    client.issue(&"acme".parse().unwrap(), &request())
}

const KEY: &str = "jeton-00000000000000000000000000000001";

/// What is tried again: the request is the same each time, its key too.
async fn again(script: Vec<Reply>, pauses: &[u128]) {
    let tries = script.len() + 1;
    let fake = Fake::playing(script.clone().into_iter().chain([ok(&issued())])).await;
    let view = issue(&fake.client()).await.unwrap_or_else(|error| panic!("{script:?}: {error}"));
    assert_eq!(view.token.secret.0.expose(), "acme_live_x");
    assert_eq!(fake.headers("idempotency-key"), vec![Some(KEY.to_owned()); tries], "{script:?}");
    assert_eq!(fake.pace.pauses(), pauses, "{script:?}");
    let came = fake.came();
    assert!(came.iter().all(|came| came.body == r#"{"name":"billing"}"#));
    assert_eq!(came[0].line(), "POST /v1/namespaces/acme/credentials");
}

#[tokio::test]
async fn what_is_tried_again() {
    again(vec![], &[]).await;
    again(vec![Reply::Hangup], &[50]).await;
    again(vec![Reply::Half], &[50]).await;
    again(vec![Reply::Hangup, Reply::Half, Reply::Hangup], &[50, 100, 200]).await;
    again(vec![problem(503, "unavailable", "retry-after: 2\r\n")], &[2_050]).await;
    again(vec![problem(503, "storage_full", "retry-after: 1\r\n"); 2], &[1_050, 1_100]).await;
    again(vec![problem(429, "too_many", "retry-after: 1\r\n")], &[1_050]).await;
    again(vec![problem(503, "unavailable", "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n")], &[50]).await;
    again(vec![problem(409, "key_running", "")], &[50]).await;
    again(vec![Reply::Answer(502, "", "<html>".to_owned())], &[50]).await;
    again(vec![Reply::Answer(503, "retry-after: 3\r\n", String::new())], &[3_050]).await;
}

/// What is the answer at once.
async fn once(reply: Reply) -> Error {
    let fake = Fake::playing([reply]).await;
    let error = issue(&fake.client()).await.unwrap_err();
    assert_eq!((fake.came().len(), fake.pace.pauses().len()), (1, 0), "{error}");
    error
}

#[tokio::test]
async fn what_is_not_tried_again() {
    for code in Code::ALL {
        let again = [Code::KeyRunning, Code::TooMany, Code::StorageFull, Code::Stale, Code::Unavailable];
        if again.contains(code) {
            continue;
        }
        let error = once(problem(code.status(), code.as_str(), "retry-after: 1\r\n")).await;
        assert_eq!((error.code(), error.kind()), (Some(*code), Kind::from(code.exit())), "{code}");
        assert_eq!(matches!(error, Error::SecretUnavailable(_)), *code == Code::SecretUnavailable, "{code}");
        assert_eq!(matches!(error, Error::Unsettled { .. }), *code == Code::Internal, "{code}");
    }
    assert!(matches!(once(problem(422, "key_reused", "")).await, Error::Problem(_)));
}

#[tokio::test]
async fn tries_end_and_what_is_not_known_is_said() {
    let fake = Fake::playing(vec![Reply::Hangup; 9]).await;
    let error = issue(&fake.client()).await.unwrap_err();
    let Error::Unsettled { key, cause } = &error else { panic!("{error:?}") };
    assert_eq!((key.as_str(), fake.came().len()), (KEY, 5));
    assert!(matches!(**cause, Error::Unreachable(_)) && error.kind() == Kind::Unreachable);
    assert!(error.to_string().ends_with("whether it was done is not known"), "{error}");
    // Nothing was sent, so nothing was done.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::builder(format!("http://{nobody}")).retry(Retry::NEVER).build().unwrap();
    assert!(matches!(issue(&client).await, Err(Error::Unreachable(_))));
    // A refusal settles it: under the same key what had been done would have been answered.
    let fake = Fake::playing([Reply::Hangup, problem(409, "name_taken", "")]).await;
    assert!(matches!(issue(&fake.client()).await, Err(Error::Problem(_))));
}

#[tokio::test]
async fn the_deadline_bounds_all_tries() {
    let full = || problem(503, "storage_full", "retry-after: 1\r\n");
    let fake = Fake::playing(vec![full(); 9]).await;
    let client = fake.client().with_deadline(Duration::from_millis(2_500));
    let error = issue(&client).await.unwrap_err();
    assert_eq!((error.code(), fake.pace.pauses()), (Some(Code::StorageFull), vec![1_050, 1_100]));
    // As long as it is being made, however often that is said.
    let fake = Fake::playing(vec![problem(409, "key_running", ""); 60]).await;
    let error = issue(&fake.client()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::KeyRunning));
    let waited: u128 = fake.pace.pauses().iter().sum();
    assert!((29_000..30_000).contains(&waited) && matches!(error, Error::Unsettled { .. }), "{waited}");
}

#[tokio::test]
async fn a_try_that_is_not_answered_is_broken_off() {
    let fake = Fake::playing([Reply::Silence, ok(&issued())]).await;
    let client = fake.builder().try_timeout(Duration::from_millis(200)).build().unwrap();
    assert!(issue(&client).await.is_ok());
    assert_eq!(fake.headers("idempotency-key"), vec![Some(KEY.to_owned()); 2]);
}

#[tokio::test]
async fn each_change_has_its_own_key_or_the_one_given() {
    let fake = Fake::playing(vec![ok(&issued()); 3]).await;
    let client = fake.client();
    issue(&client).await.unwrap();
    issue(&client).await.unwrap();
    issue(&client).key("job-7".parse().unwrap()).await.unwrap();
    let keys: Vec<String> = fake.headers("idempotency-key").into_iter().flatten().collect();
    assert_eq!(keys, [KEY, &format!("{}2", &KEY[..KEY.len() - 1]), "job-7"]);
}

#[tokio::test]
async fn the_state_that_is_meant_travels_along() {
    let changed = json!({ "credential": issued()["credential"], "revision": 9, "revocation": null });
    let fake = Fake::playing([ok(&changed), problem(412, "etag_mismatch", "")]).await;
    let client = fake.client();
    let patch = CredentialPatch { disabled: Some(true), ..CredentialPatch::default() };
    let id = CredentialId::from_bytes([1; 16]);
    client.credential_update(id, &patch).if_match(Revision::new(7).unwrap()).await.unwrap();
    let error =
        client.credential_delete(id, &Default::default()).if_match(Revision::new(7).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::EtagMismatch));
    assert_eq!(fake.headers("if-match"), vec![Some("\"7\"".to_owned()); 2]);
    let lines: Vec<String> = fake.came().iter().map(|came| came.line().to_owned()).collect();
    assert_eq!(lines, [format!("PATCH /v1/credentials/{id}"), format!("DELETE /v1/credentials/{id}")]);
}

#[tokio::test]
async fn a_burn_needs_no_token_and_has_a_key() {
    let fake = Fake::playing([Reply::Hangup, ok(&json!({ "accepted": true }))]).await;
    let client = Client::builder(&fake.url).build().unwrap();
    let view = client.burn(&BurnRequest { token: admin_token(1).into(), reason: None }).await.unwrap();
    assert!(view.accepted);
    assert_eq!(fake.headers("authorization"), [None, None]);
    let keys = fake.headers("idempotency-key");
    assert!(keys[0].is_some() && keys[0] == keys[1]);
}
