use http::StatusCode;
use jeton_types::{Revision, token::mint};
use serde_json::json;

use crate::world::{World, text};

async fn burn(world: &World, token: &str) -> crate::world::Answer {
    let request = world.request(&http::Method::POST, "/v1/burn", None).header("content-type", "application/json");
    world.send(request.body(http_body_util::Full::from(json!({ "token": token }).to_string())).unwrap()).await
}

#[tokio::test]
async fn whoever_holds_a_token_ends_it_and_learns_nothing_else() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("acme", "billing", &[]).await;
    let made_up = mint(&"acme".parse().unwrap(), Revision::new(7).unwrap(), [7; 24]).text.expose().clone();
    let foreign = mint(&"nobody".parse().unwrap(), Revision::new(7).unwrap(), [7; 24]).text.expose().clone();
    let borrowed = format!("jtn_{}", secret.strip_prefix("acme_").unwrap());
    let answers = [
        burn(&world, &made_up).await,
        burn(&world, &foreign).await,
        burn(&world, &borrowed).await,
        burn(&world, &secret).await,
        burn(&world, &secret).await,
    ];
    for answer in &answers {
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::ACCEPTED, r#"{"accepted":true}"#));
        assert_eq!(answer.headers.len(), answers[0].headers.len());
    }
    assert_eq!(world.verdict(&secret).await, "revoked");
    burn(&world, "hello").await.problem(400, "invalid_request");
    let list = world.get("/v1/revocations").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "once");
    assert_eq!(list["items"][0]["namespace"], "acme");
    let tokens = world.get(&format!("/v1/credentials/{id}/tokens")).await.json();
    assert_eq!(list["items"][0]["tokens"], json!([text(&tokens["items"][0]["id"])]));
}

#[tokio::test]
async fn a_root_token_in_the_wrong_hands_is_burned_as_well() {
    let world = World::start().await;
    assert_eq!(burn(&world, &world.root).await.status, StatusCode::ACCEPTED);
    world.get("/v1/namespaces").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_address_has_only_a_few_turns() {
    let world = World::start().await;
    let made_up = mint(&"acme".parse().unwrap(), Revision::new(7).unwrap(), [7; 24]).text.expose().clone();
    for _ in 0..10 {
        assert_eq!(burn(&world, &made_up).await.status, StatusCode::ACCEPTED);
    }
    // Real time goes on beside, so one more may have come in the meantime, but not many.
    let mut refused = None;
    for _ in 0..100 {
        let answer = burn(&world, &made_up).await;
        if answer.status != StatusCode::ACCEPTED {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("somewhere it is too much");
    refused.problem(429, "too_many");
    assert_eq!(refused.header("retry-after"), "1");
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(burn(&world, &made_up).await.status, StatusCode::ACCEPTED);
}
