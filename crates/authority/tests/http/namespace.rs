use http::StatusCode;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_namespace_is_created_listed_and_shown() {
    let world = World::start().await;
    let body = json!({"name": "acme", "prefix": "acme_live", "freshness": "strict", "default_ttl": "90d"});
    let created = world.post("/v1/namespaces", body).await.expect(StatusCode::CREATED);
    assert_eq!(created.header("location"), "/v1/namespaces/acme");
    assert_eq!(created.header("cache-control"), "no-store");
    let view = created.json();
    assert_eq!(view["revocation_bound_ms"], 7_000);
    assert_eq!(view["default_ttl"], "90d");

    assert_eq!(world.get("/v1/namespaces/acme").await.expect(StatusCode::OK).json(), view);
    let list = world.get("/v1/namespaces").await.expect(StatusCode::OK).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    assert_eq!(list["items"][0], view);
    assert_eq!(list["items"][1]["name"], "jeton");
    assert_eq!(list["items"][1]["prefix"], "jtn");
    assert_eq!(list["items"][1]["freshness"], "strict");
    assert!(list["next"].is_null());
}

#[tokio::test]
async fn freshness_is_five_minutes_of_grace_unless_given() {
    let world = World::start().await;
    let created = world.post("/v1/namespaces", json!({"name": "acme", "prefix": "acme"})).await;
    let view = created.expect(StatusCode::CREATED).json();
    assert_eq!(view["freshness"], "grace=5m");
    assert_eq!(view["revocation_bound_ms"], 341_000);
    assert!(view["default_ttl"].is_null());
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::start().await;
    for name in ["aa", "bb", "cc"] {
        world.namespace(name).await;
    }
    let mut found = Vec::new();
    let mut path = "/v1/namespaces?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.expect(StatusCode::OK).json();
        assert!(page["items"].as_array().unwrap().len() <= 2);
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/namespaces?limit=2&after={next}");
    }
    assert_eq!(found, ["aa", "bb", "cc", "jeton"]);
}
