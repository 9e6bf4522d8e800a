//! Rules broken on purpose, to see that whatever proves them notices.
//!
//! A place in the product that a rule rests on asks [`injected`] whether it is to leave the rule out. Without the feature `fault`
//! that is the constant `false`: the question and what would follow from it are not in the program. With it, a thread may
//! [`inject`] one fault for as long as it holds the [`Injected`]; other threads go on as they should.
//!
//! The names are those that the proofs and `docs/proof.md` use.

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
