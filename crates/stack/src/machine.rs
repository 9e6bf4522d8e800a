//! What a simulated host has in the place of a machine's clocks and randomness.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jeton_testkit::Dice;
use jeton_types::{BootTime, Clock, Entropy, Now, UnixTime};

/// 2026-01-01.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// How long the machines have been running when the simulation begins.
const UP: Duration = Duration::from_secs(3_600);

/// The clocks of one host: they run with the simulation's time, each at a rate of its own, and the wall clock can be set.
#[derive(Debug)]
pub(crate) struct HostClock {
    /// In millionths of true time.
    rate: u64,
    wall_offset_ms: AtomicI64,
    last_nanos: AtomicU64,
}

impl HostClock {
    pub(crate) fn new(rate: u64) -> Arc<Self> {
        Arc::new(Self { rate, wall_offset_ms: AtomicI64::new(0), last_nanos: AtomicU64::new(0) })
    }

    pub(crate) fn set_wall(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Relaxed);
    }

    pub(crate) const fn rate(&self) -> u64 {
        self.rate
    }
}

impl Clock for HostClock {
    fn now(&self) -> Now {
        // While a host that crashed is torn down its time stands.
        if tokio::runtime::Handle::try_current().is_ok()
            && let Some(elapsed) = turmoil::sim_elapsed()
        {
            self.last_nanos.fetch_max(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
        let ran = u128::from(self.last_nanos.load(Relaxed)) * u128::from(self.rate) / 1_000_000;
        let ran = Duration::from_nanos(u64::try_from(ran).unwrap_or(u64::MAX));
        let offset = self.wall_offset_ms.load(Relaxed);
        let set = Duration::from_millis(offset.unsigned_abs());
        let wall = EPOCH + ran;
        let wall = if offset < 0 { wall.saturating_sub(set) } else { wall + set };
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Now {
            boot: BootTime::from_nanos(nanos(UP + ran)),
            real: UnixTime::from_micros(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// Randomness that a seed repeats.
pub(crate) struct Seeded(Mutex<Dice>);

impl Seeded {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self(Mutex::new(dice)))
    }
}

impl Entropy for Seeded {
    fn fill(&self, out: &mut [u8]) {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in out {
            *byte = u8::try_from(dice.below(256)).unwrap_or(0);
        }
    }
}
