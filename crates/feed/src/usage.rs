//! What a verifier has seen of tokens in use, and how it tells the authority.
//!
//! [`Reporter`] gathers counts and makes numbered [`Report`]s of them, one under way at a time: a report that was not
//! confirmed comes again on the next stream, word for word, so that the authority counts it once by its number.
//!
//! Guaranteed: all that was gathered before a report whose [`Report::until`] is T, and happened before T, is in it or in
//! an earlier one. Once something had to be left out, `until` stands still for the session's life, and its last report is
//! none: what is not known is never passed off as silence. Not guaranteed: that counts survive this process.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use jeton_types::{BootTime, TokenId, UnixTime};

/// The protocol from which on an authority takes reports.
pub const PROTOCOL_OF_USAGE: u32 = 4;
/// Uses in one report, and presentations of ended tokens.
pub const REPORT_MAX: usize = 256;
/// First uses are told at once, but no more often than this.
pub const FIRST_EVERY: Duration = Duration::from_millis(250);
/// How often what is no first use is told,
pub const USES_EVERY: Duration = Duration::from_secs(10);
/// and that there was none.
pub const SILENCE_EVERY: Duration = Duration::from_secs(30);
/// Tokens whose use waits to be told, and those of which it is known that they were told before.
pub const TOKENS_MAX: usize = 1_000_000;
/// Addresses from which ended tokens are presented that are told apart at a time.
pub const PRESENTERS_MAX: usize = 1_024;
/// Reports at a goodbye.
const FAREWELL_MAX: usize = 32;

/// How often and between when, in a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen<T> {
    /// The first time.
    pub first: T,
    /// The last time.
    pub last: T,
    /// How often.
    pub count: u64,
}

/// One batch of what a verifier saw. Times are authority time, as far as the verifier knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// Its number in the session, from 1 on.
    pub number: u64,
    /// All uses before this moment have been told with it.
    pub until: UnixTime,
    /// There is none after it: the session is about to say goodbye.
    pub last: bool,
    /// Tokens that were found valid.
    pub uses: Vec<(TokenId, Seen<UnixTime>)>,
    /// Tokens that had ended, and from where they were presented, as far as that is known.
    pub presented: Vec<(TokenId, Option<IpAddr>, Seen<UnixTime>)>,
}

/// Makes reports of counts. See the module.
#[derive(Debug, Default)]
pub struct Reporter {
    uses: HashMap<TokenId, Seen<BootTime>>,
    presented: HashMap<(TokenId, Option<IpAddr>), Seen<BootTime>>,
    told: HashSet<TokenId>,
    /// Authority time, and when here that was heard.
    heard: Option<(UnixTime, BootTime)>,
    /// What is gathered is all there was before this moment.
    gathered: UnixTime,
    until: UnixTime,
    number: u64,
    under_way: Option<Report>,
    sent_at: BootTime,
    first: bool,
    incomplete: bool,
}

impl<T: Ord + Copy> Seen<T> {
    /// Once.
    #[must_use]
    pub const fn once(at: T) -> Self {
        Self { first: at, last: at, count: 1 }
    }

    /// With what another has seen.
    pub fn add(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }
}

impl Reporter {
    /// The authority said its time. It is later there by now, never earlier.
    pub fn hear(&mut self, authority_time: UnixTime, now: BootTime) {
        if self.heard.is_none_or(|(known, _)| authority_time >= known) {
            self.heard = Some((authority_time, now));
        }
    }

    /// To be called before what was counted is collected: whatever is counted after the call is later than what it keeps.
    pub fn begin_gathering(&mut self) {
        if let Some((heard, _)) = self.heard {
            self.gathered = heard;
        }
    }

    /// A token was found valid this often.
    pub fn used(&mut self, token: TokenId, seen: Seen<BootTime>) {
        if let Some(known) = self.uses.get_mut(&token) {
            known.add(seen);
        } else if self.uses.len() < TOKENS_MAX {
            self.uses.insert(token, seen);
        } else {
            self.incomplete = true;
            return;
        }
        self.is_new(token);
    }

