//! What tests need that the product does not: the release binary as a set of processes, and a client that sees statuses.
//!
//! Everything listens on port 0 and lives in a folder of its own; nothing is shared between tests. What fails panics
//! with what the process said: this crate is for tests alone and is never linked by the product.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod process;
mod web;

pub use process::{Authority, Jeton, Output, Sidecar, Stopped};
pub use web::{Answer, Web};
