//! The named schemas.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use super::operation::Operation;
use crate::{
    page::LIMIT_MAX,
    problem::{Code, Problem},
    revocation::{Reason, TimeoutMs},
    secret::SecretText,
    time::Timestamp,
    verify::MaxAgeMs,
};

/// A schema and all that it refers to.
pub(super) type Named = Vec<(String, Value)>;

/// What `T` and all that it refers to are called, `T` last.
pub(super) fn named<T: ToSchema>() -> Named {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

/// A page of a list of `T` and all that it refers to, the page last.
pub(super) fn page_of<T: ToSchema>() -> Named {
    let mut schemas = named::<T>();
    let item = T::name();
    let page = json!({
        "type": "object",
        "description": format!("One page of a list; each item is a {item}."),
        "properties": {
            "items": {"type": "array", "items": {"$ref": format!("#/components/schemas/{item}")}, "maxItems": LIMIT_MAX},
            "next": {"type": ["string", "null"], "description": "what to ask for as `after` to get the page after it"},
        },
        "required": ["items", "next"],
    });
    schemas.push((format!("{item}Page"), page));
    schemas
}

/// Every schema that an operation refers to.
pub(super) fn components(operations: &[Operation]) -> Value {
    let mut all = Map::new();
    let shared = named::<Problem>();
    for (name, schema) in operations.iter().flat_map(|operation| &operation.schemas).chain(&shared) {
        let mut schema = schema.clone();
        if name.ends_with("View") || name.ends_with("Event") || name == "VerifierLine" || name == "Problem" {
            complete(&mut schema);
        }
        all.insert(name.clone(), schema);
    }
    Value::Object(all)
}

/// In a view every key is always there; what does not apply is `null`. Only a problem may come without its detail.
fn complete(schema: &mut Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&String> = properties.keys().filter(|key| *key != "detail").collect();
    schema["required"] = json!(required);
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

macro_rules! schemas {
    ($($name:ident: $schema:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

schemas! {
    Timestamp: text("a moment in UTC, to the microsecond")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"))
        .examples(["2026-01-02T03:04:05.678901Z"]);
    SecretText: text("the text of a token; never shown again, never in a log");
    Reason: text("why, for whoever looks at it later: one line of at most 512 bytes")
        .min_length(Some(1)).max_length(Some(512)).pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"))
        .examples(["found in a public repository"]);
    MaxAgeMs: ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_usize)).maximum(Some(3_600_000_usize))
        .description(Some("how old the evidence of a verdict may be")).examples([1_000]);
    TimeoutMs: ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_usize)).maximum(Some(600_000_usize))
        .description(Some("how long to wait for a complete receipt; 30 s if not said")).examples([5_000]);
    Code: text("what went wrong, as a stable word; docs/reference/errors.md lists them")
        .enum_values(Some(Code::ALL.iter().map(|code| code.as_str()))).examples(["not_found"]);
}
