//! Models of the feed, explored state by state.
//!
//! Every model steps the product's own machines (`jeton_feed::authority::Hub`, `jeton_feed::verifier::Session`), never a copy of
//! their rules, with everything around them that may go wrong chosen by the checker: order, loss, repetition, clocks, crashes.
//! What a rule is for is shown by leaving it out: with a [`Fault`](jeton_types::fault::Fault) injected, the checker must find a
//! state in which a promise is broken, and without one it must find none.
//!
//! Guaranteed of a model that was explored: within its bounds there is no such state at all. Not guaranteed: anything outside of
//! the bounds, which each model names at its top; `jeton-sim` goes there at random.
//!
//! Start with [`check`], then read a model.

pub mod check;
pub mod copies;
pub mod crowd;
pub mod drift;
pub mod grace;
pub mod leases;
pub mod own;
pub mod pauses;
pub mod restarts;
pub mod restore;
pub mod rollback;
pub mod world;

use check::Explore;

/// Every model, by its name.
pub const MODELS: &[(&str, Explore)] = &[
    ("leases", leases::explore),
    ("crowd", crowd::explore),
    ("own", own::explore),
    ("grace", grace::explore),
    ("drift", drift::explore),
    ("pauses", pauses::explore),
    ("restarts", restarts::explore),
    ("copies", copies::explore),
    ("restore", restore::explore),
    ("rollback", rollback::explore),
];
