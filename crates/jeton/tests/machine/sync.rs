//! A sync that fails: the writer stops, the process ends with 4, and a restart finds everything that was acknowledged.

use jeton_testkit::{Dice, Jeton, Strace, Web, faults, report};

use crate::load::{Outcome, Worker, check};

/// The first sync, the second, and so on.
const SYNCS: usize = 50;
/// More than it takes to get there: each is at least one commit.
const STEPS_MAX: usize = 4 * SYNCS;

#[tokio::test(flavor = "multi_thread")]
async fn the_nth_sync_fails() {
    let mut dice = Dice::new("the_nth_sync_fails");
    let (mut played, mut acknowledged, mut in_starts) = (0, 0, 0);
    for nth in faults(1..SYNCS + 1) {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let trace = Strace::failing(jeton.path("strace.log"), "fsync,fdatasync", "EIO", nth, &[]);
        let mut worker = None;
        match jeton.serve_below(&trace.arguments(), "data", &[]) {
            Err(ended) => {
                in_starts += 1;
                assert_eq!(ended.code, 4, "sync {nth}: {}", ended.err);
            }
            Ok(authority) => {
                let web = Web::default();
                let to = authority.http;
                let new = serde_json::json!({ "name": "acme", "prefix": "acme" });
                let created = web.post(to, "/v1/namespaces", Some(&authority.root_token()), &new).await;
                if created.is_some_and(|answer| answer.status == 201) {
                    let worker = worker.insert(Worker::new("w", &web, &authority.root_token(), dice.split()));
                    for _ in 0..STEPS_MAX {
                        if !matches!(worker.step(to).await, Outcome::Acknowledged(_)) {
                            break;
                        }
                    }
                    assert!(worker.is_pending(), "sync {nth} was never made");
                }
                assert_eq!(authority.wait().code, 4, "sync {nth}");
            }
        }
        trace.finish();
        assert!(!trace.injected().is_empty(), "sync {nth} did not fail");

        let authority = jeton.serve("data");
        let root = authority.root_token();
        let mut workers = Vec::new();
        if let Some(mut worker) = worker {
            worker.reconnect();
            let answer = worker.step(authority.http).await;
            assert!(matches!(answer, Outcome::Acknowledged(_)), "sync {nth}, asked again: {answer:?}");
            acknowledged += worker.acknowledged.values().sum::<usize>();
            workers.push(worker);
        } else {
            // Whether it was made shows now; if it was, it stays one.
            let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]);
        }
        assert_eq!(root, authority.root_token());
        check(&jeton, &authority, &workers).await;
        assert_eq!(authority.stop().code, 0);
        played += 1;
    }
    report(&format!(
        "fsync: {played} of {SYNCS} failed syncs, each injected and ended by exit code 4 ({in_starts} in the first start); {acknowledged} mutations acknowledged, 0 lost, 0 doubled"
    ));
}
