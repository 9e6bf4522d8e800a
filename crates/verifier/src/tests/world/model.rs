//! A small authority of one session, written from the rules and not from the code of the real one.

use std::{collections::VecDeque, time::Duration};

use jeton_feed::{
    message::{Grant, SnapshotPart, ToAuthority, ToVerifier, Welcome},
    numbers::{LAG_MAX, PROTOCOL, counted_out_after},
    record::{Change, Head, Policy, Record, TokenEntry},
    set_hash::SetHash,
};
use jeton_types::{BootTime, Hash32, Revision, StartId, TokenId, UnixTime};

use crate::tests::{AUTHORITY, acme, policy, record, revision};

pub(super) struct Authority {
    log: Vec<(Record, BootTime)>,
    pub(super) head: u64,
    /// Every policy record ever.
    policies: Vec<(u64, Policy)>,
    rows: Vec<TokenEntry>,
    acked: Option<u64>,
    granted: BootTime,
    epoch: u64,
    streaming: bool,
    renewal: Option<u64>,
    /// The session said goodbye.
    gone: bool,
    floor: u64,
    /// Revisions that want a receipt, and have one.
    pending: Vec<u64>,
    complete: Vec<u64>,
    pub(super) down: VecDeque<ToVerifier>,
    /// All up to here was cut off the log.
    cut: u64,
    /// How often that was under a stream.
    pub(super) overtaken: usize,
    pub(super) flaw: Option<Flaw>,
}

/// A rule that is broken on purpose, to see that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A tombstone is collected as soon as it is there.
    TombstoneDroppedEarly,
    /// A stream goes on behind what was cut.
    GapSkip,
}

/// How long a token has been expired when it is collected: with the longest grace of this world, 12 s.
pub(super) const COLLECT_AFTER: Duration = counted_out_after(Duration::from_secs(12)).saturating_add(LAG_MAX);

impl Authority {
    pub(super) fn new(grace_secs: u64) -> Self {
        let mut authority = Self {
            log: Vec::new(),
            head: 0,
            policies: Vec::new(),
            rows: Vec::new(),
            acked: None,
            granted: BootTime::ZERO,
            epoch: 0,
            streaming: false,
            renewal: None,
            gone: false,
            floor: 0,
            pending: Vec::new(),
            complete: Vec::new(),
            down: VecDeque::new(),
            cut: 0,
            overtaken: 0,
            flaw: None,
        };
        authority.commit(BootTime::ZERO, vec![Change::Policy(policy(grace_secs))], false);
        authority
    }

    /// Authority time; drift and all, it is what the boot clock says.
    pub(super) const fn time(now: BootTime) -> UnixTime {
        AUTHORITY.plus(Duration::from_nanos(now.as_nanos()))
    }

    /// The revision that the next commit has.
    pub(super) const fn next(&self) -> u64 {
        self.head + 10
    }

    pub(super) fn commit(&mut self, now: BootTime, changes: Vec<Change>, receipt: bool) -> u64 {
        let at = self.next();
        let predecessor = self.log.last().map_or(0, |(record, _)| record.revision.get());
        for change in &changes {
            match change {
                Change::Policy(policy) => self.policies.push((at, policy.clone())),
                Change::Token(entry) => self.rows.push(entry.clone()),
                Change::End { digest, reason, .. } => {
                    for row in self.rows.iter_mut().filter(|row| row.digest == *digest) {
                        row.ended = Some(*reason);
                    }
                }
                Change::Deadline { digest, expires_at, .. } => {
                    for row in self.rows.iter_mut().filter(|row| row.digest == *digest) {
                        row.expires_at = Some(row.expires_at.map_or(*expires_at, |known| known.min(*expires_at)));
                    }
                }
                Change::Collected { digest, .. } => self.rows.retain(|row| row.digest != *digest),
                Change::Start(_) | Change::Unknown { .. } => {}
            }
        }
        let record = record(predecessor, at, changes);
        if self.streaming {
            self.down.push_back(ToVerifier::Record(record.clone()));
        }
        self.log.push((record, now));
        self.head = at;
        if receipt {
            self.pending.push(at);
        }
        at
    }

    /// Collects what may go, or whatever has ended; says what went.
    pub(super) fn collect(&mut self, now: BootTime) -> Vec<TokenId> {
        let time = Self::time(now);
        let early = self.flaw == Some(Flaw::TombstoneDroppedEarly);
        let goes = |row: &&TokenEntry| {
            row.expires_at.is_some_and(|at| time >= at.plus(COLLECT_AFTER)) || early && row.ended.is_some()
        };
        let gone: Vec<_> = self.rows.iter().filter(goes).map(|row| (row.digest, row.token)).collect();
        if !gone.is_empty() {
            let changes = gone.iter().map(|(digest, token)| Change::Collected { digest: *digest, token: *token });
            self.commit(now, changes.collect(), false);
        }
        gone.into_iter().map(|(_, token)| token).collect()
    }

    /// Cuts the whole log off. If the stream was slow, what waits on it is cut off under it.
    pub(super) fn log_cut(&mut self, now: BootTime, slow: bool) {
        self.cut = self.head;
        let Some(first) = self.down.iter().position(|message| matches!(message, ToVerifier::Record(_))) else { return };
        if !slow {
            return;
        }
        self.overtaken += 1;
        let rest = self.down.split_off(first);
        let (grants, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|one| matches!(one, ToVerifier::Grant(_)));
        self.down.extend(grants);
        if self.flaw != Some(Flaw::GapSkip) {
            self.snapshot();
        }
        // What was asked meanwhile is answered after it.
        for message in rest {
            if let ToVerifier::Watermark { request, .. } = message {
                self.down.push_back(ToVerifier::Watermark { request, watermark: revision(self.head) });
            }
        }
        self.heartbeat(now);
    }

