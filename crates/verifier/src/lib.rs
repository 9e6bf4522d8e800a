//! Is this token good, now? A replica of the namespaces that a process serves, and the verdict over it.
//!
//! No IO, no runtime, no clock: time is an argument. What keeps a replica current is a `jeton_feed::verifier::Session`
//! and a driver for it (`jeton-client`); this crate holds what the session writes and what the verdicts read.
//!
//! - [`MemoryReplica`]: table, watermark and lease; [`MemoryReplica::verify`] is where to start.
//! - [`Verdict`]: what an answer says; [`decide`]: the rule over one token, which the authority uses as well.
//! - [`Looked`], [`Computed`], [`Outcome`]: the steps of an answer, made unskippable by their types.
//! - [`Table`]: where the tokens are, behind a small interface.
//! - [`first_use`]: when a token is too new for the replica: who waits for whom.
//!
//! What this crate never does: accept without a lease or grace, call anyone in order to accept, or hold a secret.

mod decide;
pub mod first_use;
mod lease;
mod look;
mod replica;
mod table;
mod verdict;
mod view;

#[cfg(test)]
mod tests;

pub use decide::{Required, decide};
pub use look::{Computed, Looked};
pub use replica::{MemoryReplica, Served, Tables};
pub use table::{Place, ShardedTable, Table};
pub use verdict::{Code, Outcome, Source, StaleWhy, Verdict, Waiting};
