//! The hub, rule by rule of `protocol.md`.

mod bench;
mod grants;
mod receipts;
mod streams;
