//! What a process takes from its machine: clocks, randomness, files, sockets, signals, and the text of its metrics.
//!
//! Everything here is mechanism; no rule of Jeton is decided in this crate, and no shape of its API is known to it
//! (refusals are built by the caller, through [`serve::Refuse`]). Start with [`serve`] for the loop behind every
//! listener, and with [`clock::SystemClock`] for the only place where the boot clock is read.

pub mod clock;
pub mod files;
pub mod metric;
pub mod serve;
pub mod signal;
