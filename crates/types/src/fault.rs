//! Rules broken on purpose, to see that whatever proves them notices.
//!
//! A place in the product that a rule rests on asks [`injected`] whether it is to leave the rule out. Without the feature `fault`
//! that is the constant `false`: the question and what would follow from it are not in the program. With it, a thread may
//! [`inject`] one fault for as long as it holds the [`Injected`]; other threads go on as they should.
//!
//! The names are those by which the proofs are told what to leave out (`docs/proof.md`).

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// One rule that is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        #[cfg(feature = "fault")]
        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)*
                }
            }
        }
    };
}

faults! {
    /// The lease counts from the arrival of its grant.
    LeaseFromReceive = "lease_from_receive",
    /// The authority adds nothing for clocks that run at different rates.
    NoDriftMargin = "no_drift_margin",
    /// A renewal is granted to a session that is below a floor.
    NoFloorOnGrant = "no_floor_on_grant",
    /// An older grant replaces a newer one.
    OlderGrantReplacesNewer = "older_grant_replaces_newer",
    /// A jump drops the lease and leaves grace.
    JumpKeepsGrace = "jump_keeps_grace",
    /// A grant whose renewal was sent before a jump is taken after it.
    JumpAcceptsOldGrants = "jump_accepts_old_grants",
    /// A mutation is answered before it is durable.
    ReplyBeforeCommit = "reply_before_commit",
    /// The replica says that a record is visible before it is.
    AckBeforeApply = "ack_before_apply",
    /// The process goes on answering after its goodbye.
    GoodbyeBeforeStop = "goodbye_before_stop",
    /// An answer is released under whatever lease there is by then, and not under that of its table read.
    NoRecheck = "no_recheck",
    /// Nobody compares real time with boot time.
    SuspendStopsClock = "suspend_stops_clock",
    /// A clock is further off than anything that the margin covers.
    DriftBeyondMargin = "drift_beyond_margin",
    /// A receipt does not wait for sessions that are not connected, or that were before a start.
    SkipSession = "skip_session",
    /// A start does not count what sessions may have been granted before it.
    RestartForgetsIntervals = "restart_forgets_intervals",
    /// The grace that counts is that of the newest policy alone.
    GraceNewestOnly = "grace_newest_only",
    /// The authority acknowledges without waiting for the hellos that it has begun to verify.
    HelloBeforeCut = "hello_before_cut",
    /// The replica follows the log and never compares what it holds.
    ChainOnly = "chain_only",
    /// The authority does not compare what a hello says of the verifier's table.
    HelloNotSummedUp = "hello_not_summed_up",
    /// A boot id is not looked at.
    SuccessionOtherBoot = "succession_other_boot",
    /// A lock file is believed to be where it says it is.
    SuccessionFromFileNotFstat = "succession_from_file_not_fstat",
    /// The lock file is replaced when it is written, so that its lock excludes nobody.
    LockRenamed = "lock_renamed",
    /// A record is acknowledged when its first frame comes.
    AckAtFirstFrame = "ack_at_first_frame",
    /// After a reset the verifier goes on behind a record of which it has a part. (And its hello is not compared: that alone
    /// would show it.)
    ResumeAfterFirstFrame = "resume_after_first_frame",
    /// A snapshot is of a view from before the last record, be that sent or not.
    StaleSnapshot = "stale_snapshot",
    /// The copy of a table that was found to be wrong is gone on from.
    DiskCopyKept = "disk_copy_kept",
    /// A lease is kept with the copy, and in force at once.
    LeaseSurvivesRestart = "lease_survives_restart",
    /// An absent token is unknown, however young it is.
    NoBirthCheck = "no_birth_check",
    /// Who begins to wait is served by a question that was sent before.
    JoinedOlderSync = "joined_older_sync",
    /// Expiry is reckoned without the quarter that clocks may differ by.
    ExpiryWithoutMargin = "expiry_without_margin",
    /// What a head says of its start is not looked at.
    RollbackByNumberOnly = "rollback_by_number_only",
    /// A head that the log does not reach back to is taken for a loss.
    OldIsRollback = "old_is_rollback",
    /// A head that nobody sealed is believed.
    UnauthenticHeadStops = "unauthentic_head_stops",
    /// A receipt waits for sessions only and not for what the authority itself has begun to verify.
    AuthorityNotCounted = "authority_not_counted",
    /// A grant reads the floor in one transaction and is written in another.
    WriteSkew = "write_skew",
    /// A grant leaves before it is remembered, and is then forgotten.
    GrantBeforeCommit = "grant_before_commit",
    /// A session must be past the floor of namespaces that it does not serve.
    FloorForAllNamespaces = "floor_for_all_namespaces",
    /// A session counts as silent since it was last heard of, and not since its last grant.
    SilenceAnyMessage = "silence_any_message",
    /// The grace that counts is that of the last acknowledged revision alone.
    GraceOfLastAckOnly = "grace_of_last_ack_only",
    /// The grace that counts is that of the revocation's own revision alone.
    GraceOfCommitOnly = "grace_of_commit_only",
    /// The grace that counts is the least among the session's namespaces.
    GraceMinimumOfNamespaces = "grace_minimum_of_namespaces",
    /// Grace counts from the first answer that finds the lease run out.
    GraceFromNoticedLapse = "grace_from_noticed_lapse",
    /// An acknowledgement counts for whichever session has the verifier's name.
    StaleAckNewEpoch = "stale_ack_new_epoch",
    /// A receipt at or below the floor is taken for complete.
    CompletenessFromFloor = "completeness_from_floor",
    /// Receipts are complete at once after old data were restored.
    RestoreWithoutWait = "restore_without_wait",
}

#[cfg(feature = "fault")]
mod injection {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static NOW: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// The fault is injected into this thread until this is dropped.
    #[derive(Debug)]
    #[must_use]
    pub struct Injected(Option<Fault>);

    /// Injects a fault, or none, into this thread. What was injected before is so again afterwards.
    pub fn inject(fault: Option<Fault>) -> Injected {
        Injected(NOW.replace(fault))
    }

    impl Drop for Injected {
        fn drop(&mut self) {
            NOW.set(self.0);
        }
    }

    /// Whether this thread is to leave the rule out.
    #[must_use]
    pub fn injected(fault: Fault) -> bool {
        NOW.get() == Some(fault)
    }

    impl std::str::FromStr for Fault {
        type Err = crate::Invalid;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            let named = Self::ALL.iter().find(|fault| fault.name() == text);
            named.copied().ok_or(crate::Invalid("no fault has this name"))
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        #[expect(clippy::disallowed_methods, reason = "that another thread is another is what is shown")]
        fn a_fault_is_injected_into_one_thread_for_a_while() {
            let (one, other) = (Fault::LeaseFromReceive, Fault::NoDriftMargin);
            {
                let _outer = inject(Some(one));
                assert!(injected(one) && !injected(other));
                assert!(!std::thread::spawn(move || injected(one)).join().unwrap());
                {
                    let _inner = inject(Some(other));
                    assert!(injected(other) && !injected(one));
                }
                assert!(injected(one));
            }
            assert!(!injected(one));
        }

        #[test]
        fn names_are_read_back() {
            for fault in Fault::ALL {
                assert_eq!(fault.name().parse(), Ok(*fault));
            }
        }
    }
}

#[cfg(feature = "fault")]
pub use injection::{Injected, inject, injected};

/// Whether this thread is to leave the rule out: never, without the feature `fault`.
#[cfg(not(feature = "fault"))]
#[inline(always)]
#[must_use]
pub const fn injected(fault: Fault) -> bool {
    let _ = fault;
    false
}
