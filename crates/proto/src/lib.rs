//! The feed on the wire: `jeton.feed.v1.Feed/Session`, and the way between its messages and those of `jeton-feed`.
//!
//! [`wire`] is generated from `proto/jeton/feed/v1/feed.proto`. [`convert`] is the one gate: what has passed it obeys
//! every form and limit of `jeton-types`, and a change that this code does not know has become
//! [`Change::Unknown`](jeton_feed::record::Change::Unknown), never nothing. No meaning is decided here.

pub mod codec;
pub mod convert;
mod record;

/// Messages, client and server as generated from the protobuf.
pub mod wire {
    #![expect(missing_docs, clippy::allow_attributes, clippy::large_enum_variant, reason = "generated code")]

    tonic::include_proto!("jeton.feed.v1");
}

pub use convert::BadMessage;

/// The largest message either side sends or takes in. A revocation of the most tokens allowed
/// ([`REVOKE_TOKENS_MAX`](jeton_types::limits::REVOKE_TOKENS_MAX)) is one record of some 6 MiB until records come in
/// frames; both ends must raise their decoding limit to this.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
