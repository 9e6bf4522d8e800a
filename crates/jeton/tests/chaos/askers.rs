//! Who asks for changes, and who asks whether tokens are good.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_testkit::{Dice, Web};
use serde_json::json;

use crate::{
    history::{AUTHORITY, Said, Seen},
    load::{Outcome, Step, Worker},
    recorder::{PATIENCE, Recorder},
    world::{SIDECARS, World},
};

/// How often one asks, if it is answered.
const EVERY: Duration = Duration::from_millis(4);
const ISSUE_EVERY: Duration = Duration::from_millis(25);

/// Asks for changes until it is told to stop, and then until all that it asked for is acknowledged.
pub(crate) async fn work(world: Arc<World>, mut worker: Worker, stop: Arc<AtomicBool>) -> Worker {
    let mut silent_since: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) || worker.is_pending() {
        // By the door, or past it: a fault at the door is not to be the end of all.
        let to = if worker.rolls(3) { world.direct(AUTHORITY) } else { world.doors[AUTHORITY].address };
        match worker.step(to).await {
            Outcome::Acknowledged(_) => {
                silent_since = None;
                if worker.life.len() == 1 {
                    // Whoever only issues would do nearly all there is to do.
                    tokio::time::sleep(ISSUE_EVERY).await;
                }
                continue;
            }
            // Under way since the question before, whose answer was lost; or it cannot be done now.
            Outcome::Refused(_, answer) if matches!(answer.status, 409 | 503) => {
                let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
                assert!(answer.status == 503 || code == "key_running", "{} {}", answer.status, answer.json());
            }
            Outcome::Refused(step, answer) => panic!("{step:?}: {} {}", answer.status, answer.json()),
            Outcome::NoAnswer => worker.reconnect(),
        }
        let since = *silent_since.get_or_insert_with(Instant::now);
        assert!(since.elapsed() < PATIENCE, "one key is not answered for {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if worker.rolls(8) && worker.replay(world.direct(AUTHORITY)).await.is_none() {
            worker.reconnect();
        }
    }
    worker
}

pub(crate) const ISSUE: [Step; 1] = [Step::Issue];
pub(crate) const BRIEF: [Step; 4] = [Step::Issue, Step::Rotate, Step::RevokeToken, Step::RevokeAll];

/// Asks about tokens, here and there, until it is told to stop.
pub(crate) async fn ask(world: Arc<World>, stop: Arc<AtomicBool>, mut dice: Dice) -> Vec<Seen> {
    let (mut seen, mut web) = (Vec::new(), Web::patient(Duration::from_secs(12)));
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        beat.tick().await;
        let Some((token, secret)) = world.recorder.pick(&mut dice) else { continue };
        let at = dice.below(SIDECARS + 1);
        let to = if dice.below(3) == 0 { world.doors[at].address } else { world.direct(at) };
        let whole = at == AUTHORITY || dice.below(3) == 0;
        let one = asked(&world.recorder, &web, &world.root, to, at, token, &secret, whole).await;
        if one.said == Said::Unavailable {
            web = web.anew();
        }
        seen.push(one);
    }
    seen
}

#[expect(clippy::too_many_arguments, reason = "one question has that many sides")]
pub(crate) async fn asked(
    recorder: &Recorder,
    web: &Web,
    root: &str,
    to: SocketAddr,
    at: usize,
    token: usize,
    secret: &str,
    whole: bool,
) -> Seen {
    let sent = recorder.now();
    let said = if whole {
        let bearer = (at == AUTHORITY).then_some(root);
        web.post(to, "/v1/verify", bearer, &json!({ "token": secret })).await.map_or(
            Said::Unavailable,
            |answer| match (answer.status, answer.json()["code"].as_str().unwrap_or_default()) {
                (200, "valid") => Said::Valid,
                (200, "revoked") => Said::Revoked,
                (200, "disabled") => Said::Disabled,
                (200, "expired") => Said::Expired,
                (200, "unknown" | "malformed") => Said::Unknown,
                (503, _) => Said::Unavailable,
                (status, _) => Said::Other(status),
            },
        )
    } else {
        match web.auth(to, secret).await {
            200 => Said::Valid,
            401 => Said::Refused,
            0 | 503 => Said::Unavailable,
            status => Said::Other(status),
        }
    };
    Seen { sent, done: recorder.now(), at, token, said }
}

/// Asks for receipts until they are complete.
pub(crate) async fn receipts(world: Arc<World>, stop: Arc<AtomicBool>) {
    let mut web = Web::patient(Duration::from_secs(3));
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for receipt in world.recorder.waits() {
            let path = format!("/v1/revocations/{}", receipt.id);
            let Some(answer) = web.get(world.direct(AUTHORITY), &path, Some(&world.root)).await else {
                web = web.anew();
                break;
            };
            assert!(
                matches!(answer.status, 200 | 503),
                "an acknowledged revocation: {} {}",
                answer.status,
                answer.json()
            );
            if answer.json()["receipt"]["state"] == "complete" {
                world.recorder.complete(&receipt);
            }
        }
    }
}
