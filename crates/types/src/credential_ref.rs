use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CredentialId, CredentialName, Invalid, NamespaceName};

/// How a person or a request names a credential: `NS/NAME` or `cred_…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CredentialRef {
    /// By its id.
    Id(CredentialId),
    /// By its name in its namespace.
    Name(NamespaceName, CredentialName),
}

impl FromStr for CredentialRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const FORM: Invalid =
            Invalid("a credential is named as `NAMESPACE/NAME` or by its id, `cred_` and 26 characters");
        match text.split_once('/') {
            Some((namespace, name)) => {
                let namespace = namespace.parse().map_err(|_| FORM)?;
                Ok(Self::Name(namespace, name.parse().map_err(|_| FORM)?))
            }
            None => text.parse().map(Self::Id).map_err(|_| FORM),
        }
    }
}

impl fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(namespace, name) => write!(f, "{namespace}/{name}"),
        }
    }
}

impl Serialize for CredentialRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CredentialRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["acme/billing", "jeton/edge-1", "cred_01h455vb4pex5vsknk084sn02q"] {
            assert_eq!(good.parse::<CredentialRef>().unwrap().to_string(), good);
        }
        for bad in ["", "/", "acme/", "/billing", "billing", "acme/billing/x", "Acme/billing", "cred_1"] {
            assert!(bad.parse::<CredentialRef>().is_err(), "{bad}");
        }
    }
}
