use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use crate::{Invalid, Label, limits::LABELS_MAX};

/// The labels of a credential, in JSON an object, `{"team": "core"}`: each key once, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Box<[Label]>);

impl Labels {
    /// The labels, sorted by key.
    ///
    /// # Errors
    /// If a key comes twice, or there are more than 32.
    pub fn new(labels: impl IntoIterator<Item = Label>) -> Result<Self, Invalid> {
        let mut sorted = BTreeMap::new();
        for label in labels {
            if sorted.insert(label.key, label.value).is_some() {
                return Err(Invalid("a label's key is given twice"));
            }
            if sorted.len() > LABELS_MAX {
                return Err(Invalid("a credential holds at most 32 labels"));
            }
        }
        Ok(Self(sorted.into_iter().map(|(key, value)| Label { key, value }).collect()))
    }

    /// The labels in order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Label> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|label| (&label.key, &label.value)))
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels, each a string")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    labels.push(Label::new(&key, &value).map_err(serde::de::Error::custom)?);
                }
                Labels::new(labels).map_err(serde::de::Error::custom)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Result<&str, &str>) {
        let found = serde_json::from_str::<Labels>(json).map(|labels| serde_json::to_string(&labels).unwrap());
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect),
            (Err(error), Err(expect)) => assert!(error.to_string().starts_with(expect), "{error}"),
            (found, expect) => panic!("{json}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn forms() {
        check("{}", Ok("{}"));
        check(r#"{"team":"core","env":""}"#, Ok(r#"{"env":"","team":"core"}"#));
        check(r#"{"team":"core","team":"x"}"#, Err("a label's key is given twice"));
        check(r#"{"":"core"}"#, Err("a label is `key=value`"));
        check(r#"{"team":1}"#, Err("invalid type"));
        check("[]", Err("invalid type"));
        let many: Vec<String> = (0..33).map(|n| format!(r#""k{n}":"v""#)).collect();
        check(&format!("{{{}}}", many.join(",")), Err("a credential holds at most 32 labels"));
    }
}
