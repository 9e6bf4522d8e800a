//! Leases, floors and receipts of one verifier, in a strict namespace.
//!
//! Bounds: one verifier, one revocation, one stream after the first, one grant that comes twice, fourteen seconds.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "leases",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0],
        passes: &[Pass { millis: 3_500, authority: 1_000, verifiers: 1_000 }],
        horizon: 4,
        to_the_moment: true,
        may: &[(May::Revoke, 1), (May::Break, 1), (May::Open, 1), (May::Echo, 1), (May::Leave, 1)],
        sights: &[
            Sight::Acked,
            Sight::Fenced,
            Sight::Goodbye,
            Sight::RefusedForLag,
            Sight::RefusedByFloor,
            Sight::Cured,
            Sight::GrantRepeated,
        ],
        order: Order::Depth,
    };
    explored(scope, fault)
}
