//! The state folder of a sidecar: a process that is killed is succeeded by the one that comes in its place, and by no
//! other (`feed-protocol.md` 27).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::fs;

use jeton_api::revocation::{LineState, RevocationView, VerifierLine};
use jeton_testkit::{Authority, Jeton, Strace, Web};

struct World {
    jeton: Jeton,
    web: Web,
    authority: Authority,
}

impl World {
    fn new(freshness: &str) -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let authority = jeton.serve("data");
        let world = Self { jeton, web, authority };
        world.root(&["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", freshness]);
        world.root(&["issue", "acme/billing"]);
        for name in ["edge-1", "edge-2"] {
            let out = world.jeton.text(&format!("{name}.token"));
            world.root(&["issue", &format!("jeton/{name}"), "--scope", "verifier@acme", "--out", &out]);
        }
        world
    }

    fn root(&self, arguments: &[&str]) -> String {
        self.jeton.as_root(&self.authority, arguments).expect(0).out
    }

    /// Revokes `acme/billing`; with `wait` until the receipt is complete.
    fn revoke(&self, wait: bool) -> Vec<VerifierLine> {
        let mut arguments = vec!["revoke", "acme/billing", "--json"];
        if wait {
            arguments.extend(["--wait", "--timeout", "60s"]);
        }
        let view: RevocationView = serde_json::from_str(&self.root(&arguments)).unwrap();
        view.receipt.verifiers
    }

    /// Starts a sidecar and waits until it can answer.
    async fn sidecar(&self, name: &str, more: &[&str]) -> jeton_testkit::Sidecar {
        let sidecar = self.jeton.sidecar_with(self.authority.feed, name, "acme", more);
        sidecar.until_ready(&self.web).await;
        sidecar
    }
}

fn states(lines: &[VerifierLine], name: &str) -> Vec<LineState> {
    let mut states: Vec<_> = lines.iter().filter(|line| line.id.as_str() == name).map(|line| line.state).collect();
    states.sort_by_key(|state| format!("{state:?}"));
    states
}

