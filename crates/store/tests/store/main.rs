//! What the store promises, over the embedded one: each method and each refusal, order under concurrency, the log
//! against the state, and what is left after a kill.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod audit;
mod concurrency;
mod ending;
mod history;
mod issuing;
mod kill;
mod once;
mod opening;
mod revoking;
mod sessions;
mod world;
