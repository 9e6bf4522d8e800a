//! What was asked and told, by one monotonic clock, and what of it must never be.

use std::{collections::HashMap, fmt};

/// Microseconds since the history began.
pub(crate) type Us = u64;
/// Without an end.
pub(crate) const NEVER: Us = Us::MAX;
/// The authority; sidecars come after it.
pub(crate) const AUTHORITY: usize = 0;

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) tokens: Vec<Token>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) dark: Vec<Dark>,
    /// Tokens that were told, each time: the key it was asked for under, and its id.
    pub(crate) told: Vec<(String, String)>,
    /// What is there in the end, by id, and whether it has ended.
    pub(crate) listed: Vec<(String, bool)>,
}

/// One token whose issue was told.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: String,
    /// When it was asked for, the first time.
    pub(crate) asked: Us,
    /// From when on it may be refused: something that ends it, or switches it off, was asked for then.
    pub(crate) refusable: Option<Us>,
    /// Whether its end was acknowledged.
    pub(crate) ended: bool,
    /// From when to when nobody may accept it: from the answer that says its receipt is complete, until it is asked to be switched on again.
    pub(crate) barred: Vec<(Us, Us)>,
    /// When it expires, at the earliest and at the latest that rule 15 permits; none if not while this is played.
    pub(crate) expires: Option<(Us, Us)>,
}

/// One verification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) sent: Us,
    pub(crate) done: Us,
    pub(crate) at: usize,
    pub(crate) token: usize,
    pub(crate) said: Said,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Valid,
    /// 503, or no answer.
    Unavailable,
    /// 401 without a reason.
    Refused,
    Revoked,
    Disabled,
    Expired,
    /// Unknown or malformed: never right of a token that was told.
    Unknown,
    /// What nobody is to answer.
    Other(u16),
}

/// Nothing that came to be from one moment to the other can be known there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dark {
    pub(crate) at: usize,
    pub(crate) from: Us,
    pub(crate) to: Us,
}

