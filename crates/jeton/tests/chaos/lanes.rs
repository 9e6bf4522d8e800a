//! Who does the harm: one lane for each process, and one for the doors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jeton_testkit::{Authority, Dice, Sidecar, Strace, Web};

use crate::{
    history::Dark,
    world::{World, count},
};

/// What is done to one process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Kill,
    /// A sync of the authority fails: it must end by itself.
    Sync,
    Stop,
    Partition,
}

/// Kills come in series, so that starts are hit too; after each there is time for sessions to be counted out.
const SERIES: usize = 10;
const QUIET: Duration = Duration::from_secs(11);
/// How the feed falls silent; and whether nothing new can come down it.
const PARTITIONS: [(&str, bool); 6] = [
    ("both drop", true),
    ("both hold", true),
    ("up drop", false),
    ("down drop", true),
    ("down hold", true),
    ("up hold", false),
];

/// As many of each, mixed.
pub(crate) fn mixed(dice: &mut Dice, of: &[(Fault, usize)]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = of.iter().flat_map(|(fault, times)| std::iter::repeat_n(*fault, *times)).collect();
    for last in (1..faults.len()).rev() {
        faults.swap(last, dice.below(last + 1));
    }
    faults
}

/// Stops are short as a rule, and now and then longer than anybody waits.
fn pause(dice: &mut Dice) -> Duration {
    let (from, to) = if dice.below(4) == 0 { (6_500, 10_000) } else { (50, 2_500) };
    dice.between(Duration::from_millis(from), Duration::from_millis(to))
}

pub(crate) async fn authority(
    world: Arc<World>,
    mut authority: Authority,
    faults: Vec<Fault>,
    mut dice: Dice,
) -> Authority {
    for (number, fault) in faults.into_iter().enumerate() {
        if number % SERIES == SERIES - 1 {
            tokio::time::sleep(QUIET).await;
        }
        let more = dice.below(250);
        world.until_done(world.recorder.done() + more, Duration::from_millis(1_500)).await;
        match fault {
            Fault::Stop => {
                tokio::task::block_in_place(|| authority.freeze());
                tokio::time::sleep(pause(&mut dice)).await;
                authority.wake();
                count(&world.counts.stops);
            }
            Fault::Sync => {
                authority = failed_sync(&world, authority, &mut dice).await;
                count(&world.counts.syncs);
            }
            Fault::Kill | Fault::Partition => {
                authority.kill();
                count(&world.counts.kills);
                tokio::time::sleep(dice.between(Duration::ZERO, Duration::from_millis(100))).await;
                authority = world.authority(&[]).await.unwrap_or_else(|ended| panic!("{ended:?}"));
            }
        }
    }
    authority
}

/// Starts it so that a sync fails soon, and again after it has ended of that.
async fn failed_sync(world: &World, authority: Authority, dice: &mut Dice) -> Authority {
    assert_eq!(authority.stop().code, 0);
    let log = world.jeton.path("strace.log");
    let trace = Strace::failing(log, "fsync,fdatasync", "EIO", 1 + dice.below(40), &[]);
    match world.authority(&trace.arguments()).await {
        Err(ended) => assert_eq!(ended.code, 4, "{}", ended.err),
        Ok(authority) => assert_eq!(tokio::task::block_in_place(|| authority.wait()).code, 4),
    }
    tokio::task::block_in_place(|| trace.finish());
    assert!(!trace.injected().is_empty(), "no sync failed");
    world.authority(&[]).await.unwrap_or_else(|ended| panic!("{ended:?}"))
}

pub(crate) async fn sidecar(
    world: Arc<World>,
    at: usize,
    mut sidecar: Sidecar,
    faults: Vec<Fault>,
    mut dice: Dice,
) -> Sidecar {
    let feed = &world.feeds[at - 1];
    for fault in faults {
        tokio::time::sleep(dice.between(Duration::from_millis(50), Duration::from_millis(1_500))).await;
        match fault {
            Fault::Kill => {
                sidecar.kill();
                count(&world.counts.kills);
                sidecar = world.sidecar(at).await;
            }
            Fault::Stop | Fault::Sync => {
                tokio::task::block_in_place(|| sidecar.freeze());
                tokio::time::sleep(pause(&mut dice)).await;
                sidecar.wake();
                count(&world.counts.stops);
            }
            Fault::Partition => {
                let (way, dark) = *dice.pick(&PARTITIONS);
                feed.tell(way).await;
                let from = world.recorder.now();
                tokio::time::sleep(dice.between(Duration::from_millis(500), Duration::from_secs(9))).await;
                if dark {
                    world.recorder.dark(Dark { at, from, to: world.recorder.now() });
                }
                feed.tell("both pass").await;
                if dice.below(2) == 0 {
                    // Otherwise both ends have to find out by themselves that it is dead.
                    feed.tell("reset").await;
                }
                count(&world.counts.partitions);
            }
        }
    }
    sidecar
}

/// Small things, all the time: connections break, stay half open, are slow.
pub(crate) async fn nuisances(world: Arc<World>, stop: Arc<AtomicBool>, mut dice: Dice) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(dice.between(Duration::from_millis(300), Duration::from_millis(1_500))).await;
        let door = dice.below(2) == 0;
        let proxy = if door { dice.pick(&world.doors) } else { dice.pick(&world.feeds) };
        match dice.below(if door { 5 } else { 3 }) {
            0 => proxy.tell("reset").await,
            1 => proxy.tell("half").await,
            2 if !door => {
                // Its ways belong to its own lane.
                proxy.tell("reset").await;
            }
            2 => proxy.tell("both delay 2 30").await,
            3 => proxy.tell(["up drop", "down drop", "both hold"][dice.below(3)]).await,
            _ => {}
        }
        count(&world.counts.nuisances);
        if door {
            tokio::time::sleep(dice.between(Duration::from_millis(50), Duration::from_millis(1_000))).await;
            proxy.tell("both pass").await;
            // What lost something would keep whoever asked waiting.
            proxy.tell("reset").await;
        }
    }
}

/// The policy of the namespace, to and fro.
pub(crate) async fn policies(world: Arc<World>, stop: Arc<AtomicBool>, mut dice: Dice) {
    let web = Web::patient(Duration::from_secs(3));
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(dice.between(Duration::from_millis(500), Duration::from_secs(4))).await;
        let freshness = *dice.pick(&["strict", "grace=1s", "grace=3s", "strict"]);
        if world.policy(&web, freshness).await {
            count(&world.counts.policies);
        }
    }
}
