//! All at once: kills, stops, partitions, small nuisances and changes of policy, under a mixed load. Then quiet, and the history is judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton_testkit::{Authority, Dice, Sidecar, Web, faults, report};

use crate::{
    askers::{self, BRIEF, ISSUE, asked},
    history::{History, Said, Seen},
    lanes::{self, Fault, mixed},
    load::{LIFE, Worker, check},
    recorder::PATIENCE,
    world::{SIDECARS, World, counted},
};

const KILLS: usize = 200;
const STOPS: usize = 50;
const PARTITIONS: usize = 20;
const SYNCS: usize = 10;
const OPERATIONS: usize = 100_000;
const WORKERS: usize = 24;
const ASKERS: usize = 6;
/// So many tokens are asked for everywhere once all is quiet.
const SAMPLE: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once() {
    let mut dice = Dice::new("all_at_once");
    let (world, authority, sidecars) = World::start(&mut dice, |_| vec![Vec::new(); SIDECARS + 1]).await;
    let load = Load::start(&world, &mut dice);
    let (kills, stops, partitions) =
        (faults(0..KILLS).count(), faults(0..STOPS).count(), faults(0..PARTITIONS).count());
    let (operations, syncs) = (faults(0..OPERATIONS).count(), faults(0..SYNCS).count());
    let played = Instant::now();

    let quiet = Arc::new(AtomicBool::new(false));
    let nuisances = tokio::spawn(lanes::nuisances(Arc::clone(&world), Arc::clone(&quiet), dice.split()));
    let policies = tokio::spawn(lanes::policies(Arc::clone(&world), Arc::clone(&quiet), dice.split()));
    let share = |of: usize, at: usize| of / SIDECARS + usize::from(at <= of % SIDECARS);
    let (kills_here, stops_here) = (kills / 2, stops / 5);
    let script = mixed(&mut dice, &[(Fault::Kill, kills_here), (Fault::Stop, stops_here), (Fault::Sync, syncs)]);
    let lane = tokio::spawn(lanes::authority(Arc::clone(&world), authority, script, dice.split()));
    let mut side = Vec::new();
    for (at, sidecar) in (1..).zip(sidecars) {
        let of = [
            (Fault::Kill, share(kills - kills_here, at)),
            (Fault::Stop, share(stops - stops_here, at)),
            (Fault::Partition, share(partitions, at)),
        ];
        let script = mixed(&mut dice, &of);
        side.push(tokio::spawn(lanes::sidecar(Arc::clone(&world), at, sidecar, script, dice.split())));
    }
    let mut sidecars = Vec::new();
    for lane in side {
        sidecars.push(lane.await.unwrap());
    }
    let authority = lane.await.unwrap();
    let started = Instant::now();
    while world.recorder.done() < operations {
        assert!(started.elapsed() < 10 * PATIENCE, "{} of {operations} operations", world.recorder.done());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    quiet.store(true, Ordering::Relaxed);
    nuisances.await.unwrap();
    policies.await.unwrap();
    let took = played.elapsed();
    let (history, operations) = finish(&world, load, &authority, &sidecars).await;
    let counts = &world.counts;
    report(&format!(
        "chaos: {} kill -9, {} SIGSTOP, {} partitions, {} failed syncs, {} nuisances, {} changes of policy in {took:.0?}; {operations} acknowledged operations, {}",
        counted(&counts.kills),
        counted(&counts.stops),
        counted(&counts.partitions),
        counted(&counts.syncs),
        counted(&counts.nuisances),
        counted(&counts.policies),
        verdict(&world, &history),
    ));
    for sidecar in sidecars {
        assert_eq!(sidecar.stop().code, 0);
    }
    assert_eq!(authority.stop().code, 0);
}

/// What is asked all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    stop_asking: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<Worker>>,
    askers: Vec<tokio::task::JoinHandle<Vec<Seen>>>,
    receipts: tokio::task::JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(world: &Arc<World>, dice: &mut Dice) -> Self {
        let (stop, stop_asking) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let web = Web::patient(Duration::from_secs(3));
        let workers = (0..WORKERS).map(|number| {
            let mut worker = Worker::new(&format!("w{number}"), &web, &world.root, dice.split());
            worker.reconnect();
            worker.life = [&LIFE[..], &ISSUE, &BRIEF][number % 3];
            // Some wait for the receipt, and the others ask for it later.
            worker.wait_ms = (number % 2 == 0).then_some(400);
            worker.journal = Some(Arc::clone(&world.recorder) as _);
            tokio::spawn(askers::work(Arc::clone(world), worker, Arc::clone(&stop)))
        });
        let workers = workers.collect();
        let askers = (0..ASKERS)
            .map(|_| tokio::spawn(askers::ask(Arc::clone(world), Arc::clone(&stop_asking), dice.split())))
            .collect();
        let receipts = tokio::spawn(askers::receipts(Arc::clone(world), Arc::clone(&stop_asking)));
        Self { stop, stop_asking, workers, askers, receipts }
    }
}

