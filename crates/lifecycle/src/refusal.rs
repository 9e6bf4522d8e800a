use jeton_types::{Span, UnixTime};

/// A decision against what was asked for, within what the caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The time to live is out of range.
    #[error("a ttl is from 10s to 3650d, and {0} is not")]
    Ttl(Span),
    /// The overlap is out of range.
    #[error("an overlap is from 10s to 3650d, and {0} is not")]
    Overlap(Span),
    /// The previous token is still active: one rotation at a time.
    #[error("a rotation is in progress: the previous token is still active")]
    RotationInProgress {
        /// When it expires.
        until: UnixTime,
    },
    /// The credential was deleted. For good.
    #[error("this credential was deleted, for good: issue another, under another name")]
    Deleted,
    /// A token's expiry cannot lie in the past.
    #[error("expires_at is in the past: to end its tokens at once, revoke them")]
    ExpiryPast,
    /// A token's expiry is only brought forward.
    #[error(
        "an expiry is only brought forward, and every token expires earlier already: rotate for one that lives longer"
    )]
    ExpiryLater,
    /// The built-in namespace cannot be switched off: nobody could switch it on again.
    #[error("namespace `jeton` cannot be disabled: nobody could enable it again")]
    BuiltIn,
    /// Whoever holds a token of the built-in namespace is verified where the truth is.
    #[error("namespace `jeton` is strict and stays so: no verifier but the authority ever answers for it")]
    BuiltInStrict,
    /// The tokens of the built-in namespace are not bound to addresses.
    #[error(
        "credentials of namespace `jeton` take no addresses: what limits them is their roles and where the authority listens"
    )]
    AddressesBuiltIn,
    /// The credential has had as many versions as can be counted.
    #[error("this credential has used up its versions: issue another")]
    VersionsUsedUp,
}
