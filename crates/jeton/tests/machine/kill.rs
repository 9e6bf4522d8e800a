//! Killed with -9 at random moments, again and again, while everything that changes anything is asked for, each thing under one
//! key until it is acknowledged: none is lost, none is done twice, and what was told once is told the same for ever.

use std::time::{Duration, Instant};

use jeton_testkit::{Dice, Jeton, Web, faults, report};
use tokio::sync::watch;

use crate::load::{Outcome, Worker, check};

const KILLS: usize = 200;
const WORKERS: usize = 8;
/// Acknowledged mutations in one life, at most, before the kill.
const DONE_MAX: usize = 200;
/// Told again after each kill.
const REPLAYS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_mixed_load() {
    let mut dice = Dice::new("killed_under_mixed_load");
    let kills = faults(0..KILLS).count();
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let mut authority = jeton.serve("data");
    let (http, feed, root) = (authority.http, authority.feed, authority.root_token());
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
    // So that receipts wait for somebody.
    let sidecar = jeton.sidecar(&authority, "edge-1", "acme", &web).await;
    let mut workers: Vec<Worker> =
        (0..WORKERS).map(|number| Worker::new(&format!("w{number}"), &web, &root, dice.split())).collect();

    let started = Instant::now();
    for life in 0..kills {
        let done = watch::Sender::new(0_usize);
        let tasks: Vec<_> = workers.drain(..).map(|worker| tokio::spawn(work(worker, http, done.clone()))).collect();
        let enough = dice.below(DONE_MAX);
        let mut heard = done.subscribe();
        // What it gives back is a lock, which must not be kept.
        let reached = tokio::time::timeout(PATIENCE, heard.wait_for(|count| *count >= enough)).await.is_ok();
        assert!(reached, "life {life} stands still");
        authority.kill();
        for task in tasks {
            workers.push(task.await.unwrap());
        }
        if life.is_multiple_of(5) {
            // Also while it finds back.
            jeton.serve_killed("data", http, feed, dice.between(Duration::ZERO, Duration::from_millis(60)));
        }
        authority = jeton.serve_at("data", http, feed);
        for _ in 0..REPLAYS {
            let at = dice.below(workers.len());
            let told = workers[at].replay(http).await.is_some();
            assert!(told || workers[at].is_silent(), "no answer to a replay");
        }
    }
    for worker in &mut workers {
        while worker.is_pending() {
            let answer = worker.step(http).await;
            assert!(matches!(answer, Outcome::Acknowledged(_)), "{answer:?}");
        }
        // Each once more, so that there are as many as promised, whatever there was to replay early on.
        for _ in 0..kills * REPLAYS / WORKERS {
            assert!(worker.replay(http).await.is_some(), "no answer to a replay");
        }
    }
    let took = started.elapsed();
    check(&jeton, &authority, &workers).await;
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(authority.stop().code, 0);
    let acknowledged: usize = workers.iter().flat_map(|worker| worker.acknowledged.values()).sum();
    let replays: usize = workers.iter().map(|worker| worker.replays).sum();
    assert!(replays >= kills * REPLAYS, "{replays} replays");
    report(&format!(
        "kill -9: {kills} of {KILLS} kills in {took:.1?}, {acknowledged} mutations acknowledged, 0 lost, 0 doubled, chain good; {replays} replays told the same secret"
    ));
}

/// Until there is no answer any more.
async fn work(mut worker: Worker, http: std::net::SocketAddr, done: watch::Sender<usize>) -> Worker {
    worker.reconnect();
    loop {
        match worker.step(http).await {
            Outcome::Acknowledged(_) => done.send_modify(|count| *count += 1),
            Outcome::Refused(step, answer) => panic!("{step:?}: {} {}", answer.status, answer.json()),
            Outcome::NoAnswer => break,
        }
        if worker.rolls(8) && worker.replay(http).await.is_none() && !worker.is_silent() {
            break;
        }
    }
    worker.reconnect();
    worker
}
