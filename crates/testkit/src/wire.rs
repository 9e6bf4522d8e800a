use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A network between two processes that can fall silent: nobody is refused, nothing breaks, nothing arrives.
pub struct Wire {
    /// Where it is entered.
    pub address: SocketAddr,
    held: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// Carries whatever comes to an address of its own on to `to`.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (held, watched) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, watched.clone()));
            }
        });
        Self { address, held, accepting }
    }

    /// From here on nothing arrives, in either direction. What is on its way is kept.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Everything goes on, first of all what was kept.
    pub fn release(&self) {
        self.held.send_replace(false);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, which ends when both of its ends have closed it, or the wire is gone.
async fn carry(near: TcpStream, to: SocketAddr, mut held: watch::Receiver<bool>) {
    if held.wait_for(|held| !held).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::join!(one_way(near_read, far_write, held.clone()), one_way(far_read, near_write, held));
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if held.wait_for(|held| !held).await.is_err() {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
