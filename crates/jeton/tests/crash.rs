//! The authority is killed with -9, again and again, while tokens are issued and presented: what was acknowledged is there
//! afterwards, once, and whoever was known to a sidecar notices nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_testkit::{Answer, Dice, Jeton, Web, report};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

const KILLS: usize = 50;
const ISSUERS: usize = 8;
/// Acknowledged issues in one life, at most, before the kill.
const ISSUES_MAX: usize = 500;
/// One of the deaths lasts until every lease is over.
const LONG_DEATH: usize = 20;
const LONG_DEATH_FOR: Duration = Duration::from_secs(7);
/// Tasks that present tokens of which the answer is not known yet.
const FIRST_USES: usize = 4;
/// Tasks at each sidecar that present tokens which it accepted before.
const CLIENTS: usize = 2;
/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the authority is doing, as far as the test has a hand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Up(usize),
    /// Being killed, dead, or starting.
    Down,
    Over,
}

/// An issue that was acknowledged.
#[derive(Debug, Clone)]
struct Issued {
    name: String,
    token: Value,
    credential: Value,
    secret: String,
    revision: u64,
    life: usize,
    began: Instant,
    ended: Instant,
}

struct World {
    authority: SocketAddr,
    issuer: String,
    life: watch::Sender<Life>,
    issued: Mutex<Vec<Issued>>,
    /// How many were acknowledged in the present life.
    in_life: watch::Sender<usize>,
    edges: Vec<Edge>,
    accepted: AtomicUsize,
    stale: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

struct Edge {
    http: SocketAddr,
    /// What it has accepted before.
    known: Mutex<Vec<String>>,
    /// The latest life of the authority of which it has accepted a token.
    caught_up: watch::Sender<Option<usize>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load() {
    let mut dice = Dice::new("killed_under_load");
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let mut authority = jeton.serve("data");
    let (http, feed) = (authority.http, authority.feed);
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    let issuer = jeton.as_root(&authority, &["issue", "jeton/issuer", "--scope", "issuer@acme"]).expect(0);
    let mut sidecars = Vec::new();
    for name in ["edge-1", "edge-2", "edge-3"] {
        sidecars.push(jeton.sidecar(&authority, name, "acme", &web).await);
    }
    let edge = |http| Edge { http, known: Mutex::default(), caught_up: watch::Sender::new(None) };
    let world = Arc::new(World {
        authority: http,
        issuer: issuer.out.trim().to_owned(),
        life: watch::Sender::new(Life::Up(0)),
        issued: Mutex::default(),
        in_life: watch::Sender::new(0),
        edges: sidecars.iter().map(|sidecar| edge(sidecar.http)).collect(),
        accepted: AtomicUsize::new(0),
        stale: AtomicUsize::new(0),
        wrong: Mutex::default(),
    });
    let tasks = traffic(&world, &mut dice);

    let started = Instant::now();
    for life in 0..KILLS {
        let issues = dice.below(ISSUES_MAX);
        in_time("issues in this life", world.in_life.subscribe().wait_for(|count| *count >= issues)).await.unwrap();
        if life.is_multiple_of(2) {
            // The other half of the kills hits while sidecars are still finding back.
            world.caught_up(life).await;
        }
        world.life.send_replace(Life::Down);
        authority.kill();
        if life.is_multiple_of(5) {
            jeton.serve_killed("data", http, feed, dice.between(Duration::ZERO, Duration::from_millis(60)));
        }
        if life == LONG_DEATH {
            tokio::time::sleep(LONG_DEATH_FOR).await;
            world.grace_holds().await;
        }
        authority = jeton.serve_at("data", http, feed);
        world.in_life.send_replace(0);
        world.life.send_replace(Life::Up(life + 1));
    }
    world.caught_up(KILLS).await;
    world.life.send_replace(Life::Over);
    for task in tasks {
        task.await.unwrap();
    }
    let took = started.elapsed();

    let root = authority.root_token();
    let issued = std::mem::take(&mut *world.issued.lock().unwrap());
    world.every_token_verifies(&issued, &root, &mut dice).await;
    let wrong = std::mem::take(&mut *world.wrong.lock().unwrap());
    assert!(wrong.is_empty(), "{} answers were wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    none_is_doubled(&issued, &credentials(&web, http, &root).await);
    revisions_follow_time(&issued);
    assert_eq!(authority.stop().code, 0);
    audit_agrees(&jeton, &issued);
    report(&format!(
        "crash: {KILLS} kills in {took:.1?}, {} tokens acknowledged; {} requests of known clients and first uses accepted, {} first uses told to try again",
        issued.len(),
        world.accepted.load(Ordering::Relaxed),
        world.stale.load(Ordering::Relaxed)
    ));
}

fn traffic(world: &Arc<World>, dice: &mut Dice) -> Vec<JoinHandle<()>> {
    let mut tasks: Vec<_> = (0..ISSUERS).map(|issuer| tokio::spawn(issue(Arc::clone(world), issuer))).collect();
    tasks.extend((0..FIRST_USES).map(|_| tokio::spawn(first_uses(Arc::clone(world), dice.split()))));
    for edge in 0..world.edges.len() {
        tasks.extend((0..CLIENTS).map(|_| tokio::spawn(client(Arc::clone(world), edge, dice.split()))));
    }
    tasks
}

/// Issues one after the other whenever the authority is up. What gets no answer is not asked for again.
async fn issue(world: Arc<World>, issuer: usize) {
    let (mut life, mut count) = (world.life.subscribe(), 0_usize);
    loop {
        let now = *life.wait_for(|life| *life != Life::Down).await.unwrap();
        let Life::Up(number) = now else { return };
        // Of the dead process there is a connection left over at most.
        let web = Web::default();
        while *life.borrow() == now {
            count += 1;
            let name = format!("app-{issuer}-{count}");
            let body = json!({ "name": name, "scopes": ["orders:read"] });
            let began = Instant::now();
            let answer = web.post(world.authority, "/v1/namespaces/acme/credentials", Some(&world.issuer), &body).await;
            let ended = Instant::now();
            match answer {
                Some(answer) if answer.status == 201 => {
                    let view = answer.json();
                    world.issued.lock().unwrap().push(Issued {
                        name,
                        token: view["token"]["id"].clone(),
                        credential: view["credential"]["id"].clone(),
                        secret: view["token"]["secret"].as_str().unwrap().to_owned(),
                        revision: view["revision"].as_u64().unwrap(),
                        life: number,
                        began,
                        ended,
                    });
                    world.in_life.send_modify(|count| *count += 1);
                }
                None if *life.borrow() != now => {}
                answer => world.wrong(format!("{name} was not issued in life {number}: {}", told(answer.as_ref()))),
            }
        }
    }
}

/// Presents what was issued lately, at any sidecar. While the authority is away the answer may be 503, never 401.
async fn first_uses(world: Arc<World>, mut dice: Dice) {
    let web = Web::default();
    while world.runs() {
        tokio::time::sleep(PACE).await;
        let lately = {
            let issued = world.issued.lock().unwrap();
            let back = issued.len().min(20);
            if back == 0 {
                continue;
            }
            issued[issued.len() - 1 - dice.below(back)].clone()
        };
        let edge = dice.pick(&world.edges);
        let answer = web.get(edge.http, "/auth", Some(&lately.secret)).await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => {
                world.accepted.fetch_add(1, Ordering::Relaxed);
                edge.known.lock().unwrap().push(lately.secret);
                edge.caught_up.send_modify(|life| *life = (*life).max(Some(lately.life)));
            }
            Some(503) => _ = world.stale.fetch_add(1, Ordering::Relaxed),
            _ => world.wrong(format!("first use of {}: {}", lately.name, told(answer.as_ref()))),
        }
    }
}

/// Presents what the sidecar has accepted before. It must go on accepting, whatever becomes of the authority.
async fn client(world: Arc<World>, edge: usize, mut dice: Dice) {
    let web = Web::default();
    while world.runs() {
        tokio::time::sleep(PACE).await;
        let token = {
            let known = world.edges[edge].known.lock().unwrap();
            if known.is_empty() {
                continue;
            }
            dice.pick(&known).clone()
        };
        let answer = web.get(world.edges[edge].http, "/auth", Some(&token)).await;
        if answer.as_ref().is_some_and(|answer| answer.status == 200) {
            world.accepted.fetch_add(1, Ordering::Relaxed);
        } else {
            world.wrong(format!("edge-{} had accepted it before: {}", edge + 1, told(answer.as_ref())));
        }
    }
}

impl World {
    fn runs(&self) -> bool {
        *self.life.borrow() != Life::Over
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    /// Waits until every sidecar has accepted a token of this life.
    async fn caught_up(&self, life: usize) {
        for edge in &self.edges {
            let what = format!("{} finds back", edge.http);
            in_time(&what, edge.caught_up.subscribe().wait_for(|at| *at >= Some(life))).await.unwrap();
        }
    }

    /// The leases are over, and every sidecar goes on all the same.
    async fn grace_holds(&self) {
        for edge in &self.edges {
            let token = edge.known.lock().unwrap()[0].clone();
            let answer = Web::default().post(edge.http, "/v1/verify", None, &json!({ "token": token })).await;
            let view = answer.as_ref().unwrap().json();
            assert!(view["valid"] == true && view["source"] == "grace", "{}", told(answer.as_ref()));
        }
    }

    /// At the authority and at a sidecar, as what it was issued.
    async fn every_token_verifies(&self, issued: &[Issued], root: &str, dice: &mut Dice) {
        let web = &Web::default();
        for some in issued.chunks(16) {
            let checks: Vec<_> = some
                .iter()
                .map(|one| (one.clone(), dice.pick(&self.edges).http))
                .map(|(one, edge)| {
                    let (web, authority, root) = (web.clone(), self.authority, root.to_owned());
                    tokio::spawn(async move {
                        let body = json!({ "token": one.secret });
                        let there = web.post(authority, "/v1/verify", Some(&root), &body).await;
                        let here = web.post(edge, "/v1/verify", None, &body).await;
                        let good = |answer: &Option<Answer>| {
                            answer.as_ref().is_some_and(|answer| {
                                let view = answer.json();
                                answer.status == 200
                                    && view["valid"] == true
                                    && view["token_id"] == one.token
                                    && view["credential_id"] == one.credential
                            })
                        };
                        let both = good(&there) && good(&here);
                        (!both).then(|| {
                            format!("{one:?}: authority {}, sidecar {}", told(there.as_ref()), told(here.as_ref()))
                        })
                    })
                })
                .collect();
            for check in checks {
                if let Some(wrong) = check.await.unwrap() {
                    self.wrong(wrong);
                }
            }
        }
    }
}

/// All credentials of the namespace, by name, as the authority lists them.
async fn credentials(web: &Web, authority: SocketAddr, root: &str) -> HashMap<String, Value> {
    let (mut all, mut after) = (HashMap::new(), String::new());
    loop {
        let path = format!("/v1/namespaces/acme/credentials?limit=1000{after}");
        let page = web.get(authority, &path, Some(root)).await.unwrap().json();
        for item in page["items"].as_array().unwrap() {
            let name = item["name"].as_str().unwrap().to_owned();
            assert!(all.insert(name, item["id"].clone()).is_none(), "two credentials of one name: {item}");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn none_is_doubled(issued: &[Issued], listed: &HashMap<String, Value>) {
    let (mut tokens, mut secrets, mut revisions) = (HashSet::new(), HashSet::new(), HashSet::new());
    for one in issued {
        assert!(tokens.insert(one.token.to_string()) && secrets.insert(&one.secret), "doubled: {one:?}");
        assert!(revisions.insert(one.revision), "two issues at one revision: {one:?}");
        assert_eq!(listed.get(&one.name), Some(&one.credential), "{one:?}");
    }
}

/// An issue that began after another had ended has a greater revision, also across restarts.
fn revisions_follow_time(issued: &[Issued]) {
    let mut by_end: Vec<_> = issued.iter().collect();
    by_end.sort_by_key(|one| one.ended);
    let mut by_begin: Vec<_> = issued.iter().collect();
    by_begin.sort_by_key(|one| one.began);
    let (mut ended, mut greatest) = (by_end.into_iter().peekable(), 0);
    for one in by_begin {
        while let Some(earlier) = ended.next_if(|earlier| earlier.ended <= one.began) {
            greatest = greatest.max(earlier.revision);
        }
        assert!(one.revision > greatest, "{one:?} came after revision {greatest} had been acknowledged");
    }
}

/// Read by a program that is not the product's: one audit entry for each acknowledged issue, in revision order.
fn audit_agrees(jeton: &Jeton, issued: &[Issued]) {
    const SCRIPT: &str = "
import json, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute('SELECT revision, action FROM audit ORDER BY seq').fetchall()
print(json.dumps(rows))
";
    let python = std::env::var("JETON_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let database = jeton.path("data").join("jeton.db");
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(database).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<(u64, String)> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows.is_sorted_by_key(|(revision, _)| *revision), "the audit trail is out of order");
    let mut entries: HashMap<u64, Vec<&str>> = HashMap::new();
    for (revision, action) in &rows {
        entries.entry(*revision).or_default().push(action);
    }
    for one in issued {
        assert_eq!(entries.get(&one.revision).map(Vec::as_slice), Some(&["credential.issue"][..]), "{one:?}");
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    assert!(result.is_ok(), "not in time: {what}");
    result.unwrap()
}

fn told(answer: Option<&Answer>) -> String {
    answer.map_or_else(|| "no answer".to_owned(), |answer| format!("{} {}", answer.status, answer.json()))
}