    /// The sum over all that should be enforced.
    pub(super) fn set_hash(&self) -> Hash32 {
        let policy = self.policies.last().map(|(_, policy)| SetHash::of_policy(&acme(), policy)).unwrap_or_default();
        self.rows.iter().map(SetHash::of_entry).fold(policy, SetHash::plus).to_hash()
    }

    /// A commit in a namespace that the session does not serve.
    pub(super) const fn commit_elsewhere(&mut self) {
        self.head = self.next();
    }

    pub(super) fn heartbeat(&mut self, now: BootTime) {
        if self.streaming {
            let (watermark, head) = (revision(self.head), self.head());
            self.down.push_back(ToVerifier::Heartbeat { watermark, authority_time: Self::time(now), head });
        }
    }

    pub(super) fn cut(&mut self) {
        self.streaming = false;
        self.renewal = None;
        self.down.clear();
    }

    pub(super) fn hear(&mut self, now: BootTime, message: ToAuthority) {
        match message {
            ToAuthority::Hello(hello) if hello.epoch > self.epoch => {
                self.epoch = hello.epoch;
                self.streaming = true;
                let (head, authority_time) = (self.head(), Self::time(now));
                let reaches = |resume: &Revision| resume.get() >= self.cut || self.flaw == Some(Flaw::GapSkip);
                let resume = hello.resume.filter(reaches);
                self.down.push_back(ToVerifier::Welcome(Welcome {
                    protocol: PROTOCOL,
                    resume,
                    mismatch: false,
                    head,
                    authority_time,
                    foreign: false,
                }));
                match resume {
                    Some(resume) => {
                        let resume = resume.max(revision(self.cut));
                        let later = self.log.iter().filter(|(record, _)| record.revision > resume);
                        self.down.extend(later.map(|(record, _)| ToVerifier::Record(record.clone())));
                    }
                    None => self.snapshot(),
                }
            }
            ToAuthority::Ack { revision } if self.streaming => {
                self.acked = self.acked.max(Some(revision.get()));
                self.grant_if_due(now);
            }
            ToAuthority::Renew { request } if self.streaming => {
                self.renewal = Some(request);
                self.grant_if_due(now);
            }
            ToAuthority::Ask { request } if self.streaming => {
                self.down.push_back(ToVerifier::Watermark { request, watermark: revision(self.head) });
            }
            ToAuthority::Goodbye => self.gone = true,
            _ => {}
        }
    }

    /// Completes what no session blocks (rules 11, 12 and 19).
    pub(super) fn settle(&mut self, now: BootTime) {
        let pending = std::mem::take(&mut self.pending);
        for at in pending {
            let silent = now.since(self.granted) > counted_out_after(self.grace_up_to(at));
            if self.gone || self.acked >= Some(at) || silent {
                self.floor = self.floor.max(at);
                self.complete.push(at);
            } else {
                self.pending.push(at);
            }
        }
    }

    pub(super) fn is_complete(&self, at: u64) -> bool {
        self.complete.contains(&at)
    }

    pub(super) const fn silent_for(&self, now: BootTime) -> Duration {
        now.since(self.granted)
    }

    /// The largest grace at any revision from the last acknowledged one up to `at`.
    fn grace_up_to(&self, at: u64) -> Duration {
        let from = self.policies.iter().rposition(|(policy, _)| Some(*policy) <= self.acked).unwrap_or(0);
        let in_force = self.policies[from..].iter().filter(|(policy, _)| *policy <= at);
        in_force.map(|(_, policy)| policy.freshness.grace()).max().unwrap_or_default()
    }

    fn grant_if_due(&mut self, now: BootTime) {
        let Some(acked) = self.acked else { return };
        let old = self.log.iter().filter(|(_, committed)| now.since(*committed) > LAG_MAX);
        let caught_up = old.map(|(record, _)| record.revision).max().is_none_or(|last| revision(acked) >= last);
        if caught_up
            && acked >= self.floor
            && let Some(request) = self.renewal.take()
        {
            self.granted = now;
            self.down.push_back(ToVerifier::Grant(Grant { request, authority_time: Self::time(now) }));
        }
    }

    /// In two parts.
    fn snapshot(&mut self) {
        let at = Revision::new(self.head).unwrap();
        let Some((_, policy)) = self.policies.last().cloned() else { return };
        self.down.push_back(ToVerifier::SnapshotBegin { at });
        let middle = self.rows.len() / 2;
        for rows in [&self.rows[..middle], &self.rows[middle..]] {
            let (namespace, policy, rows) = (acme(), policy.clone(), rows.to_vec());
            self.down.push_back(ToVerifier::SnapshotRows(SnapshotPart { namespace, policy, rows, set_hash: None }));
        }
        self.down.push_back(ToVerifier::SnapshotEnd { at });
    }

    fn head(&self) -> Head {
        let start = StartId::from_bytes([1; 16]);
        Head { revision: revision(self.head), start, chain_hash: Hash32::ZERO, mac: None }
    }
}
