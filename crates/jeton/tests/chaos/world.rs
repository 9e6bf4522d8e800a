//! An authority and three sidecars, with a proxy in front of every door and in every feed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Dice, Jeton, Proxy, Sidecar, Web};
use serde_json::json;
use tokio::task::block_in_place;

use crate::recorder::{PATIENCE, Recorder};

pub(crate) const SIDECARS: usize = 3;
const NOWHERE: &str = "127.0.0.1:1";

pub(crate) struct World {
    pub(crate) jeton: Jeton,
    pub(crate) root: String,
    pub(crate) recorder: Arc<Recorder>,
    /// Where each is by itself: the authority, then the sidecars.
    direct: Vec<Mutex<SocketAddr>>,
    /// In front of each.
    pub(crate) doors: Vec<Proxy>,
    /// From each sidecar to the authority.
    pub(crate) feeds: Vec<Proxy>,
    pub(crate) counts: Counts,
    /// What runs above each: a clock of its own, for instance.
    above: Vec<Vec<String>>,
}

/// What was played.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) kills: AtomicUsize,
    pub(crate) stops: AtomicUsize,
    pub(crate) partitions: AtomicUsize,
    pub(crate) nuisances: AtomicUsize,
    pub(crate) policies: AtomicUsize,
    pub(crate) syncs: AtomicUsize,
}

pub(crate) fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn counted(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

impl World {
    /// Starts it all, each below what is to run above it, and waits until all are ready.
    pub(crate) async fn start(
        dice: &mut Dice,
        above: impl FnOnce(&Jeton) -> Vec<Vec<String>>,
    ) -> (Arc<Self>, Authority, Vec<Sidecar>) {
        let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
        let above = above(&jeton);
        let started = block_in_place(|| jeton.serve_below(&words(&above[0]), "data", &[]));
        let authority = started.unwrap_or_else(|ended| panic!("{ended:?}"));
        let create = ["namespace", "create", "acme", "--prefix", "acme", "--freshness", "strict"];
        let _ = block_in_place(|| jeton.as_root(&authority, &create)).expect(0);
        let (mut doors, mut feeds, mut direct) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..=SIDECARS {
            doors.push(Proxy::to(NOWHERE.parse().unwrap(), dice.split()).await);
            direct.push(Mutex::new(NOWHERE.parse().unwrap()));
            if at > 0 {
                feeds.push(Proxy::to(authority.feed, dice.split()).await);
                let (credential, out) = (format!("jeton/{}", name(at)), jeton.text(&format!("{}.token", name(at))));
                let issue = ["issue", &credential, "--out", &out, "--scope", "verifier@acme"];
                let _ = block_in_place(|| jeton.as_root(&authority, &issue)).expect(0);
            }
        }
        let (root, recorder) = (authority.root_token(), Arc::new(Recorder::new()));
        let world = Self { jeton, root, recorder, direct, doors, feeds, counts: Counts::default(), above };
        world.moved(0, authority.http).await;
        let mut sidecars = Vec::new();
        for at in 1..=SIDECARS {
            let sidecar = world.sidecar(at).await;
            sidecar.until_ready(&Web::default()).await;
            sidecars.push(sidecar);
        }
        (Arc::new(world), authority, sidecars)
    }

    /// Starts the authority again, below `more` if that is anything.
    pub(crate) async fn authority(&self, more: &[&str]) -> Result<Authority, jeton_testkit::Output> {
        let above = if more.is_empty() { words(&self.above[0]) } else { more.to_vec() };
        let authority = block_in_place(|| self.jeton.serve_below(&above, "data", &[]))?;
        self.moved(0, authority.http).await;
        for feed in &self.feeds {
            feed.tell(&format!("target {}", authority.feed)).await;
        }
        Ok(authority)
    }

    /// Starts a sidecar. The last one has no state folder: a kill of it is a session that falls silent.
    pub(crate) async fn sidecar(&self, at: usize) -> Sidecar {
        let state = self.jeton.text(&format!("state-{at}"));
        let more = if at < SIDECARS { vec!["--state-dir", state.as_str()] } else { Vec::new() };
        let feed = self.feeds[at - 1].address;
        let started = || self.jeton.sidecar_below(&words(&self.above[at]), feed, &name(at), "acme", &more);
        let sidecar = block_in_place(started);
        self.moved(at, sidecar.http).await;
        sidecar
    }

    async fn moved(&self, at: usize, to: SocketAddr) {
        *self.direct[at].lock().unwrap() = to;
        self.doors[at].tell(&format!("target {to}")).await;
    }

    pub(crate) fn direct(&self, at: usize) -> SocketAddr {
        *self.direct[at].lock().unwrap()
    }

    /// Nothing stands between anybody any more.
    pub(crate) async fn heal(&self) {
        for proxy in self.doors.iter().chain(&self.feeds) {
            proxy.tell("both pass").await;
            proxy.tell("reset").await;
        }
    }

    /// Changes how long a verifier goes on that is cut off.
    pub(crate) async fn policy(&self, web: &Web, freshness: &str) -> bool {
        let bearer = format!("Bearer {}", self.root);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = json!({ "freshness": freshness }).to_string();
        let answer = web.request("PATCH", self.direct(0), "/v1/namespaces/acme", &headers, body).await;
        answer.is_some_and(|answer| {
            assert!(matches!(answer.status, 200 | 503), "{} {}", answer.status, answer.json());
            answer.status == 200
        })
    }

    /// Waits until so many mutations were acknowledged, or for a while: a fault may keep them all from it.
    pub(crate) async fn until_done(&self, done: usize, most: Duration) {
        let started = Instant::now();
        while self.recorder.done() < done && started.elapsed() < most {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn() -> bool) {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn name(at: usize) -> String {
    format!("edge-{at}")
}

fn words(above: &[String]) -> Vec<&str> {
    above.iter().map(String::as_str).collect()
}
