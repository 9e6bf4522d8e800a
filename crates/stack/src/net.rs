//! The simulated network, in the shapes that the product takes a network in.

use std::{io, net::SocketAddr};

use http::Uri;
use jeton_client::feed::{ByteStream, Dial, Dialing};
use jeton_host::serve::Listen;
use turmoil::net::{TcpListener, TcpStream};

/// A port of a simulated host.
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

impl Listen for Port {
    type Stream = TcpStream;

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.listener.accept().await {
                return accepted;
            }
        }
    }
}

/// Connections over the simulated network.
pub(crate) struct Net;

impl Dial for Net {
    fn dial(&self, url: &Uri) -> Dialing {
        let at = url.host().map(str::to_owned).zip(url.port_u16());
        Box::pin(async move {
            let (host, port) = at.ok_or_else(|| io::Error::other("the URL names no host or no port"))?;
            let stream = TcpStream::connect((host, port)).await?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}
