//! When a call is tried again.
//!
//! | what came | a read | a change, under its key | `verify` |
//! | --- | --- | --- | --- |
//! | no connection, or one that broke, or no answer in the time of one try | again | again | again |
//! | 502, 503, 504 (also `stale`, `storage_full`; not `rollback`) | again | again | the answer |
//! | 429 | again | again | the answer |
//! | 409 `key_running`: the same change is being made now | — | again, until the deadline | — |
//! | 401, if the token is out of a file and another is in it now | once more | once more | once more |
//! | any other 4xx, 500 | the answer | the answer | the answer |
//!
//! Between two tries passes a pause that doubles from [`Retry::first_pause`] to [`Retry::longest_pause`], of which the
//! second half is random, so that many clients do not come back at once. What the other side names as `Retry-After` (in
//! seconds) is waited for besides. [`Retry::tries`] bounds how often, the deadline of the call for how long: where the next
//! pause would pass it, the last failure is the answer.
//!
//! A verdict is about now, so whoever asks for one decides whether to ask again what cannot be said. A change is safe to try
//! again because of its key; nothing that changes anything is ever sent without one.

use std::time::Duration;

use jeton_api::problem::{Code, Problem};

use crate::error::Error;

/// How often, and after what pauses, a call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried in all.
    pub tries: u32,
    /// The pause after the first failure, of which the second half is random.
    pub first_pause: Duration,
    /// No pause is longer, but for what the other side asks for.
    pub longest_pause: Duration,
}

impl Retry {
    /// Five tries within some two seconds: over a restart, and soon enough for a person who mistyped the URL.
    pub const DEFAULT: Self =
        Self { tries: 5, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(2) };
    /// One try.
    pub const NEVER: Self = Self { tries: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };
}

impl Default for Retry {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Asks, and changes nothing.
    Read,
    /// Changes something, under a key.
    Change,
    /// Asks for a verdict.
    Verify,
}

/// How one try failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The other side says why.
    Problem { problem: Problem, retry_after: Option<Duration> },
    /// No connection came about: nothing was sent.
    Connect(String),
    /// It was sent, and no whole answer came.
    Broken(String),
    /// Something in between answers that it has no answer.
    Gateway { why: String, retry_after: Option<Duration> },
    /// An answer that cannot be used.
    Bad(String),
}

impl Failed {
    /// Whether what was sent may have been done all the same.
    pub(crate) fn may_be_done(&self) -> bool {
        match self {
            Self::Connect(_) => false,
            // The authority may have lost its store in the middle of a commit.
            Self::Problem { problem, .. } => {
                matches!(problem.code, Code::Unavailable | Code::Internal | Code::KeyRunning)
            }
            Self::Broken(_) | Self::Gateway { .. } | Self::Bad(_) => true,
        }
    }
}

impl Failed {
    /// Whether this says of a change that it was not made, whatever became of earlier tries: under the same key it would
    /// have been answered.
    pub(crate) fn settles(&self) -> bool {
        matches!(self, Self::Problem { problem, .. }
            if (400..500).contains(&problem.status)
                && !matches!(problem.code, Code::KeyRunning | Code::TooMany | Code::RequestTimeout))
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Problem { problem, .. } => Self::of_problem(problem),
            Failed::Connect(why) | Failed::Broken(why) | Failed::Gateway { why, .. } => Self::Unreachable(why),
            Failed::Bad(why) => Self::Bad(why),
        }
    }
}

/// The pauses of one call.
#[derive(Debug)]
pub(crate) struct Pauses {
    retry: Retry,
    manner: Manner,
    tried: u32,
}

impl Pauses {
    pub(crate) fn new(retry: Retry, manner: Manner) -> Self {
        Self { retry, manner, tried: 0 }
    }

    /// How long to wait before the next try; nothing if there is none. `left` is the time until the deadline, `random` any
    /// number.
    pub(crate) fn next(&mut self, failed: &Failed, left: Duration, random: u64) -> Option<Duration> {
        self.tried += 1;
        let (again, asked) = self.again(failed);
        let running = matches!(failed, Failed::Problem { problem, .. } if problem.code == Code::KeyRunning);
        if !again || (self.tried >= self.retry.tries && !running) || self.retry == Retry::NEVER {
            return None;
        }
        let pause = asked.saturating_add(self.jittered(random));
        (pause < left).then_some(pause)
    }

