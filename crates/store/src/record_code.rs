//! How records are kept, and the chain that is hashed over them.
//!
//! The changes are kept as JSON; that very text is what the chain hash covers, framed so that no two records have the
//! same bytes. A change of this form needs a new kind, never another meaning for an old one.

use jeton_feed::record::{Change, EndReason, Policy, TokenEntry};
use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, NamespaceName, Prefix, Revision, ScopeSet, StartId, Subject,
    TokenId, UnixTime,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::StoreError;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Stored {
    Policy {
        prefix: Prefix,
        freshness: Freshness,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        disabled: bool,
    },
    Token {
        digest: HexDigest,
        token: TokenId,
        credential: CredentialId,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
        scopes: ScopeSet,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<UnixTime>,
        #[serde(default, skip_serializing_if = "AddressList::is_anywhere")]
        addresses: AddressList,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        disabled: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        ended: Option<StoredReason>,
    },
    Deadline {
        digest: HexDigest,
        token: TokenId,
        expires_at: UnixTime,
    },
    End {
        digest: HexDigest,
        token: TokenId,
        reason: StoredReason,
    },
    Collected {
        digest: HexDigest,
        token: TokenId,
    },
    Start {
        start: StartId,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredReason {
    Revoked,
}

/// The text under which changes are kept.
pub(crate) fn encode(changes: &[Change]) -> Result<String, StoreError> {
    let stored: Vec<Stored> = changes.iter().map(Stored::of).collect::<Result<_, _>>()?;
    serde_json::to_string(&stored).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The chain hash of a record whose changes are kept as `changes`.
pub(crate) fn chain(before: &Hash32, record: &Framed<'_>, changes: &str) -> Hash32 {
    let namespace = record.namespace.as_str();
    let hash = Sha256::new()
        .chain_update(before.as_bytes())
        .chain_update(record.revision.get().to_be_bytes())
        .chain_update(record.predecessor.get().to_be_bytes())
        .chain_update(record.start.as_bytes())
        .chain_update(record.committed_at.as_micros().to_be_bytes())
        .chain_update((namespace.len() as u64).to_be_bytes())
        .chain_update(namespace)
        .chain_update((changes.len() as u64).to_be_bytes())
        .chain_update(changes)
        .finalize();
    Hash32(hash.into())
}

/// What a chain hash covers besides the changes.
pub(crate) struct Framed<'a> {
    pub(crate) revision: Revision,
    pub(crate) predecessor: Revision,
    pub(crate) namespace: &'a NamespaceName,
    pub(crate) start: StartId,
    pub(crate) committed_at: UnixTime,
}

/// The changes that are kept as `text` in the record of a revision.
pub(crate) fn decode(revision: Revision, text: &str) -> Result<Vec<Change>, StoreError> {
    let stored: Vec<Stored> = serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt(format!("the changes of record {revision} do not parse: {error}")))?;
    Ok(stored.into_iter().map(Stored::into_change).collect())
}

impl Stored {
    fn of(change: &Change) -> Result<Self, StoreError> {
        Ok(match change {
            Change::Policy(Policy { prefix, freshness, disabled }) => {
                Self::Policy { prefix: prefix.clone(), freshness: *freshness, disabled: *disabled }
            }
            Change::Token(entry) => Self::Token {
                digest: HexDigest(entry.digest),
                token: entry.token,
                credential: entry.credential,
                subject: entry.subject.clone(),
                scopes: entry.scopes.clone(),
                expires_at: entry.expires_at,
                addresses: entry.addresses.clone(),
                disabled: entry.disabled,
                ended: entry.ended.map(StoredReason::of),
            },
            Change::Deadline { digest, token, expires_at } => {
                Self::Deadline { digest: HexDigest(*digest), token: *token, expires_at: *expires_at }
            }
            Change::End { digest, token, reason } => {
                Self::End { digest: HexDigest(*digest), token: *token, reason: StoredReason::of(*reason) }
            }
            Change::Collected { digest, token } => Self::Collected { digest: HexDigest(*digest), token: *token },
            Change::Start(start) => Self::Start { start: *start },
            Change::Unknown { kind, .. } => {
                return Err(StoreError::Unavailable(format!("change kind {kind} is not known and cannot be kept")));
            }
        })
    }

    fn into_change(self) -> Change {
        match self {
            Self::Policy { prefix, freshness, disabled } => Change::Policy(Policy { prefix, freshness, disabled }),
            Self::Token { digest, token, credential, subject, scopes, expires_at, addresses, disabled, ended } => {
                Change::Token(TokenEntry {
                    digest: digest.0,
                    token,
                    credential,
                    subject,
                    scopes,
                    expires_at,
                    addresses,
                    disabled,
                    ended: ended.map(StoredReason::into_reason),
                })
            }
            Self::Deadline { digest, token, expires_at } => Change::Deadline { digest: digest.0, token, expires_at },
            Self::End { digest, token, reason } => {
                Change::End { digest: digest.0, token, reason: reason.into_reason() }
            }
            Self::Collected { digest, token } => Change::Collected { digest: digest.0, token },
            Self::Start { start } => Change::Start(start),
        }
    }
}

impl StoredReason {
    const fn of(reason: EndReason) -> Self {
        match reason {
            EndReason::Revoked => Self::Revoked,
        }
    }

    const fn into_reason(self) -> EndReason {
        match self {
            Self::Revoked => EndReason::Revoked,
        }
    }
}

/// A digest as 64 hexadecimal characters.
struct HexDigest(Digest);

impl Serialize for HexDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hash32(*self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for HexDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal characters"))
    }
}

fn unhex(text: &str) -> Option<Digest> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    bytes.filter(|_| rest.is_empty()).and_then(|bytes| Digest::from_slice(&bytes))
}
