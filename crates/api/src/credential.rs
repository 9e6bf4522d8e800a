//! Credentials: issuing, showing, rotating.

use std::{fmt, str::FromStr};

pub use jeton_lifecycle::change::CredentialState;
use jeton_types::{
    AddressList, CredentialId, CredentialName, Label, Labels, NamespaceName, Revision, ScopeSet, Span, Subject,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    revocation::{Reason, RevocationView, TimeoutMs, Wait},
    time::Timestamp,
    token::{NewTokenView, TokenView},
    usage::UsageView,
};

/// `POST /v1/namespaces/{ns}/credentials`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// Its name in the namespace.
    pub name: CredentialName,
    /// Whom it speaks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// What it may do. In namespace `jeton` each is a role, such as `verifier@acme`.
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
    /// For finding it again.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// How long each of its tokens lives; the namespace's default if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// What binds its tokens besides scopes.
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
}

/// What binds the tokens of a credential besides scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// From where they may be presented; anywhere, if there is none. Whoever verifies must know the client's address then:
    /// from one that is not known they are `address_denied`.
    #[serde(default)]
    pub addresses: AddressList,
}

impl Constraints {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.addresses.is_anywhere()
    }
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialView {
    /// Its id.
    pub id: CredentialId,
    /// The namespace.
    pub namespace: NamespaceName,
    /// Its name in the namespace.
    pub name: CredentialName,
    /// Whom it speaks for.
    pub subject: Option<Subject>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// For finding it again.
    pub labels: Labels,
    /// How long each of its tokens lives; `null` where the namespace's default holds.
    pub ttl: Option<Span>,
    /// What binds its tokens besides scopes.
    pub constraints: Constraints,
    /// When it was issued first.
    pub created_at: Timestamp,
    /// The revision that last changed it; its `ETag`.
    pub revision: Revision,
    /// How it stands.
    pub state: CredentialState,
    /// Since when it is switched off.
    pub disabled_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// What is known of the use of its tokens, oldest first; told where one credential is read, `null` elsewhere.
    pub usage: Option<Vec<UsageView>>,
}

/// `PATCH /v1/credentials/{id}`: what is not named stays. What ends authority has a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CredentialPatch {
    /// Whom it is to speak for; `null` for nobody.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Subject>))]
    pub subject: Option<Option<Subject>>,
    /// All that it is to be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<ScopeSet>,
    /// All that is to be written on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// How long tokens to come live; `null` for the namespace's default.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Span>))]
    pub ttl: Option<Option<Span>>,
    /// All that is to bind its tokens besides scopes; `{}` for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Constraints>,
    /// Whether it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// When the tokens there are now expire at the latest. It only brings an expiry forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why, for whoever looks at it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What to wait for, where authority ends.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for a complete receipt: at most ten minutes, 30 s if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<TimeoutMs>,
}

/// What `DELETE /v1/credentials/{id}` takes, in its query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CredentialDeleteQuery {
    /// Why, for whoever looks at it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// How long to wait for a complete receipt: at most ten minutes, 30 s if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<TimeoutMs>,
}

/// What a change of a credential answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialChangedView {
    /// The credential as it is now.
    pub credential: CredentialView,
    /// The revision of the change; the last one, if all was so already.
    pub revision: Revision,
    /// Where authority ended: what ended it, with its receipt as it stands.
    pub revocation: Option<RevocationView>,
}

/// What issuing answers. The secret is in it, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedView {
    /// The credential.
    pub credential: CredentialView,
    /// Its first token.
    pub token: NewTokenView,
    /// The revision at which both are there.
    pub revision: Revision,
}

/// `POST /v1/credentials/{id}/rotate`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the token so far goes on; an hour if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
}

impl RotateRequest {
    /// The overlap that holds if none is said.
    pub const OVERLAP_DEFAULT: Span = Span::from_secs(3_600);

