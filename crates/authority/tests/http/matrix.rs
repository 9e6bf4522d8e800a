//! Who may do what: every route times every role times where the thing is, as a golden file.
//!
//! The routes are those of the OpenAPI document, which another test compares with the router. A route without a row in
//! the golden file, or one that this file knows no call for, fails here.

use http::{Method, StatusCode};
use jeton_api::openapi;
use serde_json::{Value, json};

use crate::world::{World, text};

/// Whoever calls, by the one scope of his token; the first has no token.
const CALLERS: [&str; 16] = [
    "nobody",
    "admin@*",
    "admin@acme",
    "admin@other",
    "admin@jeton",
    "issuer@*",
    "issuer@acme",
    "revoker@*",
    "revoker@acme",
    "auditor@*",
    "auditor@acme",
    "verifier@*",
    "verifier@acme",
    "agent@*",
    "agent@acme",
    "no scope",
];
const NAMESPACES: [&str; 3] = ["acme", "other", "jeton"];

/// One call of a route, of several if the body decides what it is.
struct Call {
    method: Method,
    route: String,
    /// What the call does, where the route alone does not say it.
    what: &'static str,
}

/// Every call of every route, in the order of the document.
fn calls() -> Vec<Call> {
    let document = openapi::document();
    let mut calls = Vec::new();
    for (route, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let whats: &[&'static str] = match (method.as_str(), route.as_str()) {
                ("patch", "/v1/namespaces/{ns}") => &["disable", "enable", "freshness"],
                ("patch", "/v1/credentials/{id}") => {
                    &["disable", "enable", "narrow", "widen", "swap", "expire", "label"]
                }
                ("post", "/v1/namespaces/{ns}/revocations") => &["revoke", "dry_run"],
                _ => &[""],
            };
            for what in whats {
                let method = method.to_uppercase().parse().unwrap();
                calls.push(Call { method, route: route.clone(), what });
            }
        }
    }
    calls
}

/// Something to be changed, made anew for each call, so that no call finds what another left.
struct Target {
    namespace: &'static str,
    name: String,
    id: String,
    secret: String,
}

async fn target(world: &World, namespace: &'static str, serial: usize) -> Target {
    let name = format!("target-{serial}");
    let (id, secret) = world.issue(namespace, &name, scopes(namespace, &["verifier", "agent"]).as_slice()).await;
    Target { namespace, name, id, secret }
}

