//! A verifier that is silent: frozen, or cut off from the authority. It stops by itself, nobody accepts after a complete
//! receipt, and the receipt says whom it waited for and until when.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::time::Duration;

use jeton_api::{
    revocation::{LineState, RevocationView, VerifierLine},
    time::Timestamp,
};
use jeton_testkit::{Answer, Authority, Dice, Jeton, Output, Probe, Prober, Sidecar, Web, Wire, now_us, report};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_secs(30);
/// Between moments that are told in whole microseconds.
const ROUNDING_US: u64 = 1;
/// Questions under way at the silent sidecar.
const LANES: usize = 4;

/// What a policy promises, as the operator is told: from the commit, and from the last lease that was granted.
struct Promise {
    freshness: &'static str,
    accepted_at_most: Duration,
    complete_at_most: Duration,
    counted_out_after: Duration,
}

const STRICT: Promise = Promise {
    freshness: "strict",
    accepted_at_most: Duration::from_secs(7),
    complete_at_most: Duration::from_millis(7_750),
    counted_out_after: Duration::from_millis(6_500),
};
const GRACE_30S: Promise = Promise {
    freshness: "grace=30s",
    accepted_at_most: Duration::from_millis(40_334),
    complete_at_most: Duration::from_millis(45_250),
    counted_out_after: Duration::from_secs(44),
};

/// An authority and three sidecars of one namespace, which all know a token; the third may hang on a wire.
struct World {
    edges: Vec<Sidecar>,
    authority: Authority,
    wire: Wire,
    token: String,
    web: Web,
    jeton: Jeton,
}

impl World {
    async fn new(promise: &Promise) -> Self {
        let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
        let authority = jeton.serve("data");
        let wire = Wire::to(authority.feed).await;
        let namespace = ["namespace", "create", "acme", "--prefix", "acme_live", "--freshness", promise.freshness];
        let _ = jeton.as_root(&authority, &namespace).expect(0);
        let edges = vec![
            jeton.sidecar(&authority, "edge-1", "acme", &web).await,
            jeton.sidecar(&authority, "edge-2", "acme", &web).await,
            jeton.sidecar_through(&authority, wire.address, "edge-3", "acme", &web).await,
        ];
        let mut world = Self { edges, authority, wire, token: String::new(), web, jeton };
        world.token = world.issue("billing").await;
        world
    }

    /// A token that every sidecar has accepted.
    async fn issue(&self, name: &str) -> String {
        let token = self.run(&["issue", &format!("acme/{name}")]).expect(0).out.trim().to_owned();
        for edge in &self.edges {
            assert_eq!(self.web.auth(edge.http, &token).await, 200);
        }
        token
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.jeton.as_root(&self.authority, arguments)
    }

    fn silent(&self) -> &Sidecar {
        &self.edges[2]
    }

    fn probers(&self) -> Vec<Prober> {
        let lanes = [1, 1, LANES];
        self.edges.iter().zip(lanes).map(|(edge, lanes)| Prober::start(edge.http, &self.token, lanes)).collect()
    }

    /// Waits until the authority calls the third sidecar silent.
    async fn until_silent(&self) {
        until("edge-3 is said to be silent", async || {
            let verifiers = self.run(&["verifiers", "--json"]).expect(0).json();
            verifiers.to_string().contains("\"silent_since\":\"")
        })
        .await;
    }

    /// Looks at the receipt until it is complete.
    async fn until_complete(&self, revoked: &RevocationView) -> RevocationView {
        let id = revoked.id.to_string();
        let mut last = None;
        until("the receipt is complete", async || {
            let output = self.run(&["receipt", &id, "--json"]);
            let view = view(&output);
            assert_eq!(output.code, i32::from(!view.receipt.is_complete()), "{}", output.err);
            let complete = view.receipt.is_complete();
            last = Some(view);
            complete
        })
        .await;
        last.unwrap()
    }

