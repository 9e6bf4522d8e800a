//! What is known of tokens in use: how reports add up, the same in every store.

use std::net::IpAddr;

use jeton_feed::usage::{Report, Seen};
use jeton_types::{NamespaceName, TokenId, UnixTime, VerifierName};

use crate::model::{PresenterRow, UsageKnown};

/// Presenters of one ended token that are kept.
pub const PRESENTERS_KEPT: usize = 32;
/// More than this a token is not used between two reports.
const COUNT_MAX: u64 = u32::MAX as u64;

/// What a session has told, as far as that bounds what is known.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub(crate) namespaces: Vec<NamespaceName>,
    pub(crate) opened_at: UnixTime,
    pub(crate) ended_at: Option<UnixTime>,
    /// Until when it has told all.
    pub(crate) until: Option<UnixTime>,
    /// It has told all there ever will be.
    pub(crate) last: bool,
}

/// Until when all uses are known of a token that was issued at this moment.
pub(crate) fn known(tellers: &[Teller], namespace: &NamespaceName, issued_at: UnixTime) -> UsageKnown {
    let mut known = UsageKnown::All;
    for teller in tellers.iter().filter(|teller| teller.namespaces.contains(namespace)) {
        match teller.ended_at {
            // It told all; or it was gone before the token was there.
            Some(_) if teller.last => {}
            Some(ended_at) if ended_at <= issued_at => {}
            Some(_) => return UsageKnown::Unknown,
            None => {
                let until = teller.until.unwrap_or_default().max(teller.opened_at);
                known = match known {
                    UsageKnown::Until(other) => UsageKnown::Until(other.min(until)),
                    _ => UsageKnown::Until(until),
                };
            }
        }
    }
    known
}

/// The tokens that a report speaks of, each once or twice.
pub(crate) fn tokens(report: &Report) -> impl Iterator<Item = TokenId> {
    let presented = report.presented.iter().map(|(token, ..)| *token);
    report.uses.iter().map(|(token, _)| *token).chain(presented)
}

/// What is told of a token, inside of what can have been: not before it was issued, and not later than now.
pub(crate) fn clamped(seen: Seen<UnixTime>, issued_at: UnixTime, now: UnixTime) -> Seen<UnixTime> {
    let last = seen.last.min(now).max(issued_at);
    Seen { first: seen.first.max(issued_at).min(last), last, count: seen.count.min(COUNT_MAX) }
}

/// What was known, and what is told besides.
pub(crate) fn together(known: Option<Seen<UnixTime>>, seen: Seen<UnixTime>) -> Seen<UnixTime> {
    known.map_or(seen, |mut all| {
        all.add(seen);
        all
    })
}

/// Adds a presentation to those of its token. Says which row is to be written, and which makes room for it.
pub(crate) fn present(
    rows: &[PresenterRow],
    verifier: &VerifierName,
    address: Option<IpAddr>,
    seen: Seen<UnixTime>,
) -> (PresenterRow, Option<PresenterRow>) {
    let known = rows.iter().find(|row| row.verifier == *verifier && row.address == address);
    let seen = together(known.map(|row| row.seen), seen);
    let rarest = rows.iter().min_by_key(|row| (row.seen.count, row.seen.last));
    let drop = rarest.filter(|_| known.is_none() && rows.len() >= PRESENTERS_KEPT);
    (PresenterRow { verifier: verifier.clone(), address, seen }, drop.cloned())
}

/// The most frequent first.
pub(crate) fn sort(rows: &mut [PresenterRow]) {
    rows.sort_by_key(|row| std::cmp::Reverse((row.seen.count, row.seen.last)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> UnixTime {
        UnixTime::from_micros(micros)
    }

    #[test]
    fn what_is_known_ends_with_the_oldest_report() {
        let acme: NamespaceName = "acme".parse().unwrap();
        let teller = |ended_at: Option<u64>, until: Option<u64>, last| Teller {
            namespaces: vec![acme.clone()],
            opened_at: at(100),
            ended_at: ended_at.map(at),
            until: until.map(at),
            last,
        };
        let check = |tellers: &[Teller], expect| assert_eq!(known(tellers, &acme, at(500)), expect, "{tellers:?}");
        check(&[], UsageKnown::All);
        check(&[teller(None, None, false)], UsageKnown::Until(at(100)));
        check(&[teller(None, Some(0), false)], UsageKnown::Until(at(100)));
        check(&[teller(None, Some(700), false), teller(None, Some(600), false)], UsageKnown::Until(at(600)));
        check(&[teller(None, Some(600), false), teller(Some(650), Some(640), true)], UsageKnown::Until(at(600)));
        check(&[teller(None, Some(600), false), teller(Some(650), Some(640), false)], UsageKnown::Unknown);
        check(&[teller(Some(500), Some(400), false)], UsageKnown::All);
        let other = Teller { namespaces: vec!["other".parse().unwrap()], ..teller(Some(650), None, false) };
        check(&[other], UsageKnown::All);
    }

    #[test]
    fn nobody_tells_of_before_the_token_or_of_tomorrow() {
        let seen = |first, last, count| Seen { first: at(first), last: at(last), count };
        let check = |told, expect| assert_eq!(clamped(told, at(100), at(200)), expect);
        check(seen(110, 120, 3), seen(110, 120, 3));
        check(seen(10, 20, 3), seen(100, 100, 3));
        check(seen(10, 900, u64::MAX), seen(100, 200, COUNT_MAX));
        check(seen(300, 900, 1), seen(200, 200, 1));
    }
}
