//! Many connections that each ask, wait for the answer, and ask again. As cheap as can be: it shares the machine with what it
//! measures.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime, task,
};

/// One connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: Vec::with_capacity(8 * 1024) }
    }

    /// Sends a request as it stands and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("a request sent");
        self.buffer.clear();
        loop {
            if let Some(answer) = whole(&self.buffer) {
                return answer;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
        }
    }
}

/// The answer, once all of it is there. Its body must have a length.
fn whole(bytes: &[u8]) -> Option<Answer> {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_len]).expect("a head of text");
    let status = head[9..12].parse().expect("a status");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().expect("a length"))
    });
    let body = bytes[head_len..].get(..length.unwrap_or(0))?.to_vec();
    Some(Answer { status, body })
}

/// A request with these lines after the first two, and a body.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Lets `connections` ask for as long as a turn takes, on a thread of their own; says how many answers came and how long it
/// took. Each must have the status that is expected.
pub fn run(
    to: SocketAddr,
    connections: u64,
    turn: Duration,
    expect: u16,
    make: impl Fn(u64, u64) -> Vec<u8> + Clone + 'static + Send,
) -> (u64, Duration) {
    let thread = std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        task::LocalSet::new().block_on(&runtime, all(to, connections, turn, expect, make))
    });
    thread.join().expect("the load ran")
}

async fn all(
    to: SocketAddr,
    connections: u64,
    turn: Duration,
    expect: u16,
    make: impl Fn(u64, u64) -> Vec<u8> + Clone + 'static,
) -> (u64, Duration) {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(to).await);
    }
    let started = Instant::now();
    let one = |(number, mut connection): (u64, Connection)| {
        let make = make.clone();
        task::spawn_local(async move {
            let mut answers = 0;
            while started.elapsed() < turn {
                let answer = connection.exchange(&make(number, answers)).await;
                let said = || String::from_utf8_lossy(&answer.body).into_owned();
                assert_eq!(answer.status, expect, "{}", said());
                answers += 1;
            }
            answers
        })
    };
    let running: Vec<_> = (0..).zip(open).map(one).collect();
    let mut answers = 0;
    for one in running {
        answers += one.await.expect("a connection that asked");
    }
    (answers, started.elapsed())
}
