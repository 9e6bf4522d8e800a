//! Time: that of the world, which nobody in it can read, and the clocks of its machines.

use std::time::Duration;

use jeton_types::{BootTime, Now, UnixTime};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;

const MILLION: u128 = 1_000_000;

/// One machine's clocks: both run at its own rate, and only real time goes on while the machine is frozen.
#[derive(Debug, Clone)]
pub(crate) struct MachineClock {
    /// Millionths of the true rate.
    rate: u64,
    boot: u64,
    real: u64,
    since: u64,
    frozen: bool,
}

impl MachineClock {
    pub(crate) fn new(rate: u64, boot_seconds: u64) -> Self {
        assert!(rate > 0);
        Self { rate, boot: boot_seconds * SECOND, real: 1_700_000_000 * SECOND, since: 0, frozen: false }
    }

    pub(crate) fn now(&self, t: u64) -> Now {
        let passed = self.passed(t);
        let boot = if self.frozen { self.boot } else { self.boot + passed };
        Now { boot: BootTime::from_nanos(boot), real: UnixTime::from_micros((self.real + passed) / 1_000) }
    }

    pub(crate) fn freeze(&mut self, t: u64, frozen: bool) {
        let now = self.now(t);
        self.real += self.passed(t);
        self.boot = now.boot.as_nanos();
        self.since = t;
        self.frozen = frozen;
    }

    /// The moment at which this clock will read `boot`, if nothing happens to it before.
    pub(crate) fn reaches(&self, t: u64, boot: BootTime) -> u64 {
        t + self.lasts(boot.since(self.now(t).boot))
    }

    /// How long a span of this clock takes in truth.
    pub(crate) fn lasts(&self, span: Duration) -> u64 {
        let nanos = span.as_nanos().min(u128::from(u64::MAX / 4));
        (nanos * MILLION).div_ceil(u128::from(self.rate)) as u64
    }

    fn passed(&self, t: u64) -> u64 {
        (u128::from(t - self.since) * u128::from(self.rate) / MILLION) as u64
    }
}

/// SplitMix64: the same seed, the same world.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % limit.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
