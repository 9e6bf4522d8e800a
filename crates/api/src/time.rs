//! Moments as the API writes them.

use std::{fmt, str::FromStr};

use jeton_types::{Invalid, UnixTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in RFC 3339, in UTC, always with six digits of the second: `2026-01-02T03:04:05.678901Z`. One length and
/// one spelling, so that texts sort as moments do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub UnixTime);

/// The last microsecond of the year 9999, the last that RFC 3339 can write.
const LAST_MICROS: u64 = 253_402_300_799_999_999;
const MICROS: u64 = 1_000_000;
const DAY_SECS: u64 = 86_400;
/// Days from 0000-03-01 to the epoch.
const EPOCH_DAYS: u64 = 719_468;
/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

impl From<UnixTime> for Timestamp {
    fn from(time: UnixTime) -> Self {
        Self(time)
    }
}

impl From<Timestamp> for UnixTime {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for Timestamp {
    /// What lies past the year 9999 is written as its last moment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros().min(LAST_MICROS);
        let (secs, micros) = (micros / MICROS, micros % MICROS);
        let (year, month, day) = civil_of_days(secs / DAY_SECS);
        let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const FORM: Invalid = Invalid("a moment is written like `2026-01-02T03:04:05.678901Z`, from 1970 on");
        const PATTERN: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
        let bytes = text.as_bytes();
        let fits = bytes.len() == PATTERN.len()
            && bytes.iter().zip(PATTERN).all(|(byte, want)| match want {
                b'd' => byte.is_ascii_digit(),
                want => byte == want,
            });
        if !fits {
            return Err(FORM);
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0_u64, |value, byte| value * 10 + u64::from(byte - b'0'))
        };
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        // A leap second is not written: the clock that moments come from has none.
        let in_range = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !in_range {
            return Err(FORM);
        }
        let secs = days_of_civil(year, month, day) * DAY_SECS + hour * 3_600 + minute * 60 + second;
        Ok(Self(UnixTime::from_micros(secs * MICROS + number(20, 26))))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Year, month and day of a count of days since the epoch. A year is counted from March, so that the leap day is its
/// last, and 400 years are the same everywhere.
const fn civil_of_days(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The inverse of [`civil_of_days`], for dates of 1970 and later.
const fn days_of_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * ERA_DAYS + of_era - EPOCH_DAYS
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(micros: u64, text: &str) {
        assert_eq!(Timestamp(UnixTime::from_micros(micros)).to_string(), text);
        assert_eq!(text.parse(), Ok(Timestamp(UnixTime::from_micros(micros))), "{text}");
    }

    #[test]
    fn known_moments() {
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check(1_000_000_000_000_001, "2001-09-09T01:46:40.000001Z");
        check(1_767_323_045_678_901, "2026-01-02T03:04:05.678901Z");
        check(4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z");
        check(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z");
        check(LAST_MICROS, "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(UnixTime::from_micros(u64::MAX)).to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn one_spelling_only() {
        for bad in [
            "",
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.678Z",
            "2026-01-02t03:04:05.678901z",
            "2026-01-02 03:04:05.678901Z",
            "2026-01-02T03:04:05.678901+00:00",
            "2026-01-02T03:04:60.000000Z",
            "2026-01-02T24:00:00.000000Z",
            "2026-13-02T03:04:05.678901Z",
            "2026-00-02T03:04:05.678901Z",
            "2026-02-29T03:04:05.678901Z",
            "2100-02-29T03:04:05.678901Z",
            "2026-04-31T03:04:05.678901Z",
            "2026-04-00T03:04:05.678901Z",
            "1969-12-31T23:59:59.999999Z",
            "+026-01-02T03:04:05.678901Z",
            "２026-01-02T03:04:05.6789Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back_and_sorts(one in 0..=LAST_MICROS, two in 0..=LAST_MICROS) {
            let (one, two) = (Timestamp(UnixTime::from_micros(one)), Timestamp(UnixTime::from_micros(two)));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            prop_assert_eq!(one.to_string().cmp(&two.to_string()), one.cmp(&two));
        }

        #[test]
        fn the_parser_is_total(text in "([0-9TZ:.+-]{0,30}|.*)") {
            if let Ok(moment) = text.parse::<Timestamp>() {
                prop_assert_eq!(moment.to_string(), text);
            }
        }

        #[test]
        fn the_days_of_every_year_follow_each_other(days in 0..2_932_895_u64) {
            let (year, month, day) = civil_of_days(days);
            let next = if day < days_in(year, month) { (year, month, day + 1) }
                else if month < 12 { (year, month + 1, 1) } else { (year + 1, 1, 1) };
            prop_assert_eq!(civil_of_days(days + 1), next);
        }
    }
}