    async fn ask(&self, edge: &Sidecar) -> Option<Answer> {
        self.web.post(edge.http, "/v1/verify", None, &json!({ "token": self.token })).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_frozen() {
    let world = World::new(&STRICT).await;
    let other = world.issue("other").await;
    let probers = world.probers();
    for prober in &probers {
        prober.until_status(200).await;
    }
    world.silent().freeze();
    let frozen = now_us();
    let waiting = Waiting::at(world.silent(), &world.token);

    let output = world.run(&["revoke", "acme/billing", "--wait", "--timeout", "30s", "--json"]).expect(0);
    let told = output.err.clone();
    assert!(told.contains("edge-3 silent since ") && told.contains(", cannot accept after "), "{told}");
    assert!(told.contains("edge-3 fenced ") && told.contains("edge-1 acked "), "{told}");
    let complete = view(&output);
    fenced(&STRICT, &complete);

    let woken = now_us();
    world.silent().wake();
    waiting.refused().await;
    probers[2].until_status(401).await;
    // It has found back: what is good is accepted again.
    let found_back = Prober::start(world.silent().http, &other, 1);
    found_back.until_status(200).await;
    let seen = stop(probers).await;
    sound(&seen, &complete);
    silent_until(&seen[2], frozen);
    let answers = found_back.stop().await;
    assert!(
        answers.iter().all(|probe| [200, 503].contains(&probe.status)),
        "a good token is never refused: {answers:?}"
    );
    let caught_up = seen[2].iter().find(|probe| probe.status == 401).unwrap().done;
    report(&format!(
        "fence: strict, frozen: receipt after {:?}, caught up {} µs after SIGCONT",
        took(&complete),
        caught_up - woken
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_cut_off() {
    let world = World::new(&STRICT).await;
    let probers = world.probers();
    world.wire.hold();
    let output = world.run(&["revoke", "acme/billing", "--wait", "--timeout", "30s", "--json"]).expect(0);
    let complete = view(&output);
    fenced(&STRICT, &complete);
    // Cut off it has stopped, and says so; it does not know why it would refuse.
    let answer = world.ask(world.silent()).await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("stale")));
    let healed = now_us();
    world.wire.release();
    probers[2].until_status(401).await;
    let seen = stop(probers).await;
    sound(&seen, &complete);
    let last = accepted_on(&seen[2], &STRICT, &complete);
    only_between(&seen[2], last.done, healed, 503);
    report(&format!(
        "fence: strict, cut off: last accepted {:?} after the commit, receipt after {:?}",
        since(&complete, last.sent),
        took(&complete)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn grace_frozen() {
    let world = World::new(&GRACE_30S).await;
    let probers = world.probers();
    for prober in &probers {
        prober.until_status(200).await;
    }
    world.silent().freeze();
    let frozen = now_us();
    let waiting = Waiting::at(world.silent(), &world.token);
    world.until_silent().await;
    let pending = revoke_pending(&world);
    let complete = world.until_complete(&pending).await;
    not_before_said(&pending, &complete);
    fenced(&GRACE_30S, &complete);
    world.silent().wake();
    waiting.refused().await;
    probers[2].until_status(401).await;
    let seen = stop(probers).await;
    sound(&seen, &complete);
    silent_until(&seen[2], frozen);
    report(&format!("fence: grace=30s, frozen: receipt after {:?}", took(&complete)));
}

/// The worst that a verifier can do: it wakes while it may still go on, knows nothing of the revocation, and cannot learn
/// of it.
#[tokio::test(flavor = "multi_thread")]
async fn grace_frozen_and_woken_while_cut_off() {
    let mut dice = Dice::new("grace_frozen_and_woken_while_cut_off");
    let world = World::new(&GRACE_30S).await;
    let probers = world.probers();
    world.wire.hold();
    world.silent().freeze();
    world.until_silent().await;
    let pending = revoke_pending(&world);
    // Past its lease, within its grace.
    tokio::time::sleep(dice.between(Duration::from_secs(1), Duration::from_secs(20))).await;
    world.silent().wake();
    let answer = world.ask(world.silent()).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["valid"], &answer.json()["source"]),
        (200, &json!(true), &json!("grace"))
    );
    let complete = world.until_complete(&pending).await;
    not_before_said(&pending, &complete);
    fenced(&GRACE_30S, &complete);
    let answer = world.ask(world.silent()).await.unwrap();
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("stale")));
    let healed = now_us();
    world.wire.release();
    probers[2].until_status(401).await;
    let seen = stop(probers).await;
    sound(&seen, &complete);
    let last = accepted_on(&seen[2], &GRACE_30S, &complete);
    only_between(&seen[2], last.done, healed, 503);
    report(&format!(
        "fence: grace=30s, cut off: last accepted {:?} after the commit, receipt after {:?}",
        since(&complete, last.sent),
        took(&complete)
    ));
}

/// Sidecars freeze and wake at any moment around a revocation; the receipt is complete as soon as they have woken and
/// acknowledged, and then nobody accepts, however soon after it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_accepts_after_a_complete_receipt_whoever_wakes_when() {
    const ROUNDS: usize = 25;
    let mut dice = Dice::new("nobody_accepts_after_a_complete_receipt_whoever_wakes_when");
    let world = World::new(&STRICT).await;
    let mut receipts = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("round-{round}");
        let token = world.issue(&name).await;
        let probers: Vec<Prober> = world.edges.iter().map(|edge| Prober::start(edge.http, &token, 2)).collect();
        for prober in &probers {
            prober.until_status(200).await;
        }
        let frozen = dice.pick(&world.edges);
        let (before, after) = (dice.between(Duration::ZERO, Duration::from_millis(5)), dice.below(2) == 0);
        if !after {
            frozen.freeze();
        }
        let revoking = {
            let (web, to, root) = (world.web.clone(), world.authority.http, world.authority.root_token());
            let body = json!({ "selector": { "credential": format!("acme/{name}") }, "wait": "complete" });
            tokio::spawn(async move { web.post(to, "/v1/namespaces/acme/revocations", Some(&root), &body).await })
        };
        if after {
            tokio::time::sleep(before).await;
            frozen.freeze();
        }
        tokio::time::sleep(dice.between(Duration::ZERO, Duration::from_millis(1_200))).await;
        frozen.wake();
        let complete: RevocationView = serde_json::from_value(revoking.await.unwrap().unwrap().json()).unwrap();
        assert!(complete.receipt.is_complete());
        assert!(complete.receipt.verifiers.iter().all(|line| line.state == LineState::Acked), "{complete:?}");
        for prober in &probers {
            prober.until_status(401).await;
        }
        sound(&stop(probers).await, &complete);
        receipts.push(took(&complete));
    }
    receipts.sort();
    report(&format!(
        "fence: {ROUNDS} revocations around a freeze: median receipt {:?}, longest {:?}",
        receipts[ROUNDS / 2],
        receipts[ROUNDS - 1]
    ));
}

