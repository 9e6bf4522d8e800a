//! Authority time: what expiry, display and the hint in a revision are taken from (`feed-protocol.md` 5).
//!
//! It runs with the boot clock, which nobody sets, and is drawn towards the wall clock by at most 2 % of the time that
//! passes, so that a clock that is corrected is followed without a leap. A wall clock that is over a minute away is not
//! believed: it was set, or the machine was paused; authority time runs on by itself and says so, until the wall clock comes
//! back or the process is started anew, which takes the wall clock as it finds it. It never goes back, not even over a
//! restart. It decides no order; revisions do. The 2 % are part of what verifiers allow for (rule 15): 10 % drift of both
//! machines and this come to less than the quarter that they add.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jeton_types::{BootTime, Clock, Now, UnixTime};

/// The wall clock is not followed further than this.
const STEP_MAX: Duration = Duration::from_secs(60);
/// It is followed by at most one part in this many of the time that passes.
const SLEW: u64 = 50;

/// Authority time, shared by everything in the process that asks for it.
#[derive(Clone)]
pub struct AuthorityTime(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// At the last reading.
#[derive(Clone, Copy)]
struct State {
    boot: BootTime,
    /// Authority time in nanoseconds: read every few microseconds, 2 % of the time between are less than one of those.
    nanos: u64,
    step: Option<Step>,
}

/// A wall clock that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How far it is away.
    pub by: Duration,
    /// Whether it is ahead of authority time, or behind it.
    pub ahead: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let where_to = if self.ahead { "ahead of" } else { "behind" };
        write!(
            f,
            "the wall clock is {} s {where_to} authority time and is not followed: expiry and the times that are shown run on by \
             the boot clock; set the wall clock right, or, if it is, restart the authority",
            self.by.as_secs()
        )
    }
}

impl AuthorityTime {
    /// Authority time over `clock`: its wall clock as it is now, and from here on as the module says.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let state = State { boot: now.boot, nanos: nanos(now.real), step: None };
        Self(Arc::new(Inner { clock, state: Mutex::new(state) }))
    }

    /// Authority time now.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.read().1
    }

    /// The wall clock's distance, while it is not followed.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        let mut state = self.state();
        let _ = self.advance(&mut state);
        state.step
    }

    /// Makes sure that no moment before `floor` is told from here on; says by how much it had to be raised. At the
    /// start the floor is the last commit's.
    pub fn raise(&self, floor: UnixTime) -> Duration {
        let mut state = self.state();
        let _ = self.advance(&mut state);
        let raised = Duration::from_nanos(nanos(floor).saturating_sub(state.nanos));
        state.nanos = state.nanos.max(nanos(floor));
        raised
    }

    /// Both at once: the clock's reading, and authority time at that reading.
    #[must_use]
    pub fn read(&self) -> (Now, UnixTime) {
        let mut state = self.state();
        let now = self.advance(&mut state);
        (now, UnixTime::from_micros(state.nanos / 1_000))
    }

    /// Reads the clock under the lock: two readings taken outside could be put in the wrong order.
    fn advance(&self, state: &mut State) -> Now {
        let now = self.0.clock.now();
        let elapsed = u64::try_from(now.boot.since(state.boot).as_nanos()).unwrap_or(u64::MAX);
        let (ran, wall) = (state.nanos.saturating_add(elapsed), nanos(now.real));
        let (away, ahead) = (wall.abs_diff(ran), wall > ran);
        let followed = u128::from(away) <= STEP_MAX.as_nanos();
        let drawn = if followed { away.min(elapsed / SLEW) } else { 0 };
        *state = State {
            boot: now.boot.max(state.boot),
            nanos: if ahead { ran.saturating_add(drawn) } else { ran.saturating_sub(drawn) },
            step: (!followed).then(|| Step { by: Duration::from_nanos(away), ahead }),
        };
        now
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AuthorityTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorityTime").field(&self.now()).finish()
    }
}

