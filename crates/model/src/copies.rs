//! A process that goes on from the copy of its table that another left, while that one's last words are on their way.
//!
//! Bounds: one verifier name, two of its processes, one revocation, one stream after the first, one passage of time.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "copies",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0],
        passes: &[Pass { millis: 1_700, authority: 1_000, verifiers: 1_000 }],
        horizon: 1,
        to_the_moment: false,
        may: &[(May::Revoke, 1), (May::Open, 1), (May::Crash, 1), (May::Warm, 1)],
        sights: &[Sight::Acked],
        order: Order::Depth,
    };
    explored(scope, fault)
}
