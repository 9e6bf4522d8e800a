//! A data folder is put back to an older copy while verifiers live that know better: the authority notices, stops, and says
//! what to do; nothing that was revoked since is accepted anywhere. From the right folder all goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use jeton_testkit::{Answer, Authority, Jeton, Sidecar, Web, report};
use serde_json::{Value, json};

const TOKENS: usize = 120;
const REVOKED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    sidecars: Vec<Sidecar>,
    web: Web,
    jeton: Jeton,
}

/// A token and the credential that it is of.
struct Issued {
    secret: String,
    credential: String,
}

impl World {
    async fn new(authority: &Authority, jeton: Jeton) -> Self {
        let web = Web::default();
        let _ = jeton.as_root(authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
        let mut sidecars = Vec::new();
        for name in ["edge-1", "edge-2", "edge-3"] {
            sidecars.push(jeton.sidecar(authority, name, "acme", &web).await);
        }
        Self { sidecars, web, jeton }
    }

    /// Starts on the same ports and folder.
    fn serve_again(&self, before: (std::net::SocketAddr, std::net::SocketAddr)) -> Authority {
        self.jeton.serve_at("data", before.0, before.1)
    }

    async fn issue(&self, authority: &Authority, name: &str) -> Issued {
        let path = "/v1/namespaces/acme/credentials";
        let answer = self.post(authority, path, &json!({ "name": name })).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let issued = answer.json();
        Issued { secret: text(&issued["token"]["secret"]), credential: text(&issued["credential"]["id"]) }
    }

    async fn revoke(&self, authority: &Authority, credential: &str, wait: &str) -> Value {
        let body = json!({"selector": {"credential": credential}, "wait": wait, "timeout_ms": 60_000});
        let answer = self.post(authority, "/v1/namespaces/acme/revocations", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()
    }

    async fn post(&self, authority: &Authority, path: &str, body: &Value) -> Answer {
        self.web.post(authority.http, path, Some(&authority.root_token()), body).await.unwrap()
    }

    async fn until_readyz(&self, authority: &Authority, status: u16) -> Answer {
        let started = Instant::now();
        loop {
            let answer = self.web.get(authority.http, "/readyz", None).await;
            match answer {
                Some(answer) if answer.status == status => return answer,
                answer => assert!(started.elapsed() < PATIENCE, "readyz is not {status}: {answer:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_auth(&self, sidecar: &Sidecar, token: &str, status: u16) {
        let started = Instant::now();
        loop {
            let found = self.web.auth(sidecar.http, token).await;
            if found == status {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "auth is {found}, not {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What each sidecar and the authority say of each of these tokens.
    async fn answers(&self, authority: &Authority, tokens: &[Issued]) -> Vec<u16> {
        let mut seen = Vec::new();
        for token in tokens {
            for sidecar in &self.sidecars {
                seen.push(self.web.auth(sidecar.http, &token.secret).await);
            }
            let verdict = self.post(authority, "/v1/verify", &json!({ "token": token.secret })).await;
            seen.push(if verdict.json()["valid"] == json!(true) { 200 } else { verdict.status.max(201) });
        }
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_put_back_fences_itself() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let authority = jeton.serve("data");
    let ports = (authority.http, authority.feed);
    let world = World::new(&authority, jeton).await;
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        tokens.push(world.issue(&authority, &format!("t{number}")).await);
    }
    for sidecar in &world.sidecars {
        assert_eq!(world.web.auth(sidecar.http, &tokens[TOKENS - 1].secret).await, 200);
    }
    assert_eq!(authority.stop().code, 0);
    let (data, copy, whole) = (world.jeton.path("data"), world.jeton.path("copy"), world.jeton.path("whole"));
    copy_data(&data, &copy);

    // 100 revocations that every sidecar knows.
    let authority = world.serve_again(ports);
    let (revoked, living) = tokens.split_at(REVOKED);
    let mut last = Value::Null;
    for (place, token) in revoked.iter().enumerate() {
        let wait = if place + 1 == REVOKED { "complete" } else { "committed" };
        last = world.revoke(&authority, &token.credential, wait).await;
    }
    assert_eq!(last["receipt"]["state"], "complete", "{last}");
    let before = world.answers(&authority, revoked).await;
    assert!(before.iter().all(|status| *status != 200));
    authority.kill();
    copy_data(&data, &whole);
    put_back(&copy, &data);

    // The authority that starts from the old copy stops as soon as one of them says hello.
    let authority = world.serve_again(ports);
    let why = world.until_readyz(&authority, 503).await.json();
    assert_eq!(why["code"], "rollback", "{why}");
    let detail = why["detail"].as_str().unwrap();
    assert!(detail.contains("start it from a folder that knows revision "), "{detail}");
    let after = world.answers(&authority, revoked).await;
    let accepted = after.iter().filter(|status| **status == 200).count();
    report(&format!("rollback: {} questions about {REVOKED} revoked tokens, {accepted} accepted", after.len()));
    assert_eq!(accepted, 0, "{after:?}");
    for sidecar in &world.sidecars {
        // Neither lease nor grace, once it is told.
        world.until_auth(sidecar, &living[0].secret, 503).await;
        assert_eq!(world.web.auth(sidecar.http, &revoked[0].secret).await, 401, "what ended is known to have ended");
    }
    assert_eq!(world.answers(&authority, living).await.iter().filter(|status| **status == 200).count(), 0);
    let refused = world.post(&authority, "/v1/namespaces/acme/credentials", &json!({"name": "late"})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("rollback")));
    let command = world.jeton.as_root(&authority, &["issue", "acme/later"]).expect(3);
    assert!(command.err.contains("rollback"), "{}", command.err);

    // Whoever watches it still sees it; nobody is told anything else.
    let root = authority.root_token();
    let metrics = world.web.get(authority.http, "/metrics", Some(&root)).await.unwrap();
    assert!(String::from_utf8_lossy(&metrics.body).contains("\njeton_rollback 1\n"));
    let listed = world.web.get(authority.http, "/v1/namespaces", Some(&root)).await.unwrap();
    assert_eq!((listed.status, &listed.json()["code"]), (503, &json!("rollback")));

    // The finding outlives the process: not one grant before the first hello of the next.
    assert_eq!(authority.stop().code, 0);
    let authority = world.serve_again(ports);
    let why = world.web.get(authority.http, "/readyz", None).await.unwrap();
    assert_eq!((why.status, &why.json()["code"]), (503, &json!("rollback")));
    assert_eq!(authority.stop().code, 0);

    // From data that know the revision all goes on.
    put_back(&whole, &data);
    let authority = world.serve_again(ports);
    let _ = world.until_readyz(&authority, 200).await;
    for sidecar in &world.sidecars {
        world.until_auth(sidecar, &living[0].secret, 200).await;
        assert_eq!(world.web.auth(sidecar.http, &revoked[0].secret).await, 401);
    }
    let _ = world.issue(&authority, "late").await;
    let healed = world.answers(&authority, living).await;
    assert!(healed.iter().all(|status| *status == 200), "{healed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_merely_behind_stops_nothing() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let authority = jeton.serve("data");
    let ports = (authority.http, authority.feed);
    let world = World::new(&authority, jeton).await;
    let token = world.issue(&authority, "billing").await;
    let late = &world.sidecars[2];
    world.until_auth(late, &token.secret, 200).await;
    late.freeze();
    let _ = world.revoke(&authority, &token.credential, "committed").await;
    assert_eq!(authority.stop().code, 0);
    let authority = world.serve_again(ports);
    let _ = world.issue(&authority, "other").await;
    authority.kill();
    let authority = world.serve_again(ports);
    late.wake();
    // It shows a head of two starts before, and catches up.
    world.until_auth(late, &token.secret, 401).await;
    let other = world.issue(&authority, "third").await;
    for sidecar in &world.sidecars {
        world.until_auth(sidecar, &other.secret, 200).await;
    }
    let _ = world.until_readyz(&authority, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stores_verifier_stops_nothing() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let authority = jeton.serve("data");
    let ports = (authority.http, authority.feed);
    let world = World::new(&authority, jeton).await;
    let token = world.issue(&authority, "billing").await;
    for sidecar in &world.sidecars {
        world.until_auth(sidecar, &token.secret, 200).await;
    }
    assert_eq!(authority.stop().code, 0);
    // A new store on the same ports: the heads that are shown to it are sealed by a key that it does not have.
    let other = world.jeton.serve_at("other", ports.0, ports.1);
    let tokens = ["edge-1", "edge-2", "edge-3"].map(|name| world.jeton.path(&format!("{name}.token")));
    let _ = world.jeton.as_root(&other, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    for (name, token) in ["edge-1", "edge-2", "edge-3"].iter().zip(&tokens) {
        fs::remove_file(token).unwrap();
        let out = token.to_str().unwrap();
        let arguments = ["issue", &format!("jeton/{name}"), "--scope", "verifier@acme", "--out", out];
        let _ = world.jeton.as_root(&other, &arguments).expect(0);
    }
    // Given tokens of the new store, they drop what they had and take what it has.
    let fresh = world.issue(&other, "fresh").await;
    for sidecar in &world.sidecars {
        world.until_auth(sidecar, &fresh.secret, 200).await;
        world.until_auth(sidecar, &token.secret, 401).await;
    }
    let _ = world.until_readyz(&other, 200).await;
}

/// Copies a data folder without its keys.
fn copy_data(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(io::Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Puts a copy in the place of what is there; the keys stay.
fn put_back(copy: &Path, data: &Path) {
    for entry in fs::read_dir(data).unwrap().map(io::Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    copy_data(copy, data);
}
