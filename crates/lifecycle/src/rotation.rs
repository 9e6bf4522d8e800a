//! Minting the next version of a credential while the one before it goes on for a while.
//!
//! The end of the overlap is a deadline in the data, so that no sweep has to come by in time. At any moment a
//! credential has at most two active tokens.

use jeton_types::{
    Span, UnixTime,
    limits::{TTL_MAX, TTL_MIN},
};

use crate::{
    Refusal, issue,
    token::{State, TokenFacts},
};

/// What a rotation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPlan {
    /// The version of the token to be minted.
    pub version: u32,
    /// From when the new token is expired.
    pub expires_at: Option<UnixTime>,
    /// From when the token that was the newest is expired; nothing if it has ended already.
    pub previous_expires_at: Option<UnixTime>,
}

/// Decides a rotation. `newest` is the token of the highest version, `others` are all the rest; `ttl` is the
/// credential's own, `default_ttl` the namespace's.
///
/// Where the newest token is not active any more there is nothing to overlap with: the next is minted at once, also
/// while an older one is running out, so that a consumer is not left with that one alone.
///
/// # Errors
/// [`Refusal::RotationInProgress`] while newest and previous are both active, and [`Refusal::Overlap`],
/// [`Refusal::Ttl`], [`Refusal::VersionsUsedUp`] for what they say.
pub fn decide(
    newest: &TokenFacts,
    others: &[TokenFacts],
    overlap: Span,
    ttl: Option<Span>,
    default_ttl: Option<Span>,
    now: UnixTime,
) -> Result<RotationPlan, Refusal> {
    if !(TTL_MIN..=TTL_MAX).contains(&overlap.duration()) {
        return Err(Refusal::Overlap(overlap));
    }
    let newest_active = newest.state(now) == State::Active;
    let running_out = others.iter().filter(|token| token.state(now) == State::Active);
    // Every rotation gave the one before it a deadline; should one have none, it goes on for ever.
    let until = running_out.map(|token| token.expires_at.unwrap_or(UnixTime::from_micros(u64::MAX))).max();
    if let (true, Some(until)) = (newest_active, until) {
        return Err(Refusal::RotationInProgress { until });
    }
    let end_of_overlap = now.plus(overlap.duration());
    Ok(RotationPlan {
        version: newest.version.checked_add(1).ok_or(Refusal::VersionsUsedUp)?,
        expires_at: issue::expiry(ttl, default_ttl, now)?,
        previous_expires_at: newest_active
            .then(|| newest.expires_at.map_or(end_of_overlap, |own| own.min(end_of_overlap))),
    })
}

#[cfg(test)]
mod tests {
    use jeton_types::TokenId;
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixTime = UnixTime::from_micros(1_000_000_000);

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_micros(secs * 1_000_000)
    }

    fn token(version: u32, ended: bool, expires_at: Option<u64>) -> TokenFacts {
        TokenFacts { id: TokenId::from_bytes([version as u8; 16]), version, ended, expires_at: expires_at.map(at) }
    }

    fn check(newest: TokenFacts, others: &[TokenFacts], overlap: &str, expect: Result<(u32, Option<u64>), Refusal>) {
        let found = decide(&newest, others, overlap.parse().unwrap(), None, None, NOW);
        let found = found.map(|plan| (plan.version, plan.previous_expires_at.map(UnixTime::as_secs)));
        assert_eq!(found, expect, "{newest:?} {others:?} {overlap}");
    }

    #[test]
    fn the_overlap_is_a_deadline() {
        check(token(1, false, None), &[], "1h", Ok((2, Some(4_600))));
        check(token(1, false, Some(9_000)), &[], "1h", Ok((2, Some(4_600))));
        check(token(1, false, Some(2_000)), &[], "1h", Ok((2, Some(2_000))));
        check(token(1, true, None), &[], "1h", Ok((2, None)));
        check(token(1, false, Some(1_000)), &[], "1h", Ok((2, None)));
    }

    #[test]
    fn one_rotation_at_a_time() {
        let newest = token(3, false, None);
        let running = |until| Err(Refusal::RotationInProgress { until: at(until) });
        check(newest, &[token(2, false, Some(1_500)), token(1, false, Some(900))], "1h", running(1_500));
        check(newest, &[token(2, false, Some(1_000)), token(1, true, None)], "1h", Ok((4, Some(4_600))));
        check(token(3, true, None), &[token(2, false, Some(1_500))], "1h", Ok((4, None)));
    }

    #[test]
    fn what_is_out_of_range() {
        let newest = token(1, false, None);
        check(newest, &[], "9s", Err(Refusal::Overlap(Span::from_secs(9))));
        check(newest, &[], "3651d", Err(Refusal::Overlap(Span::from_secs(3_651 * 86_400))));
        check(token(u32::MAX, false, None), &[], "1h", Err(Refusal::VersionsUsedUp));
        let day = Span::from_secs(86_400);
        let plan = decide(&newest, &[], Span::from_secs(60), None, Some(day), NOW).unwrap();
        assert_eq!(plan.expires_at, Some(NOW.plus(day.duration())));
    }

    proptest! {
        /// Whatever is rotated, revoked and waited for: at most two active tokens, only the newest without an overlap's
        /// deadline, and an active credential never loses its last token to a rotation.
        #[test]
        fn at_most_two_are_active(steps in proptest::collection::vec((0..3_u8, 1..4_000_u64, 10..3_600_u64), 1..60)) {
            let mut now = NOW;
            let mut tokens = vec![token(1, false, None)];
            for (kind, wait, overlap) in steps {
                now = now.plus(std::time::Duration::from_secs(wait));
                let last = tokens.len() - 1;
                match kind {
                    0 => tokens[last].ended = true,
                    _ => {
                        let before = tokens.iter().filter(|token| token.state(now) == State::Active).count();
                        let (newest, others) = (tokens[last], tokens[..last].to_vec());
                        match decide(&newest, &others, Span::from_secs(overlap), None, None, now) {
                            Ok(plan) => {
                                prop_assert!(plan.previous_expires_at.is_none_or(|end| end > now));
                                if plan.previous_expires_at.is_some() {
                                    tokens[last].expires_at = plan.previous_expires_at;
                                }
                                tokens.push(TokenFacts { expires_at: plan.expires_at, ..token(plan.version, false, None) });
                            }
                            Err(refusal) => {
                                let in_progress = matches!(refusal, Refusal::RotationInProgress { until } if until > now);
                                prop_assert!(in_progress, "{refusal}");
                                prop_assert_eq!(before, 2);
                            }
                        }
                    }
                }
                let active: Vec<&TokenFacts> = tokens.iter().filter(|token| token.state(now) == State::Active).collect();
                prop_assert!(active.len() <= 2, "{:?}", active);
                let newest = tokens[tokens.len() - 1].version;
                prop_assert!(active.iter().all(|token| token.version == newest || token.expires_at.is_some()));
            }
        }
    }
}
