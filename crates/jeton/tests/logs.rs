//! What the authority logs: a line for each request, and no secret, however talkative it is told to be.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use jeton_testkit::{Jeton, Web};
use serde_json::{Value, json};

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_a_line_and_no_line_has_a_secret() {
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let (data, log) = (jeton.text("data"), jeton.path("log"));
    let mut command =
        jeton.command(&["serve", "--json", "--data-dir", &data, "--http", "127.0.0.1:0", "--feed", "127.0.0.1:0"]);
    let command = command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
    let mut serving = Serving(command.spawn().unwrap());
    let mut said = String::new();
    let mut out = BufReader::new(serving.0.stdout.take().unwrap());
    let said: Value = loop {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "it did not start");
        if let Ok(said) = serde_json::from_str(&said) {
            break said;
        }
    };
    let http = said["http"].as_str().unwrap().parse().unwrap();
    let root = std::fs::read_to_string(jeton.path("data/root.token")).unwrap().trim().to_owned();

    let post = async |path: &str, body: Value| web.post(http, path, Some(&root), &body).await.unwrap();
    assert_eq!(post("/v1/namespaces", json!({"name": "acme", "prefix": "acme_live"})).await.status, 201);
    let issued = post("/v1/namespaces/acme/credentials", json!({"name": "billing"})).await;
    let secret = issued.json()["token"]["secret"].as_str().unwrap().to_owned();
    let request_id = issued.header("x-request-id").to_owned();
    assert_eq!(post("/v1/verify", json!({"token": secret})).await.status, 200);
    // Where a secret does not belong: a path, a query, a header, a body that is no JSON of its kind.
    for path in [format!("/v1/tokens/{secret}"), format!("/v1/namespaces?after={secret}"), format!("/{secret}")] {
        assert!(web.get(http, &path, Some(&root)).await.unwrap().status >= 400, "a bad place");
    }
    assert_eq!(web.get(http, "/v1/namespaces", Some(&secret)).await.unwrap().status, 401);
    assert_eq!(post("/v1/verify", json!({"token": {"text": secret}})).await.status, 400);
    assert_eq!(post("/v1/namespaces/acme/revocations", json!({"selector": {"secret": secret}})).await.status, 201);

    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("jeton::access")).collect();
    assert_eq!(lines.len(), 9, "{lines:#?}");
    let line = lines.iter().find(|line| line.contains(&request_id)).unwrap();
    for field in [
        "INFO",
        "method=\"POST\"",
        "route=\"/v1/namespaces/{ns}/credentials\"",
        "status=201",
        "code=\"ok\"",
        "took_us=",
    ] {
        assert!(line.contains(field), "{field} in {line}");
    }
    assert!(lines.iter().any(|line| line.contains("route=\"none\"") && line.contains("code=\"not_found\"")));
    for kept in [&secret, &root] {
        let body = &kept[kept.len() - 6 - 32..kept.len() - 6];
        for start in 0..=body.len() - 12 {
            assert!(!text.contains(&body[start..start + 12]), "a part of a secret is in the log");
        }
    }
}
