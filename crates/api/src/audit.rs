//! The audit trail: who did what, when, from where and why, each entry chained to the one before by a hash.

use jeton_types::{CredentialId, Hash32, NamespaceName, Revision, TokenId};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// One entry.
///
/// `hash` is SHA-256 over, in this order: `jeton.audit.1:`, the 32 bytes of `previous`; `seq`, `revision` and the
/// microseconds of `at` since 1970 as 8 bytes each, big-endian; then `token_id` and `credential_id` (their 16 bytes),
/// `address`, `action`, `namespace`, `object` and `reason`, each a byte 0 when it is `null`, else a byte 1, its length
/// as 8 bytes and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditView {
    /// Its place, from 1, without gaps over all namespaces.
    pub seq: u64,
    /// The revision that it tells of.
    pub revision: Revision,
    /// Authority time.
    pub at: Timestamp,
    /// The token that was shown; `null` when the authority itself acted.
    pub token_id: Option<TokenId>,
    /// That token's credential.
    pub credential_id: Option<CredentialId>,
    /// Where the request came from.
    pub address: Option<String>,
    /// Resource and verb, such as `credential.issue`.
    pub action: String,
    /// The namespace.
    pub namespace: NamespaceName,
    /// The id or name of what was changed.
    pub object: String,
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// The hash of the entry before; zeros before the first.
    pub previous: Hash32,
    /// Its own hash.
    pub hash: Hash32,
}

/// The newest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditHeadView {
    /// Its place; 0 while there is none.
    pub seq: u64,
    /// Its hash; zeros while there is none.
    pub hash: Hash32,
}

/// Which entries are asked for, in the query of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Entries on the page: 1 to 1,000, 100 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The format, [`EXPORT_FORMAT`].
    pub format: String,
    /// The newest entry, if the export holds all of them up to it; `null` if it holds what the caller may read.
    pub head: Option<AuditHeadView>,
}

/// What the first line of an export says of the lines after it: one [`AuditView`] each, in order.
pub const EXPORT_FORMAT: &str = "jeton.audit.1";
