//! The hub, rule by rule of `feed-protocol.md`.

mod bench;
mod grants;
mod receipts;
mod rollback;
mod streams;
mod succession;
