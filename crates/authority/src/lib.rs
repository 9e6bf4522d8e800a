//! The authority: the server that owns the state. It decides, stores, publishes, and says who has seen what.
//!
//! Start with [`Authority::start`]. From the outside in:
//!
//! - [`start`] puts everything together, [`config`] says with what.
//! - `http` is the API for people and programs, `access` finds out who calls.
//! - [`feed`] is the gRPC stream of the verifiers and drives the hub of `jeton-feed`.
//! - [`doctor`] puts right what only can be with the authority down.
//! - [`receipt`] makes, signs and checks receipts, [`keys`] holds what they are signed with.
//! - [`time`] is authority time, [`inflight`] counts the verifications under way, [`metric`] what is measured.
//! - `usage` gathers what the authority itself sees of tokens in use.
//! - [`witness`] holds the rows a second time, so that a wrong set hash stops nobody.
//!
//! What this crate never does: keep a secret, grant anything on a wall clock, or tell of what is not durable.

mod access;
mod audit;
pub mod config;
mod core;
pub mod doctor;
pub mod event;
pub mod feed;
mod fence;
mod http;
pub mod inflight;
pub mod keys;
mod limit;
pub mod metric;
pub mod receipt;
mod space;
pub mod start;
pub mod time;
mod usage;
pub mod witness;

pub use config::AuthorityConfig;
pub use start::{Authority, Ports, Running, StartClass, StartError, Stopped};
