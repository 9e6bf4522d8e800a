//! What a process may have of its machine: file descriptors that run out, and connections that do nothing.

use std::{net::SocketAddr, time::Instant};

use jeton_testkit::{Jeton, Strace, Web, faults, report};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Enough for an authority, its database and its streams, and not for a crowd.
const FILES: usize = 96;
/// Connections that have been served once and then do nothing.
const IDLE: usize = 10_000;
/// What each of them may cost; a handler's stack of buffers would be many times that.
const IDLE_BYTES_MAX: u64 = 32 * 1_024;
const ASK: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn no_file_descriptor_is_left() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let trace = Strace::counting(jeton.path("strace.log"), "accept4", &[]);
    let files = format!("--nofile={FILES}:{FILES}");
    let above: Vec<&str> = trace.arguments().into_iter().chain(["prlimit", &files]).collect();
    let authority = jeton.serve_below(&above, "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
    let (http, root) = (authority.http, authority.root_token());
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &Web::default()).await;
    // One connection that is there already, and stays.
    let web = Web::default();
    let issued =
        web.post(http, "/v1/namespaces/acme/credentials", Some(&root), &json!({ "name": "app" })).await.unwrap().json();
    let token = issued["token"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(web.auth(sidecar.http, &token).await, 200);

    // The kernel takes them all; the process takes as many as it can, answers them once, and keeps them for a while.
    let began = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..2 * FILES {
        let mut stream = TcpStream::connect(http).await.unwrap();
        stream.write_all(ASK).await.unwrap();
        crowd.push(stream);
    }
    while !trace.text().contains("EMFILE") {
        assert!(began.elapsed().as_secs() < 60, "it never ran out");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let revoke = json!({ "selector": { "credential": "acme/app" }, "wait": "complete" });
    let revoked = web.post(http, "/v1/namespaces/acme/revocations", Some(&root), &revoke).await.unwrap();
    assert_eq!(revoked.status, 201, "who is there is served: {}", revoked.json());
    assert_eq!(revoked.json()["receipt"]["state"], "complete", "and the stream of the verifier lives");
    assert_eq!(web.auth(sidecar.http, &token).await, 401);
    drop(crowd);
    // A new connection, once there is room for it.
    let listed = Web::default().get(http, "/v1/namespaces/acme", Some(&root)).await.unwrap();
    assert_eq!(listed.status, 200);
    let tries = trace.text().matches("EMFILE").count();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    // The pauses double from 50 ms, and begin anew once somebody was let in: twenty a second at most, at either port.
    assert!(tries <= 40 * seconds, "{tries} tries to accept in {seconds} s");
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(authority.stop().code, 0);
    report(&format!(
        "file descriptors: {FILES} in all, {tries} tries to accept more in {seconds} s, all there was went on"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_cost_little() {
    let connections = faults(0..IDLE).count();
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let more = format!("--nofile={}:{}", 2 * IDLE, 2 * IDLE);
    let authority = jeton.serve_below(&["prlimit", &more], "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    own_files(2 * IDLE);
    // What the first ones allocate stays for all.
    let first = connections / 10;
    let (mut idle, mut before) = (Vec::new(), 0);
    for number in 0..connections {
        if number == first {
            before = resident(authority.pid());
        }
        idle.push(served_once(authority.http).await);
    }
    let growth = resident(authority.pid()).saturating_sub(before);
    let each = growth / (connections - first) as u64;
    assert!(each <= IDLE_BYTES_MAX, "each idle connection costs {each} bytes");
    // As many as there may be in all: one more is told so, if none of them has been closed for being idle by now.
    if connections == IDLE && idle.iter().all(open) {
        let refused = Web::default().get(authority.http, "/livez", None).await.unwrap();
        assert_eq!(refused.status, 429);
    }
    drop(idle);
    let ready = Web::default().get(authority.http, "/readyz", None).await.unwrap();
    assert_eq!(ready.status, 200);
    assert_eq!(authority.stop().code, 0);
    report(&format!(
        "idle connections: {connections} of {IDLE}, {each} bytes of memory each, at most {IDLE_BYTES_MAX}"
    ));
}

/// A connection with a request behind it.
async fn served_once(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

/// Whether the other end has not closed it. What is left of the answer is there to be read.
fn open(stream: &TcpStream) -> bool {
    let mut bytes = [0; 4_096];
    loop {
        match stream.try_read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Raises this process's own limit, as far as it goes.
fn own_files(count: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = count as u64;
    limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
