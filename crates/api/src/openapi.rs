//! The OpenAPI document: the schemas of the shapes, the routes, and what each answers. Only for making the committed
//! `docs/reference/openapi.json`, which the authority serves; nothing of the product links this.

mod operation;
mod route;
mod schema;

use serde_json::{Map, Value, json};

/// Where the document is kept, in the tree.
pub const PATH: &str = "docs/reference/openapi.json";

/// The document, as the shapes and the table of routes have it.
#[must_use]
pub fn document() -> Value {
    let operations = route::operations();
    let mut paths = Map::new();
    for operation in &operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.to_json();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Jeton",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Self-hosted API tokens: issued fast, verified in memory, rotated under traffic, revoked with proof.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this authority"}],
        "tags": TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect::<Vec<_>>(),
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schema::components(&operations),
            "responses": operation::shared_responses(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the namespace `jeton`; its scopes are roles, such as `issuer@acme`.",
                },
            },
        },
    })
}

/// As it is kept in the tree.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", document())
}

const ABOUT: &str = "Requests with a body take one JSON object and refuse unknown fields. Every refusal is a problem \
(RFC 9457) with a stable `code`. Lists come a page at a time: ask again with the page's `next` as `after`. What ends \
authority answers with a receipt, which says who has seen it.";

const TAGS: [(&str, &str); 8] = [
    ("namespace", "Units of isolation: prefix, freshness policy, defaults."),
    ("credential", "Named, long-lived grants, whose secrets change."),
    ("token", "The secrets of credentials, shown without their text."),
    ("revocation", "Ending tokens, and the receipts that say where they could still have been accepted."),
    ("verify", "Whether a token is good, now."),
    ("verifier", "The sessions that hold replicas."),
    ("event", "What happens, as it happens."),
    ("process", "The process itself: alive, ready, measured, described."),
];