    /// How long the token so far goes on.
    #[must_use]
    pub fn overlap(&self) -> Span {
        self.overlap.unwrap_or(Self::OVERLAP_DEFAULT)
    }
}

/// What rotating answers. The secret of the new token is in it, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotatedView {
    /// The credential.
    pub credential: CredentialView,
    /// The new token.
    pub token: NewTokenView,
    /// The one before it, with the end of its overlap as `expires_at`.
    pub previous: TokenView,
    /// The revision at which both changes are there.
    pub revision: Revision,
}

/// Which credentials are asked for, in the query of `GET /v1/namespaces/{ns}/credentials`. All that is given must be so.
/// `label` may be given several times, the others once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialQuery {
    /// The one of this name.
    pub name: Option<CredentialName>,
    /// Those that speak for this one.
    pub subject: Option<Subject>,
    /// Those that have all of these labels.
    pub labels: Labels,
    /// Those in this state.
    pub state: Option<CredentialState>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// Items on the page.
    pub limit: Option<usize>,
}

impl CredentialQuery {
    /// The query as it is written, name by name and value by value.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let one = |name, value: Option<String>| value.map(|value| (name, value));
        let labels = self.labels.iter().map(|label| ("label", format!("{}={}", label.key, label.value)));
        [
            one("name", self.name.as_ref().map(ToString::to_string)),
            one("subject", self.subject.as_ref().map(ToString::to_string)),
        ]
        .into_iter()
        .flatten()
        .chain(labels)
        .chain(one("state", self.state.map(|state| state.to_string())))
        .chain(one("after", self.after.clone()))
        .chain(one("limit", self.limit.map(|limit| limit.to_string())))
        .collect()
    }
}

