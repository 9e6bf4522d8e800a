//! What the authority verifies itself: tokens at its own API, and those that verifiers connect with.
//!
//! Bounds: one verifier, one revocation of a token and one of its own, one verification of the authority's and one hello that take
//! their time, two streams after the first, one passage of time.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "own",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0],
        passes: &[Pass { millis: 1_250, authority: 1_000, verifiers: 1_000 }],
        horizon: 1,
        to_the_moment: false,
        may: &[
            (May::Revoke, 1),
            (May::Read, 1),
            (May::OwnRevoke, 1),
            (May::SlowHello, 1),
            (May::Break, 1),
            (May::Open, 2),
        ],
        sights: &[Sight::Acked, Sight::Goodbye, Sight::TokenEnded],
        order: Order::Depth,
    };
    explored(scope, fault)
}
