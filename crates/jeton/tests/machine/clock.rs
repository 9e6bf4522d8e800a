//! A wall clock that is set while a process runs by it: ten years, an hour and just more than is followed, to and fro
//! (`feed-protocol.md` 5 and 14). Neither expiry nor births follow it, and nobody is told a wrong verdict.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Jeton, Probe, Prober, Sidecar, WallClock, Web, Wire, now_us, report};
use serde_json::{Value, json};

const TEN_YEARS: i64 = 315_360_000;
/// In seconds. Each is followed by the step back to the right time.
const STEPS: [i64; 6] = [TEN_YEARS, -TEN_YEARS, 3_600, -3_600, 61, -61];
/// This much is followed, by 2 % of the time that passes.
const SMALL: i64 = 59;
/// The two clocks of this machine are not read at once, and the small step was followed for a while.
const SLACK_US: u64 = 1_000_000;
/// A verifier with a lease errs towards refusing by a quarter of it, at most.
const EARLY_US: u64 = 2_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    jeton: Jeton,
    web: Web,
    authority: Authority,
    root: String,
    /// Good for half an hour: any step that is followed would end it.
    steady: String,
    /// Revoked before the first step.
    gone: String,
    issued: usize,
}

impl World {
    async fn new(jeton: Jeton, authority: Authority) -> Self {
        let (web, root) = (Web::default(), authority.root_token());
        let mut world = Self { jeton, web, authority, root, steady: String::new(), gone: String::new(), issued: 0 };
        for (name, freshness) in [("acme", "grace=5m"), ("quick", "strict")] {
            let create = ["namespace", "create", name, "--prefix", name, "--freshness", freshness];
            let _ = world.jeton.as_root(&world.authority, &create).expect(0);
        }
        for name in ["edge-1", "edge-2"] {
            let (credential, out) = (format!("jeton/{name}"), world.jeton.text(&format!("{name}.token")));
            let scopes = ["--scope", "verifier@acme", "--scope", "verifier@quick"];
            let issue = [&["issue", &credential, "--out", &out][..], &scopes].concat();
            let _ = world.jeton.as_root(&world.authority, &issue).expect(0);
        }
        world.steady = world.issue("acme", "30m").await.0;
        world.gone = world.issue("acme", "30m").await.0;
        let gone = world.gone.clone();
        world.revoke(&gone).await;
        world
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.web.post(self.authority.http, path, Some(&self.root), body).await.unwrap();
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.json());
        answer.json()
    }

    /// Issues a token: its text, and when it expires. Born now and not at another time.
    async fn issue(&mut self, namespace: &str, ttl: &str) -> (String, u64) {
        self.issue_late_by(SLACK_US, namespace, ttl).await
    }

    /// The same by an authority whose time may be this far behind.
    async fn issue_late_by(&mut self, slack_us: u64, namespace: &str, ttl: &str) -> (String, u64) {
        self.issued += 1;
        let body = json!({ "name": format!("app-{}", self.issued), "ttl": ttl });
        let asked = now_us();
        let view = self.post(&format!("/v1/namespaces/{namespace}/credentials"), &body).await;
        let near = |us: u64| us + slack_us > asked && us < now_us() + SLACK_US;
        let secret = view["token"]["secret"].as_str().unwrap().to_owned();
        let birth = jeton_types::token::parse(secret.as_bytes()).unwrap().birth.get();
        assert!(near(birth), "born at {birth}, asked for at {asked}");
        let at = |field: &str| view["token"][field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let us = |at: jiff::Timestamp| u64::try_from(at.as_microsecond()).unwrap();
        assert!(near(us(at("issued_at"))), "{view}");
        (secret, us(at("expires_at")))
    }

    /// Revokes it and waits for the receipt.
    async fn revoke(&self, token: &str) {
        let body = json!({ "selector": { "secret": token }, "wait": "complete", "timeout_ms": 30_000 });
        let view = self.post("/v1/namespaces/acme/revocations", &body).await;
        assert_eq!(view["receipt"]["state"], "complete", "{view}");
    }

    /// What the authority says of a token.
    async fn code(&self, token: &str) -> String {
        self.post("/v1/verify", &json!({ "token": token })).await["code"].as_str().unwrap().to_owned()
    }

    /// What can be done is done as ever: a token is issued, used for the first time, and revoked.
    async fn works(&mut self, sidecar: &Sidecar) {
        let (fresh, _) = self.issue("acme", "30m").await;
        assert_eq!(self.code(&fresh).await, "valid");
        assert_eq!(self.code(&self.steady).await, "valid");
        assert_eq!(self.code(&self.gone).await, "revoked");
        for token in [&fresh, &self.steady] {
            self.until_accepted(sidecar, token).await;
        }
        assert_eq!(self.web.auth(sidecar.http, &self.gone).await, 401);
        self.revoke(&fresh).await;
        assert_eq!(self.code(&fresh).await, "revoked");
        // It has acknowledged: whatever it says from here on, it is not that this is valid.
        assert!(matches!(self.web.auth(sidecar.http, &fresh).await, 401 | 503));
    }

    /// A good token may have to wait for the next lease, and is never refused.
    async fn until_accepted(&self, sidecar: &Sidecar, token: &str) {
        let started = Instant::now();
        loop {
            match self.web.auth(sidecar.http, token).await {
                200 => return,
                status => assert_eq!(status, 503, "a good token"),
            }
            assert!(started.elapsed() < PATIENCE, "it does not recover");
        }
    }

    /// Ends a token by its expiry while the clock is so far away: not before, and not later, here and there.
    async fn expires_in_time(&mut self, clock: &WallClock, step: i64, sidecar: &Sidecar) {
        let (brief, expires) = self.issue("quick", "10s").await;
        let prober = Prober::start(sidecar.http, &brief, 2);
        prober.until_status(200).await;
        clock.set(step);
        let (mut codes, started) = (Vec::new(), Instant::now());
        loop {
            let sent = now_us();
            let code = self.code(&brief).await;
            codes.push((sent, now_us(), code.clone()));
            if code == "expired" {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "it does not expire");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        prober.until_status(401).await;
        for (sent, done, code) in codes {
            match code.as_str() {
                "valid" => assert!(sent < expires + SLACK_US, "{} us too late", sent - expires),
                "expired" => assert!(done + SLACK_US > expires, "{} us too early", expires - done),
                code => panic!("{code}"),
            }
        }
        for Probe { sent, done, status } in prober.stop().await {
            match status {
                200 => assert!(sent < expires + SLACK_US, "{} us too late", sent - expires),
                401 => assert!(done + EARLY_US > expires, "{} us too early", expires - done),
                status => assert_eq!(status, 503),
            }
        }
        clock.set(0);
        sidecar.until_ready(&self.web).await;
    }

    /// Waits until the sidecar holds a lease for which it asked after this was called. What is left of a lease rises with each
    /// grant; that of the first may have been asked for before.
    async fn until_renewed(&self, sidecar: &Sidecar) {
        let (started, mut rises, mut last) = (Instant::now(), 0, f64::MAX);
        while rises < 2 {
            assert!(started.elapsed() < PATIENCE, "no lease is granted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            let left = self.gauge_at(sidecar.http, "jeton_lease_remaining_seconds").await;
            rises += usize::from(left > last);
            last = left;
        }
    }

    async fn gauge(&self, name: &str) -> i64 {
        let value = self.gauge_at(self.authority.http, name).await;
        format!("{value:.0}").parse().unwrap()
    }

    async fn gauge_at(&self, to: SocketAddr, name: &str) -> f64 {
        let answer = self.web.get(to, "/metrics", Some(&self.root)).await.unwrap();
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Waits until the authority says that the wall clock is so far away: then it has seen the step.
    async fn until_seen(&self, seconds: i64) {
        // A start by a clock that is behind goes on from the last commit, which may be a while ago.
        let (started, tolerance) = (Instant::now(), if seconds == 0 { 0 } else { 30 });
        while (self.gauge("jeton_clock_step_seconds").await - seconds).abs() > tolerance {
            assert!(started.elapsed() < PATIENCE, "a step of {seconds} s is not seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One who reads the events.
struct Watching {
    child: Child,
    out: std::path::PathBuf,
}

impl Watching {
    async fn start(world: &World) -> Self {
        let out = world.jeton.path("watch.out");
        let mut command = world.jeton.command_as_root(&world.authority, &["watch", "--json"]);
        let child = command.stdout(File::create(&out).unwrap()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while world.gauge("jeton_event_clients").await == 0 {
            assert!(started.elapsed() < PATIENCE, "nobody watches");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, out }
    }

    /// Waits until so many alarms of this kind were told.
    async fn until(&self, kind: &str, count: usize) {
        let started = Instant::now();
        loop {
            let told = std::fs::read_to_string(&self.out).unwrap();
            let events = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let alarms = events.filter(|event| event["event"] == "alarm" && event["data"]["kind"] == kind).count();
            if alarms >= count {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{alarms} alarms of {count} about a {kind}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_does_not_follow_a_step() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let clock = WallClock::new(jeton.path("clock"));
    let authority = jeton.serve_below(&clock.arguments(), "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    let mut world = World::new(jeton, authority).await;
    let sidecar = world.jeton.sidecar_with(world.authority.feed, "edge-1", "acme,quick", &[]);
    sidecar.until_ready(&world.web).await;
    let watching = Watching::start(&world).await;
    let steady = Prober::start(sidecar.http, &world.steady, 2);
    let gone = Prober::start(sidecar.http, &world.gone, 1);
    for step in STEPS {
        clock.set(step);
        world.until_seen(step).await;
        world.works(&sidecar).await;
        clock.set(0);
        world.until_seen(0).await;
        world.works(&sidecar).await;
    }
    // Each step has two sides, and one of them is a leap forwards, as after a pause.
    watching.until("clock_step", STEPS.len()).await;
    watching.until("clock_jump", STEPS.len()).await;

    // A small one is followed at leisure, and is no alarm.
    let jumps = world.gauge("jeton_clock_jumps_total").await;
    clock.set(SMALL);
    let started = Instant::now();
    while world.gauge("jeton_clock_jumps_total").await == jumps {
        assert!(started.elapsed() < PATIENCE, "a step of {SMALL} s is not seen");
    }
    world.works(&sidecar).await;
    assert_eq!(world.gauge("jeton_clock_step_seconds").await, 0);
    clock.set(0);

    for step in [TEN_YEARS, -TEN_YEARS] {
        world.expires_in_time(&clock, step, &sidecar).await;
    }
    let steady = steady.stop().await;
    // It was in touch all the time: not even the new starts took its grace.
    assert!(steady.iter().all(|probe| probe.status == 200), "{:?}", steady.iter().find(|probe| probe.status != 200));
    assert!(gone.stop().await.iter().all(|probe| probe.status == 401));
    report(&format!(
        "clock of the authority: {} steps of up to 10 years, {} verdicts, 0 wrong",
        2 * STEPS.len() + 6,
        steady.len()
    ));

    restarted(world, &clock).await;
    assert_eq!(sidecar.stop().code, 0);
}

/// A start by a clock that is behind goes on from the last commit; by one that is ahead it takes it as it is.
async fn restarted(mut world: World, clock: &WallClock) {
    assert_eq!(world.authority.stop().code, 0);
    let serve =
        |jeton: &Jeton| jeton.serve_below(&clock.arguments(), "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    clock.set(-TEN_YEARS);
    world.authority = serve(&world.jeton);
    world.until_seen(-TEN_YEARS).await;
    assert_eq!(world.code(&world.steady).await, "valid");
    assert_eq!(world.code(&world.gone).await, "revoked");
    // The last commit is some seconds ago, and no year.
    let _ = world.issue_late_by(60_000_000, "acme", "30m").await;
    clock.set(0);
    world.until_seen(0).await;
    assert_eq!(world.authority.stop().code, 0);

    clock.set(3_600);
    world.authority = serve(&world.jeton);
    assert_eq!(world.gauge("jeton_clock_step_seconds").await, 0);
    assert_eq!(world.code(&world.steady).await, "expired", "there is no other witness at a start");
    clock.set(0);
    world.until_seen(-3_600).await;
    assert_eq!(world.code(&world.steady).await, "expired", "and it does not go back");
    assert_eq!(world.authority.stop().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_drops_lease_and_grace_at_a_leap_and_recovers() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let clock = WallClock::new(jeton.path("clock"));
    let authority = jeton.serve("data");
    let mut world = World::new(jeton, authority).await;
    let wire = Wire::to(world.authority.feed).await;
    let sidecar = world.jeton.sidecar_below(&clock.arguments(), wire.address, "edge-1", "acme,quick", &[]);
    sidecar.until_ready(&world.web).await;
    let steady = Prober::start(sidecar.http, &world.steady, 2);
    let gone = Prober::start(sidecar.http, &world.gone, 1);
    for step in STEPS {
        let mut now = 0;
        for to in [step, 0] {
            world.until_accepted(&sidecar, &world.steady).await;
            // Nothing can be granted: what is answered is what is held.
            wire.hold();
            assert_eq!(world.web.auth(sidecar.http, &world.steady).await, 200);
            clock.set(to);
            let leaps = to > now;
            let expect = if leaps { 503 } else { 200 };
            for _ in 0..3 {
                assert_eq!(world.web.auth(sidecar.http, &world.steady).await, expect, "from {now} to {to}");
                assert_ne!(world.web.auth(sidecar.http, &world.gone).await, 200);
            }
            wire.release();
            world.works(&sidecar).await;
            if to < now {
                // A lease of before knows the time of before, and is right to hold when that comes back.
                world.until_renewed(&sidecar).await;
            }
            now = to;
        }
    }
    for step in [TEN_YEARS, -TEN_YEARS] {
        world.expires_in_time(&clock, step, &sidecar).await;
    }
    let (steady, gone) = (steady.stop().await, gone.stop().await);
    assert!(steady.iter().all(|probe| matches!(probe.status, 200 | 503)), "a good token is never refused");
    assert!(gone.iter().all(|probe| matches!(probe.status, 401 | 503)), "a revoked one is never accepted");
    let leaps = steady.iter().filter(|probe| probe.status == 503).count();
    report(&format!(
        "clock of a sidecar: {} steps of up to 10 years, {} verdicts, 0 wrong, {leaps} of them 503 after a leap",
        2 * STEPS.len() + 4,
        steady.len() + gone.len()
    ));
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(world.authority.stop().code, 0);
}

/// As on one machine whose clock is set.
#[tokio::test(flavor = "multi_thread")]
async fn both_by_one_clock() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let clock = WallClock::new(jeton.path("clock"));
    let authority = jeton.serve_below(&clock.arguments(), "data", &[]).unwrap_or_else(|ended| panic!("{ended:?}"));
    let mut world = World::new(jeton, authority).await;
    let sidecar = world.jeton.sidecar_below(&clock.arguments(), world.authority.feed, "edge-1", "acme,quick", &[]);
    sidecar.until_ready(&world.web).await;
    let steady = Prober::start(sidecar.http, &world.steady, 2);
    let gone = Prober::start(sidecar.http, &world.gone, 1);
    for step in STEPS {
        for to in [step, 0] {
            clock.set(to);
            world.until_seen(to).await;
            world.works(&sidecar).await;
        }
    }
    for step in [TEN_YEARS, -TEN_YEARS] {
        world.expires_in_time(&clock, step, &sidecar).await;
    }
    assert!(steady.stop().await.iter().all(|probe| matches!(probe.status, 200 | 503)));
    assert!(gone.stop().await.iter().all(|probe| matches!(probe.status, 401 | 503)));
    assert_eq!(sidecar.stop().code, 0);
    assert_eq!(world.authority.stop().code, 0);
}
