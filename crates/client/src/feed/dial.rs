//! How a connection to the authority comes about: over TCP, as tonic does it, or as whoever starts the verifier says.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Error};
use tower::Service;

/// Makes connections: over a network that is simulated, or through something that stands between.
pub trait Dial: Send + Sync + 'static {
    /// A connection to the authority at this URL. The driver gives up what takes longer than two seconds.
    fn dial(&self, url: &Uri) -> Dialing;
}

/// A connection on its way.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// A connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// Where the authority is and how one gets there.
#[derive(Clone)]
pub(super) struct Road {
    pub(super) endpoint: Endpoint,
    pub(super) dial: Option<Arc<dyn Dial>>,
}

impl Road {
    pub(super) async fn connect(&self) -> Result<Channel, Error> {
        match &self.dial {
            None => self.endpoint.connect().await,
            Some(dial) => self.endpoint.connect_with_connector(Connector(Arc::clone(dial))).await,
        }
    }
}

/// A [`Dial`] as tonic wants it.
struct Connector(Arc<dyn Dial>);

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let dialing = self.0.dial(&url);
        Box::pin(async { Ok(TokioIo::new(dialing.await?)) })
    }
}