/// What must never be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It was acknowledged, and is not so.
    Lost(String),
    /// It was asked for once, and is there twice.
    Doubled(String),
    /// A token was called good by a decision after its complete receipt, or after its expiry.
    Accepted(String),
    /// A good token was refused.
    Refused(String),
    /// A good token was refused where nobody could know of it: the answer was "unavailable".
    RefusedInTheDark(String),
    /// An answer that is none of the three.
    NoAnswer(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl History {
    /// All that must not be.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = self.kept();
        let mut dark = HashMap::<usize, Vec<&Dark>>::new();
        for window in &self.dark {
            dark.entry(window.at).or_default().push(window);
        }
        found.extend(
            self.seen.iter().filter_map(|seen| self.judge(seen, dark.get(&seen.at).map_or(&[], Vec::as_slice))),
        );
        found
    }

    /// What was told is there, once, and nothing else.
    fn kept(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut by_key = HashMap::<&str, &str>::new();
        for (key, id) in &self.told {
            if *by_key.entry(key).or_insert(id) != id {
                found.push(Violation::Doubled(format!("{key} was told {} and {id}", by_key[key.as_str()])));
            }
        }
        let mut listed = HashMap::<&str, bool>::new();
        for (id, ended) in &self.listed {
            if listed.insert(id, *ended).is_some() {
                found.push(Violation::Doubled(format!("{id} is there twice")));
            }
        }
        for token in &self.tokens {
            match listed.remove(token.id.as_str()) {
                None => found.push(Violation::Lost(format!("{} is not there", token.id))),
                Some(false) if token.ended => found.push(Violation::Lost(format!("the end of {} is", token.id))),
                Some(true) if token.refusable.is_none() => {
                    found.push(Violation::Doubled(format!("nobody asked for an end of {}", token.id)));
                }
                Some(_) => {}
            }
        }
        found.extend(listed.keys().map(|id| Violation::Doubled(format!("nobody was told of {id}"))));
        found
    }

    fn judge(&self, seen: &Seen, dark: &[&Dark]) -> Option<Violation> {
        let token = &self.tokens[seen.token];
        let told = || format!("{seen:?} of {token:?}");
        // The decision lies between question and answer; what counts against it must lie outside of both.
        let refusable = token.refusable.is_some_and(|from| from <= seen.done);
        let expirable = token.expires.is_some_and(|(early, _)| early <= seen.done);
        let wrong = match seen.said {
            Said::Unavailable => return None,
            Said::Other(_) => return Some(Violation::NoAnswer(told())),
            Said::Valid => {
                let barred = token.barred.iter().any(|(from, until)| seen.sent >= *from && seen.done <= *until);
                let late = token.expires.is_some_and(|(_, late)| seen.sent >= late);
                return (barred || late).then(|| Violation::Accepted(told()));
            }
            Said::Unknown => true,
            Said::Revoked | Said::Disabled => !refusable,
            Said::Expired => !expirable,
            Said::Refused => !refusable && !expirable,
        };
        let unknowable =
            dark.iter().any(|window| window.from <= token.asked && window.from <= seen.sent && seen.done <= window.to);
        match (wrong, unknowable) {
            (false, _) => None,
            (true, true) => Some(Violation::RefusedInTheDark(told())),
            (true, false) => Some(Violation::Refused(told())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { id: "tok_1".to_owned(), asked: 100, refusable: None, ended: false, barred: Vec::new(), expires: None }
    }

    /// Asked for at 1,000, and told to be ended everywhere at 2,000.
    fn revoked() -> Token {
        Token { refusable: Some(1_000), ended: true, barred: vec![(2_000, NEVER)], ..token() }
    }

    fn seen(sent: Us, done: Us, said: Said) -> Seen {
        Seen { sent, done, at: 1, token: 0, said }
    }

    fn history(token: Token, seen: &[Seen]) -> History {
        let (told, listed) = (vec![("k".to_owned(), token.id.clone())], vec![(token.id.clone(), token.ended)]);
        History { tokens: vec![token], seen: seen.to_vec(), dark: Vec::new(), told, listed }
    }

    #[track_caller]
    fn good(history: &History) {
        assert_eq!(history.violations(), []);
    }

    /// The one violation, by its kind.
    #[track_caller]
    fn bad(history: &History) -> &'static str {
        match &history.violations()[..] {
            [one] => match one {
                Violation::Lost(_) => "lost",
                Violation::Doubled(_) => "doubled",
                Violation::Accepted(_) => "accepted",
                Violation::Refused(_) => "refused",
                Violation::RefusedInTheDark(_) => "in the dark",
                Violation::NoAnswer(_) => "no answer",
            },
            others => panic!("{others:?}"),
        }
    }

    #[test]
    fn accepted_until_the_receipt_is_told_and_never_after() {
        // Under way when it was told: the decision may have been before.
        good(&history(revoked(), &[seen(500, 600, Said::Valid), seen(1_999, 9_000, Said::Valid)]));
        assert_eq!(bad(&history(revoked(), &[seen(2_000, 2_001, Said::Valid)])), "accepted");
    }

    #[test]
    fn refused_only_when_somebody_asked_for_it() {
        good(&history(revoked(), &[seen(900, 1_000, Said::Refused), seen(900, 1_100, Said::Revoked)]));
        assert_eq!(bad(&history(revoked(), &[seen(900, 999, Said::Refused)])), "refused");
        assert_eq!(bad(&history(token(), &[seen(900, 999, Said::Revoked)])), "refused");
        assert_eq!(bad(&history(token(), &[seen(900, 999, Said::Disabled)])), "refused");
        assert_eq!(bad(&history(token(), &[seen(900, 999, Said::Expired)])), "refused");
    }

    #[test]
    fn unknown_never_even_of_one_that_ended() {
        assert_eq!(bad(&history(revoked(), &[seen(3_000, 3_001, Said::Unknown)])), "refused");
    }

    #[test]
    fn switched_off_is_between_receipt_and_the_next_question() {
        let off = Token { refusable: Some(1_000), barred: vec![(2_000, 3_000)], ..token() };
        good(&history(off.clone(), &[seen(1_500, 2_500, Said::Valid), seen(2_500, 3_001, Said::Valid)]));
        assert_eq!(bad(&history(off, &[seen(2_100, 2_900, Said::Valid)])), "accepted");
    }

    #[test]
    fn expiry_has_a_margin_on_either_side() {
        let brief = Token { expires: Some((5_000, 6_000)), ..token() };
        let right =
            [seen(4_000, 5_000, Said::Expired), seen(5_999, 7_000, Said::Valid), seen(6_000, 6_001, Said::Refused)];
        good(&history(brief.clone(), &right));
        assert_eq!(bad(&history(brief.clone(), &[seen(4_000, 4_999, Said::Refused)])), "refused");
        assert_eq!(bad(&history(brief.clone(), &[seen(7_000, 7_001, Said::Revoked)])), "refused");
        assert_eq!(bad(&history(brief, &[seen(6_000, 6_001, Said::Valid)])), "accepted");
    }

    #[test]
    fn where_nothing_can_be_known_the_answer_is_unavailable() {
        let dark = |from, to, seen| History { dark: vec![Dark { at: 1, from, to }], ..history(token(), &[seen]) };
        good(&dark(50, 900, seen(300, 400, Said::Unavailable)));
        assert_eq!(bad(&dark(50, 900, seen(300, 400, Said::Refused))), "in the dark");
        // It was there before, or it may have been light again.
        assert_eq!(bad(&dark(150, 900, seen(300, 400, Said::Refused))), "refused");
        assert_eq!(bad(&dark(50, 900, seen(300, 901, Said::Refused))), "refused");
    }

    #[test]
    fn an_answer_is_one_of_three() {
        assert_eq!(bad(&history(token(), &[seen(300, 400, Said::Other(500))])), "no answer");
    }

    #[test]
    fn what_was_told_is_there_once() {
        good(&history(revoked(), &[]));
        assert_eq!(bad(&History { listed: Vec::new(), ..history(token(), &[]) }), "lost");
        assert_eq!(bad(&History { listed: vec![("tok_1".to_owned(), false)], ..history(revoked(), &[]) }), "lost");
        assert_eq!(bad(&History { listed: vec![("tok_1".to_owned(), true)], ..history(token(), &[]) }), "doubled");
        let twice = vec![("tok_1".to_owned(), false), ("tok_1".to_owned(), false)];
        assert_eq!(bad(&History { listed: twice, ..history(token(), &[]) }), "doubled");
        let more = vec![("tok_1".to_owned(), false), ("tok_2".to_owned(), false)];
        assert_eq!(bad(&History { listed: more, ..history(token(), &[]) }), "doubled");
        let keys = vec![("k".to_owned(), "tok_1".to_owned()), ("k".to_owned(), "tok_2".to_owned())];
        assert_eq!(bad(&History { told: keys, ..history(token(), &[]) }), "doubled");
    }
}
