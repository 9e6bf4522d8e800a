//! The feed, as the authority drives it: the hub of `jeton-feed` over real streams, clocks and storage.
//!
//! [`HubHandle`] is the one door. Behind it the [`Hub`](jeton_feed::authority::Hub) decides, under one short lock, what a
//! record, an acknowledgement, a renewal or the passing of time means; the tasks here only do what it says:
//!
//! - `floor`: the lock. Every step first takes in the records committed so far, so that nobody who has seen an answer of
//!   the store meets a hub that has not.
//! - `driver`: time, jumps of the clock, the registry, and the authority's own acknowledgement.
//! - `retention`: cuts the log where it is old or long.
//! - `succession`: claimed sessions that the hub does not know.
//! - `signing`: signs complete receipts, makes them durable, and only then tells them.
//! - `usage`: counts reports of use, beside their streams.
//! - `service`, `hello`, `stream`, `sender`, `outgoing`: one gRPC stream; `frames`: what all of them share of a large record.
//!
//! Guaranteed: what is sent on a stream is in revision order and without a gap; a watermark is sent after everything at
//! or below it. Not guaranteed: that a stream lives. Its end, for whatever reason, ends no session.

mod driver;
mod ending;
mod floor;
mod frames;
mod handle;
mod hello;
mod outgoing;
mod retention;
mod sender;
mod service;
mod signing;
mod stream;
mod succession;
#[cfg(test)]
mod tests;
mod usage;

pub use handle::{HubHandle, HubParts};
pub use service::router;
