//! The gRPC service: one call is one stream.

use std::sync::Arc;

use axum::Router;
use jeton_proto::wire::{
    self,
    feed_server::{Feed, FeedServer},
};
use jeton_types::{Digest, Prefix, token::parse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap, service::Routes};

use super::{
    handle::{HubHandle, Shared},
    outgoing::Outgoing,
    stream,
};

/// Bytes of one message of a verifier, at most: a hello with as many namespaces as one may serve, and their hashes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The routes of the feed.
pub fn router(handle: &HubHandle) -> Router {
    let service = FeedServer::new(Service(Arc::clone(&handle.0)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(jeton_proto::MESSAGE_BYTES_MAX);
    Routes::new(service).prepare().into_axum_router()
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl Feed for Service {
    type SessionStream = ReceiverStream<Result<wire::ToVerifier, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::ToAuthority>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let digest = bearer(request.metadata()).ok_or_else(|| {
            Status::unauthenticated("a stream needs `authorization: Bearer` and a token of namespace jeton")
        })?;
        let (out, receiver) = Outgoing::new();
        self.0.spawn(stream::run(Arc::clone(&self.0), digest, request.into_inner(), out));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// The lookup key of the one token that the call came with; its text is not kept.
fn bearer(metadata: &MetadataMap) -> Option<Digest> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    let parsed = parse(text.trim().as_bytes()).ok()?;
    (scheme.eq_ignore_ascii_case("bearer") && parsed.prefix == Prefix::BUILT_IN).then_some(parsed.digest)
}
