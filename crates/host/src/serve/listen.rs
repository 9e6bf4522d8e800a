use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// Why a port was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("{address} is in use; stop the other process or choose another address with {flag}")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// This user may not open that port.
    #[error("{address} needs a privilege that this process does not have; choose a port above 1023 with {flag}")]
    Forbidden {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The machine has no such address.
    #[error("{address} is not an address of this machine; choose another with {flag}")]
    NotHere {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The address can be reached from other machines, and there is no encryption.
    #[error(
        "{address} is beyond loopback, where tokens would travel as plain text; choose a loopback address with {flag}, or allow it with --plaintext"
    )]
    Plaintext {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The operating system refused.
    #[error("cannot listen on {address} ({flag})")]
    Io {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// The refusal.
        source: io::Error,
    },
}

/// Where the connections of [`super::serve`] come from: a port of this machine ([`Listener`]), or a network that is simulated.
pub trait Listen: Send + 'static {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The address that is open.
    fn address(&self) -> SocketAddr;

    /// The next connection, and from where it comes. It may be given up at any time and asked for again.
    fn accept(&mut self) -> impl Future<Output = (Self::Stream, SocketAddr)> + Send;
}

/// An open port.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
    trouble: AcceptTrouble,
}

impl Listener {
    /// Opens `address`; port 0 lets the system choose. `flag` is the setting that the person who reads the error can
    /// change. An address beyond loopback needs `allow_plaintext`.
    ///
    /// # Errors
    /// [`BindError`]; its text says what to do.
    pub async fn bind(address: SocketAddr, flag: &'static str, allow_plaintext: bool) -> Result<Self, BindError> {
        if !allow_plaintext && !address.ip().to_canonical().is_loopback() {
            return Err(BindError::Plaintext { address, flag });
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address, flag },
            io::ErrorKind::PermissionDenied => BindError::Forbidden { address, flag },
            io::ErrorKind::AddrNotAvailable => BindError::NotHere { address, flag },
            _ => BindError::Io { address, flag, source },
        };
        let inner = TcpListener::bind(address).await.map_err(failed)?;
        let address = inner.local_addr().map_err(failed)?;
        Ok(Self { inner, address, trouble: AcceptTrouble::default() })
    }

    /// The address that is open, with the port that the system chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often accepting has failed since it last worked.
    #[cfg(test)]
    pub(super) const fn tries(&self) -> u64 {
        self.trouble.tries
    }
}

impl Listen for Listener {
    type Stream = TcpStream;

    fn address(&self) -> SocketAddr {
        self.address
    }

    /// Trouble that only time can cure (no file descriptor left) is waited out, not spun on.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let trouble = &mut self.trouble;
        loop {
            match self.inner.accept().await {
                Ok((stream, peer)) => {
                    (trouble.pause, trouble.tries) = (Duration::ZERO, 0);
                    // Small answers must not wait for the other end's acknowledgement.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "connection lost before it was served");
                        continue;
                    }
                    return (stream, peer);
                }
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    trouble.pause = (trouble.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                    trouble.tries += 1;
                    if trouble.complaint.due().is_some() {
                        tracing::error!(%error, tries = trouble.tries, address = %self.address, "cannot accept connections; is the limit of open files too low?");
                    }
                    sleep(trouble.pause).await;
                }
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// How long accepting has not worked.
#[derive(Debug, Default)]
pub(super) struct AcceptTrouble {
    pause: Duration,
    /// Attempts since the last one that worked.
    pub(super) tries: u64,
    complaint: Rarely,
}

/// Says at most every ten seconds that it is time to say something.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    last: Option<Instant>,
    times: u64,
}

impl Rarely {
    /// One more time; how many there were since the last word, when it is time for a word.
    pub(super) fn due(&mut self) -> Option<u64> {
        self.times += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < QUIET) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(10);
