//! Models hold, and every mutant falls.

use jeton_model::{
    check::{Row, hold_all, kill_all},
    copies, crowd, drift, grace, leases, own, pauses, restarts, restore, rollback,
};
use jeton_types::fault::Fault;

const MUTANTS: &[Row] = &[
    (Fault::AckBeforeApply, leases::explore),
    (Fault::SkipSession, leases::explore),
    (Fault::GoodbyeBeforeStop, leases::explore),
    (Fault::NoFloorOnGrant, leases::explore),
    (Fault::WriteSkew, leases::explore),
    (Fault::GrantBeforeCommit, leases::explore),
    (Fault::LeaseFromReceive, leases::explore),
    (Fault::OlderGrantReplacesNewer, leases::explore),
    (Fault::SilenceAnyMessage, leases::explore),
    (Fault::FloorForAllNamespaces, crowd::explore),
    (Fault::AuthorityNotCounted, own::explore),
    (Fault::HelloBeforeCut, own::explore),
    (Fault::NoDriftMargin, drift::explore),
    (Fault::SuspendStopsClock, pauses::explore),
    (Fault::JumpKeepsGrace, pauses::explore),
    (Fault::JumpAcceptsOldGrants, pauses::explore),
    (Fault::GraceFromNoticedLapse, grace::explore),
    (Fault::GraceNewestOnly, grace::explore),
    (Fault::GraceOfLastAckOnly, grace::explore),
    (Fault::GraceOfCommitOnly, grace::explore),
    (Fault::GraceMinimumOfNamespaces, grace::explore),
    (Fault::RestartForgetsIntervals, restarts::explore),
    (Fault::LeaseSurvivesRestart, restarts::explore),
    (Fault::StaleAckNewEpoch, copies::explore),
    (Fault::RollbackByNumberOnly, rollback::explore),
    (Fault::OldIsRollback, rollback::explore),
    (Fault::UnauthenticHeadStops, rollback::explore),
    (Fault::RestoreWithoutWait, restore::explore),
    (Fault::CompletenessFromFloor, restore::explore),
];

#[test]
fn each_rule_is_needed() {
    kill_all(MUTANTS).unwrap();
}

#[test]
fn the_rules_hold() {
    let states = hold_all(&[
        leases::explore,
        crowd::explore,
        own::explore,
        restarts::explore,
        copies::explore,
        rollback::explore,
        restore::explore,
    ])
    .unwrap();
    assert!(states >= STATES_MIN, "{states} states: a scope has become smaller than it was");
}

/// What these models come to, roughly.
const STATES_MIN: usize = 4_000_000;
