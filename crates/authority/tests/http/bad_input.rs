use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::world::World;

/// Sends `body` to a route and expects a problem whose detail has `says` in it.
async fn check(world: &World, path: &str, body: impl ToString, status: u16, code: &str, says: &str) {
    let body = body.to_string();
    let detail = world.post(path, &body).await.problem(status, code);
    assert!(detail.contains(says), "{path} {body:.200}: {detail}");
}

#[tokio::test]
async fn bodies_that_do_not_fit() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let (namespaces, verify) = ("/v1/namespaces", "/v1/verify");
    let (credentials, revocations) = ("/v1/namespaces/acme/credentials", "/v1/namespaces/acme/revocations");
    let rotate = format!("/v1/credentials/{id}/rotate");
    let revoke = json!({"credential": "acme/billing"});
    let bad = "invalid_request";
    // A token where none belongs is refused before it could be kept, and what is nearly one is not repeated.
    let (pasted, typo) = (format!("leaked: {secret}"), secret.replace("acme_", "acme_x"));
    let belongs = "a token stands where none belongs";
    for (path, body) in [
        (namespaces, json!({"name": "x", "prefix": "xx", "color": secret})),
        (credentials, json!({"name": secret})),
        (credentials, json!({"name": "x", "labels": {"token": pasted}})),
        (rotate.as_str(), json!({"overlap": secret})),
        (revocations, json!({"selector": {"secret": secret}, "reason": pasted})),
        (revocations, json!({"selector": {"subject": secret}})),
        ("/v1/burn", json!({"token": secret, "reason": pasted})),
    ] {
        check(&world, path, body.to_string(), 400, bad, belongs).await;
    }
    check(&world, credentials, json!({"name": "x", typo.as_str(): 1}).to_string(), 400, bad, "unknown field `acme_…`")
        .await;
    let query = world.get(&format!("/v1/audit?namespace={secret}")).await.expect(StatusCode::BAD_REQUEST);
    assert!(query.json()["detail"].as_str().is_some_and(|detail| detail.contains(belongs)));

    for (path, body, says) in [
        (namespaces, String::new(), "empty"),
        (namespaces, "{".to_owned(), "does not fit"),
        (namespaces, "[]".to_owned(), "does not fit"),
        (namespaces, r#"{"name": "x", "prefix": "xx"} {}"#.to_owned(), "trailing"),
        (namespaces, r#"{"name": "x", "name": "y", "prefix": "xx"}"#.to_owned(), "duplicate field `name`"),
        (namespaces, r#"{"name": "x", "prefix": "xx", "color": "red"}"#.to_owned(), "unknown field `color`"),
        (namespaces, r#"{"name": "x"}"#.to_owned(), "missing field `prefix`"),
        (namespaces, r#"{"name": 7, "prefix": "xx"}"#.to_owned(), "invalid type"),
        (namespaces, r#"{"name": "Acme!", "prefix": "xx"}"#.to_owned(), "a namespace is 1 to 63 characters"),
        (namespaces, r#"{"name": "x", "prefix": "X"}"#.to_owned(), "a prefix is 2 to 24 characters"),
        (namespaces, r#"{"name": "x", "prefix": "xx", "freshness": "2h"}"#.to_owned(), "freshness is"),
        (namespaces, r#"{"name": "x", "prefix": "xx", "freshness": "grace=2h"}"#.to_owned(), "freshness is"),
        (namespaces, r#"{"name": "x", "prefix": "xx", "default_ttl": "9s"}"#.to_owned(), "10s"),
        (credentials, r#"{"name": "a/b"}"#.to_owned(), "a credential's name is"),
        (credentials, r#"{"name": "x", "scopes": "all"}"#.to_owned(), "invalid type"),
        (credentials, r#"{"name": "x", "scopes": ["two words"]}"#.to_owned(), "a scope is"),
        (credentials, r#"{"name": "x", "ttl": "9s"}"#.to_owned(), "10s"),
        (credentials, r#"{"name": "x", "ttl": "-1s"}"#.to_owned(), "a duration is written like"),
        (credentials, r#"{"name": "x", "ttl": 60}"#.to_owned(), "invalid type"),
        (credentials, r#"{"name": "x", "labels": {"a b": "c"}}"#.to_owned(), "a label is"),
        (credentials, r#"{"name": "x", "constraints": {"x": 1}}"#.to_owned(), "unknown field `x`"),
        (rotate.as_str(), r#"{"overlap": "9s"}"#.to_owned(), "10s"),
        (revocations, "{}".to_owned(), "missing field `selector`"),
        (revocations, json!({"selector": {}}).to_string(), "the selector is empty"),
        (revocations, json!({"selector": {"labels": {}}}).to_string(), "the selector is empty"),
        (revocations, json!({"selector": {"credential": "acme/a", "secret": "x"}}).to_string(), "not a token"),
        (revocations, json!({"selector": {"issued_before": "now"}}).to_string(), "a moment is written like"),
        (revocations, json!({"selector": {"credential": "acme"}}).to_string(), "a credential is named"),
        (revocations, json!({"selector": {"secret": "x"}}).to_string(), "not a token"),
        (revocations, json!({"selector": revoke, "wait": "ever"}).to_string(), "unknown variant"),
        (revocations, json!({"selector": revoke, "timeout_ms": 600_001}).to_string(), "at most 600000"),
        (revocations, json!({"selector": revoke, "reason": "two\nlines"}).to_string(), "a reason is"),
        (verify, json!(["x"]).to_string(), "send a JSON object"),
        (verify, json!({"token": 7}).to_string(), "a secret is a string"),
        (verify, json!({"token": "x", "max_age_s": 7}).to_string(), "unknown field `max_age_s`"),
    ] {
        check(&world, path, body, 400, bad, says).await;
    }
    assert_eq!(world.verdict(&secret).await, "valid", "nothing was changed");
}

#[tokio::test]
async fn names_and_prefixes_come_once() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.issue("acme", "billing", &[]).await;
    check(&world, "/v1/namespaces", json!({"name": "acme", "prefix": "new"}), 409, "name_taken", "taken").await;
    check(&world, "/v1/namespaces", json!({"name": "new", "prefix": "acme"}), 409, "prefix_taken", "taken").await;
    check(&world, "/v1/namespaces", json!({"name": "new", "prefix": "jtn"}), 409, "prefix_taken", "taken").await;
    check(&world, "/v1/namespaces", json!({"name": "jeton", "prefix": "new"}), 409, "name_taken", "taken").await;
    let path = "/v1/namespaces/acme/credentials";
    check(&world, path, json!({"name": "billing"}), 409, "name_taken", "taken").await;
}

#[tokio::test]
async fn scopes_of_the_built_in_namespace_are_roles() {
    let world = World::start().await;
    let path = "/v1/namespaces/jeton/credentials";
    for scope in ["orders:read", "root@*", "admin", "admin@", "admin@Acme!"] {
        check(&world, path, json!({"name": "x", "scopes": [scope]}), 400, "invalid_request", "is no role").await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::start().await;
    world.namespace("acme").await;
    for (path, says) in [
        ("/v1/namespaces/nobody", "no such namespace"),
        ("/v1/namespaces/Nobody!", "a namespace is 1 to 63 characters"),
        ("/v1/namespaces/nobody/credentials", "no such namespace"),
        ("/v1/credentials/cred_01h455vb4pex5vsknk084sn02q", "no such credential"),
        ("/v1/credentials/billing", "a credential id is `cred_`"),
        ("/v1/credentials/cred_01h455vb4pex5vsknk084sn02q/tokens", "no such credential"),
        ("/v1/tokens/tok_01h455vb4pex5vsknk084sn02q", "no such token"),
        ("/v1/revocations/rev_01h455vb4pex5vsknk084sn02q", "no such revocation"),
        ("/v1/revocations/rev_01h455vb4pex5vsknk084sn02q/receipt", "no such revocation"),
        ("/v1/revocations/%ff/receipt", ""),
    ] {
        let detail = world.get(path).await.problem(404, "not_found");
        assert!(detail.contains(says), "{path}: {detail}");
    }
    let nobody = "/v1/namespaces/nobody/credentials";
    check(&world, nobody, json!({"name": "x"}), 404, "not_found", "namespace").await;
    let revocations = "/v1/namespaces/acme/revocations";
    for selector in [
        json!({"credential": "acme/nobody"}),
        json!({"credential": "cred_01h455vb4pex5vsknk084sn02q"}),
        json!({"token_id": "tok_01h455vb4pex5vsknk084sn02q"}),
    ] {
        check(&world, revocations, json!({"selector": selector}), 404, "not_found", "").await;
    }
    // What is there, but in another namespace, is not there.
    world.namespace("other").await;
    let (id, secret) = world.issue("other", "billing", &[]).await;
    for selector in [json!({"credential": "other/billing"}), json!({"credential": id}), json!({"secret": secret})] {
        check(&world, revocations, json!({"selector": selector}), 404, "not_found", "").await;
    }
    let borrowed = secret.replacen("other_", "acme_", 1);
    check(&world, revocations, json!({"selector": {"secret": borrowed}}), 404, "not_found", "").await;
    assert_eq!(world.verdict(&secret).await, "valid");
}

#[tokio::test]
async fn queries_that_do_not_fit() {
    let world = World::start().await;
    for path in [
        "/v1/namespaces?limit=0",
        "/v1/namespaces?limit=1001",
        "/v1/namespaces?limit=many",
        "/v1/namespaces?after=Not!a!name",
        "/v1/namespaces?color=red",
        "/v1/revocations?after=rev_1",
        "/v1/revocations?namespace=Acme!",
        "/v1/namespaces/jeton/credentials?after=tok_01h455vb4pex5vsknk084sn02q",
        "/v1/namespaces/jeton/credentials?name=a/b",
        "/v1/verifiers?limit=1&limit=2",
    ] {
        world.get(path).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn bodies_of_another_kind_or_size() {
    let world = World::start().await;
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")]
    {
        let mut request = world.request(&Method::POST, "/v1/verify", Some(&world.root));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = world.send(request.body(Full::from("{\"token\": \"x\"}")).unwrap()).await;
        answer.problem(415, "unsupported_media_type");
    }
    let request = world.request(&Method::POST, "/v1/verify", Some(&world.root));
    let request = request.header("content-type", "Application/JSON; charset=utf-8");
    world.send(request.body(Full::from("{\"token\": \"x\"}")).unwrap()).await.expect(StatusCode::OK);

    let large = json!({"token": "a".repeat(70_000)});
    world.post("/v1/verify", large).await.problem(413, "too_large");
    let long = format!("/v1/namespaces?after={}", "a".repeat(9_000));
    world.get(&long).await.problem(414, "uri_too_long");
}
