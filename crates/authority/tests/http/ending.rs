//! All that ends authority, besides plain revocations of one thing.

use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{Answer, World, text};

const REVOCATIONS: &str = "/v1/namespaces/acme/revocations";

async fn acme() -> World {
    let world = World::start().await;
    world.namespace("acme").await;
    world
}

/// The receipt of what a change ended is complete, signed and says so.
async fn check_receipt(world: &World, changed: &Value, effect: &str, count: u64) {
    let revocation = &changed["revocation"];
    assert_eq!((&revocation["effect"], &revocation["count"]), (&json!(effect), &json!(count)), "{changed}");
    assert_eq!(revocation["revision"], changed["revision"]);
    assert_eq!(revocation["receipt"]["state"], "complete", "{changed}");
    let path = format!("/v1/revocations/{}/receipt", text(&revocation["id"]));
    let request = world.request(&Method::GET, &path, Some(&world.root)).header("accept", "application/jose");
    let signed = world.send(request.body(Full::default()).unwrap()).await.expect(StatusCode::OK);
    let keys: jeton_api::key::JwkSet =
        serde_json::from_value(world.get_open("/.well-known/jwks.json").await.json()).unwrap();
    let payload = jeton_client::receipt::check(&signed.text, &keys).unwrap();
    assert_eq!((payload.effect.as_str(), payload.count), (effect, count));
    assert_eq!(payload.check_evidence(), Ok(()));
}

