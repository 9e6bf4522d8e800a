use http::{Method, StatusCode};
use http_body_util::Full;
use jeton_types::{Revision, token::mint};
use serde_json::json;

use crate::world::{World, text};

/// Every route that wants a token, with a body that would do for it.
const ROUTES: [(Method, &str); 22] = [
    (Method::GET, "/v1/namespaces"),
    (Method::POST, "/v1/namespaces"),
    (Method::GET, "/v1/namespaces/acme"),
    (Method::PATCH, "/v1/namespaces/acme"),
    (Method::GET, "/v1/namespaces/acme/credentials"),
    (Method::POST, "/v1/namespaces/acme/credentials"),
    (Method::POST, "/v1/namespaces/acme/revocations"),
    (Method::GET, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q"),
    (Method::PATCH, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q"),
    (Method::DELETE, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q"),
    (Method::POST, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q/rotate"),
    (Method::GET, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q/tokens"),
    (Method::GET, "/v1/tokens/tok_01h455vb4pex5vsknk084sn02q"),
    (Method::GET, "/v1/revocations"),
    (Method::GET, "/v1/revocations/rev_01h455vb4pex5vsknk084sn02q"),
    (Method::GET, "/v1/revocations/rev_01h455vb4pex5vsknk084sn02q/receipt"),
    (Method::POST, "/v1/verify"),
    (Method::GET, "/v1/verifiers"),
    (Method::GET, "/v1/audit"),
    (Method::GET, "/v1/audit/head"),
    (Method::GET, "/metrics"),
    (Method::HEAD, "/metrics"),
];

#[tokio::test]
async fn nobody_gets_past_any_route_without_a_good_token() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, foreign) = world.issue("acme", "billing", &[]).await;
    let (_, revoked) = world.issue("jeton", "gone", &["admin@*"]).await;
    let body = json!({"selector": {"secret": revoked}});
    world.post("/v1/namespaces/jeton/revocations", body).await.expect(StatusCode::CREATED);
    let expired =
        world.post("/v1/namespaces/jeton/credentials", json!({"name": "old", "scopes": ["admin@*"], "ttl": "10s"}));
    let expired = text(&expired.await.expect(StatusCode::CREATED).json()["token"]["secret"]);
    world.clock.advance(std::time::Duration::from_secs(10));
    let made_up = mint(&"jtn".parse().unwrap(), Revision::new(7).unwrap(), [7; 24]).text.expose().clone();
    let borrowed = format!("jtn_{}", foreign.strip_prefix("acme_").unwrap());
    let headers = [
        ("none", vec![]),
        ("another scheme", vec![format!("Basic {}", world.root)]),
        ("no scheme", vec![world.root.clone()]),
        ("words", vec!["Bearer hello".to_owned()]),
        ("nothing after the scheme", vec!["Bearer ".to_owned()]),
        ("two", vec![format!("Bearer {}", world.root), format!("Bearer {}", world.root)]),
        ("never issued", vec![format!("Bearer {made_up}")]),
        ("of another namespace", vec![format!("Bearer {foreign}")]),
        ("of another namespace, with our prefix", vec![format!("Bearer {borrowed}")]),
        ("revoked", vec![format!("Bearer {revoked}")]),
        ("expired", vec![format!("Bearer {expired}")]),
    ];
    for (method, path) in ROUTES {
        let mut details = Vec::new();
        for (what, values) in &headers {
            let mut request = world.request(&method, path, None).header("content-type", "application/json");
            for value in values {
                request = request.header("authorization", value);
            }
            let answer = world.send(request.body(Full::from("{}")).unwrap()).await;
            assert_eq!(answer.status, 401, "{method} {path}, {what}: {}", answer.text);
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"jeton\"", "{method} {path}, {what}");
            if method != Method::HEAD {
                details.push(answer.problem(401, "unauthenticated"));
            }
        }
        details.dedup();
        assert!(details.len() <= 1, "the answer says why: {details:?}");
    }
}

#[tokio::test]
async fn the_scheme_is_spelled_as_one_likes() {
    let world = World::start().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = world.request(&Method::GET, "/v1/namespaces", None);
        let request = request.header("authorization", format!("{scheme} {}", world.root));
        world.send(request.body(Full::default()).unwrap()).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_refusal_says_which_scope_would_do() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, auditor) = world.issue("jeton", "auditor", &["auditor@acme"]).await;
    let answer = world.post_as(&auditor, "/v1/namespaces/acme/credentials", json!({"name": "x"})).await;
    assert_eq!(answer.problem(403, "forbidden"), "this needs issuer@acme or admin@acme");
}

#[tokio::test]
async fn one_hands_out_only_what_one_has() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (_, admin) = world.issue("jeton", "acme-admin", &["admin@acme"]).await;
    let path = "/v1/namespaces/jeton/credentials";
    let issue = |name: &str, scope: &str| json!({"name": name, "scopes": [scope]});
    world.post_as(&admin, path, issue("edge-1", "verifier@acme")).await.expect(StatusCode::CREATED);
    world.post_as(&admin, path, issue("edge-2", "verifier@*")).await.problem(403, "forbidden");
    world.post_as(&admin, path, issue("edge-3", "verifier@other")).await.problem(403, "forbidden");
    let body = json!({"selector": {"credential": "jeton/root"}});
    world.post_as(&admin, "/v1/namespaces/jeton/revocations", body).await.problem(403, "forbidden");
    let body = json!({"selector": {"credential": "jeton/edge-1"}});
    world.post_as(&admin, "/v1/namespaces/jeton/revocations", body).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_that_revokes_itself_is_refused_from_then_on() {
    let world = World::start().await;
    let (_, second) = world.issue("jeton", "second", &["admin@*"]).await;
    let body = json!({"selector": {"credential": "jeton/second"}, "wait": "complete"});
    let answer = world.post_as(&second, "/v1/namespaces/jeton/revocations", body).await.expect(StatusCode::CREATED);
    assert_eq!(answer.json()["receipt"]["state"], "complete");
    world.get_as(&second, "/v1/namespaces").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn things_of_other_namespaces_do_not_exist() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    let (id, _) = world.issue("acme", "billing", &[]).await;
    let (_, admin) = world.issue("jeton", "other-admin", &["admin@other"]).await;
    let theirs = world.get_as(&admin, &format!("/v1/credentials/{id}")).await;
    let nobodys = world.get_as(&admin, "/v1/credentials/cred_01h455vb4pex5vsknk084sn02q").await;
    theirs.problem(404, "not_found");
    assert_eq!(theirs.text, nobodys.text);
    let list = world.get_as(&admin, "/v1/namespaces").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["name"], "other");
}
