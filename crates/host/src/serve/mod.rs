//! The loop behind every listener: accepts, limits, serves HTTP/1.1 and HTTP/2 (prior knowledge) on one port, drains.
//!
//! Guarantee: no stranger holds a connection, memory or a file descriptor longer than [`Limits`] say, whatever it
//! sends or leaves out. Not guaranteed: a bound on the time a handler takes; that is the handler's own.
//! Refusals of the loop itself are built by the caller through [`Refuse`]; what a refusal looks like is not known here.
//!
//! [`serve`] runs a listener until it is told to stop; [`serve_connection`] serves one byte stream, also in memory.

mod admission;
mod body;
mod connection;
mod frames;
mod gate;
mod io;
mod limits;
mod listen;
mod refuse;
mod vitals;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tower::Service;

pub use admission::{Admission, AdmissionConfig, AdmissionLayer, AdmissionService, Permit, Priority};
pub use body::{BodyError, RequestBody, ResponseBody, read_body};
pub use connection::{Closed, serve_connection};
pub use limits::Limits;
pub use listen::{BindError, Listen, Listener};
pub use refuse::{BoxError, Reason, Refuse, refuse_plain};

use gate::{Entry, Gate};

/// The other end's address. Every request's body knows it ([`RequestBody::peer`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// Puts it into a request's extensions, where a web framework's handlers find it.
    #[must_use]
    pub fn extend(mut request: Request<RequestBody>) -> Request<RequestBody> {
        if let Some(peer) = request.body().peer() {
            request.extensions_mut().insert(peer);
        }
        request
    }
}

/// Serves `listener` until `shutdown` ends, then drains: the port closes, HTTP/1 connections finish their request,
/// HTTP/2 connections get a GOAWAY and finish their streams, and what is left after `limits.drain` is cut.
///
/// Dropping the future cuts everything at once.
pub async fn serve<L, S, B, R>(
    mut listener: L,
    service: S,
    refuse: R,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) where
    L: Listen,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    R: Refuse<B>,
{
    let limits = Arc::new(limits);
    let gate = Gate::new(&limits);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);

    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                note_end(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let limits = Arc::clone(&limits);
        let (service, refuse) = (service.clone(), refuse.clone());
        let mut stopped = stopped.clone();
        let stopped = async move {
            // An error means that the loop is gone: also a reason to stop.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        match gate.enter(peer.ip()) {
            Entry::Open(pass) => {
                connections.spawn(async move {
                    let closed = serve_connection(stream, peer, service, refuse, limits, stopped).await;
                    drop(pass);
                    (peer, closed)
                });
            }
            Entry::Refuse(pass) => {
                connections.spawn(async move {
                    let closed = connection::refuse_connection(stream, peer, refuse, limits, stopped).await;
                    drop(pass);
                    (peer, closed)
                });
            }
            Entry::Shut => drop(stream),
        }
    }

    drop(listener);
    // Fails only when no connection is left to hear it.
    let _ = stop.send(true);
    let began = Instant::now();
    let drained = timeout(limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            note_end(ended);
        }
    })
    .await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), waited = ?began.elapsed(), "connections cut at the end of the drain");
        connections.shutdown().await;
    }
}

fn note_end(ended: Result<(SocketAddr, Closed), tokio::task::JoinError>) {
    match ended {
        Ok((peer, closed)) => tracing::debug!(%peer, %closed, "connection closed"),
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "a request handler panicked; its connection is closed")
        }
        Err(_) => {}
    }
}
