//! Old data: put back by somebody who says nothing, restored by somebody who says so, and logs that were cut.
//!
//! Bounds: two verifiers, two revocations, one copy of the store that is put back or restored, one cut of the log, two streams after
//! the first of each, five seconds and once as long as any lease and grace can last.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "rollback",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0],
        passes: &[Pass { millis: 1_700, authority: 1_000, verifiers: 1_000 }],
        horizon: 1,
        to_the_moment: false,
        may: &[(May::Revoke, 1), (May::Open, 2), (May::Restart, 1), (May::PutBack, 1), (May::Trim, 1), (May::Forge, 1)],
        sights: &[Sight::Acked, Sight::TooOld, Sight::RolledBack],
        order: Order::Depth,
    };
    explored(scope, fault)
}
