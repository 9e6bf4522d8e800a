//! How long to wait before the next stream.

use std::time::Duration;

/// The first wait after a stream that was granted a lease.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait for an authority that is away.
const LAST: Duration = Duration::from_secs(2);
/// The wait where only a person, or another token, can help.
const SLOW: Duration = Duration::from_secs(10);

/// Doubling waits with jitter: each is between half of its step and the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(super) const fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed }
    }

    /// The wait of a session that has just begun: none, unless the one before it failed.
    pub(super) fn first(&mut self) -> Duration {
        if self.failures == 0 { Duration::ZERO } else { self.jittered(self.reached()) }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.jittered(self.reached())
    }

    /// The wait where trying soon does not help.
    pub(super) fn slow(&mut self) -> Duration {
        self.jittered(SLOW)
    }

    /// Only a granted lease counts as success: a stream that opens and fails at once is a failure.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    fn reached(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        FIRST.saturating_mul(1 << doublings).min(LAST)
    }

    fn jittered(&mut self, step: Duration) -> Duration {
        // SplitMix64: spreading is all that is asked of it.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let half = step / 2;
        half + half.mul_f64((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_and_keep_their_jitter() {
        let mut backoff = Backoff::new(7);
        assert_eq!(backoff.first(), Duration::ZERO);
        for step in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let step = Duration::from_millis(step);
            let wait = backoff.next();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
        let (mut one, mut other) = (Backoff::new(1), Backoff::new(2));
        assert_ne!(one.slow(), other.slow());
    }
}