/// Requests on new connections of their own, which wait in the socket of a frozen sidecar.
struct Waiting(Vec<tokio::task::JoinHandle<u16>>);

impl Waiting {
    fn at(sidecar: &Sidecar, token: &str) -> Self {
        let one = |_| {
            let (to, token) = (sidecar.http, token.to_owned());
            tokio::spawn(async move { Web::default().auth(to, &token).await })
        };
        Self((0..LANES).map(one).collect())
    }

    /// None of them is let in: 503 as long as the sidecar knows nothing, then 401.
    async fn refused(self) {
        for waiting in self.0 {
            let status = waiting.await.unwrap();
            assert!([401, 503].contains(&status), "{status} from a sidecar that woke after the receipt");
        }
    }
}

/// Revokes while the third sidecar is silent: the command gives up in time and says until when it could be accepted.
fn revoke_pending(world: &World) -> RevocationView {
    let output = world.run(&["revoke", "acme/billing", "--wait", "--timeout", "3s", "--json"]).expect(1);
    let told = &output.err;
    assert!(told.contains("edge-3 silent since ") && told.contains(", cannot accept after "), "{told}");
    let json = output.json();
    assert_eq!(json["receipt"]["state"], "pending");
    let pending = view(&output);
    let line = line(&pending, "edge-3");
    assert_eq!(line.state, LineState::Pending);
    let (since, by) = (us(line.silent_since), us(line.stops_by));
    assert!((by - since).abs_diff(micros(GRACE_30S.counted_out_after)) <= ROUNDING_US, "{line:?}");
    for name in ["authority", "edge-1", "edge-2"] {
        assert_eq!(self::line(&pending, name).state, LineState::Acked);
    }
    assert!(by - us(Some(pending.committed_at)) > micros(GRACE) / 2, "this test is about a long wait");
    pending
}

