//! The client of the HTTP API against a server that does as it is told.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod answers;
mod changes;
mod events;
mod fake;
mod pages;
mod setup;
mod waits;
