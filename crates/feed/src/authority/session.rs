//! What the hub keeps of a session and of a stream.

use std::{sync::Arc, time::Duration};

use jeton_types::{
    BootTime, Revision, SessionId, TokenId,
    fault::{Fault, injected},
};

use super::{
    fact::{SessionFacts, StreamId},
    namespace::{NamespaceKey, Policies},
};
use crate::numbers::{JUMP_MAX, LEASE, RENEW_EVERY, counted_out_after};

/// Without a lease for this long, so with a renewal missed, a session that blocks is called silent.
const SILENT_AFTER: Duration = Duration::from_nanos(RENEW_EVERY.as_nanos() as u64 * 2);

/// A moment that does not come.
pub(super) const NEVER: BootTime = BootTime::from_nanos(u64::MAX);

/// A session of the registry. Everything but its facts lives in memory only (`feed-protocol.md` 6, 10).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) facts: Arc<SessionFacts>,
    pub(super) namespaces: Vec<NamespaceKey>,
    /// Its replica never knew less than this.
    pub(super) view: Revision,
    /// What it acknowledged in this start, on what was then its newest stream.
    pub(super) acked: Option<Revision>,
    /// When it was last granted a lease in this start.
    pub(super) granted: Option<BootTime>,
    /// When it was registered, if in this start: until its first grant it never had a lease.
    opened: Option<BootTime>,
    pub(super) stream: Option<StreamId>,
    pub(super) epoch: Option<u64>,
    pub(super) waiting: Option<Waiting>,
    /// No line of it can be counted out before this; [`NEVER`] while it has no pending line.
    pub(super) fence_check: BootTime,
}

/// A renewal that was refused for lag and waits for the acknowledgement that cures it (`feed-protocol.md` 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub(super) request: u64,
    pub(super) since: BootTime,
}

impl Waiting {
    /// Whether its grant would still be worth something. It also bounds how old the look at the stream's token can be.
    pub(super) fn is_worth(self, now: BootTime) -> bool {
        now.since(self.since) < LEASE
    }
}

impl Session {
    pub(super) fn new(facts: SessionFacts, namespaces: Vec<NamespaceKey>, opened: Option<BootTime>) -> Self {
        Self {
            view: facts.opened,
            facts: Arc::new(facts),
            namespaces,
            acked: None,
            granted: None,
            opened,
            stream: None,
            epoch: None,
            waiting: None,
            fence_check: NEVER,
        }
    }

    /// Forgets what a new start does not know (`feed-protocol.md` 3).
    pub(super) const fn restart(&mut self) {
        self.acked = None;
        self.granted = None;
        self.opened = None;
        self.stream = None;
        self.epoch = None;
        self.waiting = None;
        // Its fences were taken back, so it may have pending lines again.
        self.fence_check = BootTime::ZERO;
    }

    pub(super) fn serves(&self, namespace: NamespaceKey) -> bool {
        self.namespaces.contains(&namespace)
    }

    /// The least that its replica can know.
    pub(super) fn known(&self) -> Revision {
        self.acked.unwrap_or(self.view)
    }

    /// The moment from which its silence counts: its last grant, its registration if it never had one, but no earlier
    /// than the start (`feed-protocol.md` 11).
    pub(super) fn silent_from(&self, started: BootTime) -> BootTime {
        if injected(Fault::RestartForgetsIntervals) {
            return self.granted.or(self.opened).unwrap_or_default();
        }
        self.granted.or(self.opened).map_or(started, |at| at.max(started))
    }

    /// When it is counted out for `revision`, unless it is granted a lease before.
    pub(super) fn counted_out_at(
        &self,
        policies: &Policies,
        revision: Revision,
        committed: BootTime,
        started: BootTime,
    ) -> BootTime {
        match (self.granted, self.opened) {
            // Registered in this start and never granted: there is no lease that could last, so no grace either. One
            // registered after the commit must not hold the receipt up for longer than those that were there.
            (None, Some(opened)) => opened.min(committed).max(started).plus(out_after(Duration::ZERO)),
            _ => {
                let grace = if injected(Fault::GraceNewestOnly) {
                    policies.grace_newest()
                } else if injected(Fault::GraceOfLastAckOnly) {
                    policies.grace_max(self.known(), self.known())
                } else if injected(Fault::GraceOfCommitOnly) {
                    policies.grace_max(revision, revision)
                } else {
                    policies.grace_max(self.known(), revision)
                };
                self.silent_from(started).plus(out_after(grace))
            }
        }
    }

