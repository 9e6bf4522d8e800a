//! The steps of an answer (`feed-protocol.md` 16): *look, compute, release*. Each consumes the one before, and only the
//! release makes a [`Verdict`], so that none can be left out.
//!
//! The look reads the watermark first, then the lease, then the table. The watermark before the table: else an entry
//! might be missed that the later watermark claims to cover, and a new token be called unknown. The lease before the
//! table: else a process that slept over its lease, with the table already read, might answer under the next one. The
//! release checks the lease *that the look read*; how long the process slept in between is bounded by it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jeton_feed::{
    lease::{Lease, Standing, Void},
    numbers::LAG_MAX,
    record::TokenEntry,
};
use jeton_types::{
    BootTime, Freshness, NamespaceName, Now, Revision, UnixTime,
    fault::{Fault, injected},
};

use crate::{
    decide::{Required, decide, expired},
    first_use::CaughtUp,
    lease::LeaseSeen,
    replica::MemoryReplica,
    table::Table,
    verdict::{Code, Outcome, Source, StaleWhy, Verdict, Waiting},
};

/// What was read. The decision point of every promise is the start of this read.
#[derive(Debug)]
#[must_use = "an answer comes of its release"]
pub struct Looked {
    pub(crate) at: Now,
    pub(crate) watermark: Revision,
    pub(crate) seen: LeaseSeen,
    /// When the last watermark request was sent that has been answered and applied.
    pub(crate) confirmed: BootTime,
    /// The policy that belongs to the table read.
    pub(crate) freshness: Freshness,
    /// Whether the namespace is, by the same policy.
    pub(crate) disabled: bool,
    pub(crate) caught_up: bool,
    pub(crate) found: Found,
}

#[derive(Debug)]
pub(crate) enum Found {
    /// The prefix may be that of a namespace whose snapshot has not come.
    NoState,
    /// The prefix is of none of the served namespaces.
    Foreign,
    /// The table does not hold it.
    Absent { namespace: Arc<NamespaceName>, birth: Revision },
    /// Here it is.
    Here { namespace: Arc<NamespaceName>, entry: TokenEntry },
}

/// What the rule says of it. Not an answer yet: the lease has not been looked at.
#[derive(Debug)]
#[must_use = "an answer comes of its release"]
pub struct Computed {
    looked: Looked,
    /// Of an entry that is there.
    code: Code,
    /// Whether the view is as new as was demanded.
    fresh: Fresh,
}

/// How a view stands to what was demanded of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    /// New enough.
    Enough,
    /// The revision that was demanded is above its watermark.
    Behind(Revision),
    /// It may be older than was demanded.
    Aged,
}

impl Looked {
    /// Marks a look that came after the answer to a watermark request that was sent after the caller began to wait.
    pub fn caught_up(self, _: CaughtUp) -> Self {
        Self { caught_up: true, ..self }
    }

    /// How old the view is at most, on this machine's clock: whatever was committed longer ago than this is in it.
    ///
    /// What counts is when this verifier *sent* a question or a renewal, never when something arrived: a heartbeat may have
    /// been on its way for long. A lease is granted to a session that is at most [`LAG_MAX`] behind; a quarter is added, since the
    /// authority counts that on its own clock.
    fn age(&self) -> Duration {
        let leased = self.seen.lease.map_or(BootTime::ZERO, |lease| lease.sent.boot);
        let leased = leased.minus(LAG_MAX.saturating_add(Duration::from_nanos(LAG_MAX.as_nanos() as u64 / 4)));
        self.at.boot.since(leased.max(self.confirmed))
    }

    fn fresh(&self, required: &Required) -> Fresh {
        match (required.at_least, required.max_age) {
            (Some(revision), _) if revision > self.watermark => Fresh::Behind(revision),
            // Whoever caught up did so by a question that was sent after he came.
            (_, Some(max_age)) if !self.caught_up && self.age() > max_age => Fresh::Aged,
            _ => Fresh::Enough,
        }
    }

    /// Applies the rule. `client` is from where the token was presented, as far as known.
    pub fn compute(self, required: &Required, client: Option<IpAddr>) -> Computed {
        let code = match &self.found {
            // Without a lease authority time is not known here, nor is it needed: no code but `revoked`, which hangs on
            // no time, leaves the release then.
            Found::Here { entry, .. } => {
                let time = self.seen.lease.map_or(UnixTime::ZERO, |lease| lease.authority_time_at(self.at.boot));
                decide(entry, self.disabled, required, client, time)
            }
            Found::NoState => Code::Stale,
            Found::Foreign | Found::Absent { .. } => Code::Unknown,
        };
        let fresh = self.fresh(required);
        Computed { looked: self, code, fresh }
    }

