//! What the hub keeps of a namespace: its policies, its last records, its floor and its pending receipts.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jeton_types::{
    BootTime, Freshness, NamespaceName, Revision, SessionId,
    fault::{Fault, injected},
};

use super::receipt::Receipt;
use crate::numbers::LAG_MAX;

/// Marks of older records, one a second at most, that serve nothing but the display of a lag.
const MARKS_MAX: usize = 4_096;
const MARK_EVERY: Duration = Duration::from_secs(1);

/// A namespace's place in [`Namespaces`]; sessions hold these and not names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NamespaceKey(usize);

/// Every namespace that was ever named to the hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Namespaces {
    keys: BTreeMap<NamespaceName, NamespaceKey>,
    all: Vec<Namespace>,
}

impl Namespaces {
    pub(super) fn key(&mut self, name: &NamespaceName) -> NamespaceKey {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        let key = NamespaceKey(self.all.len());
        self.keys.insert(name.clone(), key);
        self.all.push(Namespace::new(name.clone()));
        key
    }

    pub(super) fn at(&self, key: NamespaceKey) -> &Namespace {
        &self.all[key.0]
    }

    pub(super) fn at_mut(&mut self, key: NamespaceKey) -> &mut Namespace {
        &mut self.all[key.0]
    }

    /// Takes a policy record in.
    pub(super) fn policy_add(&mut self, key: NamespaceKey, revision: Revision, freshness: Freshness) {
        self.at_mut(key).policies.add(revision, freshness);
        if injected(Fault::GraceMinimumOfNamespaces) {
            let with_policy = || self.all.iter().filter(|namespace| !namespace.policies.is_empty());
            let least = with_policy().map(|namespace| namespace.policies.grace_newest()).min().unwrap_or_default();
            self.all.iter_mut().for_each(|namespace| namespace.policies.0.push((revision, least)));
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = NamespaceKey> + use<> {
        (0..self.all.len()).map(NamespaceKey)
    }
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Namespace {
    pub(super) name: NamespaceName,
    pub(super) policies: Policies,
    /// The greatest revision with a complete receipt; it gates grants and nothing else (`feed-protocol.md` 13).
    pub(super) floor: Revision,
    /// Everything at or below it was committed more than [`LAG_MAX`] before.
    due: Revision,
    /// Records above `due`.
    recent: VecDeque<(Revision, BootTime)>,
    /// The last record of a second and the moment of that second's first.
    marks: VecDeque<(Revision, BootTime)>,
    pub(super) last: Revision,
    /// Receipts that are not complete, by revision.
    pub(super) pending: BTreeMap<Revision, Receipt>,
}

impl Namespace {
    pub(super) const fn new(name: NamespaceName) -> Self {
        Self {
            name,
            policies: Policies(Vec::new()),
            floor: Revision::ZERO,
            due: Revision::ZERO,
            recent: VecDeque::new(),
            marks: VecDeque::new(),
            last: Revision::ZERO,
            pending: BTreeMap::new(),
        }
    }

    /// A record from before this start: due at once, since its moment on this clock is not known.
    pub(super) fn record_known(&mut self, revision: Revision) {
        self.last = self.last.max(revision);
        self.due = self.due.max(revision);
    }

    /// Takes every record for due: the clock that they were timed on has jumped.
    pub(super) fn restart(&mut self, is_there: impl Fn(SessionId) -> bool) {
        self.due = self.last;
        self.recent.clear();
        self.marks.clear();
        self.pending.values_mut().for_each(|receipt| receipt.fences_drop(&is_there));
    }

    pub(super) fn record_add(&mut self, revision: Revision, committed: BootTime) {
        self.last = revision;
        self.recent.push_back((revision, committed));
        self.trim(committed);
    }

    /// Everything at or below the answer was committed more than [`LAG_MAX`] ago.
    pub(super) fn due(&mut self, now: BootTime) -> Revision {
        self.trim(now);
        self.due
    }

    /// How long the oldest record that `acked` does not cover has been waiting, to within a second.
    pub(super) fn lag(&self, acked: Option<Revision>, started: BootTime, now: BootTime) -> Duration {
        let acked = acked.unwrap_or(Revision::ZERO);
        if acked >= self.last {
            return Duration::ZERO;
        }
        let missed = |list: &VecDeque<(Revision, BootTime)>| {
            list.get(list.partition_point(|(revision, _)| *revision <= acked)).map(|(_, at)| *at)
        };
        let since = if acked < self.due { missed(&self.marks) } else { None };
        now.since(since.or_else(|| missed(&self.recent)).unwrap_or(started))
    }

    fn trim(&mut self, now: BootTime) {
        while let Some((revision, committed)) = self.recent.front().copied() {
            if now.since(committed) <= LAG_MAX {
                break;
            }
            self.recent.pop_front();
            self.due = revision;
            match self.marks.back_mut() {
                Some((last, first_at)) if committed.since(*first_at) < MARK_EVERY => *last = revision,
                _ => {
                    if self.marks.len() == MARKS_MAX {
                        self.marks.pop_front();
                    }
                    self.marks.push_back((revision, committed));
                }
            }
        }
    }
}

/// Grace from each revision on, in revision order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Policies(Vec<(Revision, Duration)>);

impl Policies {
    pub(super) fn add(&mut self, revision: Revision, freshness: Freshness) {
        self.0.push((revision, freshness.grace()));
    }

    /// The grace that is in force now.
    pub(super) fn grace_newest(&self) -> Duration {
        self.0.last().map(|(_, grace)| *grace).unwrap_or_default()
    }

    /// Whether there are any.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest grace that was in force at any revision from `from` up to `to` (`feed-protocol.md` 12).
    pub(super) fn grace_max(&self, from: Revision, to: Revision) -> Duration {
        let after = self.0.partition_point(|(revision, _)| *revision <= from);
        let until = self.0.partition_point(|(revision, _)| *revision <= to);
        // The one before those after `from` was in force at `from`.
        let first = after.saturating_sub(1);
        self.0[first..until.max(first)].iter().map(|(_, grace)| *grace).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use jeton_types::Span;

    use super::*;

    fn revision(number: u64) -> Revision {
        Revision::new(number).unwrap()
    }

    fn at(millis: u64) -> BootTime {
        BootTime::ZERO.plus(Duration::from_millis(millis))
    }

    fn namespace() -> Namespace {
        Namespace::new("acme".parse().unwrap())
    }

    #[test]
    fn the_largest_grace_of_a_range() {
        let mut acme = namespace();
        for (number, seconds) in [(10, 0), (20, 30), (30, 5), (40, 0)] {
            let freshness = if seconds == 0 { Freshness::Strict } else { Freshness::Grace(Span::from_secs(seconds)) };
            acme.policies.add(revision(number), freshness);
        }
        let check = |from, to, seconds| {
            let found = acme.policies.grace_max(revision(from), revision(to));
            assert_eq!(found, Duration::from_secs(seconds), "from {from} to {to}");
        };
        check(10, 15, 0);
        check(10, 20, 30);
        check(15, 50, 30);
        check(20, 25, 30);
        check(29, 29, 30);
        check(30, 50, 5);
        check(35, 39, 5);
        check(40, 50, 0);
        check(45, 50, 0);
        // Before the namespace was there, and a session ahead of the revocation.
        check(1, 5, 0);
        check(1, 25, 30);
        check(45, 25, 0);
    }

    #[test]
    fn a_record_is_due_after_more_than_a_second() {
        let mut acme = namespace();
        acme.record_known(revision(5));
        acme.record_add(revision(6), at(1_000));
        acme.record_add(revision(7), at(1_500));
        assert_eq!(acme.due(at(2_000)), revision(5), "a second is not more than a second");
        assert_eq!(acme.due(at(2_001)), revision(6));
        assert_eq!(acme.due(at(2_500)), revision(6));
        assert_eq!(acme.due(at(9_000)), revision(7));
    }

    #[test]
    fn lag_is_that_of_the_oldest_missed_record() {
        let mut acme = namespace();
        acme.record_known(revision(5));
        for (number, millis) in [(6, 1_000), (7, 1_200), (8, 4_000), (9, 9_500)] {
            acme.record_add(revision(number), at(millis));
        }
        let check = |acked: Option<u64>, millis| {
            let lag = acme.lag(acked.map(revision), at(500), at(10_000));
            assert_eq!(lag, Duration::from_millis(millis), "{acked:?}");
        };
        check(Some(9), 0);
        check(Some(8), 500);
        check(Some(7), 6_000);
        check(Some(6), 9_000);
        check(Some(5), 9_000);
        check(None, 9_000);
        let mut quiet = namespace();
        quiet.record_known(revision(5));
        assert_eq!(quiet.lag(None, at(500), at(10_000)), Duration::from_millis(9_500));
    }
}
