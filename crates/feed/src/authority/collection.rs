//! When what has expired may be collected (`feed-protocol.md` 25).
//!
//! Purpose: says up to which expiry tokens may go. Guarantee: they had expired, by authority time, at a moment of this process
//! since which every lease and grace that was granted before has run out by its boot clock. So whoever can still answer was
//! granted after it, with an authority time that is past the expiry: he refuses such a token by what it says itself, and
//! goes on refusing it once it is gone. Not guaranteed: that nothing waits for longer. A moment is remembered in memory only,
//! so a start, and a jump of the clock, begin the wait anew.

use std::{collections::VecDeque, time::Duration};

use jeton_types::{BootTime, UnixTime};

use crate::numbers::{COLLECT_AFTER, JUMP_MAX};

/// Moments that are remembered: one for each of these.
const MARK_EVERY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub struct CollectionWait {
    /// What authority time was at a moment, both ever later.
    marks: VecDeque<(UnixTime, BootTime)>,
    /// Whatever had expired by then has waited for long enough.
    passed: Option<UnixTime>,
    last: Option<(BootTime, UnixTime)>,
}

impl CollectionWait {
    /// Takes in what the clocks say; answers up to which expiry tokens may be collected, if any may. `real` is the wall clock,
    /// which says nothing but whether the machine was paused.
    pub fn look(&mut self, boot: BootTime, real: UnixTime, authority_time: UnixTime) -> Option<UnixTime> {
        let paused = |(boot_last, real_last): (BootTime, UnixTime)| {
            real.since(real_last) > boot.since(boot_last).saturating_add(JUMP_MAX)
        };
        if self.last.is_some_and(paused) {
            // That is a new start (`feed-protocol.md` 3), and the verifiers' clocks may have gone on meanwhile or not.
            self.marks.clear();
            self.passed = None;
        }
        self.last = Some((boot, real));
        if self.marks.back().is_none_or(|(_, at)| boot.since(*at) >= MARK_EVERY) {
            self.marks.push_back((authority_time, boot));
        }
        while let Some((expired, at)) = self.marks.front().copied() {
            if boot.since(at) < COLLECT_AFTER {
                break;
            }
            self.passed = self.passed.max(Some(expired));
            self.marks.pop_front();
        }
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: UnixTime = UnixTime::from_micros(5_000_000_000_000);

    fn boot(seconds: u64) -> BootTime {
        BootTime::ZERO.plus(Duration::from_secs(1_000 + seconds))
    }

    fn real(seconds: u64) -> UnixTime {
        UnixTime::from_micros(1_000_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn at(seconds: u64) -> UnixTime {
        AUTHORITY.plus(Duration::from_secs(seconds))
    }

    /// Looks every five seconds up to this one.
    fn looked(waiting: &mut CollectionWait, from: u64, to: u64) -> Option<UnixTime> {
        (from..=to)
            .step_by(5)
            .filter(|second| *second >= from)
            .map(|second| waiting.look(boot(second), real(second), at(second)))
            .last()
            .flatten()
    }

    #[test]
    fn what_has_expired_waits_for_every_lease_and_grace() {
        assert_eq!(
            COLLECT_AFTER.as_secs(),
            4_507,
            "1.25 * (5 s + 1 h) + 250 ms, and the second that a session may be behind"
        );
        let mut waiting = CollectionWait::default();
        assert_eq!(looked(&mut waiting, 0, 4_505), None);
        // What had expired when the process was started, and nothing that expired since.
        assert_eq!(looked(&mut waiting, 4_510, 4_510), Some(at(0)));
        assert_eq!(looked(&mut waiting, 4_515, 4_565), Some(at(0)));
        assert_eq!(looked(&mut waiting, 4_570, 4_570), Some(at(60)));
        // Nobody looked for a day: what had expired by the last look before it has waited.
        let day = 86_400;
        assert_eq!(waiting.look(boot(day), real(day), at(day)), Some(at(4_560)));
    }

    #[test]
    fn authority_time_alone_proves_nothing() {
        let mut waiting = CollectionWait::default();
        waiting.look(boot(0), real(0), at(0));
        // It was raised by years: what it says now is not for how long it has been so.
        let years = 100_000_000;
        assert_eq!(waiting.look(boot(60), real(60), at(years)), None);
        assert_eq!(waiting.look(boot(4_508), real(4_508), at(years)), Some(at(0)));
        assert_eq!(waiting.look(boot(4_568), real(4_568), at(years)), Some(at(years)));
    }

    #[test]
    fn a_pause_begins_the_wait_anew() {
        let mut waiting = CollectionWait::default();
        waiting.look(boot(0), real(0), at(0));
        assert_eq!(waiting.look(boot(4_400), real(4_401), at(4_400)), None);
        assert_eq!(waiting.look(boot(4_600), real(4_601), at(4_600)), None, "the boot clock stood still for a second");
        assert_eq!(waiting.look(boot(4_400 + 4_508), real(4_401 + 4_508), at(9_000)), Some(at(4_400)));
        // The wall clock that is set back says nothing.
        assert_eq!(waiting.look(boot(9_000), real(0), at(9_000)), Some(at(4_400)));
    }
}
