//! Many seeds, beside one another.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use jeton_types::fault::Fault;

use crate::{Counts, world::run};

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many were played.
    pub seeds: u64,
    /// How much time passed in them.
    pub simulated: Duration,
    /// How much it took.
    pub took: Duration,
    /// How often what was done in them.
    pub counts: Counts,
    /// Those that failed, in order, and why: what was violated, a timeline, and how to see it again.
    pub failed: Vec<(u64, String)>,
}

/// Plays them, with a rule of the product left out or with none, as many at a time as there are cores.
#[must_use]
pub fn play(seeds: Range<u64>, fault: Option<Fault>) -> Sum {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new(Sum::default());
    let folder = std::env::temp_dir();
    let player = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let (history, simulated) = run(seed, &folder, fault);
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            sum.seeds += 1;
            sum.simulated += simulated;
            sum.counts.add(&history.counts);
            if !history.violations().is_empty() {
                let fault = fault.map_or_else(String::new, |fault| format!(" --fault {}", fault.name()));
                let again = format!("again by: cargo run --release -p jeton-stack -- --seed {seed}{fault}");
                sum.failed.push((seed, format!("seed {seed} fails\n{}{again}\n", history.timeline())));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(player);
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.took = began.elapsed();
    sum.failed.sort_unstable();
    sum
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { acknowledged, asked_again, valid, invalid, unavailable, complete, faults, crashes, lost_unsynced } =
            self.counts;
        for (_, why) in &self.failed {
            writeln!(f, "{why}")?;
        }
        write!(
            f,
            "{} seeds, {:.2} simulated hours in {:.0} s: {faults} faults, {crashes} crashes that took {lost_unsynced} written mutations, \
             {acknowledged} acknowledged mutations ({asked_again} tries more than once), {complete} complete receipts, \
             {valid} valid, {invalid} invalid, {unavailable} unavailable; {} seeds fail",
            self.seeds,
            self.simulated.as_secs_f64() / 3_600.0,
            self.took.as_secs_f64(),
            self.failed.len(),
        )
    }
}