    /// A token that has ended was presented this often.
    pub fn presented(&mut self, token: TokenId, address: Option<IpAddr>, seen: Seen<BootTime>) {
        let known = self.presented.len() < PRESENTERS_MAX || self.presented.contains_key(&(token, address));
        // From more places than are told apart: then it is told that it was, and not from where.
        let address = address.filter(|_| known);
        self.presented.entry((token, address)).and_modify(|all| all.add(seen)).or_insert(seen);
        self.is_new(token);
    }

    /// A stream stands: what was under way before it comes again.
    #[must_use]
    pub fn opened(&self) -> Option<Report> {
        self.under_way.clone()
    }

    /// The authority has counted the report of this number.
    pub fn taken(&mut self, number: u64) {
        if self.under_way.as_ref().is_some_and(|report| report.number == number) {
            self.under_way = None;
        }
    }

    /// What to tell now over a stream that stands.
    pub fn due(&mut self, now: BootTime) -> Option<Report> {
        let (silent, empty) = (now.since(self.sent_at), self.uses.is_empty() && self.presented.is_empty());
        let every = match (empty, self.first) {
            (true, _) => SILENCE_EVERY,
            (false, true) => FIRST_EVERY,
            (false, false) => USES_EVERY,
        };
        if self.under_way.is_some() || (self.number > 0 && silent < every) {
            return None;
        }
        let report = self.report()?;
        self.sent_at = now;
        self.under_way = Some(report.clone());
        Some(report)
    }

    /// All that is left, before a goodbye.
    pub fn farewell(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(report) = self.report() {
            reports.push(report);
            if (self.uses.is_empty() && self.presented.is_empty()) || reports.len() == FAREWELL_MAX {
                break;
            }
        }
        let whole = self.uses.is_empty() && self.presented.is_empty() && !self.incomplete;
        if let Some(last) = reports.last_mut().filter(|_| whole) {
            last.last = true;
        }
        reports
    }

    /// Another session goes on. What was under way may have been counted with the one before, so it is not told again.
    pub fn successor(&mut self) {
        (self.number, self.under_way, self.until, self.incomplete) = (0, None, UnixTime::ZERO, false);
    }

    fn is_new(&mut self, token: TokenId) {
        if !self.told.contains(&token) {
            self.first = true;
            if self.told.len() < TOKENS_MAX {
                self.told.insert(token);
            }
        }
    }

    fn report(&mut self) -> Option<Report> {
        let heard = self.heard?;
        let tokens: Vec<TokenId> = self.uses.keys().take(REPORT_MAX).copied().collect();
        let uses = tokens.iter().filter_map(|token| Some((*token, told(self.uses.remove(token)?, heard)))).collect();
        let places: Vec<_> = self.presented.keys().take(REPORT_MAX).copied().collect();
        let presented = places
            .iter()
            .filter_map(|place| Some((place.0, place.1, told(self.presented.remove(place)?, heard))))
            .collect();
        if self.uses.is_empty() && self.presented.is_empty() {
            self.first = false;
            if !self.incomplete {
                self.until = self.until.max(self.gathered);
            }
        }
        self.number += 1;
        Some(Report { number: self.number, until: self.until, last: false, uses, presented })
    }
}