/// The one before is over by succession. The next one stands beside it if it went on from the copy of before: it counts
/// from the view of that.
fn succeeded(lines: &[VerifierLine]) {
    let states = states(lines, "edge-1");
    assert!(matches!(states[..], [LineState::Succeeded] | [LineState::Acked, LineState::Succeeded]), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_in_the_place_ends_the_session_of_one_that_was_killed() {
    // Silence would decide after more than an hour.
    let world = World::new("grace=1h");
    let state = world.jeton.text("state");
    let folder = ["--state-dir", state.as_str()];
    world.sidecar("edge-1", &folder).await.kill();
    assert_eq!(states(&world.revoke(false), "edge-1"), [LineState::Pending]);
    let next = world.sidecar("edge-1", &folder).await;
    let lines = world.revoke(true);
    succeeded(&lines);

    // What the receipt rests on is in it, and it holds.
    let view: RevocationView = serde_json::from_str(&world.root(&["revoke", "acme/billing", "--json"])).unwrap();
    let saved = world.jeton.text("receipt.jws");
    world.root(&["receipt", &view.id.to_string(), "--out", &saved]);
    let checked = world.root(&["receipt", "--check", &saved]);
    assert!(checked.contains("A5: a boot id and the lock"), "{checked}");

    // Again and again, also when the one before had said goodbye: the list does not grow.
    assert_eq!(next.stop().code, 0);
    for _ in 0..3 {
        world.sidecar("edge-1", &folder).await.kill();
    }
    let _last = world.sidecar("edge-1", &folder).await;
    world.root(&["rotate", "acme/billing"]);
    let lines = world.revoke(true);
    assert_eq!(states(&lines, "edge-1"), [LineState::Acked], "the others are over: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_folder_and_with_one_of_another_place_silence_decides() {
    let world = World::new("strict");
    let state = world.jeton.text("state");
    let folder = ["--state-dir", state.as_str()];
    let (without, with) = (world.sidecar("edge-1", &[]).await, world.sidecar("edge-2", &folder).await);
    without.kill();
    with.kill();
    // As if the disk had been put into another machine.
    let lock = world.jeton.path("state/state.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let mut words: Vec<&str> = text.splitn(3, ' ').collect();
    assert_eq!(words[1].len(), 32, "{text}");
    let other = "0".repeat(32);
    words[1] = &other;
    fs::write(&lock, words.join(" ")).unwrap();
    let _edges = (world.sidecar("edge-1", &[]).await, world.sidecar("edge-2", &folder).await);
    let lines = world.revoke(true);
    for name in ["edge-1", "edge-2"] {
        assert_eq!(states(&lines, name), [LineState::Acked, LineState::Fenced], "{name}");
    }
}

/// The disk of the folder fails: at the start that is said, and later it costs nothing but what the folder is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_written() {
    let world = World::new("strict");
    let (state, lock) = (world.jeton.text("state"), world.jeton.text("state/state.lock"));
    world.sidecar("edge-1", &["--state-dir", &state]).await.kill();
    let failing = |call: &str, error: &str| {
        let log = world.jeton.path(&format!("{call}.log"));
        Strace::failing(log, call, error, 1, std::slice::from_ref(&lock))
    };
    let trace = failing("ftruncate", "ENOSPC");
    let feed = format!("http://{}", world.authority.feed);
    let token = world.jeton.text("edge-1.token");
    let sidecar = ["sidecar", "--feed", &feed, "--namespace", "acme", "--token-file", &token, "--http", "127.0.0.1:0"];
    let refused =
        world.jeton.run_below(&trace.arguments(), &[&sidecar[..], &["--state-dir", &state]].concat()).expect(2);
    trace.finish();
    assert_eq!(trace.injected().len(), 1);
    assert!(refused.err.contains("make room there") && refused.err.contains("No space left"), "{}", refused.err);

    // Nothing was lost by that; and a session that may not be listed is served like any other.
    assert_eq!(states(&world.revoke(false), "edge-1"), [LineState::Pending]);
    let trace = failing("fdatasync", "EIO");
    let folder = ["--state-dir", state.as_str()];
    let second = world.jeton.sidecar_below(&trace.arguments(), world.authority.feed, "edge-1", "acme", &folder);
    second.until_ready(&world.web).await;
    succeeded(&world.revoke(true));
    second.kill();
    trace.finish();
    assert!(!trace.injected().is_empty());
    world.root(&["rotate", "acme/billing"]);
    let _third = world.sidecar("edge-1", &folder).await;
    let lines = states(&world.revoke(true), "edge-1");
    assert_eq!(lines[0], LineState::Acked);
    assert!(matches!(lines[1..], [] | [LineState::Succeeded | LineState::Fenced]), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_processs_and_its_copy_another_place() {
    let world = World::new("grace=1h");
    let (state, copy) = (world.jeton.text("state"), world.jeton.text("copy"));
    let _first = world.sidecar("edge-1", &["--state-dir", &state]).await;
    let feed = format!("http://{}", world.authority.feed);
    let token = world.jeton.text("edge-1.token");
    let second = ["sidecar", "--feed", &feed, "--namespace", "acme", "--token-file", &token, "--http", "127.0.0.1:0"];
    let refused = world.jeton.run(&[&second[..], &["--state-dir", &state]].concat()).expect(2);
    assert!(
        refused.err.contains("is in use by another process; stop that one, or give this one a folder"),
        "{}",
        refused.err
    );

    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), world.jeton.path("copy").join(file.file_name())).unwrap();
    }
    let _clone = world.sidecar("edge-1", &["--state-dir", &copy]).await;
    assert_eq!(states(&world.revoke(true), "edge-1"), [LineState::Acked, LineState::Acked]);
}
