//! `jeton watch` and `GET /v1/events`: nothing is missed, over restarts, and nobody is told what is not his to know.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use jeton_testkit::{Jeton, Web};
use serde_json::Value;

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_and_only_to_who_may_know() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let authority = jeton.serve("data");
    for (name, prefix) in [("acme", "acme_live"), ("other", "other_live")] {
        let _ = jeton.as_root(&authority, &["namespace", "create", name, "--prefix", prefix]).expect(0);
    }
    let from =
        jeton.as_root(&authority, &["namespace", "show", "other", "--json"]).expect(0).json()["revision"].to_string();
    for name in ["acme/a", "other/b", "acme/c"] {
        let _ = jeton.as_root(&authority, &["issue", name]).expect(0);
    }
    let told = jeton.as_root(&authority, &["watch", "--json", "--after", &from, "--count", "3"]).expect(0);
    let told = lines(&told.out);
    let seen: Vec<(&str, &str)> = told
        .iter()
        .map(|line| (line["event"].as_str().unwrap(), line["data"]["namespace"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("change", "acme"), ("change", "other"), ("change", "acme")]);
    let revisions: Vec<u64> = told.iter().map(|line| line["data"]["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");

    // After a restart the same changes are there, and an auditor of one namespace is told of that one alone.
    let out = jeton.text("auditor.token");
    let _ = jeton.as_root(&authority, &["issue", "jeton/auditor", "--scope", "auditor@other", "--out", &out]).expect(0);
    let (http, feed) = (authority.http, authority.feed);
    assert_eq!(authority.stop().code, 0);
    let authority = jeton.serve_at("data", http, feed);
    let url = authority.url();
    let auditor = jeton
        .run(&["watch", "--json", "--after", &from, "--count", "1", "--url", &url, "--token-file", &out])
        .expect(0);
    assert_eq!(lines(&auditor.out)[0]["data"]["namespace"], "other");

    // A session, then a complete receipt, while one watches.
    let mut watching = jeton.command(&["watch", "--json", "--namespace", "acme", "--url", &url, "--token-file"]);
    let watching =
        watching.arg(authority.data.join("root.token")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let watching = Watching::new(watching);
    until_listening(&authority, &web).await;
    let _sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let _ = jeton.as_root(&authority, &["revoke", "acme/a", "--wait"]).expect(0);
    let session = watching.until("session");
    assert_eq!((&session["verifier"], &session["state"]), (&"edge-1".into(), &"opened".into()));
    let receipt = watching.until("receipt");
    assert_eq!(receipt["namespace"], "acme");

    // Who may not read credentials is told nothing at all.
    let verifier = jeton.run(&["watch", "--url", &url, "--token-file", &jeton.text("edge-1.token")]);
    assert_eq!(verifier.code, 1, "a verifier may not: {}", verifier.err);
}

/// A watching process, and what it has printed.
struct Watching {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Watching {
    fn new(mut child: std::process::Child) -> Self {
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(out).map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The data of the next event of this name.
    fn until(&self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event["data"].clone();
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until the authority counts somebody who reads the events.
async fn until_listening(authority: &jeton_testkit::Authority, web: &Web) {
    let root = authority.root_token();
    let asking = async {
        loop {
            let metrics = web.get(authority.http, "/metrics", Some(&root)).await.unwrap();
            if String::from_utf8_lossy(&metrics.body).lines().any(|line| line == "jeton_event_clients 1") {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), asking).await.unwrap();
}