/// The receipt names the third sidecar, alone, and rests on all the silence that it needs and on no more.
#[track_caller]
fn fenced(promise: &Promise, complete: &RevocationView) {
    assert!(complete.receipt.is_complete());
    for name in ["authority", "edge-1", "edge-2"] {
        assert_eq!(line(complete, name).state, LineState::Acked);
    }
    let silent = line(complete, "edge-3");
    assert_eq!(silent.state, LineState::Fenced);
    let completed = us(complete.receipt.completed_at);
    let silence = completed - us(silent.silent_since);
    assert!(silence + ROUNDING_US >= micros(promise.counted_out_after), "counted out too soon: {silent:?}");
    assert!(took(complete) <= promise.complete_at_most, "the receipt took {:?}", took(complete));
}

#[track_caller]
fn not_before_said(pending: &RevocationView, complete: &RevocationView) {
    let said = us(line(pending, "edge-3").stops_by);
    assert!(us(complete.receipt.completed_at) >= said, "{pending:?}\n{complete:?}");
}

/// No question sent after the receipt was complete was answered with yes, and no sidecar that knew forgot.
#[track_caller]
fn sound(seen: &[Vec<Probe>], complete: &RevocationView) {
    let completed = us(complete.receipt.completed_at);
    for (edge, seen) in seen.iter().enumerate() {
        let late: Vec<_> = seen.iter().filter(|probe| probe.status == 200 && probe.sent >= completed).collect();
        assert!(late.is_empty(), "edge-{} accepted after a complete receipt ({completed}): {late:?}", edge + 1);
        let knows = seen.iter().filter(|probe| probe.status == 401).map(|probe| probe.done).min().unwrap();
        let forgot: Vec<_> = seen.iter().filter(|probe| probe.sent >= knows && probe.status != 401).collect();
        assert!(forgot.is_empty(), "edge-{} knew at {knows}, and then: {forgot:?}", edge + 1);
    }
}

/// What was sent to a frozen sidecar, woken after the receipt, was never answered with yes.
#[track_caller]
fn silent_until(seen: &[Probe], frozen: u64) {
    let wrong: Vec<_> =
        seen.iter().filter(|probe| probe.sent >= frozen && ![401, 503].contains(&probe.status)).collect();
    assert!(wrong.is_empty(), "frozen at {frozen}: {wrong:?}");
}

/// The last yes of a sidecar that was cut off: after the commit, and within the promise.
#[track_caller]
fn accepted_on(seen: &[Probe], promise: &Promise, complete: &RevocationView) -> Probe {
    let last = *seen.iter().filter(|probe| probe.status == 200).max_by_key(|probe| probe.sent).unwrap();
    let committed = us(Some(complete.committed_at));
    assert!(last.sent > committed, "it never accepted what it could not know to be revoked: this shows nothing");
    assert!(
        last.done <= committed + micros(promise.accepted_at_most),
        "accepted for too long: {last:?}, commit {committed}"
    );
    last
}

#[track_caller]
fn only_between(seen: &[Probe], from: u64, to: u64, status: u16) {
    let between: Vec<_> = seen.iter().filter(|probe| probe.sent >= from && probe.done < to).collect();
    assert!(!between.is_empty() && between.iter().all(|probe| probe.status == status), "{between:?}");
}

async fn stop(probers: Vec<Prober>) -> Vec<Vec<Probe>> {
    let mut seen = Vec::new();
    for prober in probers {
        seen.push(prober.stop().await);
    }
    seen
}

/// Looks again and again, but not for ever.
async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let started = now_us();
    while !reached().await {
        assert!(now_us() - started < 90_000_000, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[track_caller]
fn view(output: &Output) -> RevocationView {
    let json: Value = output.json();
    serde_json::from_value(json).unwrap_or_else(|error| panic!("{error}: {}", output.out))
}

#[track_caller]
fn line<'a>(view: &'a RevocationView, name: &str) -> &'a VerifierLine {
    view.receipt
        .verifiers
        .iter()
        .find(|line| line.id.as_str() == name)
        .unwrap_or_else(|| panic!("no {name} in {view:?}"))
}

#[track_caller]
fn us(at: Option<Timestamp>) -> u64 {
    at.unwrap().0.as_micros()
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap()
}

fn took(complete: &RevocationView) -> Duration {
    since(complete, us(complete.receipt.completed_at))
}

fn since(revoked: &RevocationView, at: u64) -> Duration {
    Duration::from_micros(at - us(Some(revoked.committed_at)))
}
