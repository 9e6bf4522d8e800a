//! The machine's clocks and its randomness: the real ends of `jeton_types::{Clock, Entropy}`.
//!
//! Guarantee: the two clocks of one [`Now`] belong together. A process that is stopped between two readings would
//! otherwise see real time "run ahead" of boot time, which the protocol takes for a paused machine.

use std::time::Duration;

use jeton_types::{BootTime, Clock, Entropy, Now, UnixTime};
use rustix::time::ClockId;

/// The clocks of this machine: `CLOCK_BOOTTIME`, which goes on during suspend, and `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        together(read)
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::panic, reason = "without randomness every secret would be guessable: nothing may go on")]
    fn fill(&self, out: &mut [u8]) {
        if let Err(error) = getrandom::fill(out) {
            panic!("the operating system gives no random bytes: {error}");
        }
    }
}

/// The one place where a clock is read. It goes through libc, so that a test can bend it with a preloaded library.
fn read(clock: ClockId) -> Duration {
    let at = rustix::time::clock_gettime(clock);
    // A clock set before its epoch reads as the epoch.
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// Reads real time between two readings of boot time, and again while these lie apart. The tightest attempt says how the
/// two clocks stand to each other, the last reading says when: a stop after the tightest attempt must not make the answer
/// an old one, by which a lease would seem to run on.
fn together(mut read: impl FnMut(ClockId) -> Duration) -> Now {
    let mut boot = read(ClockId::Boottime);
    let mut best: Option<(Duration, Now)> = None;
    for _ in 0..ATTEMPTS {
        let real = read(ClockId::Realtime);
        let after = read(ClockId::Boottime);
        let gap = after.saturating_sub(boot);
        let now = Now { boot: boot_time(boot), real: unix_time(real) };
        if best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, now));
        }
        boot = after;
        if gap <= TIGHT {
            break;
        }
    }
    best.map_or_else(Now::default, |(_, now)| now.plus(boot_time(boot).since(now.boot)))
}

fn boot_time(since_boot: Duration) -> BootTime {
    BootTime::from_nanos(u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX))
}

fn unix_time(since_epoch: Duration) -> UnixTime {
    UnixTime::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

const ATTEMPTS: usize = 8;
const TIGHT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn boot_time_never_goes_back() {
        let clock = SystemClock;
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now.boot >= last.boot);
            last = now;
        }
        assert!(last.real > UnixTime::from_micros(1_700_000_000_000_000));
    }

    #[test]
    fn a_stop_between_two_readings_is_not_a_jump() {
        let ms = Duration::from_millis;
        // Stopped for 9 s after the first reading of boot time: the attempt that follows is the one that counts.
        let mut readings: VecDeque<Duration> =
            [ms(1_000), ms(60_000), ms(10_000), ms(60_000), ms(10_000)].into_iter().collect();
        let now = together(|_| readings.pop_front().unwrap());
        assert_eq!(now.boot, BootTime::from_nanos(10_000_000_000));
        assert_eq!(now.real, UnixTime::from_micros(60_000_000));
    }

    #[test]
    fn restless_clocks_still_give_a_reading() {
        let mut boot = 0;
        let now = together(|clock| {
            boot += 500;
            if clock == ClockId::Realtime { Duration::from_secs(7) } else { Duration::from_millis(boot) }
        });
        assert_eq!(now.boot, BootTime::from_nanos(8_500_000_000), "the last one");
        assert_eq!(now.real, UnixTime::from_micros(15_000_000), "as it stood to boot time at the first attempt");
    }

    #[test]
    fn a_stop_among_restless_readings_does_not_give_an_old_one() {
        // Attempts of 2 ms, then a stop of a minute within the next one, then attempts that are longer than the first.
        let mut boots: VecDeque<u64> = [0, 2, 60_002, 60_005, 60_008, 60_011, 60_014, 60_017, 60_020].into();
        let mut latest = 0;
        let now = together(|clock| {
            if clock == ClockId::Boottime {
                latest = boots.pop_front().unwrap();
            }
            Duration::from_millis(if clock == ClockId::Boottime { latest } else { latest + 5_000 })
        });
        // Whoever releases an answer by this must not believe that his lease still runs.
        assert!(now.boot >= BootTime::from_nanos(60_017_000_000), "{now:?}");
        assert_eq!(
            now.jump_since(Now { boot: BootTime::ZERO, real: UnixTime::from_micros(5_000_000) }),
            Duration::ZERO
        );
    }

    #[test]
    fn entropy_fills_everything() {
        let mut first = [0; 64];
        let mut second = [0; 64];
        OsEntropy.fill(&mut first);
        OsEntropy.fill(&mut second);
        assert_ne!(first, second);
        assert_ne!(first, [0; 64]);
    }
}