impl<'de> Deserialize<'de> for CredentialQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn once<T: FromStr<Err: fmt::Display>, E: Error>(
            place: &mut Option<T>,
            name: &str,
            value: &str,
        ) -> Result<(), E> {
            let value = value.parse().map_err(|form| E::custom(format_args!("`{name}`: {form}")))?;
            match place.replace(value) {
                None => Ok(()),
                Some(_) => Err(E::custom(format_args!("duplicate field `{name}`"))),
            }
        }

        let mut query = Self::default();
        let (mut labels, mut state) = (Vec::new(), None);
        for (name, value) in Vec::<(String, String)>::deserialize(deserializer)? {
            match name.as_str() {
                "name" => once(&mut query.name, &name, &value)?,
                "subject" => once(&mut query.subject, &name, &value)?,
                "label" => labels.push(value.parse::<Label>().map_err(D::Error::custom)?),
                "state" => once(&mut state, &name, &value)?,
                "after" => once(&mut query.after, &name, &value)?,
                "limit" => once(&mut query.limit, &name, &value)?,
                _ => {
                    return Err(D::Error::custom(
                        "unknown field: there are name, subject, label, state, after and limit",
                    ));
                }
            }
        }
        query.state = state;
        query.labels = Labels::new(labels).map_err(D::Error::custom)?;
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use jeton_lifecycle::{Stage, State};
    use jeton_types::{Secret, TokenId, UnixTime};

    use super::*;

    #[test]
    fn what_issuing_takes() {
        let request = r#"{"name":"billing","subject":"svc:billing","scopes":["orders:read"],"labels":{"team":"core"},"ttl":"30d","constraints":{"addresses":["10.0.0.0/8","2001:db8::/32"]}}"#;
        let parsed: IssueRequest = serde_json::from_str(request).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), request);
        let least: IssueRequest = serde_json::from_str(r#"{"name":"billing"}"#).unwrap();
        assert_eq!(serde_json::to_string(&least).unwrap(), r#"{"name":"billing"}"#);
        for bad in [
            "{}",
            "[]",
            r#"{"name":"a/b"}"#,
            r#"{"name":"a","scopes":"x"}"#,
            r#"{"name":"a","scopes":["x y"]}"#,
            r#"{"name":"a","ttl":30}"#,
            r#"{"name":"a","ttl":"30"}"#,
            r#"{"name":"a","constraints":{"x":1}}"#,
            r#"{"name":"a","constraints":{"addresses":["10.0.0.1/8"]}}"#,
            r#"{"name":"a","constraints":{"addresses":"10.0.0.0/8"}}"#,
            r#"{"name":"a","name":"b"}"#,
        ] {
            assert!(serde_json::from_str::<IssueRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_issuing_answers() {
        let at = Timestamp(UnixTime::from_micros(1_767_323_045_678_901));
        let view = IssuedView {
            credential: CredentialView {
                id: CredentialId::from_bytes([1; 16]),
                namespace: "acme".parse().unwrap(),
                name: "billing".parse().unwrap(),
                subject: None,
                scopes: ScopeSet::parse(["orders:read"]).unwrap(),
                labels: Labels::default(),
                ttl: None,
                constraints: Constraints::default(),
                created_at: at,
                revision: Revision::new(9).unwrap(),
                state: CredentialState::Active,
                disabled_at: None,
                deleted_at: None,
                usage: None,
            },
            token: NewTokenView {
                id: TokenId::from_bytes([2; 16]),
                version: 1,
                secret: Secret::new("acme_live_…".to_owned()).into(),
                hint: "acme_live_…wxyz".to_owned(),
                stage: Stage::Current,
                state: State::Active,
                issued_at: at,
                expires_at: None,
            },
            revision: Revision::new(9).unwrap(),
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
        assert!(!format!("{view:?}").contains("\"acme_live_…\""));
    }

    #[test]
    fn what_changing_takes() {
        for good in [
            r#"{"wait":"committed"}"#,
            r#"{"subject":null,"scopes":[],"labels":{},"ttl":null,"constraints":{"addresses":[]},"disabled":true,"wait":"complete","timeout_ms":5}"#,
            r#"{"subject":"svc:x","ttl":"30d","expires_at":"2026-01-02T03:04:05.678901Z","reason":"x","wait":"committed"}"#,
        ] {
            let parsed: CredentialPatch = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), good);
        }
        for bad in [r#"{"name":"x"}"#, r#"{"disabled":null,"x":1}"#, r#"{"expires_at":"30d"}"#, r#"{"scopes":"a"}"#] {
            assert!(serde_json::from_str::<CredentialPatch>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_is_read_as_it_is_written() {
        let labels = ["team=core", "a/b=c d"].map(|label| label.parse().unwrap());
        let query = CredentialQuery {
            name: Some("billing".parse().unwrap()),
            subject: Some("svc:x".parse().unwrap()),
            labels: Labels::new(labels).unwrap(),
            state: Some(CredentialState::Disabled),
            after: Some("x".to_owned()),
            limit: Some(7),
        };
        let read = |pairs: &[(&str, String)]| {
            serde_json::from_value::<CredentialQuery>(serde_json::json!(pairs)).map_err(|error| error.to_string())
        };
        assert_eq!(read(&query.pairs()), Ok(query));
        assert_eq!(read(&[]), Ok(CredentialQuery::default()));
        for (wrong, why) in [
            (vec![("state", "gone")], "a state is"),
            (vec![("name", "a"), ("name", "a")], "duplicate"),
            (vec![("label", "a=1"), ("label", "a=2")], "twice"),
            (vec![("label", "a")], "a label is"),
            (vec![("limit", "-1")], "`limit`"),
            (vec![("owner", "x")], "unknown field"),
        ] {
            let pairs: Vec<(&str, String)> = wrong.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let said = read(&pairs).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_rotating_takes() {
        let overlap = |json: &str| serde_json::from_str::<RotateRequest>(json).map(|request| request.overlap());
        assert_eq!(overlap("{}").unwrap(), Span::from_secs(3_600));
        assert_eq!(overlap(r#"{"overlap":"5m"}"#).unwrap(), Span::from_secs(300));
        assert!(overlap(r#"{"overlap":300}"#).is_err());
    }
}
