//! Authority time: what expiry, display and the hint in a revision are taken from (`feed-protocol.md` 5).
//!
//! It is the wall clock, made so that it never goes back, not even over a restart. Where the wall clock has fallen
//! behind, authority time goes on at 98 % of the boot clock until it has been caught up with: it neither stands still
//! (nothing would expire) nor jumps. It decides no order; revisions do.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jeton_types::{BootTime, Clock, Now, UnixTime};

/// Authority time, shared by everything in the process that asks for it.
#[derive(Clone)]
pub struct AuthorityTime(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    last: Mutex<(BootTime, UnixTime)>,
}

impl AuthorityTime {
    /// Authority time over `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        Self(Arc::new(Inner { clock, last: Mutex::new((now.boot, now.real)) }))
    }

    /// Authority time now.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.read().1
    }

    /// Makes sure that no moment before `floor` is told from here on; says by how much it had to be raised. At the
    /// start the floor is the last commit's.
    pub fn raise(&self, floor: UnixTime) -> Duration {
        let now = self.now();
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1 = last.1.max(floor);
        floor.since(now)
    }

    /// Both at once: the clock's reading, and authority time at that reading.
    #[must_use]
    pub fn read(&self) -> (Now, UnixTime) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: two readings taken outside could be put in the wrong order.
        let now = self.0.clock.now();
        let elapsed = now.boot.since(last.0);
        let crept = last.1.plus(elapsed / 100 * 98);
        *last = (now.boot.max(last.0), now.real.max(crept));
        (now, last.1)
    }
}

impl fmt::Debug for AuthorityTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorityTime").field(&self.now()).finish()
    }
}

/// The clock that the store takes its revisions and moments from: boot time as it is, authority time for real time.
#[derive(Debug, Clone)]
pub(crate) struct AuthorityClock(pub(crate) AuthorityTime);

impl Clock for AuthorityClock {
    fn now(&self) -> Now {
        let (now, real) = self.0.read();
        Now { boot: now.boot, real }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hands(Mutex<Now>);

    impl Clock for Hands {
        fn now(&self) -> Now {
            *self.0.lock().unwrap()
        }
    }

    fn at(boot_secs: u64, real_secs: u64) -> Now {
        let boot = BootTime::from_nanos(boot_secs * 1_000_000_000);
        Now { boot, real: UnixTime::from_micros(real_secs * 1_000_000) }
    }

    fn check(readings: &[((u64, u64), u64)]) {
        let hands = Arc::new(Hands(Mutex::new(at(0, 1_000))));
        let time = AuthorityTime::new(hands.clone());
        for ((boot, real), expect) in readings {
            *hands.0.lock().unwrap() = at(*boot, *real);
            assert_eq!(time.now().as_secs(), *expect, "at boot {boot}, real {real}");
        }
    }

    #[test]
    fn it_follows_the_wall_clock_forwards() {
        check(&[((0, 1_000), 1_000), ((5, 1_005), 1_005), ((6, 1_500), 1_500)]);
    }

    #[test]
    fn it_never_goes_back_and_never_stands_still() {
        check(&[((0, 1_000), 1_000), ((0, 500), 1_000), ((100, 600), 1_098), ((200, 700), 1_196)]);
    }

    #[test]
    fn it_is_caught_up_with() {
        check(&[((0, 1_000), 1_000), ((0, 999), 1_000), ((100, 1_099), 1_099), ((101, 1_100), 1_100)]);
    }

    #[test]
    fn it_never_tells_a_moment_before_its_floor() {
        let hands = Arc::new(Hands(Mutex::new(at(0, 1_000))));
        let time = AuthorityTime::new(hands.clone());
        assert_eq!(time.raise(UnixTime::from_micros(1_060 * 1_000_000)), Duration::from_secs(60));
        assert_eq!(time.now().as_secs(), 1_060);
        assert_eq!(time.raise(UnixTime::from_micros(1_000 * 1_000_000)), Duration::ZERO);
        *hands.0.lock().unwrap() = at(100, 1_100);
        assert_eq!(time.now().as_secs(), 1_158);
    }
}
