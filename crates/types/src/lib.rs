//! The words of Jeton: token text form, digests, ids, names, scopes, revisions, time as a value.
//!
//! Everything here is plain data and total functions: no IO, no async, no clock and no randomness but what is passed
//! in. Each type is parsed once, at the edge; afterwards the type is the proof. Start with [`token`] for the text form
//! of a token and with [`Revision`] for the order of everything that happens.

mod address;
mod base62;
mod credential_ref;
pub mod digest;
pub mod fault;
pub mod freshness;
pub mod hash;
pub mod id;
mod labels;
pub mod limits;
pub mod name;
mod place;
mod prefix;
mod revision;
#[cfg(feature = "openapi")]
mod schema;
mod scope;
mod secret;
mod span;
mod subject;
pub mod time;
pub mod token;
mod verdict;

pub use address::{AddressList, AddressRange};
pub use credential_ref::CredentialRef;
pub use digest::Digest;
pub use freshness::Freshness;
pub use hash::Hash32;
pub use id::{CredentialId, RevocationId, RotationId, SessionId, StartId, TokenId};
pub use labels::Labels;
pub use name::{CredentialName, Label, NamespaceName, VerifierName};
pub use place::Place;
pub use prefix::Prefix;
pub use revision::Revision;
pub use scope::{Scope, ScopeSet};
pub use secret::Secret;
pub use span::Span;
pub use subject::Subject;
pub use time::{BootTime, Clock, Entropy, Now, UnixTime};
pub use verdict::{Source, VerdictCode};

/// A text that does not have the form its type demands. The message says which form that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);
