//! The rules by which tokens live: who may do what, when a token expires, how it is rotated, what a
//! change of a credential or a namespace gives and ends, what a revocation ends.
//!
//! Pure decisions over facts that the caller has read: no IO, no clock, no randomness. Nothing here writes; the store
//! asks inside its own write transaction, so that what was decided upon is what is changed. Start with [`access`] for
//! permissions and with [`token`] for the words of a token's life.

pub mod access;
pub mod audit;
pub mod change;
pub mod issue;
pub mod namespace;
mod refusal;
pub mod revocation;
pub mod role;
pub mod rotation;
pub mod token;

pub use access::{Action, Authorized, Denied};
pub use refusal::Refusal;
pub use revocation::Effect;
pub use role::{Grant, Reach, Role, UnknownRole};
pub use token::{Stage, State, TokenFacts};
