//! From a revocation to its complete receipt, beside a broadcast with acknowledgements.

use std::{io::Write as _, net::SocketAddr, time::Instant};

use jeton_client::feed::{TokenSource, Verifier, VerifierConfig};
use jeton_testkit::Authority;
use jeton_types::Secret;
use tokio::runtime::Runtime;

use crate::{
    anchor::broadcast,
    figure::{Aim, Figure, Part, percentile, short, sorted},
    issue, load,
    process::Talking,
    setup::{Setup, child},
};

pub fn measure(setup: &Setup) -> Part {
    let figures =
        [setup.size(100, 5), setup.size(1_000, 20)].into_iter().flat_map(|sessions| fan_out(setup, sessions)).collect();
    Part {
        title: "Revocation to complete receipt",
        how: "`jeton serve`, and verifiers of `jeton-client` in one process with a connection, a session and a replica each. A token is issued and \
              known to all; then the time from sending its revocation with `wait: complete` to the answer with the complete receipt, which is \
              signed and stored by then. The anchor is a server that writes 128 bytes to as many TCP connections of one process and waits for 16 \
              bytes back from each, asked over a connection of its own."
            .to_owned(),
        figures,
    }
    .told()
}

/// p50 and p99 for as many sessions. Each value is of one round.
fn fan_out(setup: &Setup, sessions: u64) -> [Figure; 2] {
    let runtime = Runtime::new().expect("a runtime");
    let (jeton, authority) = issue::start(setup);
    let out = jeton.text("edge.token");
    let _ = jeton.as_root(&authority, &["issue", "jeton/edge", "--scope", "verifier@acme", "--out", &out]).expect(0);
    let token = std::fs::read_to_string(&out).expect("the token").trim_end().to_owned();
    let verifiers = runtime.block_on(connect(&authority, &token, sessions));
    let mut product = Product::new(&runtime, &authority, &verifiers);
    let mut anchor = Anchor::new(&runtime, sessions);
    let each = setup.size(if sessions > 500 { 40 } else { 100 }, 3);
    let mut figures = [50.0, 99.0].map(|percent| {
        let count = if sessions < 1_000 { sessions.to_string() } else { short(sessions as f64) };
        let what = format!("{count} sessions, p{percent}");
        Figure { what, unit: "ms", product: Vec::new(), anchor: Vec::new(), aim: Aim::None }
    });
    for _ in 0..setup.rounds() {
        let times = sorted(&(0..each).map(|_| product.revoke()).collect::<Vec<_>>());
        let anchors = sorted(&(0..each).map(|_| anchor.tell()).collect::<Vec<_>>());
        for (figure, percent) in figures.iter_mut().zip([50.0, 99.0]) {
            figure.product.push(percentile(&times, percent));
            figure.anchor.push(percentile(&anchors, percent));
        }
    }
    drop(runtime);
    figures
}

async fn connect(authority: &Authority, token: &str, sessions: u64) -> Vec<Verifier> {
    let verifier = |number| {
        let name = format!("edge-{number}").parse().expect("a name");
        let token = TokenSource::Held(Secret::new(token.to_owned()));
        let namespaces = vec!["acme".parse().expect("a name")];
        let config = VerifierConfig::new(format!("http://{}", authority.feed), token, name, namespaces);
        Verifier::start(config).expect("a verifier")
    };
    let verifiers: Vec<Verifier> = (0..sessions).map(verifier).collect();
    for verifier in &verifiers {
        verifier.wait_ready().await.expect("a verifier that is ready");
    }
    verifiers
}

struct Product<'a> {
    runtime: &'a Runtime,
    verifiers: &'a [Verifier],
    connection: load::Connection,
    root: String,
    issued: u64,
}

impl<'a> Product<'a> {
    fn new(runtime: &'a Runtime, authority: &Authority, verifiers: &'a [Verifier]) -> Self {
        let connection = runtime.block_on(load::Connection::open(authority.http));
        Self { runtime, verifiers, connection, root: issue::root_token(authority), issued: 0 }
    }

    /// Milliseconds from a revocation to its complete receipt.
    fn revoke(&mut self) -> f64 {
        let Self { runtime, verifiers, connection, root, issued } = self;
        *issued += 1;
        let body = format!(r#"{{"name":"c{issued}"}}"#);
        let issue = load::request("POST", "/v1/namespaces/acme/credentials", root, &body);
        runtime.block_on(async {
            let answer = connection.exchange(&issue).await;
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
            let said: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            let born = said["revision"].as_u64().expect("a revision");
            for verifier in *verifiers {
                let known = verifier.status_when(|status| status.watermark.get() >= born).await;
                known.expect("a verifier that goes on");
            }
            let id = said["token"]["id"].as_str().expect("an id");
            let body = format!(r#"{{"selector":{{"token_id":"{id}"}},"wait":"complete"}}"#);
            let revoke = load::request("POST", "/v1/namespaces/acme/revocations", root, &body);
            let began = Instant::now();
            let answer = connection.exchange(&revoke).await;
            let took = began.elapsed();
            let said: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(said["receipt"]["state"], "complete", "{said}");
            let acknowledged = said["receipt"]["verifiers"].as_array().map_or(0, Vec::len);
            assert!(acknowledged >= verifiers.len(), "every verifier: {acknowledged} of {}", verifiers.len());
            took.as_secs_f64() * 1e3
        })
    }
}

struct Anchor {
    _server: Talking,
    control: std::net::TcpStream,
    count: u64,
}

impl Anchor {
    fn new(runtime: &Runtime, count: u64) -> Self {
        let mut server = Talking::start(child(&["broadcast"]));
        let (told, asked): (SocketAddr, SocketAddr) = (server.address(), server.address());
        let control = std::net::TcpStream::connect(asked).expect("a connection");
        control.set_nodelay(true).expect("a socket");
        runtime.block_on(broadcast::listen(told, count as usize));
        let mut anchor = Self { _server: server, control, count };
        anchor.ask("wait");
        anchor
    }

    /// Milliseconds until everybody was told and has said so.
    fn tell(&mut self) -> f64 {
        let began = Instant::now();
        self.ask("tell");
        began.elapsed().as_secs_f64() * 1e3
    }

    fn ask(&mut self, what: &str) {
        use std::io::Read as _;
        self.control.write_all(format!("{what} {}\n", self.count).as_bytes()).expect("a line sent");
        let mut done = [0; 5];
        self.control.read_exact(&mut done).expect("a line back");
    }
}
