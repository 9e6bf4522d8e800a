//! What a change of a credential gives, and what authority it ends.
//!
//! One call may do both. What it gives needs the right to issue, what it ends the right to revoke: whoever can only take
//! away gives nothing, and whoever can only give cannot cut off what is in use.

use std::{fmt, str::FromStr};

use jeton_types::{AddressList, Invalid, Labels, ScopeSet, Span, Subject, TokenId, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{
    Refusal, issue,
    revocation::Effect,
    token::{State, TokenFacts},
};

/// What the decision needs to know of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFacts {
    /// Whom it speaks for.
    pub subject: Option<Subject>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What its owner wrote on it.
    pub labels: Labels,
    /// The time to live of its tokens, where it has one of its own.
    pub ttl: Option<Span>,
    /// From where its tokens may be presented.
    pub addresses: AddressList,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// How a credential stands, whatever its tokens do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CredentialState {
    /// As it was issued.
    Active,
    /// Switched off.
    Disabled,
    /// Deleted, for good.
    Deleted,
}

impl CredentialState {
    /// The state of one that is switched off or not, deleted or not. Deleted absorbs.
    #[must_use]
    pub const fn of(disabled: bool, deleted: bool) -> Self {
        match (disabled, deleted) {
            (_, true) => Self::Deleted,
            (true, false) => Self::Disabled,
            (false, false) => Self::Active,
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

impl FromStr for CredentialState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let all = [Self::Active, Self::Disabled, Self::Deleted];
        all.into_iter().find(|state| state.as_str() == text).ok_or(Invalid("a state is active, disabled or deleted"))
    }
}

impl fmt::Display for CredentialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is asked to be changed; what is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialChange {
    /// Whom it is to speak for; nobody, by an inner `None`.
    pub subject: Option<Option<Subject>>,
    /// What it is to be allowed, all of it.
    pub scopes: Option<ScopeSet>,
    /// What is to be written on it, all of it.
    pub labels: Option<Labels>,
    /// The time to live of tokens to come; the namespace's, by an inner `None`.
    pub ttl: Option<Option<Span>>,
    /// From where its tokens may be presented, all of it.
    pub addresses: Option<AddressList>,
    /// Whether it is to be switched off.
    pub disabled: Option<bool>,
    /// When the tokens there are now expire at the latest.
    pub expires_at: Option<UnixTime>,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePlan {
    /// The credential afterwards.
    pub after: CredentialFacts,
    /// Whether it gives something, or changes what gives and ends nothing.
    pub gives: bool,
    /// What it ends. Of several, the one that ends most.
    pub ends: Option<Effect>,
    /// Whether verifiers must be told of its tokens anew.
    pub renews: bool,
    /// Tokens whose expiry comes nearer.
    pub deadlines: Vec<TokenId>,
}

impl ChangePlan {
    /// Whether all is as it was asked for already.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.gives && self.ends.is_none()
    }
}

/// Decides a change of a credential with these tokens.
///
/// # Errors
/// [`Refusal::Deleted`], [`Refusal::Ttl`], [`Refusal::ExpiryPast`] and [`Refusal::ExpiryLater`] for what they say.
pub fn decide(
    facts: &CredentialFacts,
    tokens: &[TokenFacts],
    change: &CredentialChange,
    now: UnixTime,
) -> Result<ChangePlan, Refusal> {
    if facts.deleted {
        return Err(Refusal::Deleted);
    }
    if let Some(Some(ttl)) = change.ttl {
        issue::ttl_check(ttl)?;
    }
    let after = CredentialFacts {
        subject: change.subject.clone().unwrap_or_else(|| facts.subject.clone()),
        scopes: change.scopes.clone().unwrap_or_else(|| facts.scopes.clone()),
        labels: change.labels.clone().unwrap_or_else(|| facts.labels.clone()),
        ttl: change.ttl.unwrap_or(facts.ttl),
        addresses: change.addresses.clone().unwrap_or_else(|| facts.addresses.clone()),
        disabled: change.disabled.unwrap_or(facts.disabled),
        deleted: false,
    };
    let deadlines = match change.expires_at {
        Some(at) => nearer(tokens, at, now)?,
        None => Vec::new(),
    };
    let narrows = !after.scopes.covers(&facts.scopes) || !after.addresses.covers(&facts.addresses);
    let widens = !facts.scopes.covers(&after.scopes) || !facts.addresses.covers(&after.addresses);
    // The same addresses in other ranges take nothing away; what verifiers hold is to be the same as here all the same.
    let recut = !narrows && !widens && after.addresses != facts.addresses;
    let enables = facts.disabled && !after.disabled;
    let disables = !facts.disabled && after.disabled;
    let renames = after.subject != facts.subject;
    let gives = widens || recut || enables || renames || after.labels != facts.labels || after.ttl != facts.ttl;
    let ends = if disables {
        Some(Effect::Disable)
    } else if narrows {
        Some(Effect::Narrow)
    } else {
        (!deadlines.is_empty()).then_some(Effect::Expire)
    };
    Ok(ChangePlan {
        gives,
        ends,
        renews: narrows || widens || recut || enables || disables || renames,
        deadlines,
        after,
    })
}

/// The tokens for which `at` is nearer than what they have.
fn nearer(tokens: &[TokenFacts], at: UnixTime, now: UnixTime) -> Result<Vec<TokenId>, Refusal> {
    if at <= now {
        return Err(Refusal::ExpiryPast);
    }
    let living = || tokens.iter().filter(|token| !token.ended);
    let nearer: Vec<TokenId> =
        living().filter(|token| token.expires_at.is_none_or(|own| own > at)).map(|token| token.id).collect();
    // What was asked for before is no mistake; a token that would have to live longer is.
    let there = living().any(|token| token.expires_at == Some(at));
    let active = living().any(|token| token.state(now) == State::Active);
    if nearer.is_empty() && active && !there { Err(Refusal::ExpiryLater) } else { Ok(nearer) }
}

#[cfg(test)]
mod tests {
    use jeton_types::Label;
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixTime = UnixTime::from_micros(1_000_000_000);

