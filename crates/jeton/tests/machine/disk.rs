//! A disk without room: at every write once, and for a while as a whole.

use std::path::Path;

use jeton_testkit::{Answer, Authority, Dice, Jeton, SmallDisk, Strace, Web, faults, in_own_namespace, report};
use serde_json::json;

use crate::load::{Outcome, Worker, check};

/// How SQLite and the reservation write.
const WRITES: &str = "pwrite64,write,ftruncate,fallocate";
/// More of them than the script makes.
const WRITES_MAX: usize = 100_000;
/// Mutations of every kind, and the seed of their order.
const STEPS: usize = 30;
const SCRIPT: u64 = 22;
/// Of those that are made to fail at all, so many once for a used-up quota.
const QUOTA_EVERY: usize = 8;
/// Of the small disk, and of what is held back on it.
const DISK_MIB: usize = 48;
const BALLAST_MIB: &str = "12";

/// What the writer writes to.
fn files(data: &Path) -> Vec<String> {
    let names = ["jeton.db", "jeton.db-wal", "jeton.db-shm", "jeton.db-journal", "ballast", "jeton.lock"];
    names.iter().map(|name| data.join(name).to_str().unwrap().to_owned()).collect()
}

/// Starts, works for a while, stops.
async fn scripted(jeton: &Jeton, trace: &Strace, dice: Dice) -> Option<(Worker, usize)> {
    // It may be refused, and then has left nothing that a second one stumbles over.
    let authority = match jeton.serve_below(&trace.arguments(), "data", &[]) {
        Ok(authority) => authority,
        Err(ended) => {
            assert_eq!(ended.code, 2, "{}", ended.err);
            assert!(ended.err.contains("full"), "{}", ended.err);
            return None;
        }
    };
    let (web, to) = (Web::default(), authority.http);
    let namespace = json!({ "name": "acme", "prefix": "acme" });
    let mut refused = 0;
    // Once, at most: the fault is one.
    while !web
        .post(to, "/v1/namespaces", Some(&authority.root_token()), &namespace)
        .await
        .is_some_and(|answer| full_or(&answer, 201))
    {
        refused += 1;
    }
    let mut worker = Worker::new("w", &web, &authority.root_token(), dice);
    let mut done = 0;
    while done < STEPS {
        match worker.step(to).await {
            Outcome::Acknowledged(_) => done += 1,
            Outcome::Refused(step, answer) => {
                assert!(!step.ends(), "{step:?} is taken out of the ballast: {answer:?}");
                assert!(!full_or(&answer, 0));
                refused += 1;
            }
            Outcome::NoAnswer => panic!("the process is gone"),
        }
    }
    assert!(refused <= 1, "one write failed, and {refused} mutations were refused");
    assert_eq!(authority.stop().code, 0);
    Some((worker, refused))
}

/// Whether it is this answer; if not it says that the disk is full.
fn full_or(answer: &Answer, status: u16) -> bool {
    if answer.status == status {
        return true;
    }
    let told = (answer.status, &answer.json()["code"] == "storage_full", answer.header("retry-after"));
    assert_eq!(told, (503, true, "10"), "{}", answer.json());
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_finds_no_room_once() {
    let found = no_room_at(faults(1..WRITES_MAX), "ENOSPC").await;
    report(&format!("enospc: {found}"));
}

/// To SQLite another error than a full disk; to whoever asks the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_a_full_disk() {
    let found = no_room_at(faults(1..WRITES_MAX).step_by(QUOTA_EVERY), "EDQUOT").await;
    report(&format!("edquot: {found}"));
}

/// Plays the script with each of these writes failing so, until the script is over before it.
async fn no_room_at(writes: impl Iterator<Item = usize>, error: &str) -> String {
    // The same choices in every run, so that the writes are the same: the parts together are every write of one script.
    let script = Dice::fixed(SCRIPT);
    let (mut played, mut starts, mut refused) = (0, 0, 0);
    let mut in_all = None;
    for nth in writes {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let trace = Strace::failing(jeton.path("strace.log"), WRITES, error, nth, &files(&jeton.path("data")));
        let done = scripted(&jeton, &trace, script.clone()).await;
        trace.finish();
        let made = trace.calls_max();
        let injected = !trace.injected().is_empty();
        assert_eq!(injected, made >= nth, "write {nth} of {made} was made and did not fail");
        let authority = jeton.serve("data");
        match done {
            Some((worker, times)) => {
                refused += times;
                check(&jeton, &authority, &[worker]).await;
            }
            None => {
                starts += 1;
                let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
                check(&jeton, &authority, &[]).await;
            }
        }
        assert_eq!(authority.stop().code, 0);
        if !injected {
            // The script is over before this write. A receipt that shares the commit of the next mutation saves some, so
            // the end is not at the same write each time; whoever plays a write that was made plays it.
            in_all = Some(made);
            break;
        }
        played += 1;
    }
    // None if the script did not end, which fails as well.
    let in_all = in_all.unwrap_or_default();
    assert!(in_all > STEPS, "{in_all} writes were seen");
    format!(
        "{played} of {in_all} writes found no room, {STEPS} mutations around each: {refused} answered 503, {starts} first starts refused, the others not noticed; 0 lost, 0 half done"
    )
}

