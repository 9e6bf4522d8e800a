//! A sidecar that is killed starts from the copy in its state folder: it is sent what has changed and no snapshot, and it
//! answers nothing before its first lease (`feed-protocol.md` 28). A copy that is damaged, of other namespaces, or another's does no harm.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Jeton, Sidecar, Web};
use serde_json::{Value, json};

const TOKENS: usize = 400;
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    jeton: Jeton,
    web: Web,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let authority = jeton.serve("data");
        let world = Self { jeton, web, authority };
        for name in ["acme", "blog"] {
            world.root(&["namespace", "create", name, "--prefix", &format!("{name}_live"), "--freshness", "grace=5m"]);
        }
        let out = world.jeton.text("edge-1.token");
        let scopes = ["--scope", "verifier@acme", "--scope", "verifier@blog"];
        world.root(&[&["issue", "jeton/edge-1"], &scopes[..], &["--out", &out]].concat());
        world
    }

    fn root(&self, arguments: &[&str]) -> String {
        self.jeton.as_root(&self.authority, arguments).expect(0).out
    }

    async fn issue(&self, name: &str) -> String {
        let bearer = self.authority.root_token();
        let path = "/v1/namespaces/acme/credentials";
        let answer = self.web.post(self.authority.http, path, Some(&bearer), &json!({ "name": name })).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["token"]["secret"].as_str().unwrap().to_owned()
    }

    /// Starts a sidecar; it may not be ready yet.
    fn sidecar(&self, state: &str, namespaces: &str) -> Sidecar {
        self.jeton.sidecar_with(self.authority.feed, "edge-1", namespaces, &["--state-dir", state])
    }

    async fn metric(&self, sidecar: &Sidecar, name: &str) -> f64 {
        let answer = self.web.get(sidecar.http, "/metrics", None).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        value.parse().unwrap()
    }

    async fn snapshots(&self, sidecar: &Sidecar) -> f64 {
        self.metric(sidecar, "jeton_snapshot_duration_seconds_count").await
    }

    /// Waits until there is a copy, written or read.
    async fn until_copied(&self, sidecar: &Sidecar) {
        let started = Instant::now();
        while self.metric(sidecar, "jeton_state_copy_bytes").await <= 0.0 {
            assert!(started.elapsed() < PATIENCE, "there is no copy");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A folder with a copy, of a sidecar that was killed.
    async fn killed(&self) -> String {
        let state = self.jeton.text("state");
        let sidecar = self.sidecar(&state, "acme");
        sidecar.until_ready(&self.web).await;
        assert_eq!(self.snapshots(&sidecar).await.to_bits(), 1.0_f64.to_bits());
        self.until_copied(&sidecar).await;
        sidecar.kill();
        state
    }

    async fn auth(&self, sidecar: &Sidecar, token: &str) -> u16 {
        self.web.auth(sidecar.http, token).await
    }

    fn revoke_and_wait(&self, credential: &str) -> Value {
        let out = self.root(&["revoke", credential, "--json", "--wait", "--timeout", "60s"]);
        serde_json::from_str(&out).unwrap()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sidecar_goes_on_from_its_copy_and_answers_only_under_a_lease() {
    let world = World::new();
    let mut tokens = Vec::new();
    for number in 0..TOKENS {
        tokens.push(world.issue(&format!("t{number}")).await);
    }
    let state = world.killed().await;
    let file = Path::new(&state).join("replica");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    for token in &tokens {
        let secret = &token.as_bytes()["acme_live_".len()..];
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a token stands in the copy");
    }
    // Meanwhile one is revoked that the copy holds for good, and there are others.
    world.root(&["revoke", "acme/t7"]);
    tokens.push(world.issue("late").await);

    world.authority.freeze();
    let sidecar = world.sidecar(&state, "acme");
    world.until_copied(&sidecar).await;
    for token in [&tokens[0], &tokens[7]] {
        assert_eq!(world.auth(&sidecar, token).await, 503, "it has read the copy and has no lease");
    }
    assert_eq!(world.web.get(sidecar.http, "/readyz", None).await.unwrap().status, 503);
    world.authority.wake();
    sidecar.until_ready(&world.web).await;
    for (number, token) in tokens.iter().enumerate() {
        let expect = if number == 7 { 401 } else { 200 };
        assert_eq!(world.auth(&sidecar, token).await, expect, "t{number}");
    }
    assert_eq!(world.snapshots(&sidecar).await.to_bits(), 0, "it was sent what has changed");
    assert_eq!(world.metric(&sidecar, "jeton_replica_tokens").await as usize, TOKENS + 1);
    let view = world.revoke_and_wait("acme/t8");
    assert_eq!(view["receipt"]["state"], json!("complete"), "{view}");
    assert_eq!(world.auth(&sidecar, &tokens[8]).await, 401);

    // Stopped in order it leaves a copy with the last change in it.
    assert_eq!(sidecar.stop().code, 0);
    let next = world.sidecar(&state, "acme");
    next.until_ready(&world.web).await;
    assert_eq!(world.auth(&next, &tokens[8]).await, 401);
    assert_eq!(world.snapshots(&next).await.to_bits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_does_not_fit_is_not_used() {
    let world = World::new();
    let token = world.issue("billing").await;
    let state = world.killed().await;
    let file = Path::new(&state).join("replica");
    let good = fs::read(&file).unwrap();
    let (middle, mut flipped) = (good.len() / 2, good.clone());
    flipped[middle] ^= 4;
    let again = async |what: &str| {
        let sidecar = world.sidecar(&state, "acme");
        sidecar.until_ready(&world.web).await;
        assert_eq!(world.snapshots(&sidecar).await.to_bits(), 1.0_f64.to_bits(), "{what}");
        assert_eq!(world.auth(&sidecar, &token).await, 200, "{what}");
        world.until_copied(&sidecar).await;
        sidecar.kill();
    };
    fs::write(&file, flipped).unwrap();
    again("a flipped bit").await;
    fs::write(&file, &good[..middle]).unwrap();
    again("cut off").await;
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    again("open to others").await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it was replaced");
    // As a kill in the middle of the writing leaves it.
    fs::rename(&file, file.with_extension("new")).unwrap();
    again("never finished").await;
    assert!(!file.with_extension("new").exists());
    let other = world.sidecar(&state, "blog,acme");
    other.until_ready(&world.web).await;
    assert_eq!(world.snapshots(&other).await.to_bits(), 1.0_f64.to_bits(), "other namespaces");
    assert_eq!(world.auth(&other, &token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_from_one_copy_do_no_harm() {
    let world = World::new();
    let (token, kept) = (world.issue("billing").await, world.issue("kept").await);
    let state = world.killed().await;
    let clone = world.jeton.text("clone");
    copy_folder(Path::new(&state), Path::new(&clone));
    let both = [world.sidecar(&state, "acme"), world.sidecar(&clone, "acme")];
    for sidecar in &both {
        sidecar.until_ready(&world.web).await;
        assert_eq!(world.auth(sidecar, &token).await, 200);
    }
    let view = world.revoke_and_wait("acme/billing");
    let states: Vec<&Value> =
        view["receipt"]["verifiers"].as_array().unwrap().iter().map(|line| &line["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "acked").count(), 3, "both, and the authority: {view}");
    for sidecar in &both {
        assert_eq!(world.auth(sidecar, &token).await, 401);
        assert_eq!(world.auth(sidecar, &kept).await, 200);
        assert_eq!(world.snapshots(sidecar).await.to_bits(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_authority_is_of_no_use_and_no_harm() {
    let (world, other) = (World::new(), World::new());
    let (token, foreign) = (world.issue("billing").await, other.issue("billing").await);
    let state = world.jeton.text("state");
    copy_folder(Path::new(&other.killed().await), Path::new(&state));
    let sidecar = world.sidecar(&state, "acme");
    sidecar.until_ready(&world.web).await;
    assert_eq!((world.auth(&sidecar, &token).await, world.auth(&sidecar, &foreign).await), (200, 401));
    assert_eq!(world.snapshots(&sidecar).await.to_bits(), 1.0_f64.to_bits());
    // The authority that was shown another's head is none the worse.
    assert_eq!(world.revoke_and_wait("acme/billing")["receipt"]["state"], json!("complete"));
}
