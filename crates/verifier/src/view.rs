//! What one look reads as a whole: the served namespaces, their policies and their tables.

use std::{sync::Arc, time::Duration};

use jeton_feed::record::Policy;
use jeton_types::{Freshness, NamespaceName, Span};

/// Never changed but for the tables' entries: a snapshot or another policy makes another view. So a policy belongs to
/// the table read beside it (`feed-protocol.md` 12).
#[derive(Debug)]
pub(crate) struct View<T> {
    /// By prefix.
    namespaces: Vec<Namespace<T>>,
    /// Every served namespace is there.
    pub(crate) whole: bool,
    /// The longest grace of all.
    pub(crate) longest: Freshness,
}

#[derive(Debug)]
pub(crate) struct Namespace<T> {
    pub(crate) name: Arc<NamespaceName>,
    pub(crate) policy: Policy,
    pub(crate) table: Arc<T>,
}

impl<T> Clone for Namespace<T> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), policy: self.policy.clone(), table: Arc::clone(&self.table) }
    }
}

impl<T> View<T> {
    pub(crate) fn new(mut namespaces: Vec<Namespace<T>>, served: usize) -> Self {
        namespaces.sort_unstable_by(|one, other| one.policy.prefix.cmp(&other.policy.prefix));
        let longest = namespaces.iter().map(|namespace| namespace.policy.freshness.grace()).max().unwrap_or_default();
        let longest = if longest == Duration::ZERO {
            Freshness::Strict
        } else {
            Freshness::Grace(Span::from_millis(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)))
        };
        Self { whole: namespaces.len() == served, longest, namespaces }
    }

    pub(crate) fn of_prefix(&self, prefix: &str) -> Option<&Namespace<T>> {
        let place = self.namespaces.binary_search_by(|known| known.policy.prefix.as_str().cmp(prefix)).ok()?;
        self.namespaces.get(place)
    }

    pub(crate) fn of_name(&self, name: &NamespaceName) -> Option<&Namespace<T>> {
        self.namespaces.iter().find(|known| *known.name == *name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Namespace<T>> {
        self.namespaces.iter()
    }

    /// The same with another policy for one namespace; its table is shared.
    pub(crate) fn with_policy(&self, name: &NamespaceName, policy: &Policy) -> Self {
        let change = |known: &Namespace<T>| {
            let policy = if *known.name == *name { policy.clone() } else { known.policy.clone() };
            Namespace { policy, ..known.clone() }
        };
        let namespaces: Vec<_> = self.namespaces.iter().map(change).collect();
        let served = if self.whole { namespaces.len() } else { usize::MAX };
        Self::new(namespaces, served)
    }
}