    /// A moment before which no line of it can be counted out, whatever the grace.
    pub(super) fn counted_out_first(&self, started: BootTime) -> BootTime {
        let from = if self.granted.is_some() { self.silent_from(started) } else { started };
        from.plus(out_after(Duration::ZERO))
    }

    /// Since when it has been silent, if it has been for long enough to say so.
    pub(super) fn silent_since(&self, started: BootTime, now: BootTime) -> Option<BootTime> {
        let from = self.silent_from(started);
        (now.since(from) > SILENT_AFTER).then_some(from)
    }
}

/// After this long without a grant nothing is accepted any more.
fn out_after(grace: Duration) -> Duration {
    if injected(Fault::NoDriftMargin) {
        return LEASE + grace + JUMP_MAX;
    }
    counted_out_after(grace)
}

/// A stream that the driver has not reported closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) session: SessionId,
    pub(super) token: TokenId,
    pub(super) state: StreamState,
}

impl Stream {
    /// The record that ended its token, while the stream is not cut.
    pub(super) const fn ended_by(&self) -> Option<Revision> {
        match self.state {
            StreamState::Ending { by, .. } => by,
            StreamState::Open | StreamState::Cut => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StreamState {
    /// The session's newest.
    Open,
    /// Its token ended; cut at this moment unless the goodbye comes before (`feed-protocol.md` 9).
    Ending { until: BootTime, by: Option<Revision> },
    /// Cut. Only a goodbye still counts from it.
    Cut,
}

#[cfg(test)]
mod tests {
    use jeton_types::{Freshness, Span};

    use super::*;
    use crate::authority::namespace::Namespaces;

    const STARTED: BootTime = BootTime::from_nanos(1_000_000_000_000);

    fn revision(number: u64) -> Revision {
        Revision::new(number).unwrap()
    }

    fn after(millis: u64) -> BootTime {
        STARTED.plus(Duration::from_millis(millis))
    }

    struct Case {
        granted: Option<u64>,
        opened: Option<u64>,
        acked: Option<u64>,
        committed: u64,
        expect: u64,
    }

    #[test]
    fn counting_out() {
        let mut namespaces = Namespaces::default();
        let key = namespaces.key(&"acme".parse().unwrap());
        let acme = namespaces.at_mut(key);
        acme.policies.add(revision(10), Freshness::Grace(Span::from_secs(30)));
        acme.policies.add(revision(20), Freshness::Strict);
        // L_a is 6.5 s when strict and 44 s with the grace of 30 s.
        let cases = [
            Case { granted: Some(5_000), opened: Some(0), acked: Some(25), committed: 5_100, expect: 11_500 },
            Case { granted: Some(5_000), opened: Some(0), acked: Some(20), committed: 5_100, expect: 11_500 },
            Case { granted: Some(5_000), opened: Some(0), acked: Some(19), committed: 5_100, expect: 49_000 },
            // Not one acknowledgement in this start: since it opened, at 15.
            Case { granted: None, opened: None, acked: None, committed: 5_100, expect: 44_000 },
            Case { granted: None, opened: None, acked: Some(20), committed: 5_100, expect: 6_500 },
            // Registered in this start, never granted.
            Case { granted: None, opened: Some(5_000), acked: None, committed: 5_100, expect: 11_500 },
            Case { granted: None, opened: Some(9_000), acked: None, committed: 5_100, expect: 11_600 },
        ];
        for case in cases {
            let mut session = Session::new(facts(), vec![key], case.opened.map(after));
            session.granted = case.granted.map(after);
            session.acked = case.acked.map(revision);
            let found = session.counted_out_at(&acme.policies, revision(30), after(case.committed), STARTED);
            assert_eq!(found, after(case.expect), "granted {:?} acked {:?}", case.granted, case.acked);
            assert!(session.counted_out_first(STARTED) <= found);
        }
    }

    fn facts() -> SessionFacts {
        SessionFacts {
            session: SessionId::from_bytes([1; 16]),
            verifier: "edge-1".parse().unwrap(),
            credential: jeton_types::CredentialId::from_bytes([2; 16]),
            namespaces: vec!["acme".parse().unwrap()],
            opened: revision(15),
            place: None,
        }
    }
}
