//! A token works everywhere from the moment its issue returns: each is presented at once at a sidecar that chance chooses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_testkit::{Answer, Dice, Jeton, Web, report};
use serde_json::json;

const TOKENS: usize = 20_000;
const WORKERS: usize = 16;
const ISSUERS: usize = 4;

struct World {
    authority: SocketAddr,
    sidecars: Vec<SocketAddr>,
    issuers: Vec<String>,
    begun: AtomicUsize,
}

/// What one worker saw.
#[derive(Default)]
struct Seen {
    issues: Vec<Duration>,
    verifies: Vec<Duration>,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_works_at_once_everywhere() {
    let mut dice = Dice::new("a_new_token_works_at_once_everywhere");
    let (jeton, web) = (Jeton::new(env!("CARGO_BIN_EXE_jeton")), Web::default());
    let authority = jeton.serve("data");
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    let issuers = (0..ISSUERS).map(|n| {
        let issued = jeton.as_root(&authority, &["issue", &format!("jeton/issuer-{n}"), "--scope", "issuer@acme"]);
        issued.expect(0).out.trim().to_owned()
    });
    let issuers = issuers.collect();
    let mut sidecars = Vec::new();
    for name in ["edge-1", "edge-2", "edge-3"] {
        sidecars.push(jeton.sidecar(&authority, name, "acme", &web).await);
    }

    let world = Arc::new(World {
        authority: authority.http,
        sidecars: sidecars.iter().map(|sidecar| sidecar.http).collect(),
        issuers,
        begun: AtomicUsize::new(0),
    });
    let started = Instant::now();
    let workers: Vec<_> = (0..WORKERS).map(|_| tokio::spawn(work(Arc::clone(&world), dice.split()))).collect();
    let mut seen = Seen::default();
    for worker in workers {
        let one = worker.await.unwrap();
        seen.issues.extend(one.issues);
        seen.verifies.extend(one.verifies);
        seen.wrong.extend(one.wrong);
    }
    let took = started.elapsed();
    let mut waited = 0;
    for sidecar in &sidecars {
        waited += first_use_waits(&web, sidecar.http).await;
    }
    let rate = f64::from(u32::try_from(TOKENS).unwrap()) / took.as_secs_f64();
    report(&format!(
        "first use: {TOKENS} tokens in {took:.1?}, {rate:.0} a second; issue {}; verify {}, {waited} newer than the replica",
        spread(&mut seen.issues),
        spread(&mut seen.verifies)
    ));
    assert!(
        seen.wrong.is_empty(),
        "{} of {TOKENS} failed:\n{}",
        seen.wrong.len(),
        seen.wrong[..seen.wrong.len().min(20)].join("\n")
    );
    assert!(waited > 0, "no token came before its record: this shows nothing");
    assert_eq!((seen.issues.len(), seen.verifies.len()), (TOKENS, TOKENS));
}

async fn work(world: Arc<World>, mut dice: Dice) -> Seen {
    let (web, mut seen) = (Web::default(), Seen::default());
    loop {
        let number = world.begun.fetch_add(1, Ordering::Relaxed);
        if number >= TOKENS {
            return seen;
        }
        let issuer = dice.pick(&world.issuers);
        let body = json!({ "name": format!("app-{number}"), "scopes": ["orders:read"] });
        let began = Instant::now();
        let issued = web.post(world.authority, "/v1/namespaces/acme/credentials", Some(issuer), &body).await;
        seen.issues.push(began.elapsed());
        let Some(issued) = issued.filter(|answer| answer.status == 201) else {
            seen.wrong.push(format!("app-{number} was not issued"));
            continue;
        };
        let issued = issued.json();
        let token = issued["token"]["secret"].as_str().unwrap();

        let edge = dice.below(world.sidecars.len());
        let by_auth = dice.below(2) == 0;
        let began = Instant::now();
        let answer = if by_auth {
            web.get(world.sidecars[edge], "/auth", Some(token)).await
        } else {
            web.post(world.sidecars[edge], "/v1/verify", None, &json!({ "token": token })).await
        };
        let took = began.elapsed();
        seen.verifies.push(took);
        let right = answer.as_ref().is_some_and(|answer| {
            let id = if by_auth { json!(answer.header("x-jeton-token-id")) } else { answer.json()["token_id"].clone() };
            let valid = by_auth || answer.json()["valid"] == true;
            answer.status == 200 && valid && id == issued["token"]["id"]
        });
        if !right {
            seen.wrong.push(format!("app-{number} at edge-{}: {} after {took:?}", edge + 1, told(answer.as_ref())));
        }
    }
}

/// How many verifications waited for the authority's word.
async fn first_use_waits(web: &Web, sidecar: SocketAddr) -> u64 {
    let metrics = web.get(sidecar, "/metrics", None).await.unwrap();
    let text = std::str::from_utf8(&metrics.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix("jeton_first_use_wait_seconds_count ")).unwrap().parse().unwrap()
}

fn told(answer: Option<&Answer>) -> String {
    answer.map_or_else(|| "no answer".to_owned(), |answer| format!("{} {}", answer.status, answer.json()))
}

/// Median, 99th percentile and maximum.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:.1?}, p99 {:.1?}, max {:.1?}", at(50), at(99), at(100))
}
