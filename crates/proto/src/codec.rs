//! How a stream is read and written.
//!
//! A verifier tells what cannot be decoded apart from what did not arrive.
//! To tonic's own codec both are a broken stream. They are not the same: a stream that breaks leaves lease and grace to run
//! out, but what cannot be decoded did come from the authority and may have been a record, so nothing may be answered as if
//! it had not come (`feed-protocol.md` 8).

use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::{BadMessage, wire};

/// Where the one call of the feed is.
pub const SESSION_PATH: &str = "/jeton.feed.v1.Feed/Session";

/// How an authority writes a stream: a frame of a record is encoded once for all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthorityCodec;

/// The writing half of [`AuthorityCodec`].
#[derive(Debug, Clone, Copy)]
pub struct AuthorityEncoder;

/// What an authority sends.
#[derive(Debug, Clone)]
pub enum Outbound {
    /// A message.
    Message(wire::ToVerifier),
    /// The bytes of one.
    Encoded(Bytes),
}

impl Codec for AuthorityCodec {
    type Encode = Outbound;
    type Decode = wire::ToAuthority;
    type Encoder = AuthorityEncoder;
    type Decoder = ProstDecoder<wire::ToAuthority>;

    fn encoder(&mut self) -> AuthorityEncoder {
        AuthorityEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for AuthorityEncoder {
    type Item = Outbound;
    type Error = Status;

    fn encode(&mut self, item: Outbound, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match item {
            Outbound::Message(message) => message.encode(buffer).map_err(|error| Status::internal(error.to_string())),
            Outbound::Encoded(bytes) => {
                buffer.put(bytes);
                Ok(())
            }
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionCodec;

/// The reading half of [`SessionCodec`].
#[derive(Debug, Clone, Copy)]
pub struct SessionDecoder;

impl Codec for SessionCodec {
    type Encode = wire::ToAuthority;
    type Decode = Result<wire::ToVerifier, BadMessage>;
    type Encoder = ProstEncoder<wire::ToAuthority>;
    type Decoder = SessionDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> SessionDecoder {
        SessionDecoder
    }
}

impl Decoder for SessionDecoder {
    type Item = Result<wire::ToVerifier, BadMessage>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let read = wire::ToVerifier::decode(&mut *buffer)
            .map_err(|_| BadMessage::new("bytes", "they are no message of this protocol"));
        // What a failed reading leaves belongs to the same message.
        buffer.advance(buffer.remaining());
        Ok(Some(read))
    }
}
