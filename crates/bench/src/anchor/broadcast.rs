//! The least that telling everybody costs: one message to each of N connections, and an acknowledgement of each back.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc},
};

/// As long as a revocation on the feed, roughly.
const MESSAGE: [u8; 128] = [0x7a; 128];
const ACKNOWLEDGEMENT: [u8; 16] = [0x61; 16];
/// Broadcasts that a slow connection may be behind; there is never more than one under way.
const BEHIND_MAX: usize = 16;

/// Serves until it is killed. The first address is for those who are told. The second takes lines: `wait N` is answered
/// once N connections have come, `tell N` tells all and is answered once N have acknowledged.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let told = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let asked = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        for listener in [&told, &asked] {
            println!("{}", listener.local_addr().expect("its address"));
        }
        let (tell, _) = broadcast::channel(BEHIND_MAX);
        let (acknowledge, acknowledged) = mpsc::unbounded_channel();
        let telling = tell.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = told.accept().await.expect("a connection");
                tokio::spawn(one(stream, telling.subscribe(), acknowledge.clone()));
            }
        });
        let (stream, _) = asked.accept().await.expect("a connection");
        control(stream, tell, acknowledged).await;
    });
}

async fn one(mut stream: TcpStream, mut told: broadcast::Receiver<()>, acknowledge: mpsc::UnboundedSender<()>) {
    stream.set_nodelay(true).expect("a socket");
    // Here it is: from now on it hears everything.
    let _ = acknowledge.send(());
    let mut answer = ACKNOWLEDGEMENT;
    while told.recv().await.is_ok() {
        if stream.write_all(&MESSAGE).await.is_err() || stream.read_exact(&mut answer).await.is_err() {
            return;
        }
        let _ = acknowledge.send(());
    }
}

async fn control(mut stream: TcpStream, tell: broadcast::Sender<()>, mut acknowledged: mpsc::UnboundedReceiver<()>) {
    stream.set_nodelay(true).expect("a socket");
    let (input, mut output) = stream.split();
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (what, count) = line.split_once(' ').expect("what to do, and of how many to hear");
        if what == "tell" {
            let _ = tell.send(());
        }
        for _ in 0..count.parse().expect("a number") {
            acknowledged.recv().await.expect("connections");
        }
        output.write_all(b"done\n").await.expect("somebody asked");
    }
}

/// `count` connections that acknowledge whatever comes, on the present runtime.
pub async fn listen(to: SocketAddr, count: usize) {
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(async move {
            let mut message = MESSAGE;
            while stream.read_exact(&mut message).await.is_ok() {
                if stream.write_all(&ACKNOWLEDGEMENT).await.is_err() {
                    return;
                }
            }
        });
    }
}
