//! What a change of a namespace gives, and what authority it ends.
//!
//! A shorter grace takes something away from every verifier that is cut off: the right to go on. So it has a revision and
//! a receipt like everything that ends authority, and that receipt says that all of them know it.

use jeton_types::{Freshness, Span};

use crate::{Refusal, issue, revocation::Effect};

/// What the decision needs to know of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Whether it is the built-in one.
    pub built_in: bool,
    /// What a verifier does past its lease.
    pub freshness: Freshness,
    /// The time to live of credentials that name none.
    pub default_ttl: Option<Span>,
    /// Whether it is switched off.
    pub disabled: bool,
}

/// What is asked to be changed; what is not named stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceChange {
    /// What a verifier is to do past its lease.
    pub freshness: Option<Freshness>,
    /// The time to live of credentials that name none; for ever, by an inner `None`.
    pub default_ttl: Option<Option<Span>>,
    /// Whether all of it is to be switched off.
    pub disabled: Option<bool>,
}

impl NamespaceChange {
    /// Whether it asks for another freshness or default: what only its administrator decides.
    #[must_use]
    pub const fn governs(&self) -> bool {
        self.freshness.is_some() || self.default_ttl.is_some()
    }
}

/// What a change comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespacePlan {
    /// The namespace afterwards.
    pub after: NamespaceFacts,
    /// Whether anything is to be changed at all.
    pub changes: bool,
    /// Whether verifiers must be told.
    pub renews: bool,
    /// What it ends. Of several, the one that ends most.
    pub ends: Option<Effect>,
}

/// Decides a change of a namespace.
///
/// # Errors
/// [`Refusal::Ttl`], [`Refusal::BuiltIn`] and [`Refusal::BuiltInStrict`] for what they say.
pub fn decide(facts: &NamespaceFacts, change: &NamespaceChange) -> Result<NamespacePlan, Refusal> {
    if let Some(Some(ttl)) = change.default_ttl {
        issue::ttl_check(ttl)?;
    }
    let after = NamespaceFacts {
        built_in: facts.built_in,
        freshness: change.freshness.unwrap_or(facts.freshness),
        default_ttl: change.default_ttl.unwrap_or(facts.default_ttl),
        disabled: change.disabled.unwrap_or(facts.disabled),
    };
    if facts.built_in && change.disabled.is_some() {
        return Err(Refusal::BuiltIn);
    }
    if facts.built_in && after.freshness != Freshness::Strict {
        return Err(Refusal::BuiltInStrict);
    }
    let disables = !facts.disabled && after.disabled;
    let tightens = after.freshness.grace() < facts.freshness.grace();
    let ends = if disables { Some(Effect::Disable) } else { tightens.then_some(Effect::Tighten) };
    let renews = after.disabled != facts.disabled || after.freshness != facts.freshness;
    Ok(NamespacePlan { after, changes: after != *facts, renews, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: NamespaceFacts =
        NamespaceFacts { built_in: false, freshness: Freshness::Strict, default_ttl: None, disabled: false };

    fn freshness(text: &str) -> Option<Freshness> {
        Some(text.parse().unwrap())
    }

    fn check(facts: NamespaceFacts, change: NamespaceChange, expect: (bool, bool, Option<Effect>)) {
        let plan = decide(&facts, &change).unwrap();
        assert_eq!((plan.changes, plan.renews, plan.ends), expect, "{facts:?} {change:?}");
        let again = decide(&plan.after, &change).unwrap();
        assert_eq!((again.changes, again.renews, again.ends), (false, false, None), "a second time: {change:?}");
    }

    #[test]
    fn only_what_shortens_a_grace_or_switches_off_ends_authority() {
        let to = |text: &str| NamespaceChange { freshness: freshness(text), ..Default::default() };
        let grace = NamespaceFacts { freshness: "grace=30s".parse().unwrap(), ..ACME };
        check(ACME, NamespaceChange::default(), (false, false, None));
        check(ACME, to("strict"), (false, false, None));
        check(ACME, to("grace=5m"), (true, true, None));
        check(grace, to("grace=31s"), (true, true, None));
        check(grace, to("grace=29s"), (true, true, Some(Effect::Tighten)));
        check(grace, to("strict"), (true, true, Some(Effect::Tighten)));
        let off = NamespaceChange { disabled: Some(true), ..to("strict") };
        check(grace, off, (true, true, Some(Effect::Disable)));
        check(NamespaceFacts { disabled: true, ..grace }, off, (true, true, Some(Effect::Tighten)));
        let on = NamespaceChange { disabled: Some(false), ..Default::default() };
        check(NamespaceFacts { disabled: true, ..ACME }, on, (true, true, None));
        let ttl = |ttl| NamespaceChange { default_ttl: Some(ttl), ..Default::default() };
        check(ACME, ttl(Some(Span::from_secs(60))), (true, false, None));
        check(ACME, ttl(None), (false, false, None));
    }

    #[test]
    fn what_is_refused() {
        let short = NamespaceChange { default_ttl: Some(Some(Span::from_secs(9))), ..Default::default() };
        assert_eq!(decide(&ACME, &short), Err(Refusal::Ttl(Span::from_secs(9))));
        let jeton = NamespaceFacts { built_in: true, ..ACME };
        let off = NamespaceChange { disabled: Some(true), ..Default::default() };
        assert_eq!(decide(&jeton, &off), Err(Refusal::BuiltIn));
        let loose = NamespaceChange { freshness: freshness("grace=1s"), ..Default::default() };
        assert_eq!(decide(&jeton, &loose), Err(Refusal::BuiltInStrict));
        let ttl = NamespaceChange { default_ttl: Some(Some(Span::from_secs(60))), ..Default::default() };
        assert!(decide(&jeton, &ttl).is_ok());
    }
}
