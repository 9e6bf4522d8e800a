//! Time: that of the world, which nobody in it can read, and the clocks of its machines.

use std::time::Duration;

use jeton_types::{BootTime, Now, UnixTime};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;

const MILLION: u64 = 1_000_000;

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
    pub(crate) const fn new(rate: u64, boot_seconds: u64) -> Self {
        Self { rate, boot: boot_seconds * SECOND, real: 1_700_000_000 * SECOND, since: 0, frozen: false }
    }

    pub(crate) const fn now(&self, t: u64) -> Now {
        let passed = self.passed(t);
        let boot = if self.frozen { self.boot } else { self.boot + passed };
        Now { boot: BootTime::from_nanos(boot), real: UnixTime::from_micros((self.real + passed) / 1_000) }
    }

    /// From here on it runs at this rate.
    pub(crate) const fn slew(&mut self, t: u64, rate: u64) {
        self.settle(t);
        self.rate = rate;
    }

    /// Real time is set to another, by so many milliseconds.
    pub(crate) const fn step(&mut self, t: u64, millis: i64) {
        self.settle(t);
        self.real = self.real.saturating_add_signed(millis.saturating_mul(MILLI as i64));
    }

    pub(crate) const fn freeze(&mut self, t: u64, frozen: bool) {
        self.settle(t);
        self.frozen = frozen;
    }

    const fn settle(&mut self, t: u64) {
        let passed = self.passed(t);
        self.real += passed;
        if !self.frozen {
            self.boot += passed;
        }
        self.since = t;
    }

    /// The moment at which this clock will read `boot`, if nothing happens to it before.
    pub(crate) fn reaches(&self, t: u64, boot: BootTime) -> u64 {
        t + self.lasts(boot.since(self.now(t).boot))
    }

    /// How long a span of this clock takes in truth.
    pub(crate) fn lasts(&self, span: Duration) -> u64 {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 4);
        (nanos / self.rate) * MILLION + ((nanos % self.rate) * MILLION).div_ceil(self.rate)
    }

    const fn passed(&self, t: u64) -> u64 {
        let span = t - self.since;
        (span / MILLION) * self.rate + (span % MILLION) * self.rate / MILLION
    }
}

/// SplitMix64: the same seed, the same world.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next_u64() % if limit == 0 { 1 } else { limit }
    }

    /// A number from `from` up to, not including, `to`.
    pub const fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    /// True so often in a hundred.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Sixteen bytes that nobody else has.
    pub(crate) fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes
    }
}

/// A number that says nothing of the one it was made of.
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
