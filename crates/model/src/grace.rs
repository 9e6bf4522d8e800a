//! Grace and changes of policy: a verifier that is cut off, in two namespaces.
//!
//! Bounds: one verifier, one revocation, two changes of policy, one stream after the first, ten seconds and a half.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "grace",
        serves: &[&[0, 1]],
        grace: [0, 3],
        policies: &[(0, 3), (0, 0), (1, 0)],
        revokes: &[0, 1],
        passes: &[Pass { millis: 3_500, authority: 1_000, verifiers: 1_000 }],
        horizon: 3,
        to_the_moment: true,
        may: &[(May::Revoke, 1), (May::Policy, 2), (May::Break, 1), (May::Open, 1)],
        sights: &[Sight::Acked, Sight::Fenced, Sight::GraceEntered, Sight::GraceLeftByRenewal, Sight::GraceLeftByEnd],
        order: Order::Depth,
    };
    explored(scope, fault)
}
