//! Time as a value: nothing here reads a clock.
//!
//! [`BootTime`] counts on a clock that does not stop in suspend and serves leases and fencing. [`UnixTime`] is the wall
//! clock and serves display and expiry only; two machines' wall clocks are never compared for order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, injected};

/// Nanoseconds on this machine's boot clock (`CLOCK_BOOTTIME`). Means nothing on another machine or after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(u64);

impl BootTime {
    /// The moment the machine booted.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `span` later, at most the end of the clock.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// This moment and `span` earlier, at least the boot.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

/// Microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time passed since `earlier`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `span` later (parts below a microsecond are dropped).
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        let micros = span.as_micros();
        Self(self.0.saturating_add(if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }))
    }

    /// This moment and `span` earlier, at least the epoch.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        let micros = span.as_micros();
        Self(self.0.saturating_sub(if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }))
    }
}

/// One reading of both clocks, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Now {
    /// The boot clock.
    pub boot: BootTime,
    /// The wall clock.
    pub real: UnixTime,
}

impl Now {
    /// How far real time has run ahead of boot time since `earlier`: more than 250 ms means a paused machine
    /// (`feed-protocol.md` 3 and 14). Zero when it has fallen behind.
    #[must_use]
    pub fn jump_since(self, earlier: Self) -> Duration {
        if injected(Fault::SuspendStopsClock) {
            return Duration::ZERO;
        }
        self.real.since(earlier.real).saturating_sub(self.boot.since(earlier.boot))
    }

    /// Both clocks, `span` later.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self { boot: self.boot.plus(span), real: self.real.plus(span) }
    }
}

/// Where a process takes its time from. The real one lives in `jeton-host`; tests and simulators bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// Where a process takes its randomness from. The real one lives in `jeton-host`.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` with unpredictable bytes.
    fn fill(&self, out: &mut [u8]);
}

const fn nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}
