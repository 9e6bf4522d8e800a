//! The clocks of one machine.

use jeton_types::{BootTime, Now, UnixTime};

/// How far a wall clock is set ahead.
const AHEAD_MICROS: u64 = 3_600_000_000;

/// Both run at the same rate, since it is the same oscillator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    boot: u64,
    real: u64,
}

impl Clock {
    /// A machine that was started so many seconds ago.
    pub(crate) const fn new(seconds: u64) -> Self {
        Self { boot: seconds * 1_000_000_000, real: 1_000_000_000_000 }
    }

    pub(crate) const fn now(self) -> Now {
        Now { boot: BootTime::from_nanos(self.boot), real: UnixTime::from_micros(self.real) }
    }

    /// Time passes at this rate in thousandths; at none the machine is paused, and its wall clock is set right afterwards.
    pub(crate) const fn pass(&mut self, nanos: u64, rate: u64) {
        self.boot += nanos * rate / 1_000;
        self.real += if rate == 0 { nanos / 1_000 } else { nanos * rate / 1_000_000 };
    }

    pub(crate) const fn ahead(&mut self) {
        self.real += AHEAD_MICROS;
    }

    /// How long it takes until this clock, at this rate, is at a moment that is not past.
    pub(crate) fn until(self, moment: BootTime, rate: u64) -> Option<u64> {
        let left = moment.as_nanos().checked_sub(self.boot)?;
        (rate > 0 && left < u64::MAX / 2_000).then(|| (left * 1_000).div_ceil(rate))
    }
}
