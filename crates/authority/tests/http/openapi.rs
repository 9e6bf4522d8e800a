//! The OpenAPI document is what the shapes and the router are, and is what is served.

use std::{collections::BTreeSet, path::PathBuf};

use http::{Method, StatusCode};
use http_body_util::Full;
use jeton_api::openapi;
use serde_json::Value;

use crate::world::World;

const METHODS: [&str; 5] = ["get", "post", "patch", "put", "delete"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_document_in_the_tree_is_what_the_shapes_make() {
    let path = root().join(openapi::PATH);
    let made = openapi::text();
    if std::env::var_os("JETON_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "{} is not what the shapes make: run the tests of jeton-authority with JETON_BLESS=1; first difference: {differs:?}",
        openapi::PATH
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openapi::document();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

/// `METHOD path` of every operation in the document.
fn documented() -> BTreeSet<String> {
    let document = openapi::document();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect()
}

/// The router cannot be asked for its routes, so its text is.
#[test]
fn every_route_of_the_router_is_in_the_document() {
    let source = std::fs::read_to_string(root().join("crates/authority/src/http/mod.rs")).unwrap();
    let mut routes = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let (path, rest) = part.trim_start().strip_prefix('"').and_then(|text| text.split_once('"')).unwrap();
        let end = rest.find("\n        .").unwrap_or(rest.len());
        for method in METHODS {
            let called = |before: char| rest[..end].contains(&format!("{before}{method}("));
            if called(' ') || called('.') {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    assert!(routes.len() > 15, "the text of the router is read wrongly: {routes:?}");
    assert_eq!(routes, documented(), "left: the router, right: crates/api/src/openapi/route.rs");
}

/// And what the document says of its methods is what the router allows.
#[tokio::test]
async fn the_methods_of_the_document_are_those_that_are_allowed() {
    let world = World::start().await;
    let document = world.get_open("/openapi.json").await.expect(StatusCode::OK).json();
    assert!(document == openapi::document(), "what is served is not what the shapes make");
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut expected: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if expected.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        let path = path.replace("{ns}", "acme").replace("{id}", "x");
        let request = world.request(&Method::TRACE, &path, Some(&world.root)).body(Full::default()).unwrap();
        let answer = world.send(request).await.expect(StatusCode::METHOD_NOT_ALLOWED);
        let allowed: BTreeSet<String> = answer.header("allow").split(',').map(|word| word.trim().to_owned()).collect();
        assert_eq!(allowed, expected, "{path}");
    }
}
