//! The feed on the wire: `jeton.feed.v1.Feed/Session`, and the way between its messages and those of `jeton-feed`.
//!
//! [`wire`] is generated from `proto/jeton/feed/v1/feed.proto`. [`convert`] is the one gate: what has passed it obeys
//! every form and limit of `jeton-types`, and a change that this code does not know has become
//! [`Change::Unknown`](jeton_feed::record::Change::Unknown), never nothing. No meaning is decided here.

pub mod codec;
pub mod convert;
pub mod frame;
mod record;
mod usage;

/// Messages, client and server as generated from the protobuf.
pub mod wire {
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated code")]

    tonic::include_proto!("jeton.feed.v1");
}

pub use convert::BadMessage;

/// The largest message either side sends or takes in: a frame of [`FRAME_BYTES_MAX`](jeton_feed::numbers::FRAME_BYTES_MAX),
/// or a single row, and some room.
pub const MESSAGE_BYTES_MAX: usize = jeton_feed::numbers::FRAME_BYTES_MAX + 8 * 1024;
/// The largest message of an authority that speaks a protocol before
/// [`PROTOCOL_OF_FRAMES`](jeton_feed::numbers::PROTOCOL_OF_FRAMES): it sends a record in one.
pub const MESSAGE_BYTES_MAX_UNFRAMED: usize = 16 * 1024 * 1024;
