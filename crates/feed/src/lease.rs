//! How long a verifier may trust its replica (`feed-protocol.md` 10 to 15).
//!
//! A lease counts from the moment the verifier *sent* the renewal whose grant it holds, on a boot clock. Past it a
//! namespace's grace goes on, for silence only: whatever voids a lease takes grace with it.

use std::time::Duration;

use jeton_types::{
    BootTime, Freshness, Now, UnixTime,
    fault::{Fault, injected},
};

use crate::numbers::{JUMP_MAX, LEASE};

/// One granted lease. Plain data, made from the renewal's sending and the grant's authority time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The number of the renewal; an older grant never replaces a newer.
    pub request: u64,
    /// Both clocks when the renewal was sent.
    pub sent: Now,
    /// Authority time of the grant.
    pub authority_time: UnixTime,
}

/// What voids a lease and grace at once (`feed-protocol.md` 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Void {
    /// The authority ended the session.
    Ended,
    /// Real time ran ahead of boot time: the machine was paused or cloned.
    Jump,
    /// A record could not be applied.
    Unappliable,
    /// The authority's data were put back to an older state.
    Rollback,
    /// The authority is of another history than what is held.
    OtherStore,
    /// The table was read from a disk, and no lease was granted on it yet.
    FromDisk,
    /// The table is not what the log leaves.
    Mismatch,
    /// The process is leaving.
    Goodbye,
}

/// Where a moment stands against a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Inside the lease; not after this moment.
    Live(BootTime),
    /// Past the lease, inside grace; not after this moment.
    Grace(BootTime),
    /// Past both.
    Lapsed,
    /// The machine was paused since the renewal was sent: lease and grace are void.
    Jumped,
}

impl Lease {
    /// The end of the lease, exclusive: L after the renewal was sent.
    #[must_use]
    pub const fn valid_until(&self) -> BootTime {
        self.sent.boot.plus(LEASE)
    }

    /// Where `now` stands, under the policy as it was at the table read.
    #[must_use]
    pub fn standing(&self, now: Now, freshness: Freshness) -> Standing {
        let until = self.valid_until();
        let mut grace_until = until.plus(freshness.grace());
        if now.jump_since(self.sent) > JUMP_MAX {
            if injected(Fault::JumpKeepsGrace) && now.boot < grace_until {
                return Standing::Grace(grace_until);
            }
            return Standing::Jumped;
        }
        if injected(Fault::GraceFromNoticedLapse) {
            grace_until = grace_until.max(now.boot.plus(freshness.grace()));
        }
        if now.boot < until {
            Standing::Live(until)
        } else if now.boot < grace_until {
            Standing::Grace(grace_until)
        } else {
            Standing::Lapsed
        }
    }

    /// Authority time as this verifier must reckon it for expiry: that of the grant and a quarter more than its own
    /// elapsed time, so that it errs towards refusing (`feed-protocol.md` 15).
    #[must_use]
    pub fn authority_time_at(&self, now: BootTime) -> UnixTime {
        let elapsed = now.since(self.sent.boot);
        if injected(Fault::ExpiryWithoutMargin) {
            return self.authority_time.plus(elapsed);
        }
        self.authority_time.plus(elapsed.saturating_add(Duration::from_nanos(elapsed.as_nanos() as u64 / 4)))
    }

    /// What is left of the lease.
    #[must_use]
    pub const fn remaining(&self, now: BootTime) -> Duration {
        self.valid_until().since(now)
    }
}

#[cfg(test)]
mod tests {
    use jeton_types::Span;

    use super::*;

    const SENT: Now = Now { boot: BootTime::from_nanos(100_000_000_000), real: UnixTime::from_micros(1_000_000_000) };
    const LEASE_OF_TEST: Lease = Lease { request: 1, sent: SENT, authority_time: UnixTime::from_micros(2_000_000_000) };

    fn check(after: Duration, ahead: Duration, freshness: Freshness, expect: Standing) {
        let mut now = SENT.plus(after);
        now.real = now.real.plus(ahead);
        assert_eq!(LEASE_OF_TEST.standing(now, freshness), expect, "{after:?} {ahead:?} {freshness}");
    }

    #[test]
    fn a_lease_counts_from_the_sending() {
        let until = SENT.boot.plus(LEASE);
        let grace = Freshness::Grace(Span::from_secs(30));
        let grace_until = until.plus(Duration::from_secs(30));
        let just_before = LEASE - Duration::from_nanos(1);
        check(just_before, Duration::ZERO, Freshness::Strict, Standing::Live(until));
        check(LEASE, Duration::ZERO, Freshness::Strict, Standing::Lapsed);
        check(LEASE, Duration::ZERO, grace, Standing::Grace(grace_until));
        check(LEASE + Duration::from_secs(30), Duration::ZERO, grace, Standing::Lapsed);
    }

    #[test]
    fn a_jump_voids_lease_and_grace() {
        check(Duration::from_secs(1), JUMP_MAX, Freshness::Strict, Standing::Live(SENT.boot.plus(LEASE)));
        check(Duration::from_secs(1), JUMP_MAX + Duration::from_millis(1), Freshness::Strict, Standing::Jumped);
        let grace = Freshness::Grace(Span::from_secs(30));
        check(Duration::from_secs(9), Duration::from_secs(1), grace, Standing::Jumped);
    }

    #[test]
    fn authority_time_errs_towards_expiry() {
        let at = LEASE_OF_TEST.authority_time_at(SENT.boot.plus(Duration::from_secs(4)));
        assert_eq!(at, LEASE_OF_TEST.authority_time.plus(Duration::from_secs(5)));
    }
}