/// In authority time.
fn told(seen: Seen<BootTime>, (authority_time, heard): (UnixTime, BootTime)) -> Seen<UnixTime> {
    let at = |boot: BootTime| authority_time.plus(boot.since(heard)).minus(heard.since(boot));
    Seen { first: at(seen.first), last: at(seen.last), count: seen.count }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TokenId = TokenId::from_bytes([1; 16]);
    const B: TokenId = TokenId::from_bytes([2; 16]);

    fn at(millis: u64) -> BootTime {
        BootTime::from_nanos(millis * 1_000_000)
    }

    fn time(millis: u64) -> UnixTime {
        UnixTime::from_micros(1_000_000_000 + millis * 1_000)
    }

    fn heard(millis: u64) -> Reporter {
        let mut reporter = Reporter::default();
        reporter.hear(time(millis), at(millis));
        reporter.begin_gathering();
        reporter
    }

    fn seen(first: u64, last: u64, count: u64) -> Seen<BootTime> {
        Seen { first: at(first), last: at(last), count }
    }

    #[test]
    fn a_first_use_is_told_at_once_and_what_follows_in_batches() {
        let mut reporter = heard(1_000);
        let first = reporter.due(at(1_000)).unwrap();
        assert_eq!((first.number, first.until, first.uses.len()), (1, time(1_000), 0), "that there was none");
        reporter.taken(1);
        reporter.used(A, seen(900, 1_100, 2));
        assert_eq!(reporter.due(at(1_249)), None);
        let told = reporter.due(at(1_250)).unwrap();
        assert_eq!(told.uses, [(A, Seen { first: time(900), last: time(1_100), count: 2 })]);
        reporter.used(A, seen(1_300, 1_300, 1));
        reporter.used(A, seen(1_200, 1_400, 2));
        assert_eq!(reporter.due(at(99_000)), None, "one under way at a time");
        reporter.taken(1);
        assert_eq!(reporter.due(at(99_000)), None, "that was another");
        reporter.taken(2);
        assert_eq!(reporter.due(at(1_250 + 9_999)), None);
        let told = reporter.due(at(1_250 + 10_000)).unwrap();
        assert_eq!(told.uses, [(A, Seen { first: time(1_200), last: time(1_400), count: 3 })]);
        reporter.taken(3);
        reporter.presented(B, None, seen(20_000, 20_000, 1));
        assert_eq!(reporter.due(at(20_000)).unwrap().presented.len(), 1, "the first of that token");
        reporter.taken(4);
        assert_eq!(reporter.due(at(20_000 + 29_999)), None);
        assert!(reporter.due(at(20_000 + 30_000)).is_some());
    }

    #[test]
    fn what_was_not_confirmed_comes_again_word_for_word() {
        let mut reporter = heard(1_000);
        reporter.used(A, seen(900, 900, 1));
        let told = reporter.due(at(1_000)).unwrap();
        reporter.hear(time(9_000), at(9_000));
        reporter.used(A, seen(9_000, 9_000, 5));
        assert_eq!(reporter.opened(), Some(told));
        reporter.taken(1);
        assert_eq!(reporter.opened(), None);
        reporter.successor();
        assert_eq!(reporter.due(at(30_000)).unwrap().number, 1, "another session counts anew");
    }

    #[test]
    fn until_is_what_is_known_and_no_later() {
        let mut reporter = heard(1_000);
        for token in 0..600_u16 {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&token.to_be_bytes());
            reporter.used(TokenId::from_bytes(bytes), seen(900, 900, 1));
        }
        reporter.hear(time(2_000), at(2_000));
        let first = reporter.due(at(2_000)).unwrap();
        assert_eq!((first.uses.len(), first.until), (REPORT_MAX, UnixTime::ZERO), "there is more of before");
        let farewell = reporter.farewell();
        let told: Vec<_> = farewell.iter().map(|report| (report.number, report.until, report.last)).collect();
        // Gathered when the authority was last heard to be there, not when it is told.
        assert_eq!(told, [(2, UnixTime::ZERO, false), (3, time(1_000), true)]);
        assert_eq!(farewell.iter().map(|report| report.uses.len()).sum::<usize>(), 600 - REPORT_MAX);
    }

    #[test]
    fn what_had_to_be_left_out_is_never_passed_off_as_silence() {
        let mut reporter = heard(1_000);
        for token in 0..=TOKENS_MAX as u64 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&token.to_be_bytes());
            reporter.used(TokenId::from_bytes(bytes), seen(900, 900, 1));
        }
        let farewell = reporter.farewell();
        assert!(farewell.iter().all(|report| report.until == UnixTime::ZERO && !report.last));
        assert_eq!(farewell.len(), FAREWELL_MAX);
    }

    #[test]
    fn places_beyond_those_told_apart_are_told_as_unknown() {
        let mut reporter = heard(1_000);
        for place in 0..=PRESENTERS_MAX as u32 + 1 {
            reporter.presented(A, Some(IpAddr::from(place.to_be_bytes())), seen(900, 900, 1));
        }
        let all: Vec<_> = reporter.farewell().into_iter().flat_map(|report| report.presented).collect();
        assert_eq!(all.len(), PRESENTERS_MAX + 1);
        assert_eq!(all.iter().find(|(_, address, _)| address.is_none()).unwrap().2.count, 2);
    }

    #[test]
    fn nobody_who_never_heard_the_time_tells_anything() {
        let mut reporter = Reporter::default();
        reporter.used(A, seen(1, 1, 1));
        assert_eq!(reporter.due(at(99_000)), None);
        assert!(reporter.farewell().is_empty());
    }
}
