//! How often each thing happened that the properties are about; a world in which nothing does proves nothing.

macro_rules! sightings {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One or many worlds, summed up.
        #[expect(missing_docs, reason = "the names say it")]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Sightings {
            $($(#[$doc])* pub $name: u64,)*
            /// The longest wait for a receipt of a strict namespace, in milliseconds of the authority's clock.
            pub strict_receipt_max: u64,
        }

        impl Sightings {
            /// Every kind and how often.
            #[must_use]
            pub fn kinds(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Takes another world in.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                self.strict_receipt_max = self.strict_receipt_max.max(other.strict_receipt_max);
            }
        }
    };
}

sightings! {
    /// Receipts that were complete.
    receipts,
    /// Their lines, by evidence.
    acked,
    goodbye,
    succeeded,
    fenced,
    /// Lines that were fenced and pending again.
    fences_taken_back,
    /// Sessions that were claimed before their hello came.
    tombstones,
    grants,
    answers_live,
    answers_in_grace,
    /// Answers of "nobody here can tell".
    stale,
    /// Answers on a token that expires by itself: expired, and good not long before.
    expired,
    /// Tokens that were presented at once, and what was answered.
    first_uses,
    first_uses_asked,
    first_uses_joined,
    first_uses_timed_out,
    first_uses_good,
    jumps,
    slews,
    real_time_set,
    starts,
    crashes,
    processes_stopped,
    machines_paused,
    blocked_one_way,
    blocked,
    resets,
    echoes,
    streams_refused,
    ended_streams,
    rotten,
    mistrusted,
    /// Frames that were not the last of their record.
    parts,
    /// Streams that ended for a verifier that had a part of a record.
    halves,
    copies,
    copies_failed,
    copies_torn,
    /// Processes that went on from a copy, and those of them that were granted a lease on it.
    warm,
    warm_grants,
    /// Machines that were cloned.
    clones,
    policies,
    cuts,
    /// Snapshots because the log did not reach back.
    too_old,
    writes_failed,
    writes_unknown,
    /// Data put back, and whether a verifier's head showed it.
    put_back,
    rollbacks_noticed,
    heads_forged,
    /// Worlds whose faults were stopped, and verifiers that were live again.
    cores_healed,
    live_again,
}
