//! The gRPC service: one call is one stream.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use axum::Router;
use futures_util::future::BoxFuture;
use jeton_proto::{
    MESSAGE_BYTES_MAX,
    codec::{AuthorityCodec, Outbound, SESSION_PATH},
    wire::{self, feed_server::SERVICE_NAME},
};
use jeton_types::{Digest, Prefix, token::parse};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    metadata::MetadataMap,
    server::{Grpc, NamedService, StreamingService},
    service::Routes,
};

use super::{
    handle::{HubHandle, Shared},
    outgoing::{Incoming, Outgoing},
    stream,
};

/// The routes of the feed.
pub fn router(handle: &HubHandle) -> Router {
    Routes::new(Service(Arc::clone(&handle.0))).prepare().into_axum_router()
}

/// By hand and not by the generated server, whose codec encodes every message for every stream.
#[derive(Clone)]
struct Service(Arc<Shared>);

impl NamedService for Service {
    const NAME: &'static str = SERVICE_NAME;
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let session = Session(Arc::clone(&self.0));
        Box::pin(async move {
            if request.uri().path() != SESSION_PATH {
                return Ok(Status::unimplemented("the feed has one call, Session").into_http());
            }
            let limit = Some(MESSAGE_BYTES_MAX);
            let mut grpc = Grpc::new(AuthorityCodec).apply_max_message_size_config(limit, limit);
            Ok(grpc.streaming(session, request).await)
        })
    }
}

/// The one call.
struct Session(Arc<Shared>);

impl StreamingService<wire::ToAuthority> for Session {
    type Response = Outbound;
    type ResponseStream = Incoming;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Status>>;

    fn call(&mut self, request: Request<Streaming<wire::ToAuthority>>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let digest = bearer(request.metadata()).ok_or_else(|| {
                Status::unauthenticated("a stream needs `authorization: Bearer` and a token of namespace jeton")
            })?;
            let (out, incoming) = Outgoing::new();
            shared.spawn(stream::run(Arc::clone(&shared), digest, request.into_inner(), out));
            Ok(Response::new(incoming))
        })
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
