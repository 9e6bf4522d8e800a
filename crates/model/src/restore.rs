//! A store that is restored from a copy, with the word that it was: sessions that the copy does not know, and revocations that it has
//! and that were not complete.
//!
//! Bounds: one verifier, two revocations, one stream after the first, one copy, five seconds and once as long as any lease and grace
//! can last.

use jeton_types::fault::Fault;

use crate::{
    check::{Order, Outcome},
    world::{May, Pass, Scope, Sight, explored},
};

/// Explores it.
#[must_use]
pub fn explore(fault: Option<Fault>) -> Outcome {
    let scope = Scope {
        name: "restore",
        serves: &[&[0]],
        grace: [0, 0],
        policies: &[],
        revokes: &[0],
        passes: &[Pass { millis: 1_700, authority: 1_000, verifiers: 1_000 }],
        horizon: 3,
        to_the_moment: false,
        may: &[(May::Revoke, 2), (May::Open, 1), (May::Backup, 1), (May::Restore, 1)],
        sights: &[Sight::Acked, Sight::Foreign],
        order: Order::Depth,
    };
    explored(scope, fault)
}