    fn facts(scopes: &[&str]) -> CredentialFacts {
        CredentialFacts {
            subject: None,
            scopes: ScopeSet::parse(scopes.iter().copied()).unwrap(),
            labels: Labels::default(),
            ttl: None,
            addresses: AddressList::default(),
            disabled: false,
            deleted: false,
        }
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_micros(secs * 1_000_000)
    }

    fn token(version: u32, ended: bool, expires_at: Option<u64>) -> TokenFacts {
        TokenFacts { id: TokenId::from_bytes([version as u8; 16]), version, ended, expires_at: expires_at.map(at) }
    }

    fn check(
        before: &CredentialFacts,
        change: CredentialChange,
        expect: Result<(bool, Option<Effect>, bool), Refusal>,
    ) {
        let plan = decide(before, &[token(1, false, None)], &change, NOW);
        assert_eq!(plan.map(|plan| (plan.gives, plan.ends, plan.renews)), expect, "{change:?}");
    }

    #[test]
    fn what_gives_and_what_ends() {
        let nothing = CredentialChange::default();
        let before = facts(&["a", "b"]);
        let scopes = |scopes: &[&str]| CredentialChange { scopes: Some(facts(scopes).scopes), ..nothing.clone() };
        check(&before, nothing.clone(), Ok((false, None, false)));
        check(&before, scopes(&["b", "a"]), Ok((false, None, false)));
        check(&before, scopes(&["a"]), Ok((false, Some(Effect::Narrow), true)));
        check(&before, scopes(&["a", "b", "c"]), Ok((true, None, true)));
        check(&before, scopes(&["c"]), Ok((true, Some(Effect::Narrow), true)));
        let off = CredentialChange { disabled: Some(true), ..nothing.clone() };
        check(&before, off.clone(), Ok((false, Some(Effect::Disable), true)));
        check(
            &before,
            CredentialChange { expires_at: Some(at(2_000)), ..off.clone() },
            Ok((false, Some(Effect::Disable), true)),
        );
        let disabled = CredentialFacts { disabled: true, ..before.clone() };
        check(&disabled, off, Ok((false, None, false)));
        check(&disabled, CredentialChange { disabled: Some(false), ..nothing.clone() }, Ok((true, None, true)));
        let subject = CredentialChange { subject: Some(Some("svc:x".parse().unwrap())), ..nothing.clone() };
        check(&before, subject, Ok((true, None, true)));
        let labels = Labels::new([Label::new("team", "core").unwrap()]).unwrap();
        check(&before, CredentialChange { labels: Some(labels), ..nothing.clone() }, Ok((true, None, false)));
        let ttl = |secs| CredentialChange { ttl: Some(Some(Span::from_secs(secs))), ..nothing.clone() };
        check(&before, ttl(60), Ok((true, None, false)));
        check(&before, ttl(9), Err(Refusal::Ttl(Span::from_secs(9))));
        let of = |texts: &[&str]| AddressList::parse(texts.iter().copied()).unwrap();
        let from = |texts: &[&str]| CredentialChange { addresses: Some(of(texts)), ..nothing.clone() };
        check(&before, from(&[]), Ok((false, None, false)));
        check(&before, from(&["0.0.0.0/0", "::/0"]), Ok((false, Some(Effect::Narrow), true)));
        let bound = CredentialFacts { addresses: of(&["10.0.0.0/8"]), ..before.clone() };
        check(&bound, from(&[]), Ok((true, None, true)));
        check(&bound, from(&["10.0.0.0/16"]), Ok((false, Some(Effect::Narrow), true)));
        check(&bound, from(&["0.0.0.0/0"]), Ok((true, None, true)));
        check(&bound, from(&["10.0.0.0/9", "::1"]), Ok((true, Some(Effect::Narrow), true)));
        check(&bound, from(&["10.0.0.0/9", "10.128.0.0/9"]), Ok((true, None, true)));
        let deleted = CredentialFacts { deleted: true, ..before };
        check(&deleted, nothing, Err(Refusal::Deleted));
    }