    fn again(&self, failed: &Failed) -> (bool, Duration) {
        let patient = self.manner != Manner::Verify;
        match failed {
            Failed::Connect(_) | Failed::Broken(_) => (true, Duration::ZERO),
            Failed::Gateway { retry_after, .. } => (patient, retry_after.unwrap_or_default()),
            Failed::Problem { problem, retry_after } => {
                let asked = retry_after.unwrap_or_default();
                let again = match problem.status {
                    409 => self.manner == Manner::Change && problem.code == Code::KeyRunning,
                    429 => patient,
                    502..=504 => patient && problem.code != Code::Rollback,
                    _ => false,
                };
                (again, asked)
            }
            Failed::Bad(_) => (false, Duration::ZERO),
        }
    }

    /// Half of the pause, and a random part of the other half.
    fn jittered(&self, random: u64) -> Duration {
        let doubled = 1_u32.checked_shl(self.tried.saturating_sub(1).min(31)).unwrap_or(u32::MAX);
        let half = self.retry.first_pause.saturating_mul(doubled).min(self.retry.longest_pause) / 2;
        let parts = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half.saturating_add(Duration::from_nanos(if parts == 0 { 0 } else { random % parts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn problem(code: Code, retry_after: Option<u64>) -> Failed {
        Failed::Problem { problem: Problem::new(code, "x"), retry_after: retry_after.map(Duration::from_secs) }
    }

    fn broken() -> Failed {
        Failed::Broken("x".to_owned())
    }

    #[test]
    fn which_failures_are_tried_again() {
        let tried = |failed: &Failed| {
            [Manner::Read, Manner::Change, Manner::Verify]
                .map(|manner| Pauses::new(Retry::DEFAULT, manner).next(failed, LONG, 0).is_some())
        };
        assert_eq!(tried(&Failed::Connect("x".to_owned())), [true, true, true]);
        assert_eq!(tried(&broken()), [true, true, true]);
        assert_eq!(tried(&Failed::Gateway { why: "502".to_owned(), retry_after: None }), [true, true, false]);
        assert_eq!(tried(&Failed::Bad("x".to_owned())), [false; 3]);
        for code in Code::ALL {
            let expect = match code {
                Code::KeyRunning => [false, true, false],
                Code::TooMany | Code::StorageFull | Code::Stale | Code::Unavailable => [true, true, false],
                _ => [false; 3],
            };
            assert_eq!(tried(&problem(*code, Some(1))), expect, "{code}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let mut pauses = Pauses::new(Retry { tries: 8, ..Retry::DEFAULT }, Manner::Read);
        let least: Vec<u128> = std::iter::from_fn(|| pauses.next(&broken(), LONG, 0)).map(|p| p.as_millis()).collect();
        assert_eq!(least, [50, 100, 200, 400, 800, 1_000, 1_000]);
        let mut pauses = Pauses::new(Retry { tries: 8, ..Retry::DEFAULT }, Manner::Read);
        let random = |pause: Duration| {
            let half = u64::try_from(pause.as_nanos()).unwrap() / 2;
            half - 1
        };
        let most = pauses.next(&broken(), LONG, random(Duration::from_millis(100))).unwrap();
        assert_eq!(most, Duration::from_nanos(99_999_999));
        let mut never = Pauses::new(Retry::NEVER, Manner::Change);
        assert_eq!(never.next(&broken(), LONG, 0), None);
        assert_eq!(Pauses::new(Retry::NEVER, Manner::Change).next(&problem(Code::KeyRunning, None), LONG, 0), None);
    }

    #[test]
    fn what_the_other_side_asks_for_is_waited_for() {
        let pause = |failed: &Failed, left| Pauses::new(Retry::DEFAULT, Manner::Change).next(failed, left, 0);
        let full = problem(Code::StorageFull, Some(3));
        assert_eq!(pause(&full, LONG), Some(Duration::from_millis(3_050)));
        assert_eq!(pause(&full, Duration::from_millis(3_050)), None, "the deadline comes first");
        assert_eq!(pause(&problem(Code::TooMany, None), LONG), Some(Duration::from_millis(50)));
    }

    #[test]
    fn a_change_that_is_being_made_is_waited_for_until_the_deadline() {
        let mut pauses = Pauses::new(Retry::DEFAULT, Manner::Change);
        let running = problem(Code::KeyRunning, None);
        for _ in 0..100 {
            assert!(pauses.next(&running, LONG, u64::MAX).is_some());
        }
        assert_eq!(pauses.next(&running, Duration::ZERO, 0), None);
        assert_eq!(pauses.next(&broken(), LONG, 0), None, "and this has been tried often enough");
    }

    #[test]
    fn what_may_have_been_done() {
        assert!(!Failed::Connect("x".to_owned()).may_be_done());
        assert!(broken().may_be_done());
        assert!(problem(Code::Unavailable, None).may_be_done());
        assert!(!problem(Code::StorageFull, None).may_be_done());
    }
}