    fn revoked(self, now: Now) -> Outcome {
        let Found::Here { namespace, entry } = self.found else { return Outcome::Stale(StaleWhy::NoState) };
        let standing = self.seen.lease.map(|lease| lease.standing(now, self.freshness));
        Outcome::Answer(Verdict {
            code: Code::Revoked,
            namespace: Some(namespace),
            entry: Some(entry),
            revision: self.watermark,
            as_of: self.seen.lease.map_or(self.at.real, |lease| display_time(&lease, self.at.boot)),
            not_after: None,
            source: if matches!(standing, Some(Standing::Grace(_))) { Source::Grace } else { Source::Replica },
        })
    }
}

impl Computed {
    /// Checks the lease of the look and lets the answer out. `now` is read after the computing.
    ///
    /// [`StaleWhy::Overtaken`] means that there is a newer lease: look again.
    pub fn release<T: Table>(self, now: Now, replica: &MemoryReplica<T>) -> Outcome {
        let Self { looked, code, fresh } = self;
        let present = replica.leases.seen();
        let sound = looked.seen.generation >= present.sound_from
            && !matches!(looked.seen.void, Some(Void::Mismatch | Void::FromDisk))
            && !matches!(present.void, Some(Void::Goodbye | Void::Mismatch | Void::FromDisk));
        if code == Code::Revoked && sound {
            // Irrevocable, so it is true whatever became of the lease, unless the table itself is wrong, or was when it was read,
            // or came from a disk and nobody has vouched for it.
            return looked.revoked(now);
        }
        let lease = match standing_lease(&looked.seen, &present) {
            Ok(lease) => lease,
            Err(why) => return Outcome::Stale(why),
        };
        let (source, until) = match lease.standing(now, looked.freshness) {
            Standing::Live(until) => (Source::Replica, until),
            Standing::Grace(until) => (Source::Grace, until),
            Standing::Lapsed => {
                let newer = present.lease.is_some_and(|newer| newer.sent.boot > lease.sent.boot);
                return Outcome::Stale(if newer { StaleWhy::Overtaken } else { StaleWhy::Lapsed });
            }
            Standing::Jumped => {
                replica.leases.jumped(now);
                return Outcome::Stale(StaleWhy::Voided(Void::Jump));
            }
        };
        let as_of = display_time(&lease, looked.at.boot);
        let not_after = display_time(&lease, until);
        let answer = |code, namespace, entry: Option<TokenEntry>| {
            let expires_at = entry.as_ref().filter(|_| code == Code::Valid).and_then(|entry| entry.expires_at);
            let not_after = Some(expires_at.map_or(not_after, |expires_at| expires_at.min(not_after)));
            Outcome::Answer(Verdict { code, namespace, entry, revision: looked.watermark, as_of, not_after, source })
        };
        match looked.found {
            Found::NoState => Outcome::Stale(StaleWhy::NoState),
            _ if fresh != Fresh::Enough => match fresh {
                Fresh::Behind(_) if looked.caught_up => Outcome::Stale(StaleWhy::Behind),
                Fresh::Behind(revision) => Outcome::NeedsWatermark(Waiting::Revision(revision)),
                Fresh::Aged | Fresh::Enough => Outcome::NeedsWatermark(Waiting::Age),
            },
            Found::Foreign => answer(Code::Unknown, None, None),
            Found::Absent { namespace, birth }
                if birth > looked.watermark && !looked.caught_up && !injected(Fault::NoBirthCheck) =>
            {
                Outcome::NeedsWatermark(Waiting::Token { namespace, birth })
            }
            Found::Absent { namespace, .. } => answer(Code::Unknown, Some(namespace), None),
            Found::Here { namespace, entry } => {
                // Expiry may have passed between the computing and now (S14: never late).
                let passed = code != Code::Revoked && expired(&entry, lease.authority_time_at(now.boot));
                answer(if passed { Code::Expired } else { code }, Some(namespace), Some(entry))
            }
        }
    }
}

/// The lease of the look, if nothing voided it since.
fn standing_lease(looked: &LeaseSeen, present: &LeaseSeen) -> Result<Lease, StaleWhy> {
    match (looked.lease, present) {
        (_, LeaseSeen { lease: Some(lease), .. }) if injected(Fault::NoRecheck) => Ok(*lease),
        (Some(lease), _) if looked.generation == present.generation => Ok(lease),
        (_, LeaseSeen { lease: Some(_), .. }) => Err(StaleWhy::Overtaken),
        (_, LeaseSeen { void: Some(void), .. }) => Err(StaleWhy::Voided(*void)),
        _ => Err(StaleWhy::NoLease),
    }
}

/// Authority time without the quarter that expiry adds: for people, not for decisions.
const fn display_time(lease: &Lease, at: jeton_types::BootTime) -> UnixTime {
    lease.authority_time.plus(at.since(lease.sent.boot))
}