/// Heals everything, waits until all that was asked for is done and every receipt that is waited for complete, and demands that nothing was
/// lost, doubled or answered wrongly. The history, and how many mutations were acknowledged.
pub(crate) async fn finish(
    world: &Arc<World>,
    load: Load,
    authority: &Authority,
    sidecars: &[Sidecar],
) -> (History, usize) {
    world.heal().await;
    load.stop.store(true, Ordering::Relaxed);
    let mut workers = Vec::new();
    for worker in load.workers {
        workers.push(worker.await.unwrap());
    }
    for sidecar in sidecars {
        sidecar.until_ready(&Web::default()).await;
    }
    world.until("every receipt is complete", || world.recorder.waits().is_empty()).await;
    load.stop_asking.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    for asker in load.askers {
        seen.extend(asker.await.unwrap());
    }
    load.receipts.await.unwrap();
    seen.extend(everywhere(world).await);
    let listed = check(&world.jeton, authority, &workers).await;
    let listed = listed.iter().map(|token| (token["id"].as_str().unwrap().to_owned(), token["state"] == "revoked"));
    let listed = listed.collect();
    let operations = world.recorder.done();
    (world.recorder.close(seen, listed), operations)
}

/// Asks everywhere once all is quiet: a good token is good, once whoever is asked is up to date.
async fn everywhere(world: &World) -> Vec<Seen> {
    let (web, mut seen) = (Web::default(), Vec::new());
    let every = world.recorder.done() / SAMPLE;
    for (token, secret, refusable) in world.recorder.sample(every) {
        for at in 0..=SIDECARS {
            let started = Instant::now();
            loop {
                let one = asked(&world.recorder, &web, &world.root, world.direct(at), at, token, &secret, true).await;
                seen.push(one);
                if one.said == Said::Valid || (refusable && one.said != Said::Unavailable) {
                    break;
                }
                assert!(started.elapsed() < PATIENCE, "{one:?}: it does not recover");
            }
        }
    }
    seen
}

/// Says how much was looked at, and that nothing is wrong; what is wrong, otherwise.
pub(crate) fn verdict(world: &World, history: &History) -> String {
    let found = history.violations();
    let shown: Vec<String> = found.iter().take(10).map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} violations, the first of them:\n{}", found.len(), shown.join("\n"));
    let barred: usize = history.tokens.iter().filter(|token| !token.barred.is_empty()).count();
    let after = |seen: &&Seen| history.tokens[seen.token].barred.iter().any(|(from, _)| seen.sent >= *from);
    let unavailable = history.seen.iter().filter(|seen| seen.said == Said::Unavailable).count();
    format!(
        "{} receipts, {} tokens, {} verifications ({} after a complete receipt of {barred} tokens, {unavailable} unavailable): 0 lost, 0 doubled, 0 accepted after a receipt, 0 false 401, 0 of 401 in the dark",
        world.recorder.receipts(),
        history.tokens.len(),
        history.seen.len(),
        history.seen.iter().filter(after).count(),
    )
}
