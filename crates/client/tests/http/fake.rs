//! A server with a script, and a client whose pauses take no time.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_client::{Builder, Client, Pace};
use jeton_types::{Entropy, Prefix, Revision, Secret, token};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does with one request, after it has read all of it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers: status, header lines, body.
    Answer(u16, &'static str, String),
    /// Hangs up.
    Hangup,
    /// Hangs up in the middle of a good answer.
    Half,
    /// Never answers, and keeps the connection.
    Silence,
}

/// A good answer.
pub(crate) fn ok(body: &Value) -> Reply {
    Reply::Answer(200, "", body.to_string())
}

/// A problem with this code.
pub(crate) fn problem(status: u16, code: &str, headers: &'static str) -> Reply {
    let body = json!({ "type": "x", "title": "t", "status": status, "detail": format!("about {code}"), "code": code });
    Reply::Answer(status, headers, body.to_string())
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Came {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Method and path.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
    pub(crate) pace: Arc<Still>,
}

impl Fake {
    /// A server that does this, request by request. What comes after the script is answered 418.
    pub(crate) async fn playing(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { url, came: Arc::default(), pace: Arc::default() };
        let came = Arc::clone(&fake.came);
        let mut script: VecDeque<Reply> = script.into_iter().collect();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                came.lock().unwrap().push(request);
                let reply = script.pop_front().unwrap_or(Reply::Answer(418, "", "the script is over".to_owned()));
                match reply {
                    Reply::Answer(status, headers, body) => {
                        let length = body.len();
                        let head = format!(
                            "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
                        );
                        // A client that has gone is what some tests are about.
                        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                    }
                    Reply::Half => {
                        let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"a\":").await;
                    }
                    Reply::Hangup => {}
                    Reply::Silence => kept.push(stream),
                }
            }
        });
        fake
    }

    /// A client of it with a token, still time, and no chance.
    pub(crate) fn builder(&self) -> Builder {
        Client::builder(&self.url)
            .token(admin_token(7))
            .pace(Arc::clone(&self.pace) as Arc<dyn Pace>)
            .entropy(Arc::new(Counted::default()))
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// All that has come so far.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// One header of each.
    pub(crate) fn headers(&self, name: &str) -> Vec<Option<String>> {
        self.came().iter().map(|came| came.header(name).map(ToOwned::to_owned)).collect()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Came> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let came = Came { head, body: String::new() };
            let length = came.header("content-length").map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
                return Some(Came { body, ..came });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A token of the namespace `jeton`.
pub(crate) fn admin_token(seed: u8) -> Secret<String> {
    let minted = token::mint(&Prefix::built_in(), Revision::ZERO, [seed; token::RANDOM_BYTES]);
    Secret::new(minted.text.expose().clone())
}

/// Time that passes in pauses only.
#[derive(Default)]
pub(crate) struct Still(Mutex<Vec<Duration>>);

impl Still {
    /// The pauses so far, in milliseconds.
    pub(crate) fn pauses(&self) -> Vec<u128> {
        self.0.lock().unwrap().iter().map(Duration::as_millis).collect()
    }
}

impl Pace for Still {
    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().iter().sum()
    }

    fn pause(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.0.lock().unwrap().push(pause);
        Box::pin(std::future::ready(()))
    }
}

/// Keys count, and pauses have no random part.
#[derive(Default)]
struct Counted(Mutex<u8>);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
        if out.len() == 16 {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            out[15] = *count;
        }
    }
}
