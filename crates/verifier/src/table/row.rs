//! A token as a table holds it: without an allocation of its own.

use std::sync::Arc;

use jeton_feed::{
    record::{EndReason, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{CredentialId, Digest, Subject, TokenId, UnixTime};

use super::rights::Rights;

/// All of a [`TokenEntry`], in 120 bytes. What is alike for many tokens is held once, behind `rights`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) digest: Digest,
    token: TokenId,
    credential: CredentialId,
    subject: Option<Subject>,
    rights: Arc<Rights>,
    /// Means something only if `expires`: apart, the two are seven bytes shorter than an `Option`.
    expires_at: UnixTime,
    expires: bool,
    disabled: bool,
    ended: Option<EndReason>,
}

impl Row {
    /// `entry`, whose shared part is `rights`.
    pub(super) fn new(entry: TokenEntry, rights: Arc<Rights>) -> Self {
        Self {
            digest: entry.digest,
            token: entry.token,
            credential: entry.credential,
            subject: entry.subject,
            rights,
            expires_at: entry.expires_at.unwrap_or_default(),
            expires: entry.expires_at.is_some(),
            disabled: entry.disabled,
            ended: entry.ended,
        }
    }

    /// The entry again. Allocates nothing.
    pub(super) fn entry(&self) -> TokenEntry {
        TokenEntry {
            digest: self.digest,
            token: self.token,
            credential: self.credential,
            subject: self.subject.clone(),
            scopes: self.rights.scopes.clone(),
            expires_at: self.expires.then_some(self.expires_at),
            addresses: self.rights.addresses.clone(),
            disabled: self.disabled,
            ended: self.ended,
        }
    }

    /// Of this row alone.
    pub(super) fn set_hash(&self) -> SetHash {
        SetHash::of_entry(&self.entry())
    }

    #[cfg(test)]
    pub(super) const fn rot(&mut self) {
        self.disabled = !self.disabled;
    }

    /// Brings the expiry nearer, never farther.
    pub(super) fn deadline(&mut self, at: UnixTime) {
        self.expires_at = if self.expires { self.expires_at.min(at) } else { at };
        self.expires = true;
    }

    /// Ends it, for the first reason that was given.
    pub(super) fn end(&mut self, reason: EndReason) {
        self.ended = self.ended.or(Some(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<Row>(), 120, "a million tokens are 8 MB for every 8 bytes more");
    }
}
