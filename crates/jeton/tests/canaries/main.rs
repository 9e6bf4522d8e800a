//! Canaries: tokens that go through every path of the product, the wrong ones too, and are then looked for in all that it
//! wrote, printed, kept or showed. A tenth of them, unless `JETON_TEST_FAULTS` says otherwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod commands;
mod paths;
mod search;
mod world;

use jeton_testkit::{faults, report};
use tokio::task::JoinSet;

use self::{search::Hit, world::World};

/// How many canaries the full run has.
const CANARIES: usize = 10_000;
/// How many of them the command line carries: a process or four each.
const COMMANDS_SHARE: usize = 20;
/// How many go their ways side by side.
const WORKERS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_part_of_a_secret_is_anywhere() {
    let world = World::start().await;
    // Each part is as many canaries through all paths.
    let count = faults(0..CANARIES).count();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let paths = world.paths();
        workers.spawn(async move {
            for number in (worker..count - count / COMMANDS_SHARE).step_by(WORKERS) {
                paths.go(number).await;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    let world = tokio::task::spawn_blocking(move || {
        let mut world = world;
        commands::all(&mut world, count / COMMANDS_SHARE);
        world
    })
    .await
    .unwrap();
    let searched = world.end().await;
    report(&format!(
        "canaries: {} secrets ({} asked for) over {} requests and {} commands; {} MB in {} places searched: {} hits",
        searched.secrets,
        count,
        searched.requests,
        searched.commands,
        searched.bytes >> 20,
        searched.places,
        searched.hits.len()
    ));
    assert!(searched.secrets as usize >= count, "{} of {count}", searched.secrets);
    assert!(searched.logged >= u64::from(searched.secrets) * 100, "the logs are not those of such a run");
    let shown: Vec<String> = searched.hits.iter().take(20).map(shown).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

fn shown(hit: &Hit) -> String {
    format!("{}, byte {}, secret {}, {:?}: {}", hit.place, hit.at, hit.secret, hit.form, hit.around)
}
