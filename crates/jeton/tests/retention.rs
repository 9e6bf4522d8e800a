//! The log is cut while a verifier is away: it comes back to a snapshot, misses nothing, and nobody takes it for a rollback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Jeton, Web, report};
use serde_json::{Value, json};

/// More than the log keeps, which is the least that it may be told to.
const ISSUED: usize = 1_300;
const KEPT: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

async fn issue(web: &Web, authority: &Authority, name: &str) -> (String, String) {
    let path = "/v1/namespaces/acme/credentials";
    let answer = web.post(authority.http, path, Some(&authority.root_token()), &json!({ "name": name })).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.json());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let issued = answer.json();
    (text(&issued["token"]["secret"]), text(&issued["credential"]["id"]))
}

/// What a metric without labels says.
async fn metric(web: &Web, of: SocketAddr, token: Option<&str>, name: &str) -> Option<u64> {
    let answer = web.get(of, "/metrics", token).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_was_away_comes_back_to_a_cut_log() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let web = Web::default();
    let authority = jeton.serve_below(&[], "data", &["--log-records", &KEPT.to_string()]).unwrap();
    let (http, feed) = (authority.http, authority.feed);
    let _ = jeton
        .as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", "strict"])
        .expect(0);
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let (living, _) = issue(&web, &authority, "living").await;
    let (ended, credential) = issue(&web, &authority, "ended").await;
    for token in [&living, &ended] {
        assert_eq!(web.auth(sidecar.http, token).await, 200);
    }
    const SNAPSHOTS: &str = "jeton_snapshot_duration_seconds_count";
    assert_eq!(metric(&web, sidecar.http, None, SNAPSHOTS).await, Some(1));

    sidecar.freeze();
    let body = json!({"selector": {"credential": credential}, "wait": "complete", "timeout_ms": 60_000});
    let root = authority.root_token();
    let revoked = web.post(http, "/v1/namespaces/acme/revocations", Some(&root), &body).await.unwrap();
    assert_eq!(revoked.json()["receipt"]["state"], "complete", "{}", revoked.json());
    let mut last = String::new();
    for number in 0..ISSUED {
        (last, _) = issue(&web, &authority, &format!("t{number}")).await;
    }
    let started = Instant::now();
    while metric(&web, http, Some(&root), "jeton_log_records").await != Some(KEPT) {
        assert!(started.elapsed() < PATIENCE, "the log is not cut");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cut = metric(&web, http, Some(&root), "jeton_log_records_cut_total").await.unwrap();
    assert!(cut >= ISSUED as u64 - KEPT, "{cut}");
    // The next process has no record in memory.
    assert_eq!(authority.stop().code, 0);
    let authority = jeton.serve_at("data", http, feed);

    sidecar.wake();
    let started = Instant::now();
    while web.auth(sidecar.http, &last).await != 200 {
        assert!(started.elapsed() < PATIENCE, "what was issued meanwhile is not known");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(web.auth(sidecar.http, &living).await, 200);
    assert_eq!(web.auth(sidecar.http, &ended).await, 401);
    assert_eq!(metric(&web, sidecar.http, None, SNAPSHOTS).await, Some(2), "it came by a snapshot");
    assert_eq!(metric(&web, sidecar.http, None, "jeton_replica_mismatches_total").await, Some(0));
    assert_eq!(metric(&web, http, Some(&root), "jeton_rollback").await, Some(0));
    // The receipt says whom it ended, although its record is gone.
    let path = format!("/v1/revocations/{}", revoked.json()["id"].as_str().unwrap());
    let shown = web.get(http, &path, Some(&root)).await.unwrap().json();
    assert_eq!((&shown["tokens"], &shown["count"]), (&revoked.json()["tokens"], &json!(1)));
    report(&format!("retention: {cut} records cut; the verifier that was away came back by a snapshot"));
    drop((sidecar, authority));
}