/// In the built-in namespace a scope is a role.
fn scopes(namespace: &str, names: &[&'static str]) -> Vec<&'static str> {
    let role = |name: &&'static str| if *name == "verifier" { "verifier@acme" } else { "agent@acme" };
    if namespace == "jeton" { names.iter().map(role).collect() } else { names.to_vec() }
}

/// What is sent, after all is as the call wants it. Nothing for a call that this file does not know.
async fn prepare(world: &World, call: &Call, target: &Target, serial: usize) -> Option<(String, Option<Value>)> {
    let Target { namespace, name, id, secret } = target;
    let credential = format!("/v1/credentials/{id}");
    let path = match call.route.as_str() {
        route if route.contains("/tokens/{id}") => {
            let tokens = world.get(&format!("{credential}/tokens")).await.json();
            route.replace("{id}", &text(&tokens["items"][0]["id"]))
        }
        route if route.contains("/revocations/{id}") => {
            let body = json!({"selector": {"credential": id}, "wait": "complete"});
            let revoked = world.post(&format!("/v1/namespaces/{namespace}/revocations"), body).await.json();
            route.replace("{id}", &text(&revoked["id"]))
        }
        route => route.replace("{id}", id).replace("{ns}", namespace),
    };
    let both = scopes(namespace, &["verifier", "agent"]);
    let one = scopes(namespace, &["verifier"]);
    let other = scopes(namespace, &["agent"]);
    if call.route == "/v1/namespaces/{ns}" {
        // Whatever the call before it left.
        let disabled = call.what == "enable";
        world.patch(&path, json!({ "disabled": disabled })).await;
    }
    let body = match (call.method.as_str(), call.route.as_str(), call.what) {
        ("GET", ..) | ("DELETE", "/v1/credentials/{id}", _) => None,
        ("POST", "/v1/namespaces", _) => Some(json!({"name": format!("n{serial}"), "prefix": format!("n{serial}")})),
        ("PATCH", "/v1/namespaces/{ns}", "freshness") => Some(json!({"freshness": "strict"})),
        ("PATCH", "/v1/namespaces/{ns}", what) => Some(json!({"disabled": what == "disable"})),
        ("POST", "/v1/namespaces/{ns}/credentials", _) => Some(json!({"name": format!("new-{serial}"), "scopes": one})),
        ("POST", "/v1/namespaces/{ns}/revocations", what) => {
            Some(json!({"selector": {"credential": format!("{namespace}/{name}")}, "dry_run": what == "dry_run"}))
        }
        ("PATCH", "/v1/credentials/{id}", what) => Some(match what {
            "disable" => json!({"disabled": true}),
            "enable" => {
                world.patch(&credential, json!({"disabled": true})).await;
                json!({"disabled": false})
            }
            "narrow" => json!({"scopes": one}),
            "widen" => {
                world.patch(&credential, json!({"scopes": one})).await;
                json!({"scopes": both})
            }
            "swap" => {
                world.patch(&credential, json!({"scopes": one})).await;
                json!({"scopes": other})
            }
            "expire" => json!({"expires_at": "2999-01-01T00:00:00.000000Z"}),
            _ => json!({"labels": {"serial": serial.to_string()}}),
        }),
        ("POST", "/v1/credentials/{id}/rotate", _) => Some(json!({})),
        ("POST", "/v1/verify" | "/v1/burn", _) => Some(json!({"token": secret})),
        _ => return None,
    };
    Some((path, body))
}

#[tokio::test]
async fn every_route_times_every_role_times_every_namespace() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    let mut callers: Vec<(&str, Option<String>)> = Vec::new();
    for (number, caller) in CALLERS.into_iter().enumerate() {
        let scopes: &[&str] = if caller.contains('@') { &[caller] } else { &[] };
        let token = match caller {
            "nobody" => None,
            _ => Some(world.issue("jeton", &format!("caller-{number}"), scopes).await.1),
        };
        callers.push((caller, token));
    }
    let mut table = String::new();
    let (mut serial, mut cells) = (0, 0);
    for call in calls() {
        // Where the route names nothing of a namespace, there is one row for all.
        let named = call.route.contains('{') || call.route == "/v1/verify";
        for namespace in NAMESPACES.into_iter().take(if named { 3 } else { 1 }) {
            let mut row = Vec::new();
            for (caller, token) in &callers {
                serial += 1;
                cells += 1;
                let target = target(&world, namespace, serial).await;
                let Some((path, body)) = prepare(&world, &call, &target, serial).await else {
                    panic!("{} {}: tell this test how it is called", call.method, call.route);
                };
                // A turn of each caller is one of an address of its own.
                world.clock.advance(std::time::Duration::from_secs(1));
                let status = if call.route == "/v1/verify" {
                    // Whoever may not verify there is told that there is no such token.
                    let answer = world.call_as(token.as_deref(), &call.method, &path, body).await;
                    if answer.text.contains(r#""code":"unknown""#) { StatusCode::NOT_FOUND } else { answer.status }
                } else {
                    world.status_as(token.as_deref(), &call.method, &path, body).await
                };
                match status.as_u16() {
                    200..=299 => row.push((*caller).to_owned()),
                    403 | 404 | 401 => {}
                    other => row.push(format!("{caller} ({other})")),
                }
            }
            let place = if named { namespace } else { "*" };
            let what = if call.what.is_empty() { String::new() } else { format!(" [{}]", call.what) };
            let who = match row.len() {
                0 => "nobody at all".to_owned(),
                all if all == CALLERS.len() => "everybody".to_owned(),
                _ => row.join(" "),
            };
            table += &format!("{} {}{what} in {place}: {who}\n", call.method, call.route);
        }
    }
    insta::assert_snapshot!(format!("{cells} cells: who may call what, and everybody else is refused\n\n{table}"));
}
