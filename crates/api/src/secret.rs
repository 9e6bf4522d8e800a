//! Secrets on their way through JSON.

use jeton_types::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A token's text in a body: the one place where a secret is written out, and where one is read. It is as shy as
/// [`Secret`] everywhere else.
#[derive(Debug, Clone)]
pub struct SecretText(pub Secret<String>);

impl From<Secret<String>> for SecretText {
    fn from(secret: Secret<String>) -> Self {
        Self(secret)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of a wrong type would repeat what was sent; this text says only what was wanted.
        String::deserialize(deserializer)
            .map(|text| Self(Secret::new(text)))
            .map_err(|_| serde::de::Error::custom("a secret is a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_into_json_and_nowhere_else() {
        let secret = SecretText(Secret::new("acme_live_x".to_owned()));
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""acme_live_x""#);
        assert_eq!(format!("{secret:?}"), "SecretText(Secret(…))");
        let error = serde_json::from_str::<SecretText>("12345").unwrap_err().to_string();
        assert!(!error.contains("12345"), "{error}");
    }
}