#[tokio::test]
async fn selectors_and_and_are_tried_out_first() {
    let world = acme().await;
    let issue = async |name: &str, subject: &str, env: &str| {
        let body = json!({"name": name, "subject": subject, "labels": {"env": env}});
        let issued = world.post("/v1/namespaces/acme/credentials", body).await.expect(StatusCode::CREATED).json();
        text(&issued["token"]["secret"])
    };
    let one = issue("one", "svc:x", "prod").await;
    let two = issue("two", "svc:x", "test").await;
    let three = issue("three", "svc:y", "prod").await;
    let selector = json!({"subject": "svc:x", "labels": {"env": "prod"}});
    let body = |dry_run: bool| json!({"selector": selector, "dry_run": dry_run, "wait": "complete"});
    let tried = world.post(REVOCATIONS, body(true)).await.expect(StatusCode::OK).json();
    assert_eq!((&tried["dry_run"], &tried["count"], &tried["tokens_omitted"]), (&json!(true), &json!(1), &json!(0)));
    assert_eq!(tried["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(world.verdict(&one).await, "valid", "nothing was written");
    let done = world.post(REVOCATIONS, body(false)).await.expect(StatusCode::CREATED).json();
    assert_eq!(done["tokens"], tried["tokens"]);
    let verdicts = [world.verdict(&one).await, world.verdict(&two).await, world.verdict(&three).await];
    assert_eq!(verdicts, ["revoked", "valid", "valid"]);
    let again = world.post(REVOCATIONS, body(false)).await.expect(StatusCode::OK).json();
    assert_eq!(again, done, "already ended: its receipt");
    assert_eq!(world.post(REVOCATIONS, body(true)).await.expect(StatusCode::OK).json()["count"], 0);
    let nobody = json!({"selector": {"subject": "svc:none"}});
    world.post(REVOCATIONS, nobody).await.problem(404, "not_found");
    let all = json!({"selector": {"issued_before": "9999-12-31T23:59:59.999999Z"}});
    assert_eq!(world.post(REVOCATIONS, all).await.expect(StatusCode::CREATED).json()["count"], 2);
}

#[tokio::test]
async fn a_disabled_credential_is_refused_until_it_is_enabled() {
    let world = acme().await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let path = format!("/v1/credentials/{id}");
    let off = world.patch(&path, json!({"disabled": true, "wait": "complete"})).await.expect(StatusCode::OK);
    let view = off.json();
    check_receipt(&world, &view, "disable", 1).await;
    assert_eq!(view["credential"]["state"], "disabled");
    assert_eq!(world.verdict(&secret).await, "disabled");
    let again = world.patch(&path, json!({"disabled": true})).await.expect(StatusCode::OK).json();
    assert_eq!(again["revocation"]["id"], view["revocation"]["id"], "already so: its receipt");
    let on = world.patch(&path, json!({"disabled": false})).await.expect(StatusCode::OK).json();
    assert_eq!((&on["revocation"], &on["credential"]["state"]), (&Value::Null, &json!("active")));
    assert_eq!(world.verdict(&secret).await, "valid");
}

#[tokio::test]
async fn a_disabled_namespace_is_one_record() {
    let world = acme().await;
    let (_, one) = world.issue("acme", "one", &[]).await;
    let (_, two) = world.issue("acme", "two", &[]).await;
    let off = world.patch("/v1/namespaces/acme", json!({"disabled": true, "wait": "complete"})).await;
    let view = off.expect(StatusCode::OK).json();
    check_receipt(&world, &view, "disable", 0).await;
    assert!(view["namespace"]["disabled_at"].is_string());
    assert_eq!([world.verdict(&one).await, world.verdict(&two).await], ["disabled", "disabled"]);
    let on = world.patch("/v1/namespaces/acme", json!({"disabled": false})).await.expect(StatusCode::OK).json();
    assert_eq!(on["revocation"], Value::Null);
    assert_eq!([world.verdict(&one).await, world.verdict(&two).await], ["valid", "valid"]);
    let own = world.patch("/v1/namespaces/jeton", json!({"disabled": true})).await.problem(400, "invalid_request");
    assert!(own.contains("cannot be disabled"), "{own}");
}

#[tokio::test]
async fn a_shorter_grace_has_a_receipt_and_a_longer_one_has_none() {
    let world = acme().await;
    let path = "/v1/namespaces/acme";
    let to = |freshness: &str| json!({"freshness": freshness, "wait": "complete"});
    let looser = world.patch(path, to("grace=1h")).await.expect(StatusCode::OK).json();
    assert_eq!((&looser["revocation"], &looser["namespace"]["freshness"]), (&Value::Null, &json!("grace=1h")));
    let tighter = world.patch(path, to("strict")).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&tighter["namespace"]["freshness"], &tighter["namespace"]["revocation_bound_ms"]),
        (&json!("strict"), &json!(7_000))
    );
    check_receipt(&world, &tighter, "tighten", 0).await;
    let ttl = world.patch(path, json!({"default_ttl": "1h"})).await.expect(StatusCode::OK).json();
    assert_eq!((&ttl["revocation"], &ttl["namespace"]["default_ttl"]), (&Value::Null, &json!("1h")));
    let none = world.patch(path, json!({"default_ttl": null})).await.expect(StatusCode::OK).json();
    assert_eq!(none["namespace"]["default_ttl"], Value::Null);
    world.patch(path, json!({"default_ttl": "1s"})).await.problem(400, "invalid_request");
    world.patch("/v1/namespaces/jeton", to("grace=5m")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn scopes_and_time_are_taken_with_a_receipt_and_given_without() {
    let world = acme().await;
    let (id, secret) = world.issue("acme", "billing", &["a", "b"]).await;
    let path = format!("/v1/credentials/{id}");
    let verdict = async |scope: &str| {
        let body = json!({"token": secret, "scopes": [scope]});
        text(&world.post("/v1/verify", body).await.expect(StatusCode::OK).json()["code"])
    };
    let narrowed = world.patch(&path, json!({"scopes": ["a"], "wait": "complete"})).await.expect(StatusCode::OK);
    check_receipt(&world, &narrowed.json(), "narrow", 1).await;
    assert_eq!([verdict("a").await, verdict("b").await], ["valid", "insufficient_scope"]);
    let body = json!({"scopes": ["a", "c"], "labels": {"team": "core"}, "subject": "svc:x", "ttl": "30d"});
    let widened = world.patch(&path, body).await.expect(StatusCode::OK).json();
    assert_eq!(widened["revocation"], Value::Null);
    assert_eq!(widened["credential"]["labels"], json!({"team": "core"}));
    assert_eq!(verdict("c").await, "valid");
    let cleared = world.patch(&path, json!({"subject": null, "ttl": null})).await.expect(StatusCode::OK).json();
    assert_eq!((&cleared["credential"]["subject"], &cleared["credential"]["ttl"]), (&Value::Null, &Value::Null));

    let body = json!({"expires_at": "2999-01-01T00:00:00.000000Z", "wait": "complete"});
    let sooner = world.patch(&path, body.clone()).await.expect(StatusCode::OK);
    check_receipt(&world, &sooner.json(), "expire", 1).await;
    let tokens = world.get(&format!("{path}/tokens")).await.json();
    assert_eq!(tokens["items"][0]["expires_at"], body["expires_at"]);
    for at in ["2999-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000000Z"] {
        world.patch(&path, json!({"expires_at": at})).await.problem(400, "invalid_request");
    }
    let nothing = world.patch(&path, json!({"reason": "none"})).await.problem(400, "invalid_request");
    assert!(nothing.contains("nothing is to be changed"), "{nothing}");
}

#[tokio::test]
async fn a_deleted_credential_stays_deleted() {
    let world = acme().await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let path = format!("/v1/credentials/{id}");
    let deleted = world.delete(&format!("{path}?wait=complete&reason=left+the+company")).await.expect(StatusCode::OK);
    let view = deleted.json();
    check_receipt(&world, &view, "delete", 1).await;
    assert_eq!(view["revocation"]["reason"], "left the company");
    assert_eq!(view["credential"]["state"], "deleted");
    assert_eq!(world.verdict(&secret).await, "revoked");
    let again = world.delete(&path).await.expect(StatusCode::OK).json();
    assert_eq!(again, view);
    assert_eq!(world.get(&path).await.expect(StatusCode::OK).json()["state"], "deleted");
    world.patch(&path, json!({"disabled": false})).await.problem(410, "gone");
    world.post(&format!("{path}/rotate"), json!({})).await.problem(410, "gone");
    let taken = world.post("/v1/namespaces/acme/credentials", json!({"name": "billing"})).await;
    taken.problem(409, "name_taken");
    world.delete(&format!("{path}?wrong=1")).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn who_looked_too_early_changes_nothing() {
    let world = acme().await;
    let (id, _) = world.issue("acme", "billing", &["a", "b"]).await;
    let path = format!("/v1/credentials/{id}");
    let seen = world.get(&path).await.header("etag").to_owned();
    let change = async |method: Method, path: &str, tag: &str, body: Option<Value>| -> Answer {
        let request = world.request(&method, path, Some(&world.root)).header("if-match", tag);
        let request = request.header("content-type", "application/json");
        world.send(request.body(Full::from(body.map(|body| body.to_string()).unwrap_or_default())).unwrap()).await
    };
    let narrow = || Some(json!({"scopes": ["a"]}));
    let done = change(Method::PATCH, &path, &seen, narrow()).await.expect(StatusCode::OK);
    let now = done.header("etag").to_owned();
    assert_ne!(now, seen);
    assert_eq!(world.get(&path).await.header("etag"), now);
    change(Method::PATCH, &path, &seen, Some(json!({"scopes": []}))).await.problem(412, "etag_mismatch");
    change(Method::PATCH, &path, &format!("W/{now}"), Some(json!({"scopes": []}))).await.problem(412, "etag_mismatch");
    change(Method::PATCH, &path, "now", narrow()).await.problem(400, "invalid_request");
    change(Method::DELETE, &path, &seen, None).await.problem(412, "etag_mismatch");
    change(Method::DELETE, &path, &format!("{seen}, {now}"), None).await.expect(StatusCode::OK);
    let namespace = world.get("/v1/namespaces/acme").await.header("etag").to_owned();
    let off = || Some(json!({"disabled": true}));
    change(Method::PATCH, "/v1/namespaces/acme", &seen, off()).await.problem(412, "etag_mismatch");
    change(Method::PATCH, "/v1/namespaces/acme", &namespace, off()).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn credentials_are_listed_by_what_they_are() {
    let world = acme().await;
    for (name, subject, team) in [("one", "svc:x", "core"), ("two", "svc:y", "core"), ("three", "svc:x", "edge")] {
        let body = json!({"name": name, "subject": subject, "labels": {"team": team}});
        world.post("/v1/namespaces/acme/credentials", body).await.expect(StatusCode::CREATED);
    }
    let list = async |query: &str| {
        let list = world.get(&format!("/v1/namespaces/acme/credentials?{query}")).await.expect(StatusCode::OK).json();
        let names = list["items"].as_array().unwrap().iter().map(|item| text(&item["name"]));
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(list("subject=svc:x").await, "one three");
    assert_eq!(list("label=team%3Dcore").await, "one two");
    assert_eq!(list("label=team%3Dcore&subject=svc:x").await, "one");
    assert_eq!(list("name=two&subject=svc:x").await, "");
    assert_eq!(list("state=active").await, "one three two");
    assert_eq!(list("state=deleted").await, "");
    let id = text(&world.get("/v1/namespaces/acme/credentials?name=one").await.json()["items"][0]["id"]);
    world.delete(&format!("/v1/credentials/{id}")).await.expect(StatusCode::OK);
    assert_eq!(list("state=deleted").await, "one");
    for wrong in
        ["state=gone", "label=core", "subject=", "labels=x", "label=a%3D1&label=a%3D2", "state=active&state=active"]
    {
        let answer = world.get(&format!("/v1/namespaces/acme/credentials?{wrong}")).await;
        answer.problem(400, "invalid_request");
    }
    let first = world.get("/v1/namespaces/acme/credentials?subject=svc:x&limit=1").await.json();
    let next = format!("/v1/namespaces/acme/credentials?subject=svc:x&limit=1&after={}", text(&first["next"]));
    let second = world.get(&next).await.json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second["next"], Value::Null);
}

/// What ADR 11 decides of whoever changes his own rights.
#[tokio::test]
async fn ones_own_rights_only_shrink() {
    let world = acme().await;
    world.namespace("other").await;
    let (id, admin) = world.issue("jeton", "acme-admin", &["admin@acme"]).await;
    let path = format!("/v1/credentials/{id}");
    let change = async |body: Value| world.call_as(Some(&admin), &Method::PATCH, &path, Some(body)).await;
    change(json!({"scopes": ["admin@acme", "admin@other"]})).await.problem(403, "forbidden");
    change(json!({"scopes": ["admin@*"]})).await.problem(403, "forbidden");
    change(json!({"scopes": ["nonsense"]})).await.problem(400, "invalid_request");
    change(json!({"scopes": ["admin@acme", "auditor@acme"]})).await.expect(StatusCode::OK);
    // A token that mints tokens mints none that outlives its own right to: what it minted is another's business then.
    change(json!({"scopes": ["auditor@acme"]})).await.expect(StatusCode::OK);
    change(json!({"scopes": ["admin@acme"]})).await.problem(403, "forbidden");
    let body = json!({"name": "x", "scopes": ["auditor@acme"]});
    world.post_as(&admin, "/v1/namespaces/jeton/credentials", body).await.problem(403, "forbidden");
    world.patch(&path, json!({"disabled": true})).await.expect(StatusCode::OK);
    world.get_as(&admin, "/v1/namespaces/acme").await.problem(401, "unauthenticated");
}

/// A request that was let in, and whose sender is revoked while its body is on the way, does nothing; and it does not
/// hold up the receipt of that revocation.
#[tokio::test]
async fn an_administrator_who_is_revoked_in_the_middle_of_a_call_does_nothing() {
    let world = acme().await;
    for (name, end) in [("revoked", "revoke"), ("disabled", "disable"), ("narrowed", "narrow")] {
        let (id, admin) = world.issue("jeton", name, &["admin@*"]).await;
        let body = format!(r#"{{"name":"by-{name}"}}"#);
        let head = format!(
            "POST /v1/namespaces/acme/credentials HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {admin}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(world.running.http_addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n", "the caller was let in");
        let path = format!("/v1/credentials/{id}");
        let ended = match end {
            "revoke" => {
                let body = json!({"selector": {"credential": id}, "wait": "complete"});
                world.post("/v1/namespaces/jeton/revocations", body).await.expect(StatusCode::CREATED).json()
            }
            "disable" => {
                world.patch(&path, json!({"disabled": true, "wait": "complete"})).await.json()["revocation"].clone()
            }
            _ => world.patch(&path, json!({"scopes": [], "wait": "complete"})).await.json()["revocation"].clone(),
        };
        assert_eq!(ended["receipt"]["state"], "complete", "{ended}");
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = if end == "narrow" { "HTTP/1.1 403" } else { "HTTP/1.1 401" };
        assert!(answer.starts_with(status), "{end}: {answer}");
    }
    let list = world.get("/v1/namespaces/acme/credentials").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"], json!([]));
}