    fn check_expiry(tokens: &[TokenFacts], secs: u64, expect: Result<&[u32], Refusal>) {
        let change = CredentialChange { expires_at: Some(at(secs)), ..CredentialChange::default() };
        let plan = decide(&facts(&[]), tokens, &change, NOW);
        let expect = expect.map(|versions| versions.iter().map(|version| token(*version, false, None).id).collect());
        assert_eq!(plan.map(|plan| plan.deadlines), expect, "{tokens:?} {secs}");
    }

    #[test]
    fn an_expiry_is_only_brought_forward() {
        check_expiry(&[token(1, false, None)], 2_000, Ok(&[1]));
        check_expiry(&[token(1, true, None), token(2, false, Some(3_000))], 2_000, Ok(&[2]));
        check_expiry(&[token(1, false, Some(1_500)), token(2, false, None)], 2_000, Ok(&[2]));
        check_expiry(&[token(1, false, Some(2_000))], 2_000, Ok(&[]));
        check_expiry(&[token(1, false, Some(1_999))], 2_000, Err(Refusal::ExpiryLater));
        check_expiry(&[token(1, false, Some(900))], 2_000, Ok(&[]));
        check_expiry(&[token(1, true, None)], 2_000, Ok(&[]));
        check_expiry(&[token(1, false, None)], 1_000, Err(Refusal::ExpiryPast));
    }

    proptest! {
        /// Whatever is taken away is called an end, and a second time nothing is left to do.
        #[test]
        fn nothing_is_taken_away_unsaid(
            held in proptest::collection::vec(0..5_u8, 0..5),
            wanted in proptest::option::of(proptest::collection::vec(0..5_u8, 0..5)),
            was: bool,
            disabled in proptest::option::of(any::<bool>()),
        ) {
            let set = |numbers: &[u8]| {
                let texts: Vec<String> = numbers.iter().map(|number| format!("s{number}")).collect();
                ScopeSet::parse(texts.iter().map(String::as_str)).unwrap()
            };
            let before = CredentialFacts { scopes: set(&held), disabled: was, ..facts(&[]) };
            let change = CredentialChange { scopes: wanted.as_deref().map(set), disabled, ..CredentialChange::default() };
            let plan = decide(&before, &[], &change, NOW).unwrap();
            let lost = before.scopes.iter().any(|scope| !plan.after.scopes.contains(scope.as_str()));
            prop_assert_eq!(plan.ends.is_some(), lost || (!was && disabled == Some(true)));
            prop_assert!(decide(&plan.after, &[], &change, NOW).unwrap().is_empty());
        }
    }
}
