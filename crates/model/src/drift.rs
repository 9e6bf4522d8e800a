//! Clocks that run at different rates and change them as they go, while policies change and grants come twice.
//!
//! Bounds: one verifier, one revocation, one change of policy, one stream after the first; each of three passages of time at any of
//! three pairs of rates, or up to the very moment at which the authority counts somebody out.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

const fn pass(authority: u64, verifiers: u64) -> Pass {
    Pass { millis: 3_500, authority, verifiers }
}

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "drift",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[(0, 2)],
        revokes: &[0],
        passes: const { &[pass(1_100, 900), pass(1_000, 1_000), pass(900, 1_100)] },
        horizon: 3,
        to_the_moment: true,
        may: &[(May::Revoke, 1), (May::Policy, 1), (May::Break, 1), (May::Open, 1), (May::Echo, 1)],
        sights: &[Sight::Acked, Sight::Fenced, Sight::GraceEntered, Sight::GrantRepeated],
        order: Order::Depth,
    };
    explored(scope, fault)
}
