//! Machines that are paused and wall clocks that are set ahead, under a policy of grace or none.
//!
//! Bounds: one verifier, one revocation, one change of policy, one stream after the first, three passages of time, in each of which the
//! machine of the verifier may be paused for five seconds.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "pauses",
        serves: &[&[0]],
        grace: [3, 0],
        policies: &[(0, 0)],
        revokes: &[0],
        passes: &[
            Pass { millis: 3_500, authority: 1_000, verifiers: 1_000 },
            Pass { millis: 5_000, authority: 1_000, verifiers: 0 },
        ],
        horizon: 3,
        to_the_moment: true,
        may: &[(May::Revoke, 1), (May::Policy, 1), (May::Break, 1), (May::Open, 1), (May::Jump, 1)],
        sights: &[Sight::Acked, Sight::Fenced, Sight::GraceEntered, Sight::DroppedByJump, Sight::WallSet],
        order: Order::Depth,
    };
    explored(scope, fault)
}
