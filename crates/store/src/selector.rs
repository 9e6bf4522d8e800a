//! What a selector says: whether a token fits, and how it is written down.

use jeton_types::{CredentialId, Label, TokenId};
use serde_json::{Map, Value, json};

use crate::model::{CredentialRow, Selector, TokenRow};

/// Whether a token fits all that is said of credentials and of time.
pub(crate) fn fits(selector: &Selector, credential: &CredentialRow, token: &TokenRow) -> bool {
    let held = |wanted: &Label| credential.labels.iter().any(|label| label == wanted);
    selector.subject.as_ref().is_none_or(|subject| credential.subject.as_ref() == Some(subject))
        && selector.labels.iter().all(held)
        && selector.issued_before.is_none_or(|before| token.issued_at < before)
}

/// The selector in a form that may be shown: a secret is told by the token that it was of.
pub(crate) fn text(selector: &Selector, credential: Option<CredentialId>, secret_of: Option<TokenId>) -> String {
    let mut map = Map::new();
    let mut say = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    if selector.credential.is_some() {
        say("credential", json!(credential));
    }
    if let Some(token) = selector.token {
        say("token_id", json!(token));
    }
    if selector.secret.is_some() {
        say("secret_of", json!(secret_of));
    }
    if let Some(subject) = &selector.subject {
        say("subject", json!(subject));
    }
    if !selector.labels.is_empty() {
        say("labels", json!(selector.labels));
    }
    if let Some(before) = selector.issued_before {
        say("issued_before", json!(before));
    }
    Value::Object(map).to_string()
}
