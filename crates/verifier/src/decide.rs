use std::{net::IpAddr, time::Duration};

use jeton_feed::record::TokenEntry;
use jeton_types::{Revision, ScopeSet, UnixTime};

use crate::verdict::Code;

/// What the caller demands: of a token besides that it is good, and of the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Required {
    /// All of these.
    pub scopes: ScopeSet,
    /// The answer rests on all there is at or below this revision.
    pub at_least: Option<Revision>,
    /// The answer rests on all that was committed until this long before it was asked for.
    pub max_age: Option<Duration>,
}

/// The rule over one token that is there, in a namespace that is `namespace_disabled` or not, presented from `client` if
/// that is known. Ended absorbs expired, both absorb disabled, and all three what the token may do and from where: the
/// reason that can never change again is the one that is told.
///
/// A token that may be presented from some addresses alone is good from none that is not known.
#[must_use]
pub fn decide(
    entry: &TokenEntry,
    namespace_disabled: bool,
    required: &Required,
    client: Option<IpAddr>,
    authority_time: UnixTime,
) -> Code {
    if entry.ended.is_some() {
        Code::Revoked
    } else if expired(entry, authority_time) {
        Code::Expired
    } else if entry.disabled || namespace_disabled {
        Code::Disabled
    } else if !entry.addresses.allows(client) {
        Code::AddressDenied
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
