use jeton_feed::record::TokenEntry;
use jeton_types::{ScopeSet, UnixTime};

use crate::verdict::Code;

/// What the caller demands of a token besides that it is good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Required {
    /// All of these.
    pub scopes: ScopeSet,
}

/// The rule over one token that is there, in a namespace that is `namespace_disabled` or not. Ended absorbs expired, both
/// absorb disabled, and all three what the token may do: the reason that can never change again is the one that is told.
#[must_use]
pub fn decide(entry: &TokenEntry, namespace_disabled: bool, required: &Required, authority_time: UnixTime) -> Code {
    if entry.ended.is_some() {
        Code::Revoked
    } else if expired(entry, authority_time) {
        Code::Expired
    } else if entry.disabled || namespace_disabled {
        Code::Disabled
    } else if entry.scopes.covers(&required.scopes) {
        Code::Valid
    } else {
        Code::InsufficientScope
    }
}

/// A token is expired from its moment of expiry on, not after it.
pub(crate) fn expired(entry: &TokenEntry, authority_time: UnixTime) -> bool {
    entry.expires_at.is_some_and(|expires_at| authority_time >= expires_at)
}
