//! Many worlds on all cores.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use jeton_types::fault::{Fault, inject};

use crate::{Plan, Sightings, Violation, run};

/// The rules that are missed in some world of the first few hundred when they are left out. What the list of [`Fault`]s has besides
/// shows in models, or in so few worlds that no test can wait for one.
pub const FAULTS: &[Fault] = &[
    Fault::AckBeforeApply,
    Fault::GoodbyeBeforeStop,
    Fault::NoRecheck,
    Fault::SuspendStopsClock,
    Fault::DriftBeyondMargin,
    Fault::LeaseFromReceive,
    Fault::SkipSession,
    Fault::RestartForgetsIntervals,
    Fault::GraceNewestOnly,
    Fault::GraceOfLastAckOnly,
    Fault::GraceOfCommitOnly,
    Fault::NoDriftMargin,
    Fault::NoFloorOnGrant,
    Fault::AuthorityNotCounted,
    Fault::SilenceAnyMessage,
    Fault::JumpKeepsGrace,
    Fault::HelloBeforeCut,
    Fault::ChainOnly,
    Fault::HelloNotSummedUp,
    Fault::SuccessionOtherBoot,
    Fault::SuccessionFromFileNotFstat,
    Fault::LockRenamed,
    Fault::AckAtFirstFrame,
    Fault::ResumeAfterFirstFrame,
    Fault::StaleSnapshot,
    Fault::DiskCopyKept,
    Fault::LeaseSurvivesRestart,
    Fault::NoBirthCheck,
    Fault::JoinedOlderSync,
    Fault::ExpiryWithoutMargin,
    Fault::RollbackByNumberOnly,
    Fault::OldIsRollback,
    Fault::UnauthenticHeadStops,
];

/// When to stop.
#[derive(Debug, Clone)]
pub enum Until {
    /// These worlds and no more.
    Seeds(Range<u64>),
    /// As many worlds from this one on as last for so many hours together.
    Hours {
        /// The first.
        from: u64,
        /// Of the worlds' own time.
        hours: u64,
        /// As many worlds as this at least.
        worlds: u64,
    },
}

/// What came of all.
#[derive(Debug, Default)]
pub struct Found {
    /// How many worlds there were.
    pub seeds: u64,
    /// How long they lasted together, in nanoseconds of their own time.
    pub lasted: u64,
    /// What was seen in all of them.
    pub seen: Sightings,
    /// Worlds in which a property did not hold, by number.
    pub violations: Vec<(u64, Violation)>,
    /// Over what happened in each world, whatever the order in which they were run.
    pub hash: u64,
}

impl Found {
    /// In hours of the worlds' own time.
    #[must_use]
    pub const fn hours(&self) -> u64 {
        self.lasted / HOUR
    }

    /// Kinds of events of which there was none.
    #[must_use]
    pub fn never(&self) -> Vec<&'static str> {
        self.seen.kinds().into_iter().filter(|(_, count)| *count == 0).map(|(kind, _)| kind).collect()
    }
}

const HOUR: u64 = 3_600_000_000_000;

/// Runs worlds on so many threads, with a fault or without one. With one, stops at the first world that notices.
#[must_use]
pub fn campaign(until: &Until, fault: Option<Fault>, threads: usize) -> Found {
    let (next, stop) = match until {
        Until::Seeds(seeds) => (AtomicU64::new(seeds.start), AtomicBool::new(seeds.is_empty())),
        Until::Hours { from, .. } => (AtomicU64::new(*from), AtomicBool::new(false)),
    };
    let (found, lasted) = (Mutex::new(Found::default()), AtomicU64::new(0));
    let work = || {
        let _injected = inject(fault);
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let enough = match until {
                Until::Seeds(seeds) => seed >= seeds.end,
                Until::Hours { from, hours, worlds } => {
                    lasted.load(Ordering::Relaxed) >= hours.saturating_mul(HOUR) && seed >= from.saturating_add(*worlds)
                }
            };
            if enough {
                break;
            }
            let outcome = run(&Plan::draw(seed), false);
            lasted.fetch_add(outcome.lasted, Ordering::Relaxed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.seeds += 1;
            found.lasted += outcome.lasted;
            found.hash ^= outcome.trace.hash();
            found.seen.add(&outcome.seen);
            if let Some(violation) = outcome.violation {
                stop.store(fault.is_some(), Ordering::Relaxed);
                found.violations.push((seed, violation));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.violations.sort_by_key(|(seed, _)| *seed);
    found
}
