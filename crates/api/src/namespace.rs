//! Namespaces.

use std::time::Duration;

use jeton_types::{Freshness, NamespaceName, Prefix, Revision, Span};
use serde::{Deserialize, Serialize};

use crate::{
    revocation::{Reason, RevocationView, TimeoutMs, Wait},
    time::Timestamp,
};

/// `POST /v1/namespaces`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NamespaceCreateRequest {
    /// Its name.
    pub name: NamespaceName,
    /// What its tokens begin with; no other namespace may have it.
    pub prefix: Prefix,
    /// What its verifiers do when they are cut off; `grace=5m` if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// How long its tokens live unless a request says otherwise; for ever if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<Span>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamespaceView {
    /// Its name.
    pub name: NamespaceName,
    /// What its tokens begin with.
    pub prefix: Prefix,
    /// What its verifiers do when they are cut off.
    pub freshness: Freshness,
    /// How long its tokens live unless a request says otherwise.
    pub default_ttl: Option<Span>,
    /// No verifier accepts a revoked token later than this after the commit, whatever the network does.
    pub revocation_bound_ms: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// The revision that last changed it; its `ETag`.
    pub revision: Revision,
    /// Since when all of it is switched off.
    pub disabled_at: Option<Timestamp>,
}

/// `PATCH /v1/namespaces/{ns}`: what is not named stays. What ends authority has a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NamespacePatch {
    /// What its verifiers are to do when they are cut off. A shorter grace than before has a receipt: that all of them
    /// know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// How long tokens to come live unless a request says otherwise; `null` for ever.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Span>))]
    pub default_ttl: Option<Option<Span>>,
    /// Whether all of it is switched off: no token of it is good until it is enabled again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
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

/// What a change of a namespace answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamespaceChangedView {
    /// The namespace as it is now.
    pub namespace: NamespaceView,
    /// The revision of the change; the last one, if all was so already.
    pub revision: Revision,
    /// Where authority ended: what ended it, with its receipt as it stands.
    pub revocation: Option<RevocationView>,
}

/// After this long no verifier accepts a revoked token of a namespace with this freshness any more, whatever the
/// network does (`feed-protocol.md` 22): 7 s, and with a grace D that plus D/0.9, in whole seconds.
#[must_use]
pub fn revocation_bound(freshness: Freshness) -> Duration {
    const STRICT: Duration = Duration::from_secs(7);
    // A clock that is a tenth too slow makes a grace of D last D/0.9.
    let grace_secs = (freshness.grace().as_millis() * 10).div_ceil(9 * 1_000);
    STRICT.saturating_add(Duration::from_secs(u64::try_from(grace_secs).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_that_are_promised() {
        let bound = |text: &str| revocation_bound(text.parse().unwrap()).as_secs();
        assert_eq!(bound("strict"), 7);
        assert_eq!(bound("grace=5m"), 341);
        assert_eq!(bound("grace=30s"), 41);
        assert_eq!(bound("grace=9s"), 17);
    }

    #[test]
    fn shapes() {
        let request = r#"{"name":"acme","prefix":"acme_live","freshness":"strict","default_ttl":"90d"}"#;
        let parsed: NamespaceCreateRequest = serde_json::from_str(request).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), request);
        for bad in [
            r#"{"name":"acme"}"#,
            r#"{"name":"acme","prefix":"acme_live","x":1}"#,
            r#"{"name":"Acme","prefix":"acme_live"}"#,
            r#"{"name":"acme","prefix":"acme_live","freshness":"grace=2h"}"#,
            r#"{"name":"acme","prefix":"acme_live","default_ttl":90}"#,
        ] {
            assert!(serde_json::from_str::<NamespaceCreateRequest>(bad).is_err(), "{bad}");
        }
        let view = NamespaceView {
            name: "acme".parse().unwrap(),
            prefix: "acme_live".parse().unwrap(),
            freshness: Freshness::Strict,
            default_ttl: None,
            revocation_bound_ms: 7_000,
            created_at: Timestamp(jeton_types::UnixTime::ZERO),
            revision: Revision::new(9).unwrap(),
            disabled_at: None,
        };
        insta::assert_snapshot!(serde_json::to_string(&view).unwrap(), @r#"{"name":"acme","prefix":"acme_live","freshness":"strict","default_ttl":null,"revocation_bound_ms":7000,"created_at":"1970-01-01T00:00:00.000000Z","revision":9,"disabled_at":null}"#);
    }
}
