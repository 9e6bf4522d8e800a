use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::vitals::Vitals;

/// A byte stream that shows what comes in and goes out to its connection's [`Vitals`].
///
/// It also closes politely. A socket that is closed while the client is sending answers with a reset, and the client
/// loses the response that told it why (413, 431). So after the last byte what still comes in is thrown away, until
/// the client has noticed, or for a while.
#[derive(Debug)]
pub(super) struct Watched<I> {
    inner: I,
    vitals: Arc<Vitals>,
    closing: Closing,
}

#[derive(Debug, Clone, Copy)]
enum Closing {
    NotYet,
    /// The last byte is on its way; so many may still be thrown away.
    Discarding(usize),
    Done,
}

impl<I> Watched<I> {
    pub(super) const fn new(inner: I, vitals: Arc<Vitals>) -> Self {
        Self { inner, vitals, closing: Closing::NotYet }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.vitals.received(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.vitals.sent(sent.is_ready());
        sent
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.closing {
                Closing::NotYet => {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                    this.closing = if this.vitals.closes_on_a_sender() {
                        Closing::Discarding(DISCARD_BYTES_MAX)
                    } else {
                        Closing::Done
                    };
                    // From here on it is given its time, and no more.
                    this.vitals.close();
                }
                Closing::Discarding(left) => {
                    let mut space = [0; 4 * 1024];
                    let mut buf = ReadBuf::new(&mut space);
                    let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf));
                    let count = buf.filled().len();
                    this.closing = match left.checked_sub(count) {
                        Some(left) if read.is_ok() && count > 0 => Closing::Discarding(left),
                        _ => Closing::Done,
                    };
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.vitals.sent(sent.is_ready());
        sent
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

const DISCARD_BYTES_MAX: usize = 1 << 20;
