//! Usage up the stream: what a verifier sees of tokens in use is at the authority soon after, counted once whatever dies
//! meanwhile, and never passed off as silence.

use std::time::{Duration, Instant};

use jeton_testkit::{Authority, Jeton, Sidecar, Web};
use serde_json::{Value, json};

/// How long anything may take that comes by itself.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    jeton: Jeton,
    web: Web,
    authority: Authority,
    token: String,
}

impl World {
    fn new() -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let authority = jeton.serve("data");
        let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
        let token = jeton.as_root(&authority, &["issue", "acme/billing"]).expect(0).out.trim().to_owned();
        Self { jeton, web, authority, token }
    }

    /// What is shown of the use of the one token.
    fn usage(&self) -> Value {
        let shown =
            self.jeton.as_root(&self.authority, &["credential", "show", "acme/billing", "--json"]).expect(0).json();
        assert_eq!(shown["tokens"][0]["usage"]["token_id"], shown["tokens"][0]["id"]);
        shown["tokens"][0]["usage"].clone()
    }

    /// The same, once it is as wished.
    async fn until(&self, wished: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let usage = self.usage();
            if wished(&usage) {
                return usage;
            }
            assert!(started.elapsed() < PATIENCE, "{usage}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn use_it(&self, sidecar: &Sidecar, times: usize) {
        for _ in 0..times {
            assert_eq!(self.web.auth(sidecar.http, &self.token).await, 200);
        }
    }

    /// SIGKILL for the authority, and another one on its folder and its ports.
    fn authority_killed(self) -> Self {
        let Self { jeton, web, authority, token } = self;
        let (http, feed) = (authority.http, authority.feed);
        authority.kill();
        let authority = jeton.serve_at("data", http, feed);
        Self { jeton, web, authority, token }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_counted_once_whatever_dies() {
    let mut world = World::new();
    let sidecar = world.jeton.sidecar(&world.authority, "edge-1", "acme", &world.web).await;
    let unused = world.until(|usage| usage["known_until"].is_string()).await;
    assert_eq!(
        (&unused["count"], &unused["first_used_at"], &unused["after_end"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
    world.use_it(&sidecar, 1).await;
    let first = world.until(|usage| usage["count"] == 1).await;
    assert!(first["first_used_at"].is_string() && first["first_used_at"] == first["last_used_at"], "{first}");

    // Killed with reports under way, counted or not; the sidecar goes on by its grace meanwhile.
    let mut used = 1;
    for round in 0..3 {
        world.use_it(&sidecar, 10 + round).await;
        world = world.authority_killed();
        world.use_it(&sidecar, 5).await;
        used += 15 + round;
    }
    let reached = world.until(|usage| usage["count"].as_u64() >= Some(used as u64)).await;
    assert_eq!(reached["first_used_at"], first["first_used_at"]);
    // The last report of one that leaves in good order is the last there will be: then the count is final.
    world.use_it(&sidecar, 7).await;
    assert_eq!(sidecar.stop().code, 0);
    let all =
        world.until(|usage| usage["count"].as_u64() >= Some(used as u64 + 7) && usage["known_until"].is_string()).await;
    assert_eq!(all["count"], used + 7, "none twice");
    assert!(all["last_used_at"].as_str() > first["last_used_at"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_presents_an_ended_token_is_listed() {
    let world = World::new();
    let sidecar = world.jeton.sidecar(&world.authority, "edge-1", "acme", &world.web).await;
    let _ = world.jeton.as_root(&world.authority, &["revoke", "acme/billing", "--wait"]).expect(0);
    for (address, times) in [("192.0.2.7", 3), ("2001:db8::1", 1)] {
        for _ in 0..times {
            let body = json!({ "token": world.token, "client_address": address });
            let answer = world.web.post(sidecar.http, "/v1/verify", None, &body).await.unwrap();
            assert_eq!(answer.json()["code"], "revoked");
        }
    }
    let usage = world.until(|usage| usage["after_end"]["count"] == 4).await;
    assert_eq!((&usage["count"], &usage["first_used_at"]), (&json!(0), &Value::Null), "a refusal is no use");
    let presenters = usage["after_end"]["presenters"].as_array().unwrap();
    let told: Vec<_> = presenters.iter().map(|row| (&row["address"], &row["verifier"], &row["count"])).collect();
    let (edge, three, one) = (json!("edge-1"), json!(3), json!(1));
    assert_eq!(told, [(&json!("192.0.2.7"), &edge, &three), (&json!("2001:db8::1"), &edge, &one)]);
    let token = usage["token_id"].as_str().unwrap();
    let shown = world.jeton.as_root(&world.authority, &["token", "show", token]).expect(0).out;
    assert!(
        shown.contains("after its end it was presented 4 times") && shown.contains("from 192.0.2.7 at edge-1, 3 times"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_went_without_its_last_report_leaves_it_unknown() {
    let world = World::new();
    let state = world.jeton.text("state");
    let folder = ["--state-dir", state.as_str()];
    let sidecar = world.jeton.sidecar_ready_with(&world.authority, "edge-1", "acme", &world.web, &folder).await;
    world.use_it(&sidecar, 1).await;
    world.until(|usage| usage["count"] == 1).await;
    sidecar.kill();
    // Its place is taken, so it is over, and nobody knows what it saw last.
    let next = world.jeton.sidecar_with(world.authority.feed, "edge-1", "acme", &folder);
    next.until_ready(&world.web).await;
    let usage = world.until(|usage| usage["known_until"].is_null()).await;
    assert_eq!(usage["count"], 1, "what was told stays told");
    let shown = world.jeton.as_root(&world.authority, &["credential", "show", "acme/billing"]).expect(0).out;
    assert!(shown.contains("not known: a verifier went away without its last report"), "{shown}");
}
