//! Two verifiers that share one namespace and differ in another.
//!
//! Bounds: two verifiers, one revocation in either namespace, one stream breaks and one opens, one passage of time.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "crowd",
        serves: &[&[0], &[0, 1]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0, 1],
        passes: &[Pass { millis: 1_700, authority: 1_000, verifiers: 1_000 }],
        horizon: 1,
        to_the_moment: false,
        may: &[(May::Revoke, 1), (May::Break, 1), (May::Open, 1)],
        sights: &[Sight::Acked, Sight::RefusedForLag],
        order: Order::Depth,
    };
    explored(scope, fault)
}