/// Until the year 2554.
const fn nanos(time: UnixTime) -> u64 {
    time.as_micros().saturating_mul(1_000)
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
    use proptest::prelude::*;

    use super::*;

    struct Hands(Mutex<Now>);

    impl Clock for Hands {
        fn now(&self) -> Now {
            *self.0.lock().unwrap()
        }
    }

    /// In milliseconds.
    fn at(boot: u64, real: u64) -> Now {
        Now { boot: BootTime::from_nanos(boot * 1_000_000), real: UnixTime::from_micros(real * 1_000) }
    }

    fn hands() -> (Arc<Hands>, AuthorityTime) {
        let hands = Arc::new(Hands(Mutex::new(at(0, 1_000_000))));
        (hands.clone(), AuthorityTime::new(hands))
    }

    /// Readings of boot and wall clock, and what authority time is then: all in seconds.
    fn check(readings: &[((u64, u64), u64)]) {
        let (hands, time) = hands();
        for ((boot, real), expect) in readings {
            *hands.0.lock().unwrap() = at(boot * 1_000, real * 1_000);
            assert_eq!(time.now().as_secs(), *expect, "at boot {boot}, real {real}");
        }
    }

    #[test]
    fn it_runs_with_the_clocks() {
        check(&[((0, 1_000), 1_000), ((5, 1_005), 1_005), ((500, 1_500), 1_500)]);
    }

    #[test]
    fn it_is_drawn_by_at_most_two_percent() {
        // A minute ahead, a minute behind: reached after 50 minutes, and then kept to.
        check(&[((0, 1_060), 1_000), ((100, 1_160), 1_102), ((3_000, 4_060), 4_060), ((3_100, 4_160), 4_160)]);
        check(&[((0, 940), 1_000), ((100, 1_040), 1_098), ((3_000, 3_940), 3_940), ((3_100, 4_040), 4_040)]);
    }

    #[test]
    fn a_step_is_not_followed_and_ends_when_the_clock_comes_back() {
        let (hands, time) = hands();
        let look = |boot: u64, real: u64| {
            *hands.0.lock().unwrap() = at(boot, real);
            (time.now().as_millis(), time.step())
        };
        assert_eq!(look(0, 1_000_000), (1_000_000, None));
        let hour = Duration::from_secs(3_600);
        assert_eq!(look(0, 4_600_000), (1_000_000, Some(Step { by: hour, ahead: true })));
        assert_eq!(look(100_000, 4_700_000), (1_100_000, Some(Step { by: hour, ahead: true })));
        assert_eq!(look(100_000, 1_100_010), (1_100_000, None));
        assert_eq!(look(101_000, 1_101_010), (1_101_010, None), "what is left is followed again");
        let back = Duration::from_millis(101_010 + 1_000_000);
        assert_eq!(look(101_000, 0), (1_101_010, Some(Step { by: back, ahead: false })));
        assert_eq!(look(201_000, 100_000), (1_201_010, Some(Step { by: back, ahead: false })));
    }

    #[test]
    fn it_never_tells_a_moment_before_its_floor() {
        let (hands, time) = hands();
        assert_eq!(time.raise(UnixTime::from_micros(1_060 * 1_000_000)), Duration::from_secs(60));
        assert_eq!((time.now().as_secs(), time.step()), (1_060, None));
        assert_eq!(time.raise(UnixTime::from_micros(1_000 * 1_000_000)), Duration::ZERO);
        *hands.0.lock().unwrap() = at(100_000, 1_100_000);
        assert_eq!(time.now().as_secs(), 1_158);
        // The last commit was written by a clock that was wrong by a day: time goes on from there, and it is said.
        time.raise(UnixTime::from_micros(90_000 * 1_000_000));
        *hands.0.lock().unwrap() = at(200_000, 1_200_000);
        assert_eq!((time.now().as_secs(), time.step().map(|step| step.ahead)), (90_100, Some(false)));
    }

    /// Read every few microseconds, 2 % of what passes in between must not be lost.
    #[test]
    fn it_is_drawn_however_often_it_is_read() {
        let (hands, time) = hands();
        for step in 0..100_000_u64 {
            let boot = BootTime::from_nanos(step * 1_000);
            *hands.0.lock().unwrap() = Now { boot, real: UnixTime::from_micros(1_000 * 1_000_000 + 1_000 + step) };
            let _ = time.now();
        }
        let away = 1_000_000_000 + 1_000 + 99_999 - time.now().as_micros();
        assert_eq!(away, 0, "a millisecond is caught up with in a twentieth of a second");
    }

    proptest! {
        /// Whatever the wall clock does: time never goes back and never runs off by more than 2 %.
        #[test]
        fn it_runs_on_whatever_the_wall_clock_does(moves in proptest::collection::vec((0..10_000_u64, -200_000_i64..200_000), 1..60)) {
            let (hands, time) = hands();
            let (mut boot, mut wall, mut last) = (0, 1_000_000_i64, time.now().as_micros());
            for (passed, set) in moves {
                boot += passed;
                wall = (wall + passed as i64 + set).max(0);
                *hands.0.lock().unwrap() = at(boot, wall as u64);
                let now = time.now().as_micros();
                let (ran, span) = (now - last, passed * 1_000);
                prop_assert!(ran + 1 >= span - span / 50 && ran <= span + span / 50 + 1, "{ran} in {span}");
                last = now;
            }
        }
    }
}