#[test]
fn a_full_disk_takes_revocations() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let disk = match SmallDisk::mount(&jeton.path("disk"), DISK_MIB) {
        Ok(disk) => disk,
        Err(refused) => {
            assert!(in_own_namespace("disk::a_full_disk_takes_revocations", &refused));
            return;
        }
    };
    tokio::runtime::Runtime::new().unwrap().block_on(full_disk(&jeton, &disk));
}

fn serve(jeton: &Jeton) -> Authority {
    jeton.serve_below(&[], "disk/data", &["--ballast-mib", BALLAST_MIB]).unwrap_or_else(|ended| panic!("{ended:?}"))
}

async fn full_disk(jeton: &Jeton, disk: &SmallDisk) {
    let mut dice = Dice::new("a_full_disk_takes_revocations");
    let authority = serve(jeton);
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &Web::default()).await;
    let web = Web::default();
    let mut workers: Vec<Worker> =
        (0..40).map(|number| Worker::new(&format!("w{number}"), &web, &authority.root_token(), dice.split())).collect();
    for worker in &mut workers {
        for _ in 0..1 + dice.below(12) {
            assert!(matches!(worker.step(authority.http).await, Outcome::Acknowledged(_)));
        }
    }

    let filler = disk.fill();
    let (ended, refused) = all_that_ends(&mut workers, &authority).await;
    assert!(ended > 20 && refused > 20, "{ended} ended, {refused} refused");
    assert!(gauge(&authority, "jeton_storage_full").await > 0.0);
    let ready = web.get(authority.http, "/readyz", None).await.unwrap();
    assert_eq!(ready.status, 200, "verifications are answered");
    // What verifiers need: a new one comes up, and knows what ended.
    let late = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    for sidecar in [&sidecar, &late] {
        let ready = web.get(sidecar.http, "/readyz", None).await.unwrap();
        assert_eq!(ready.status, 200);
    }
    // A restart in the middle of it: nothing is lost, and it goes on as it was.
    authority.kill();
    let authority = serve(jeton);
    workers.iter_mut().for_each(Worker::reconnect);
    let (again, still) = all_that_ends(&mut workers, &authority).await;
    assert_eq!(again, 0, "all that could end had ended");
    assert!(still > 20, "it is full as before");

    // Room again: everything that was refused is done now, without a restart.
    std::fs::remove_file(filler).unwrap();
    for worker in &mut workers {
        let answer = worker.step(authority.http).await;
        assert!(matches!(answer, Outcome::Acknowledged(_)), "{answer:?}");
    }
    assert!(gauge(&authority, "jeton_storage_full").await < 1.0);
    assert!(gauge(&authority, "jeton_ballast_bytes").await >= 12.0 * 1_048_576.0, "it is held back again");
    check(jeton, &authority, &workers).await;
    drop((sidecar, late));
    assert_eq!(authority.stop().code, 0);
    report(&format!(
        "full disk: {ended} ends of authority taken, {refused} other mutations answered 503, all done once there was room"
    ));
}

/// Has every worker go on until it wants what a full disk does not give.
async fn all_that_ends(workers: &mut [Worker], authority: &Authority) -> (usize, usize) {
    let (mut ended, mut refused) = (0, 0);
    for worker in workers {
        loop {
            match worker.step(authority.http).await {
                Outcome::Acknowledged(step) => {
                    // The very first to ask finds out; a page that had room may have let others through before.
                    ended += usize::from(step.ends());
                }
                Outcome::Refused(step, answer) => {
                    assert!(!step.ends(), "{step:?}: {}", answer.json());
                    assert!(!full_or(&answer, 0));
                    refused += 1;
                    break;
                }
                Outcome::NoAnswer => panic!("the process is gone"),
            }
        }
    }
    (ended, refused)
}

async fn gauge(authority: &Authority, name: &str) -> f64 {
    let answer = Web::default().get(authority.http, "/metrics", Some(&authority.root_token())).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}
