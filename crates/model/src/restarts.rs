//! Processes that are killed, on both sides, and a verifier that goes on from a copy of its table.
//!
//! Bounds: one verifier name, one of its processes killed, the authority killed or its machine paused, one revocation, one change of
//! policy, one stream after the first, seven seconds.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "restarts",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[(0, 3)],
        revokes: &[0],
        passes: &[
            Pass { millis: 3_500, authority: 1_000, verifiers: 1_000 },
            Pass { millis: 3_500, authority: 0, verifiers: 1_000 },
        ],
        horizon: 2,
        to_the_moment: false,
        may: &[(May::Revoke, 1), (May::Policy, 1), (May::Open, 1), (May::Crash, 1), (May::Warm, 1), (May::Restart, 1)],
        sights: &[Sight::Acked, Sight::Fenced, Sight::AuthorityJump],
        order: Order::Depth,
    };
    explored(scope, fault)
}
