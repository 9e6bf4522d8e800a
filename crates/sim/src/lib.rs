//! A simulator: the product's own state machines in a world that is drawn from one number.
//!
//! One authority and a few verifiers in one thread, with a time of their own. The hub, the sessions, the replicas and the rule
//! of rollback are those of the product; the world brings what is around them: machines whose clocks run at different rates,
//! are slewed, set and stopped; processes that are stopped, killed and started; disks that fail and are put back; and a
//! network that delays, stalls, repeats and breaks ordered streams. The same number gives the same world.
//!
//! - [`Plan::draw`]: what happens in the world of a number; [`run`]: what comes of it.
//! - [`campaign`]: many worlds on all cores.
//!
//! What this crate never does: read a clock in a world, or draw a number anywhere but from the seed.

mod ask;
mod authority;
pub mod campaign;
mod check;
mod clock;
mod hub;
mod net;
mod plan;
mod queue;
mod replica;
mod sightings;
mod state;
mod store;
mod stream;
mod trace;
mod verifier;
mod world;

pub use self::{
    check::Violation,
    clock::Rng,
    plan::{Action, Ending, Plan, RATE_FASTEST, RATE_SLOWEST, Rot, VERIFIERS},
    sightings::Sightings,
    trace::{Trace, seconds},
    world::{Outcome, run},
};
