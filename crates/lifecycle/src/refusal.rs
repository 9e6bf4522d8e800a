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
    /// The credential has had as many versions as can be counted.
    #[error("this credential has used up its versions: issue another")]
    VersionsUsedUp,
}
