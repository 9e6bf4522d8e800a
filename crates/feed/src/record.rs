//! Records: what the authority's log holds and what a replica is made of.

use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, NamespaceName, Prefix, Revision, ScopeSet, StartId, Subject,
    TokenId, UnixTime,
};

/// One committed revision in one namespace (`feed-protocol.md` 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Its place in the order of everything.
    pub revision: Revision,
    /// The revision before it in the same namespace; zero for the first.
    pub predecessor: Revision,
    /// The one namespace that it touches.
    pub namespace: NamespaceName,
    /// The start of the authority that wrote it.
    pub start: StartId,
    /// Hash over this record and the one before it in the whole store.
    pub chain_hash: Hash32,
    /// Hash over what should be enforced in the namespace after this record (`feed-protocol.md` 24); absent while the
    /// authority is in doubt, and in records from before there was one.
    pub set_hash: Option<Hash32>,
    /// Authority time of the commit, for display and for measuring.
    pub committed_at: UnixTime,
    /// What it changes, in order.
    pub changes: Vec<Change>,
}

/// One change of a namespace's rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// The namespace is created, its freshness changes, or it is switched off or on.
    Policy(Policy),
    /// A token is there, or is there anew: with other rights, or switched off or on.
    Token(TokenEntry),
    /// A token's expiry is brought to this moment (the end of an overlap).
    Deadline {
        /// Lookup key of the token.
        digest: Digest,
        /// Its public id.
        token: TokenId,
        /// From when it is expired.
        expires_at: UnixTime,
    },
    /// A token ends, for good.
    End {
        /// Lookup key of the token.
        digest: Digest,
        /// Its public id.
        token: TokenId,
        /// Why.
        reason: EndReason,
    },
    /// A token that expired long ago is forgotten, tombstone or not: from here on it is as unknown as one that never was
    /// (`feed-protocol.md` 25).
    Collected {
        /// Lookup key of the token.
        digest: Digest,
        /// Its public id.
        token: TokenId,
    },
    /// The authority started (only in the built-in namespace, which is never fed).
    Start(StartId),
    /// A kind that this code does not know: never skipped, never acknowledged (`feed-protocol.md` 8).
    Unknown {
        /// The number of the kind.
        kind: u32,
        /// The protocol that knows it.
        needs_protocol: u32,
    },
}

/// What a namespace demands of those who verify in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What its tokens begin with.
    pub prefix: Prefix,
    /// What to do past the lease.
    pub freshness: Freshness,
    /// Whether the whole namespace is switched off: no token of it is good until it is switched on again.
    pub disabled: bool,
}

/// Everything that a verifier needs to know of one token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenEntry {
    /// Lookup key.
    pub digest: Digest,
    /// Public id.
    pub token: TokenId,
    /// The credential that it is a version of.
    pub credential: CredentialId,
    /// Whom the credential speaks for.
    pub subject: Option<Subject>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// From when it is expired, in authority time.
    pub expires_at: Option<UnixTime>,
    /// From where it may be presented.
    pub addresses: AddressList,
    /// Whether its credential is switched off. Unlike an end this may be taken back.
    pub disabled: bool,
    /// Set once it has ended; such an entry is a tombstone.
    pub ended: Option<EndReason>,
}

impl TokenEntry {
    /// This in the light of what is known of the same token: ended stays ended, and the nearest expiry holds. A replayed or
    /// late row, or a snapshot of an authority that forgot, resurrects nothing.
    #[must_use]
    pub fn settled(mut self, known: Option<&Self>) -> Self {
        if let Some(known) = known {
            self.ended = known.ended.or(self.ended);
            self.expires_at = nearest(known.expires_at, self.expires_at);
        }
        self
    }

    /// Brings the expiry nearer, never farther.
    pub fn deadline(&mut self, expires_at: UnixTime) {
        self.expires_at = nearest(self.expires_at, Some(expires_at));
    }

    /// Ends it, for good.
    pub fn end(&mut self, reason: EndReason) {
        self.ended = self.ended.or(Some(reason));
    }
}

fn nearest(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    one.into_iter().chain(other).min()
}

/// Why a token ended. It never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Revoked.
    Revoked,
}

/// Where a log stands: carried by heartbeats, returned in the next hello (`feed-protocol.md` 26).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    /// The last revision of the whole store.
    pub revision: Revision,
    /// The start that is running.
    pub start: StartId,
    /// The store-wide chain hash at that revision.
    pub chain_hash: Hash32,
    /// The authority's seal over the three, by a key that no verifier has.
    pub mac: Option<Hash32>,
}
