//! `GET /v1/events`, read byte by byte: what is told, to whom, and when it ends.

use std::time::Duration;

use http::StatusCode;
use jeton_authority::{AuthorityConfig, config::LogKept};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::world::{World, text};

const PATIENCE: Duration = Duration::from_secs(60);

struct Reading(BufReader<TcpStream>);

impl Reading {
    /// Opens the stream and reads its head; the status.
    async fn open(world: &World, token: &str, last: Option<u64>) -> (Self, u16) {
        let mut stream = TcpStream::connect(world.running.http_addr).await.unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reading = Self(BufReader::new(stream));
        let status = reading.line().await.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        while !reading.line().await.unwrap().is_empty() {}
        (reading, status)
    }

    /// The next line; nothing at the end, which is the last chunk or the connection's.
    async fn line(&mut self) -> Option<String> {
        const LAST_CHUNK: &str = "0";
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("nothing is told").unwrap_or(0);
        let line = line.trim_end();
        (read > 0 && line != LAST_CHUNK).then(|| line.to_owned())
    }

    /// The next event's name, id and data; nothing at the end.
    async fn event(&mut self) -> Option<(String, Option<u64>, Value)> {
        let (mut name, mut id) = (String::new(), None);
        loop {
            let line = self.line().await?;
            if let Some(word) = line.strip_prefix("event: ") {
                word.clone_into(&mut name);
            } else if let Some(number) = line.strip_prefix("id: ") {
                id = number.parse().ok();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).unwrap();
                // The id may follow.
                if name == "change" && id.is_none() {
                    id = self.line().await?.strip_prefix("id: ").and_then(|number| number.parse().ok());
                }
                return Some((name, id, data));
            }
        }
    }
}

fn revision(value: &Value) -> u64 {
    value["revision"].as_u64().unwrap()
}

#[tokio::test]
async fn changes_are_told_from_where_one_left() {
    let world = World::start().await;
    world.namespace("acme").await;
    let from = revision(&world.get("/v1/namespaces/acme").await.expect(StatusCode::OK).json());
    for name in ["a", "b"] {
        world.issue("acme", name, &[]).await;
    }
    let (mut reading, status) = Reading::open(&world, &world.root, Some(from)).await;
    assert_eq!(status, 200);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (name, id, data) = reading.event().await.unwrap();
        assert_eq!((name.as_str(), &data["changes"][0]["kind"]), ("change", &json!("token")));
        assert_eq!(id, Some(revision(&data)));
        ids.push(id.unwrap());
    }
    world.issue("acme", "c", &[]).await;
    let (_, id, _) = reading.event().await.unwrap();
    ids.push(id.unwrap());
    assert!(ids[0] > from && ids.is_sorted_by(|a, b| a < b), "{ids:?}");

    // Whoever comes back with the second is told of the third, and of nothing twice.
    let (mut again, _) = Reading::open(&world, &world.root, Some(ids[1])).await;
    assert_eq!(again.event().await.unwrap().1, Some(ids[2]));
}

#[tokio::test]
async fn a_revision_that_is_not_there_is_no_place_to_come_back_to() {
    let world = World::start().await;
    let (_, status) = Reading::open(&world, &world.root, Some((1 << 53) - 1)).await;
    assert_eq!(status, 400);
    let (_, status) = Reading::open(&world, &world.root, Some(u64::MAX)).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_tells_nothing_after() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, auditor) = world.issue("jeton", "auditor", &["auditor@acme"]).await;
    let (mut reading, status) = Reading::open(&world, &auditor, None).await;
    assert_eq!(status, 200);
    world.issue("acme", "before", &[]).await;
    assert_eq!(reading.event().await.unwrap().0, "change");
    let body = json!({"selector": {"credential": id}, "wait": "complete"});
    world.post("/v1/namespaces/jeton/revocations", body).await.expect(StatusCode::CREATED);
    world.issue("acme", "after", &[]).await;
    assert_eq!(reading.event().await, None, "the proof was there before the change");
}

#[tokio::test]
async fn everybody_is_told_of_his_own() {
    let world = World::start().await;
    for name in ["acme", "other"] {
        world.namespace(name).await;
    }
    let (_, auditor) = world.issue("jeton", "auditor", &["auditor@other"]).await;
    let (mut reading, _) = Reading::open(&world, &auditor, None).await;
    for namespace in ["acme", "other"] {
        world.issue(namespace, "a", &[]).await;
        let body = json!({"selector": {"credential": format!("{namespace}/a")}, "wait": "complete"});
        world.post(&format!("/v1/namespaces/{namespace}/revocations"), body).await.expect(StatusCode::CREATED);
    }
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "receipt") {
        let (name, _, data) = reading.event().await.unwrap();
        assert_eq!(text(&data["namespace"]), "other", "{name} {data}");
        kinds.push(name);
    }
    assert_eq!(kinds, ["change", "change", "receipt"]);
    let (_, verifier) = world.issue("jeton", "edge", &["verifier@other"]).await;
    assert_eq!(Reading::open(&world, &verifier, None).await.1, 403);
}

#[tokio::test]
async fn a_shutdown_waits_for_no_reader() {
    let world = World::start().await;
    let (mut reading, _) = Reading::open(&world, &world.root, None).await;
    let World { running, dir, .. } = world;
    timeout(Duration::from_secs(9), running.shutdown()).await.expect("it waits for who only listens");
    while let Some(line) = reading.line().await {
        assert!(!line.starts_with("event"), "{line}");
    }
    drop(dir);
}

/// What is not in the log any more is said, not passed over; and what a revocation ended is known without its record.
#[tokio::test]
async fn who_comes_back_below_the_log_is_refused() {
    let world = World::start().await;
    world.namespace("acme").await;
    let from = revision(&world.get("/v1/namespaces/acme").await.expect(StatusCode::OK).json());
    let (id, _) = world.issue("acme", "a", &[]).await;
    let body = json!({"selector": {"credential": id}, "wait": "complete"});
    let revoked = world.post("/v1/namespaces/acme/revocations", body).await.expect(StatusCode::CREATED).json();
    let path = format!("/v1/revocations/{}", text(&revoked["id"]));
    let before = world.get(&path).await.expect(StatusCode::OK).json();
    assert_eq!(before["tokens"].as_array().unwrap().len(), 1);
    // Another process has nothing of it in memory.
    world.running.shutdown().await;
    let log = LogKept { records_max: 1, ..LogKept::default() };
    let world = World::start_with(world.dir, |config| AuthorityConfig { log, ..config }).await;
    let cut = async { while !world.get("/metrics").await.text.contains("\njeton_log_records 1\n") {} };
    timeout(PATIENCE, cut).await.expect("nothing is cut");
    let (_, status) = Reading::open(&world, &world.root, Some(from)).await;
    assert_eq!(status, 410);
    let request = world.request(&http::Method::GET, "/v1/events", Some(&world.root)).header("last-event-id", from);
    let refused = world.send(request.body(http_body_util::Full::default()).unwrap()).await;
    let detail = refused.problem(410, "log_cut");
    assert!(detail.contains("read the state as it is now"), "{detail}");
    assert_eq!(world.get(&path).await.expect(StatusCode::OK).json(), before);
    // From here on nothing is missed.
    let (mut reading, status) = Reading::open(&world, &world.root, None).await;
    assert_eq!(status, 200);
    world.issue("acme", "b", &[]).await;
    assert_eq!(reading.event().await.unwrap().0, "change");
}
