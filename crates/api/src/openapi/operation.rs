//! One operation: what a method of a route takes and answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::schema::{Named, named, page_of};
use crate::problem::{CONTENT_TYPE, Code, Problem};

/// See the module.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) schemas: Named,
    id: &'static str,
    summary: &'static str,
    description: Option<&'static str>,
    open: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    codes: Vec<Code>,
}

/// What every route may answer: the listener refuses, or nothing can be done now.
const ANYWHERE: [Code; 6] =
    [Code::UriTooLong, Code::HeadersTooLarge, Code::TooMany, Code::Internal, Code::Unavailable, Code::InvalidRequest];
/// What every route may answer that wants a token.
const WITH_TOKEN: [Code; 2] = [Code::Unauthenticated, Code::Forbidden];
/// What every route may answer that takes a body.
const WITH_BODY: [Code; 3] = [Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType];

impl Operation {
    /// An operation that wants a token. The first word of `id` is its tag.
    pub(super) fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            schemas: Vec::new(),
            id,
            summary,
            description: None,
            open: false,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: ANYWHERE.into_iter().chain(WITH_TOKEN).collect(),
        }
    }

    /// It is open to everybody.
    pub(super) fn open(mut self) -> Self {
        self.open = true;
        self.codes.retain(|code| !WITH_TOKEN.contains(code));
        self
    }

    /// What one should know beside the summary.
    pub(super) fn note(self, description: &'static str) -> Self {
        Self { description: Some(description), ..self }
    }

    /// What the path names; if there is no such thing, it is not found.
    pub(super) fn named<T: ToSchema>(self, name: &'static str) -> Self {
        let mut operation = self.parameter::<T>("path", name, true, "what is meant");
        operation.codes.push(Code::NotFound);
        operation
    }

    /// A parameter of the query.
    pub(super) fn query<T: ToSchema>(self, name: &'static str, description: &'static str) -> Self {
        self.parameter::<T>("query", name, false, description)
    }

    /// A header field that may be there.
    pub(super) fn header(mut self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.parameters.push(
            json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema}),
        );
        self
    }

    /// A schema that the description speaks of.
    pub(super) fn mentions<T: ToSchema>(mut self) -> Self {
        self.schemas.extend(named::<T>());
        self
    }

    /// A mutation that is done once per `Idempotency-Key`.
    pub(super) fn once(mut self) -> Self {
        self.parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "any text of one's own; a second request with it is answered with what the first one made, as it stands then, for 24 hours",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$", "minLength": 1, "maxLength": 255},
        }));
        self.codes.extend([Code::KeyReused, Code::KeyRunning]);
        self
    }

    /// `after` and `limit` of a list whose pages go on after a `T`.
    pub(super) fn paged<T: ToSchema>(self) -> Self {
        let mut operation = self.query::<T>("after", "the `next` of the page before");
        let limit = json!({"type": "integer", "minimum": 1, "maximum": crate::page::LIMIT_MAX, "default": crate::page::LIMIT_DEFAULT});
        operation.parameters.push(
            json!({"name": "limit", "in": "query", "required": false, "description": "items on the page", "schema": limit}),
        );
        operation
    }

    /// A parameter that may be given several times.
    pub(super) fn queries<T: ToSchema>(mut self, name: &str, description: &str, max: usize) -> Self {
        let schema = json!({"type": "array", "items": self.refer::<T>(), "maxItems": max, "uniqueItems": true});
        self.parameters.push(json!({
            "name": name, "in": "query", "required": false, "description": description,
            "style": "form", "explode": true, "schema": schema,
        }));
        self
    }

    fn parameter<T: ToSchema>(mut self, place: &str, name: &str, required: bool, description: &str) -> Self {
        let schema = self.refer::<T>();
        let parameter =
            json!({"name": name, "in": place, "required": required, "description": description, "schema": schema});
        self.parameters.push(parameter);
        self
    }

    /// The body it takes, with an example.
    pub(super) fn takes<T: ToSchema>(mut self, example: Value) -> Self {
        let schema = self.refer::<T>();
        self.body = Some(json!({
            "required": true,
            "content": {"application/json": {"schema": schema, "example": example}},
        }));
        self.codes.extend(WITH_BODY);
        self
    }

    /// 200 with a page of a list.
    pub(super) fn answers_page<T: ToSchema>(mut self, description: &str) -> Self {
        self.schemas.extend(page_of::<T>());
        let schema = json!({"$ref": format!("#/components/schemas/{}Page", T::name())});
        self.answers_json(200, description, schema)
    }

    /// A JSON answer.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.refer::<T>();
        self.answers_json(status, description, schema)
    }

    fn answers_json(mut self, status: u16, description: &str, schema: Value) -> Self {
        let mut answer = json!({
            "description": description,
            "headers": {"Cache-Control": {"description": "`no-store`", "schema": {"type": "string"}}},
            "content": {"application/json": {"schema": schema}},
        });
        if status == 201 {
            answer["headers"]["Location"] =
                json!({"description": "where the thing is found", "required": true, "schema": {"type": "string"}});
        }
        match self.answers.iter_mut().find(|(known, _)| *known == status) {
            Some((_, known)) => {
                let either =
                    [&known["content"]["application/json"]["schema"], &answer["content"]["application/json"]["schema"]];
                let schema = json!({ "oneOf": either });
                let description = format!("{}; or {}", known["description"].as_str().unwrap_or_default(), description);
                known["content"]["application/json"]["schema"] = schema;
                known["description"] = description.into();
            }
            None => self.answers.push((status, answer)),
        }
        self
    }

    /// An answer of another media type; one more content of the answer with that status, if there is one.
    pub(super) fn answers_as(mut self, status: u16, description: &str, media_type: &str, example: &str) -> Self {
        let content = json!({"schema": {"type": "string"}, "example": example});
        match self.answers.iter_mut().find(|(known, _)| *known == status) {
            Some((_, answer)) => answer["content"][media_type] = content,
            None => {
                let mut answer = json!({"description": description, "content": {}});
                answer["content"][media_type] = content;
                self.answers.push((status, answer));
            }
        }
        self
    }

    /// Refusals beside those that every route has.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    pub(super) fn to_json(&self) -> Value {
        let mut responses = Map::new();
        for (status, answer) in &self.answers {
            responses.insert(status.to_string(), answer.clone());
        }
        for (status, codes) in by_status(&self.codes) {
            // Where an answer has that status already, its body says which it is.
            responses.entry(status.to_string()).or_insert_with(|| problem(status, &codes));
        }
        let mut operation = json!({
            "tags": [self.id.split('_').next()],
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": responses,
        });
        if let Some(description) = self.description {
            operation["description"] = json!(description);
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = body.clone();
        }
        if self.open {
            operation["security"] = json!([]);
        }
        operation
    }

    /// A reference to the schema of `T`, which becomes one of the document's.
    fn refer<T: ToSchema>(&mut self) -> Value {
        let schemas = named::<T>();
        let name = T::name();
        // A parameter of a plain type has no name of its own.
        let plain = matches!(&*name, "String" | "bool" | "u32");
        if name == "u64" {
            // By its format it would end at half of what is taken.
            return json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
        }
        if plain {
            return json!(T::schema());
        }
        self.schemas.extend(schemas);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn by_status(codes: &[Code]) -> BTreeMap<u16, Vec<Code>> {
    let mut statuses = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        let known = statuses.entry(code.status()).or_default();
        if !known.contains(code) {
            known.push(*code);
        }
    }
    statuses
}

/// A refusal: one that is shared, if it is the same everywhere.
fn problem(status: u16, codes: &[Code]) -> Value {
    match codes {
        [code] if *code != Code::NotFound => json!({"$ref": format!("#/components/responses/{code}")}),
        codes => describe(status, codes),
    }
}

/// The refusals that have a status of their own.
pub(super) fn shared_responses() -> Value {
    Value::Object(Code::ALL.iter().map(|code| (code.to_string(), describe(code.status(), &[*code]))).collect())
}

fn describe(status: u16, codes: &[Code]) -> Value {
    let titles: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.title())).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.to_string(), json!({"value": Problem::from(*code)}))).collect();
    let mut response = json!({
        "description": titles.join("; "),
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    });
    let header = match status {
        401 => Some(("WWW-Authenticate", "how to authenticate (RFC 6750)", json!({"type": "string"}))),
        429 | 503 => Some(("Retry-After", "seconds until it is worth trying again", json!({"type": "integer"}))),
        _ => None,
    };
    if let Some((name, description, schema)) = header {
        response["headers"] = json!({name: {"description": description, "schema": schema}});
    }
    response
}
