//! The HTTP API of a composed authority, over real sockets: each test has its own folder, ports and clock.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod audit;
mod bad_input;
mod burn;
mod credential;
mod ending;
mod event;
mod matrix;
mod model;
mod namespace;
mod once;
mod openapi;
mod process;
mod revocation;
mod start;
mod usage;
mod verifier;
mod verify;
mod world;
